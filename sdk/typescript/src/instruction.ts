import { encodeBase58 } from './base58.js';
import { decodeUTF8, hex } from './canon.js';
import { type Action } from './erc.js';
import { type Instruction, type SolanaMessage } from './solana.js';

/** Thrown where an instruction isn't exactly as its program has it. */
export class NotUnderstood extends Error {}

export function need(ok: boolean): void {
  if (!ok) throw new NotUnderstood();
}

type Fields = { -readonly [name in keyof Action]?: string };

/** Reads one instruction: its data from the front, its accounts in their order. */
export class View {
  readonly m: SolanaMessage;
  readonly program: string;
  readonly wallet: string;
  readonly #accounts: Uint8Array;
  #data: Uint8Array;
  #at = 0;
  readonly a: Fields = {};
  readonly flags: string[] = [];
  unresolved = false;
  constructor(m: SolanaMessage, i: Instruction, wallet: string) {
    this.m = m;
    this.program = m.keys[i.program]!;
    this.wallet = wallet;
    this.#accounts = i.accounts;
    this.#data = i.data;
    this.a.contract = this.program;
  }
  end(): void { need(this.#data.length === 0 && !this.more); }
  is(kind: string, method: string): void {
    this.a.kind = kind;
    this.a.method = method;
  }
  get left(): number { return this.#data.length; }
  bytes(n: number): Uint8Array {
    need(n <= this.#data.length);
    const b = this.#data.subarray(0, n);
    this.#data = this.#data.subarray(n);
    return b;
  }
  #number(b: Uint8Array): bigint { return b.reduceRight((v, c) => (v << 8n) | BigInt(c), 0n); }
  tag(size: number): number {
    const b = this.bytes(size);
    this.a.selector = hex(b);
    return Number(this.#number(b));
  }
  u8(): number { return this.bytes(1)[0]!; }
  u32(): number { return Number(this.#number(this.bytes(4))); }
  u64(): bigint { return this.#number(this.bytes(8)); }
  amount(): bigint {
    const n = this.u64();
    this.a.amount = String(n);
    return n;
  }
  native(): void {
    this.a.asset = 'native';
    this.amount();
  }
  key(): string { return encodeBase58(this.bytes(32)); }
  present(): boolean {
    const b = this.u8();
    need(b <= 1);
    return b === 1;
  }
  optionalKey(): string { return this.present() ? this.key() : ''; }
  seed(): void {
    const n = this.u64();
    need(n <= 32n);
    this.text(Number(n));
  }
  text(n: number): string {
    const b = this.bytes(n);
    try {
      return decodeUTF8(b);
    } catch {
      throw new NotUnderstood();
    }
  }
  word(n: number, words: readonly string[]): string {
    need(n < words.length);
    return words[n]!;
  }
  get more(): boolean { return this.#at < this.#accounts.length; }
  get others(): number { return this.#accounts.length - this.#at; }
  /** The next account's index; role: s signs, w changes. */
  next(role = ''): number {
    need(this.more);
    const i = this.#accounts[this.#at++]!;
    need((!role.includes('w') || this.m.writable(i)) && (!role.includes('s') || i < this.m.signers));
    this.unresolved ||= !this.m.known(i);
    return i;
  }
  account(role = ''): string { return this.m.name(this.next(role)); }
  notOwn(name: string): string { return name === this.wallet ? '' : name; }
  own(role = ''): string { return this.notOwn(this.account(role)); }
  named(...names: string[]): void {
    const i = this.next();
    need(!this.m.known(i) || names.includes(this.m.name(i)));
  }
  references(): void {
    while (this.more) {
      const i = this.next();
      need(i >= this.m.signers && !this.m.writable(i));
    }
  }
}

/** The members in the order of the format; those without a value are left out. */
export function ordered(a: Fields): Action {
  const out: Record<string, string> = {};
  for (const name of ['kind', 'asset', 'from', 'to', 'spender', 'amount', 'contract', 'selector', 'method', 'account', 'authority', 'text'] as const) {
    if (a[name] !== undefined && a[name] !== '') out[name] = a[name];
  }
  return out as unknown as Action;
}

import { decodeBase58, encodeBase58 } from './base58.js';
import { base64, equal, hex, sha256, unbase64 } from './canon.js';
import { SigilConfigError } from './errors.js';
import { type Action } from './erc.js';
import { type PreparedTransaction } from './evm.js';
import { describe, programs } from './programs.js';

const maxPacket = 1232;
const maxUint64 = (1n << 64n) - 1n;

function invalid(why: string): never {
  throw new SigilConfigError('transaction_invalid', `not a Solana transaction: ${why}`);
}

export interface Instruction {
  readonly program: number;
  readonly accounts: Uint8Array;
  readonly data: Uint8Array;
}

interface Lookup {
  readonly table: Uint8Array;
  readonly writable: Uint8Array;
  readonly readonly: Uint8Array;
}

/** Reads a message's encodings, in their shortest form alone. */
class Cursor {
  #rest: Uint8Array;
  constructor(rest: Uint8Array) {
    this.#rest = rest;
  }
  get rest(): Uint8Array { return this.#rest; }
  take(n: number): Uint8Array {
    if (n > this.#rest.length) invalid('it ends too early');
    const b = this.#rest.subarray(0, n);
    this.#rest = this.#rest.subarray(n);
    return b;
  }
  u8(): number { return this.take(1)[0]!; }
  compact(): number {
    for (let i = 0, v = 0; i < 3; i++) {
      const b = this.u8();
      v |= (b & 0x7f) << (7 * i);
      if (b < 0x80) return (i > 0 && b === 0) || v > 0xffff ? invalid('a length has more bytes than it needs') : v;
    }
    return invalid('a length has too many bytes');
  }
  bytes(): Uint8Array { return this.take(this.compact()); }
}

function compact(n: number): number[] {
  return n < 0x80 ? [n] : [(n & 0x7f) | 0x80, ...compact(n >> 7)];
}

/** What a transaction's signers sign: legacy (-1) or version 0. */
export class SolanaMessage {
  readonly version: number;
  readonly signers: number;
  readonly #readSigned: number;
  readonly #readUnsigned: number;
  readonly keys: readonly string[];
  readonly #keyBytes: Uint8Array;
  readonly blockhash: Uint8Array;
  readonly instructions: readonly Instruction[];
  readonly #lookups: readonly Lookup[];
  /** Places in tables, in the order of their indexes in the message. */
  readonly #places: readonly { readonly name: string; readonly writable: boolean }[];

  constructor(b: Uint8Array) {
    if (b.length > maxPacket - 65) invalid('it is too large');
    const c = new Cursor(b), first = c.u8();
    this.version = first >= 0x80 ? first & 0x7f : -1;
    if (this.version > 0) invalid(`version ${this.version} isn't known here`);
    this.signers = this.version < 0 ? first : c.u8();
    this.#readSigned = c.u8();
    this.#readUnsigned = c.u8();
    const n = c.compact();
    this.#keyBytes = c.take(32 * n);
    this.keys = Array.from({ length: n }, (_, i) => encodeBase58(this.#keyBytes.subarray(32 * i, 32 * i + 32)));
    this.blockhash = c.take(32);
    if (this.signers === 0 || n < this.signers || this.#readSigned >= this.signers || this.#readUnsigned > n - this.signers) invalid("the header's counts are no message's");
    if (1 + 64 * this.signers + b.length > maxPacket) invalid('it is too large with its signatures');
    if (new Set(this.keys).size !== n) invalid('an account stands twice');
    const calls = c.compact();
    if (calls > 255) invalid('it has too many instructions');
    this.instructions = Array.from({ length: calls }, () => ({ program: c.u8(), accounts: c.bytes(), data: c.bytes() }));
    this.#lookups = this.version < 0 ? [] : Array.from({ length: c.compact() }, () => ({ table: c.take(32), writable: c.bytes(), readonly: c.bytes() }));
    if (c.rest.length > 0) invalid('bytes follow it');
    this.#places = this.#look();
    this.#check();
    if (!equal(this.#encode(), b)) invalid("it isn't in its one encoding");
  }

  #look(): { name: string; writable: boolean }[] {
    const tables = this.#lookups.map((l) => encodeBase58(l.table));
    if (new Set(tables).size !== tables.length) invalid('a lookup table stands twice');
    for (const l of this.#lookups) {
      const all = [...l.writable, ...l.readonly];
      if (all.length === 0 || new Set(all).size !== all.length) invalid('a lookup table adds nothing, or something twice');
    }
    const place = (writable: boolean) => this.#lookups.flatMap((l, i) => [...(writable ? l.writable : l.readonly)].map((at) => ({ name: `lookup:${tables[i]}:${at}`, writable })));
    return [...place(true), ...place(false)];
  }

  #check(): void {
    const total = this.keys.length + this.#places.length;
    if (total > 256) invalid('it has too many accounts');
    for (const i of this.instructions) {
      if (i.program === 0 || i.program >= this.keys.length) invalid('an instruction has no program');
      if (i.accounts.some((a) => a >= total)) invalid('an instruction has no such account');
    }
  }

  #encode(): Uint8Array {
    const list = (b: Uint8Array): Uint8Array => Buffer.concat([Buffer.from(compact(b.length)), b]);
    const head = [...(this.version < 0 ? [] : [0x80 | this.version]), this.signers, this.#readSigned, this.#readUnsigned, ...compact(this.keys.length)];
    const calls = this.instructions.flatMap((i) => [Buffer.from([i.program]), list(i.accounts), list(i.data)]);
    const tables = this.#lookups.flatMap((l) => [l.table, list(l.writable), list(l.readonly)]);
    return Buffer.concat([Buffer.from(head), ...this.keys.map((k) => decodeBase58(k, 32)!), this.blockhash, Buffer.from(compact(this.instructions.length)), ...calls,
      Buffer.from(this.version < 0 ? [] : compact(this.#lookups.length)), ...tables]);
  }

  get tables(): boolean { return this.#lookups.length > 0; }
  known(i: number): boolean { return i < this.keys.length; }
  name(i: number): string { return this.keys[i] ?? this.#places[i - this.keys.length]!.name; }
  writable(i: number): boolean {
    if (i < this.signers) return i < this.signers - this.#readSigned;
    return i < this.keys.length ? i < this.keys.length - this.#readUnsigned : this.#places[i - this.keys.length]!.writable;
  }
}

interface Parsed {
  readonly message: SolanaMessage;
  readonly signBytes: Uint8Array;
  readonly signatures: readonly Uint8Array[];
}

function whole(b: Uint8Array): Parsed {
  const c = new Cursor(b), n = c.compact();
  if (n === 0 || n > maxPacket / 64) invalid('it has no sensible number of signatures');
  const signatures = Array.from({ length: n }, () => c.take(64)), message = new SolanaMessage(c.rest);
  return message.signers === n ? { message, signBytes: c.rest, signatures } : invalid('it has another number of signatures than of signers');
}

function bare(b: Uint8Array): Parsed {
  const message = new SolanaMessage(b);
  return { message, signBytes: b, signatures: Array.from({ length: message.signers }, () => new Uint8Array(64)) };
}

/** A transaction or its message alone; what reads as both is neither. */
function parse(b: Uint8Array): Parsed {
  const tried = [whole, bare].map((read) => {
    try {
      return read(b);
    } catch (e) {
      return e as Error;
    }
  });
  const good = tried.filter((x) => !(x instanceof Error)) as Parsed[];
  if (good.length === 2) invalid('it reads as a transaction and as a message alone');
  if (good.length === 0) throw tried[1];
  return good[0]!;
}

const present = (signature: Uint8Array): boolean => signature.some((b) => b !== 0);

/** Decodes a transaction in base64 that the wallet hasn't signed yet. */
export function prepareSolana(network: string, raw: string, publicKey: Uint8Array): PreparedTransaction {
  let b: Uint8Array;
  try {
    b = unbase64(raw);
  } catch {
    return invalid("it isn't base64");
  }
  const t = parse(b), wallet = encodeBase58(publicKey), at = t.message.keys.slice(0, t.message.signers).indexOf(wallet);
  if (b.length > maxPacket || at < 0 || present(t.signatures[at]!)) invalid("the wallet isn't among its signers, or has signed already");
  const format = t.message.version < 0 ? 'solana-legacy' : `solana-v${t.message.version}`;
  const intent = { kind: 'transaction', network, format, length: t.signBytes.length, sha256: hex(sha256(t.signBytes)), effects: effects(t.message, wallet) };
  return {
    signBytes: t.signBytes,
    intentDigest: sha256(JSON.stringify(intent)),
    assemble(signature) {
      const own = decodeBase58(signature, 64)!, all = t.signatures.map((s, i) => (i === at ? own : s));
      const text = base64(Buffer.concat([Buffer.from(compact(all.length)), ...all, t.signBytes]));
      return present(all[0]!) ? { text, id: encodeBase58(all[0]!) } : { text };
    },
  };
}

function effects(m: SolanaMessage, wallet: string): object {
  const flags = new Set<string>(), actions: Action[] = [], budget = new Map<number, bigint>();
  m.instructions.forEach((i, at) => {
    if (m.keys[i.program] === programs.budget) {
      ask(budget, i);
      return;
    }
    const a = describe(m, i, wallet, flags);
    if (at === 0 && a.method === 'advanceNonce') flags.add('durable_nonce');
    actions.push(a);
  });
  const payer = m.keys[0] === wallet ? {} : { fee_payer: m.keys[0]! };
  if (m.keys[0] !== wallet) flags.add('other_fee_payer');
  if (m.signers > 1) flags.add('other_signers');
  if (m.tables) flags.add('lookup_tables');
  return { nonce: encodeBase58(m.blockhash), fee_max: String(feeMax(m, budget)), ...payer, actions, flags: [...flags].sort() };
}

/** Takes what an instruction of Compute Budget asks for. */
function ask(budget: Map<number, bigint>, i: Instruction): void {
  const tag = i.data[0] ?? 0, size = tag === 3 ? 8 : 4;
  if (tag < 1 || tag > 4 || i.data.length !== 1 + size || i.accounts.length > 0 || budget.has(tag)) invalid("validators don't take its Compute Budget");
  const n = i.data.subarray(1).reduceRight((v, b) => (v << 8n) | BigInt(b), 0n);
  if ((tag === 4 && n === 0n) || (tag === 1 && (n < 32768n || n > 262144n || n % 1024n !== 0n))) invalid("validators don't take its Compute Budget");
  budget.set(tag, n);
}

function feeMax(m: SolanaMessage, budget: Map<number, bigint>): bigint {
  let signatures = BigInt(m.signers), units = 0n;
  for (const i of m.instructions) {
    const program = m.keys[i.program]!;
    units += programs.builtin.has(program) ? 3000n : 200000n;
    if (programs.precompiles.has(program)) signatures += BigInt(i.data[0] ?? 0);
  }
  units = budget.get(2) ?? units;
  const price = (budget.get(3) ?? 0n) * (units < 1400000n ? units : 1400000n);
  const fee = signatures * 5000n + (price + 999999n) / 1000000n;
  return fee > maxUint64 ? maxUint64 : fee;
}

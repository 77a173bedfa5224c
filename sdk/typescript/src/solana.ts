import { decodeBase58, encodeBase58 } from './base58.js';
import { base64, equal, unbase64 } from './canon.js';
import { SigilConfigError } from './errors.js';
import type { Prepared } from './networks.js';

const maxPacket = 1232;

function invalid(why: string): never {
  throw new SigilConfigError('transaction_invalid', `not a Solana transaction: ${why}`);
}

interface Instruction {
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

export function compact(n: number): number[] {
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
  readonly #blockhash: Uint8Array;
  readonly #instructions: readonly Instruction[];
  readonly #lookups: readonly Lookup[];

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
    this.#blockhash = c.take(32);
    if (this.signers === 0 || n < this.signers || this.#readSigned >= this.signers || this.#readUnsigned > n - this.signers) invalid("the header's counts are no message's");
    if (1 + 64 * this.signers + b.length > maxPacket) invalid('it is too large with its signatures');
    if (new Set(this.keys).size !== n) invalid('an account stands twice');
    const calls = c.compact();
    if (calls > 255) invalid('it has too many instructions');
    this.#instructions = Array.from({ length: calls }, () => ({ program: c.u8(), accounts: c.bytes(), data: c.bytes() }));
    this.#lookups = this.version < 0 ? [] : Array.from({ length: c.compact() }, () => ({ table: c.take(32), writable: c.bytes(), readonly: c.bytes() }));
    if (c.rest.length > 0) invalid('bytes follow it');
    this.#check(this.#lookedUp());
    if (!equal(this.#encode(), b)) invalid("it isn't in its one encoding");
  }

  /** How many accounts come from tables. */
  #lookedUp(): number {
    if (new Set(this.#lookups.map((l) => encodeBase58(l.table))).size !== this.#lookups.length) invalid('a lookup table stands twice');
    return this.#lookups.reduce((n, l) => {
      const all = [...l.writable, ...l.readonly];
      if (all.length === 0 || new Set(all).size !== all.length) invalid('a lookup table adds nothing, or something twice');
      return n + all.length;
    }, 0);
  }

  #check(lookedUp: number): void {
    const total = this.keys.length + lookedUp;
    if (total > 256) invalid('it has too many accounts');
    for (const i of this.#instructions) {
      if (i.program === 0 || i.program >= this.keys.length) invalid('an instruction has no program');
      if (i.accounts.some((a) => a >= total)) invalid('an instruction has no such account');
    }
  }

  #encode(): Uint8Array {
    const list = (b: Uint8Array): Uint8Array => Buffer.concat([Buffer.from(compact(b.length)), b]);
    const head = [...(this.version < 0 ? [] : [0x80 | this.version]), this.signers, this.#readSigned, this.#readUnsigned, ...compact(this.keys.length)];
    const calls = this.#instructions.flatMap((i) => [Buffer.from([i.program]), list(i.accounts), list(i.data)]);
    const tables = this.#lookups.flatMap((l) => [l.table, list(l.writable), list(l.readonly)]);
    return Buffer.concat([Buffer.from(head), ...this.keys.map((k) => decodeBase58(k, 32)!), this.#blockhash, Buffer.from(compact(this.#instructions.length)), ...calls,
      Buffer.from(this.version < 0 ? [] : compact(this.#lookups.length)), ...tables]);
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
export function prepareSolana(_network: string, raw: string, publicKey: Uint8Array): Prepared {
  let b: Uint8Array;
  try {
    b = unbase64(raw);
  } catch {
    return invalid("it isn't base64");
  }
  const t = parse(b), wallet = encodeBase58(publicKey), at = t.message.keys.slice(0, t.message.signers).indexOf(wallet);
  if (b.length > maxPacket || at < 0 || present(t.signatures[at]!)) invalid("the wallet isn't among its signers, or has signed already");
  return {
    signBytes: t.signBytes,
    decoded: { kind: 'transaction', preimage: t.signBytes },
    assemble(signature) {
      const own = decodeBase58(signature, 64)!, all = t.signatures.map((s, i) => (i === at ? own : s));
      const text = base64(Buffer.concat([Buffer.from(compact(all.length)), ...all, t.signBytes]));
      return present(all[0]!) ? { text, id: encodeBase58(all[0]!) } : { text };
    },
  };
}

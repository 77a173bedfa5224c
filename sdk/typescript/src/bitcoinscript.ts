import { ripemd160 } from '@noble/hashes/legacy.js';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { equal, sha256 } from './canon.js';

/** Thrown where bytes aren't in the one form that they are to have. */
export class Malformed extends Error {}

/** Reads Bitcoin's encodings strictly. */
export class Cursor {
  #b: Uint8Array;
  constructor(b: Uint8Array) {
    this.#b = b;
  }
  get left(): number { return this.#b.length; }
  take(n: number): Uint8Array {
    if (n > this.#b.length) throw new Malformed('it ends too early');
    const b = this.#b.subarray(0, n);
    this.#b = this.#b.subarray(n);
    return b;
  }
  #number(n: number): bigint { return this.take(n).reduceRight((v, c) => (v << 8n) | BigInt(c), 0n); }
  u32(): number { return Number(this.#number(4)); }
  u64(): bigint { return this.#number(8); }
  /** One byte, or 0xfd, 0xfe, 0xff and two, four, eight, in the fewest that hold it. */
  compact(): number {
    const first = this.take(1)[0]!;
    if (first < 0xfd) return first;
    const v = this.#number(2 << (first - 0xfd));
    if (v < [0xfdn, 1n << 16n, 1n << 32n][first - 0xfd]!) throw new Malformed("a size isn't in its shortest form");
    return v <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(v) : Infinity; // more than there is
  }
  bytes(): Uint8Array { return this.take(this.compact()); }
  end(): void {
    if (this.#b.length > 0) throw new Malformed('there is something behind it');
  }
}

/** Reads all of b. */
export function whole<T>(b: Uint8Array, read: (c: Cursor) => T): T {
  const c = new Cursor(b), v = read(c);
  c.end();
  return v;
}

function little(size: number, v: bigint): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => Number((v >> BigInt(8 * i)) & 0xffn));
}

export const concat = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
export const le32 = (v: number): Uint8Array => little(4, BigInt(v));
export const le64 = (v: bigint): Uint8Array => little(8, v);

export function compact(n: number): Uint8Array {
  return n < 0xfd ? little(1, BigInt(n)) : n < 1 << 16 ? concat(new Uint8Array([0xfd]), little(2, BigInt(n))) : concat(new Uint8Array([0xfe]), le32(n));
}

/** The size of bytes, and the bytes. */
export const sized = (b: Uint8Array): Uint8Array => concat(compact(b.length), b);

export const sha256d = (...parts: Uint8Array[]): Uint8Array => sha256(sha256(...parts));
export const hash160 = (b: Uint8Array): Uint8Array => ripemd160(sha256(b));

/** BIP-340's tagged hash. */
export function tagged(tag: string, ...parts: Uint8Array[]): Uint8Array {
  const name = sha256(tag);
  return sha256(name, name, ...parts);
}

export type ScriptKind = 'p2pkh' | 'p2sh' | 'p2wpkh' | 'p2wsh' | 'p2tr' | 'witness' | 'other';

const around = (before: number[], b: Uint8Array, after: number[] = []): Uint8Array => concat(new Uint8Array(before), b, new Uint8Array(after));
const p2pkh = (hash: Uint8Array): Uint8Array => around([0x76, 0xa9, 20], hash, [0x88, 0xac]);
const p2sh = (hash: Uint8Array): Uint8Array => around([0xa9, 20], hash, [0x87]);

/** Scripts that pay a hash, as addresses of base58 have it. */
export const scriptOf = { keyHash: p2pkh, scriptHash: p2sh } as const;

/** The shape of an output's script. */
export function kindOf(s: Uint8Array): ScriptKind {
  const size = s.length - 2, version = s[0]!;
  if (size >= 2 && size <= 40 && s[1] === size && (version === 0 || (version >= 0x51 && version <= 0x60))) { // BIP-141
    if (version === 0) return size === 20 ? 'p2wpkh' : size === 32 ? 'p2wsh' : 'other';
    return version === 0x51 && size === 32 ? 'p2tr' : 'witness';
  }
  if (s.length === 25 && equal(s, p2pkh(s.subarray(3, 23)))) return 'p2pkh';
  return s.length === 23 && equal(s, p2sh(s.subarray(2, 22))) ? 'p2sh' : 'other';
}

/** Whether inputs that spend the script carry a witness. */
export const isSegwit = (k: ScriptKind): boolean => ['p2wpkh', 'p2wsh', 'p2tr', 'witness'].includes(k);

/** The script that pays the hash of another. */
export const payToScript = (script: Uint8Array): Uint8Array => p2sh(hash160(script));

export type OwnKind = 'p2wpkh' | 'p2tr' | 'p2pkh' | 'p2sh';

/** What belongs to a key: the four scripts that it alone can spend. */
export class Scripts {
  readonly publicKey: Uint8Array;
  readonly hash: Uint8Array;
  /** The Taproot output key's x coordinate (BIP-341, BIP-86). */
  readonly outputKey: Uint8Array;
  readonly p2wpkh: Uint8Array;
  readonly p2tr: Uint8Array;
  readonly p2pkh: Uint8Array;
  /** Of p2wpkh, its redeem script. */
  readonly p2sh: Uint8Array;
  constructor(publicKey: Uint8Array) {
    this.publicKey = publicKey;
    this.hash = hash160(publicKey);
    const x = publicKey.subarray(1), tweak = secp256k1.Point.BASE.multiply(BigInt(`0x${Buffer.from(tagged('TapTweak', x)).toString('hex')}`));
    this.outputKey = secp256k1.Point.fromBytes(around([2], x)).add(tweak).toBytes(true).subarray(1);
    this.p2wpkh = around([0, 20], this.hash);
    this.p2tr = around([0x51, 32], this.outputKey);
    this.p2pkh = p2pkh(this.hash);
    this.p2sh = payToScript(this.p2wpkh);
  }
  /** Whether the key alone spends the script, and how. */
  owns(script: Uint8Array): OwnKind | undefined {
    return (['p2wpkh', 'p2tr', 'p2pkh', 'p2sh'] as const).find((k) => equal(this[k], script));
  }
}

export interface TxIn {
  /** In the order that it is hashed in, not as it is shown. */
  readonly txid: Uint8Array;
  readonly vout: number;
  readonly sequence: number;
}

export interface TxOut {
  readonly value: bigint;
  readonly script: Uint8Array;
}

/** An unsigned transaction. */
export interface Tx {
  readonly version: number;
  readonly ins: readonly TxIn[];
  readonly outs: readonly TxOut[];
  readonly locktime: number;
}

export const readOutput = (c: Cursor): TxOut => ({ value: c.u64(), script: c.bytes() });

/** Reads as many; each takes a byte at least. */
function many<T>(c: Cursor, read: () => T): T[] {
  const n = c.compact(), out: T[] = [];
  if (n > c.left) throw new Malformed('it ends too early');
  while (out.length < n) out.push(read());
  return out;
}

/** The encoding from before there were witnesses; input scripts are empty. */
export function readUnsigned(c: Cursor): Tx {
  const version = c.u32(), ins = many(c, () => {
    const txid = c.take(32), vout = c.u32();
    if (c.bytes().length > 0) throw new Malformed('an input of the unsigned transaction has a script');
    return { txid, vout, sequence: c.u32() };
  });
  return { version, ins, outs: many(c, () => readOutput(c)), locktime: c.u32() };
}

const outpoint = (i: TxIn): Uint8Array => concat(i.txid, le32(i.vout));
const output = (o: TxOut): Uint8Array => concat(le64(o.value), sized(o.script));

/** Inputs with their scripts, and outputs. */
export function encodeBody(t: Tx, script: (i: number) => Uint8Array | undefined): Uint8Array {
  return concat(compact(t.ins.length), ...t.ins.flatMap((v, i) => [outpoint(v), sized(script(i) ?? new Uint8Array()), le32(v.sequence)]), compact(t.outs.length), ...t.outs.map(output));
}

/** The encoding without witnesses. */
export function encodeTx(t: Tx, script: (i: number) => Uint8Array | undefined = () => undefined): Uint8Array {
  return concat(le32(t.version), encodeBody(t, script), le32(t.locktime));
}

/** A transaction of the chain: its id and outputs. */
export function readSigned(b: Uint8Array): { id: Uint8Array; outs: TxOut[] } {
  return whole(b, (c) => {
    const version = c.take(4), witnesses = c.left > 1 && b[4] === 0 && b[5] === 1;
    if (witnesses) c.take(2);
    const from = b.length - c.left, ins = many(c, () => [c.take(36), c.bytes(), c.take(4)]), outs = many(c, () => readOutput(c)), to = b.length - c.left;
    const items = witnesses ? ins.map(() => many(c, () => c.bytes()).length) : [1];
    if (ins.length === 0 || outs.length === 0 || items.every((n) => n === 0)) throw new Malformed('a transaction has inputs, outputs, and witnesses where it says so');
    return { id: sha256d(version, b.subarray(from, to), c.take(4)), outs };
  });
}

/** How a transaction's hash is shown: in reverse. */
export const txidText = (id: Uint8Array): string => Buffer.from(id).reverse().toString('hex');

/** The digest that the signature of an input is made over: of type ALL, for
 * Taproot also DEFAULT (0). prev is what inputs spend. */
export function sighash(t: Tx, prev: readonly TxOut[], at: number, kind: OwnKind, type: number, keyHash: Uint8Array): Uint8Array {
  if (kind === 'p2pkh') return sha256d(encodeTx(t, (i) => (i === at ? prev[at]!.script : undefined)), le32(type));
  const all = [t.ins.map(outpoint), t.ins.map((v) => le32(v.sequence)), t.outs.map(output)].map((parts) => sha256(...parts)) as [Uint8Array, Uint8Array, Uint8Array];
  if (kind !== 'p2tr') { // BIP-143
    const [prevouts, sequences, outputs] = all.map((h) => sha256(h)) as [Uint8Array, Uint8Array, Uint8Array];
    return sha256d(le32(t.version), prevouts, sequences, outpoint(t.ins[at]!), sized(p2pkh(keyHash)), le64(prev[at]!.value), le32(t.ins[at]!.sequence), outputs, le32(t.locktime), le32(type));
  }
  const [prevouts, sequences, outputs] = all; // BIP-341
  return tagged('TapSighash', new Uint8Array([0, type]), le32(t.version), le32(t.locktime), prevouts, sha256(...prev.map((o) => le64(o.value))), sha256(...prev.map((o) => sized(o.script))), sequences, outputs, new Uint8Array([0]), le32(at));
}

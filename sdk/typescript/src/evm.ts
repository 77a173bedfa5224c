import { keccak_256 } from '@noble/hashes/sha3.js';
import { hex, sha256 } from './canon.js';
import { SigilConfigError } from './errors.js';
import { Describer } from './calls.js';
import { type Action, type Call } from './erc.js';

/** Effects of a transaction (docs/FORMATS.md section 7.6). */
interface Effects {
  readonly nonce: string;
  readonly fee_max: string;
  readonly actions: readonly Action[];
  readonly flags: readonly string[];
}

/** A transaction with the wallet's signature in it. */
export interface SignedTransaction {
  readonly text: string;
  /** Left out where it hangs on a signature that is still missing. */
  readonly id?: string;
}

/** A decoded transaction, and how its signature goes into it. */
export interface PreparedTransaction {
  readonly signBytes: Uint8Array;
  readonly intentDigest: Uint8Array;
  assemble(signature: string): SignedTransaction;
}

const maxTransaction = 16 << 10;
const maxUint64 = (1n << 64n) - 1n;
const formats = ['evm-legacy', 'evm-eip2930', 'evm-eip1559', 'evm-eip4844', 'evm-eip7702'];

function invalid(why: string): never {
  throw new SigilConfigError('transaction_invalid', `not an unsigned Ethereum transaction: ${why}`);
}

/** Reads the items of one RLP list, each in its shortest form alone. */
class List {
  #rest: Uint8Array;
  constructor(rest: Uint8Array) {
    this.#rest = rest;
  }
  get more(): boolean { return this.#rest.length > 0; }
  #cut(n: number): Uint8Array {
    if (n > this.#rest.length) invalid('an item is longer than what holds it');
    const b = this.#rest.subarray(0, n);
    this.#rest = this.#rest.subarray(n);
    return b;
  }
  #head(base: number): number {
    if (!this.more) invalid('a field is missing');
    const n = this.#cut(1)[0]! - base;
    if (n < 0 || n > 63) invalid('a list stands for a string, or a string for a list');
    if (n <= 55) return n;
    const size = this.#cut(n - 55);
    if (size[0] === 0 || size.length > 4) invalid("a length isn't in its shortest form");
    const long = Number(number(size));
    return long > 55 ? long : invalid('a short item is in the long form');
  }
  text(most: number): Uint8Array {
    if (this.more && this.#rest[0]! < 0x80) return this.#cut(1);
    const b = this.#cut(this.#head(0x80));
    if (b.length === 1 && b[0]! < 0x80) invalid('a single byte is in a longer form');
    return b.length <= most ? b : invalid('a field is too long');
  }
  exact(n: number): Uint8Array {
    const b = this.text(n);
    return b.length === n ? b : invalid('a field is too short');
  }
  integer(): bigint {
    const b = this.text(32);
    return b[0] === 0 ? invalid('an integer has leading zeros') : number(b);
  }
  uint64(): bigint {
    const v = this.integer();
    return v <= maxUint64 ? v : invalid('an integer is over 64 bits');
  }
  list(): List { return new List(this.#cut(this.#head(0xc0))); }
  /** Reads a list of items to its end. */
  each<T>(read: (l: List) => T): T[] {
    const list = this.list(), out: T[] = [];
    while (list.more) out.push(read(list));
    return out;
  }
  end(): void {
    if (this.more) invalid('it has more fields than its type (already signed? send it unsigned)');
  }
}

/** Reads a list of given fields to its end. */
function fields<T>(outer: List, read: (l: List) => T): T {
  const l = outer.list(), v = read(l);
  l.end();
  return v;
}

function number(b: Uint8Array): bigint { return b.length === 0 ? 0n : BigInt(`0x${hex(b)}`); }

function bytes(v: bigint): Uint8Array {
  const digits = v === 0n ? '' : v.toString(16);
  return new Uint8Array(Buffer.from(digits.length % 2 ? `0${digits}` : digits, 'hex'));
}

function head(base: number, n: number): Uint8Array {
  const size = bytes(BigInt(n));
  return n <= 55 ? new Uint8Array([base + n]) : new Uint8Array([base + 55 + size.length, ...size]);
}

const text = (b: Uint8Array): Uint8Array => (b.length === 1 && b[0]! < 0x80 ? b : Buffer.concat([head(0x80, b.length), b]));
const integer = (v: bigint): Uint8Array => text(bytes(v));
const list = (...items: Uint8Array[]): Uint8Array => {
  const content = Buffer.concat(items);
  return Buffer.concat([head(0xc0, content.length), content]);
};

interface Delegation {
  readonly chainId: bigint;
  readonly address: Uint8Array;
  readonly encoded: Uint8Array;
}

/** Decodes an unsigned transaction. The fields are encoded again as they are
 * read; unequal bytes are refused, though only one form is taken. wallet works
 * out its address, in lower case. */
export function prepareTransaction(network: string, chainId: bigint, wrapper: string | undefined, raw: string, wallet: () => string | undefined = () => undefined): PreparedTransaction {
  if (!/^0x([0-9a-fA-F]{2})+$/.test(raw) || raw.length > 2 + 2 * maxTransaction) invalid("it isn't 0x and pairs of hex digits, or too long");
  const unsigned = new Uint8Array(Buffer.from(raw.slice(2), 'hex')), first = unsigned[0]!;
  const kind = first >= 1 && first <= 4 ? first : 0;
  if (kind === 0 && first < 0xc0) invalid(`the type ${first} is unknown`);
  const whole = new List(unsigned.subarray(kind === 0 ? 0 : 1));
  const t = fields(whole, (l) => (kind === 0 ? legacy(l) : typed(l, kind)));
  whole.end();
  const envelope = (tail: Uint8Array[]): Uint8Array => Buffer.concat([kind === 0 ? new Uint8Array() : new Uint8Array([kind]), list(...t.encoded, ...tail)]);
  if (hex(envelope(kind === 0 ? [integer(t.chainId), integer(0n), integer(0n)] : [])) !== hex(unsigned)) invalid('it encodes to other bytes');
  if (t.chainId !== chainId) throw new SigilConfigError('transaction_other_network', `the transaction is for chain id ${t.chainId}, ${network} has ${chainId}`);
  const signBytes = keccak_256(unsigned);
  return {
    signBytes,
    intentDigest: sha256(JSON.stringify({ kind: 'transaction', network, format: formats[kind], length: unsigned.length, sha256: hex(sha256(unsigned)), effects: effects(t, wrapper, wallet) })),
    assemble(signature) {
      const raw = Buffer.from(signature.slice(2), 'hex'), parity = BigInt(raw[64]! - 27);
      const signed = envelope([integer(kind === 0 ? 35n + 2n * t.chainId + parity : parity), integer(number(raw.subarray(0, 32))), integer(number(raw.subarray(32, 64)))]);
      return { text: `0x${hex(signed)}`, id: `0x${hex(keccak_256(signed))}` };
    },
  };
}

interface Transaction extends Call {
  readonly chainId: bigint;
  readonly nonce: bigint;
  readonly fee: bigint;
  readonly delegations: readonly Delegation[];
  readonly encoded: readonly Uint8Array[];
}

function called(l: List): { to: Uint8Array; value: bigint; data: Uint8Array } {
  const to = l.text(20);
  if (to.length !== 0 && to.length !== 20) invalid('the recipient is no address');
  return { to, value: l.integer(), data: l.text(Infinity) };
}

function chain(l: List): bigint {
  return l.uint64() || invalid('the chain id is 0');
}

function nonceOf(l: List): bigint {
  const v = l.uint64();
  return v < maxUint64 ? v : invalid('the nonce is over 2^64-2 (EIP-2681)');
}

function feeOf(fee: bigint): bigint {
  return fee >> 256n === 0n ? fee : invalid('the fee is over 256 bits');
}

function legacy(l: List): Transaction {
  const nonce = nonceOf(l), price = l.integer(), gas = l.uint64(), c = called(l);
  if (!l.more) invalid('it has no chain id (EIP-155) and would be valid on every chain');
  const chainId = chain(l);
  if (l.text(32).length + l.text(32).length > 0) invalid('it is signed already; send it with chain id, 0, 0');
  return { ...c, chainId, nonce, fee: feeOf(price * gas), delegations: [], encoded: [integer(nonce), integer(price), integer(gas), text(c.to), integer(c.value), text(c.data)] };
}

function typed(l: List, kind: number): Transaction {
  const chainId = chain(l), nonce = nonceOf(l), tip = kind >= 2 ? l.integer() : undefined, price = l.integer(), gas = l.uint64(), c = called(l);
  if (tip !== undefined && tip > price) invalid('maxPriorityFeePerGas is above maxFeePerGas');
  if (kind >= 3 && c.to.length === 0) invalid("its type can't create contracts");
  const access = l.each((entries) => fields(entries, (e) => list(text(e.exact(20)), list(...e.each((keys) => text(keys.exact(32)))))));
  const encoded = [integer(chainId), integer(nonce), ...(tip === undefined ? [] : [integer(tip)]), integer(price), integer(gas), text(c.to), integer(c.value), text(c.data), list(...access)];
  const t = { ...c, chainId, nonce, delegations: [] as Delegation[] };
  if (kind === 3) {
    const blobPrice = l.integer(), blobs = l.each((hashes) => hashes.exact(32));
    if (blobs.length < 1 || blobs.length > 16 || blobs.some((b) => b[0] !== 1)) invalid('it has no blobs, too many, or of an unknown version');
    return { ...t, fee: feeOf(price * gas + blobPrice * BigInt(blobs.length) * (1n << 17n)), encoded: [...encoded, integer(blobPrice), list(...blobs.map(text))] };
  }
  if (kind === 4) {
    const delegations = l.each((all) => fields(all, delegation));
    if (delegations.length === 0) invalid('it has no authorisations');
    return { ...t, delegations, fee: feeOf(price * gas), encoded: [...encoded, list(...delegations.map((d) => d.encoded))] };
  }
  return { ...t, fee: feeOf(price * gas), encoded };
}

function delegation(l: List): Delegation {
  const chainId = l.integer(), address = l.exact(20), nonce = l.uint64(), parity = l.uint64(), r = l.integer(), s = l.integer();
  if (parity > 1n || nonce === maxUint64 || r === 0n || s === 0n) invalid('an authorisation is out of bounds');
  return { chainId, address, encoded: list(integer(chainId), text(address), integer(nonce), integer(parity), integer(r), integer(s)) };
}

function effects(t: Transaction, wrapper: string | undefined, wallet: () => string | undefined): Effects {
  const d = new Describer(wrapper, wallet);
  d.actions.push(...t.delegations.map((x) => ({ kind: 'delegate', contract: `0x${hex(x.address)}` })));
  if (t.delegations.some((x) => x.chainId === 0n)) d.flags.push('any_chain_delegation');
  if (t.to.length === 0) {
    d.actions.push({ kind: 'deploy', asset: 'native', amount: String(t.value) });
  } else {
    d.describe(t);
  }
  return { nonce: String(t.nonce), fee_max: String(t.fee), actions: d.actions.map(ordered), flags: [...new Set(d.flags)].sort() };
}

/** The members in the order of the format; those without a value are left out. */
function ordered(a: Action): Action {
  const out: Record<string, string> = {};
  for (const name of ['kind', 'asset', 'from', 'to', 'spender', 'amount', 'token_id', 'expiry', 'contract', 'selector'] as const) {
    if (a[name] !== undefined && a[name] !== '') out[name] = a[name];
  }
  return out as unknown as Action;
}

/** 0x05 and the list of an authorisation (EIP-7702): what is hashed to be
 * signed. Of chain id 0, which holds on every chain, none is. */
export function authorization(a: { chain_id: number | string; address: string; nonce: number | string }, network: string, chainId: bigint): Uint8Array {
  const wrong = (why: string): never => { throw new SigilConfigError('payload_invalid', `an authorization is chain_id, address and nonce: ${why}`); };
  if (typeof a !== 'object' || a === null || Object.keys(a).sort().join() !== 'address,chain_id,nonce') wrong('it has other members');
  const whole = (v: unknown): bigint => (typeof v === 'number' ? Number.isSafeInteger(v) && v >= 0 : typeof v === 'string' && /^(0|[1-9]\d{0,19}|0x[0-9a-fA-F]{1,16})$/.test(v)) ? BigInt(v as number | string) : wrong('an integer is wanted');
  const id = whole(a.chain_id), nonce = whole(a.nonce);
  if (id === 0n || nonce >= maxUint64) wrong('chain id 0 holds on every chain, and the nonce is up to 2^64-2');
  if (!/^0x[0-9a-f]{40}$/.test(a.address)) wrong('write the address in lower case');
  if (id !== chainId) throw new SigilConfigError('transaction_other_network', `the authorization is for chain id ${id}, ${network} has ${chainId}`);
  return Buffer.concat([new Uint8Array([5]), list(integer(id), text(Buffer.from(a.address.slice(2), 'hex')), integer(nonce))]);
}

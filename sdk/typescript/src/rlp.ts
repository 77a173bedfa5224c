import { hex } from './canon.js';
import { SigilConfigError } from './errors.js';

export const maxUint64 = (1n << 64n) - 1n;

export function invalid(why: string): never {
  throw new SigilConfigError('transaction_invalid', `not an unsigned Ethereum transaction: ${why}`);
}

/** Reads the items of one RLP list, each in its shortest form alone. */
export class List {
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
export function fields<T>(outer: List, read: (l: List) => T): T {
  const l = outer.list(), v = read(l);
  l.end();
  return v;
}

export function number(b: Uint8Array): bigint { return b.length === 0 ? 0n : BigInt(`0x${hex(b)}`); }

function bytes(v: bigint): Uint8Array {
  const digits = v === 0n ? '' : v.toString(16);
  return new Uint8Array(Buffer.from(digits.length % 2 ? `0${digits}` : digits, 'hex'));
}

function head(base: number, n: number): Uint8Array {
  const size = bytes(BigInt(n));
  return n <= 55 ? new Uint8Array([base + n]) : new Uint8Array([base + 55 + size.length, ...size]);
}

export const text = (b: Uint8Array): Uint8Array => (b.length === 1 && b[0]! < 0x80 ? b : Buffer.concat([head(0x80, b.length), b]));
export const integer = (v: bigint): Uint8Array => text(bytes(v));
export const list = (...items: Uint8Array[]): Uint8Array => {
  const content = Buffer.concat(items);
  return Buffer.concat([head(0xc0, content.length), content]);
};

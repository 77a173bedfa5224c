import { createHash } from 'node:crypto';

/** Thrown by decoders; callers map it to the code of their format. */
export class FormatError extends Error {}

export function sha256(...parts: (Uint8Array | string)[]): Uint8Array {
  const h = createHash('sha256');
  for (const p of parts) h.update(p);
  return new Uint8Array(h.digest());
}

export function hex(b: Uint8Array): string {
  return Buffer.from(b.buffer, b.byteOffset, b.byteLength).toString('hex');
}

/** Strict lower-case hex of exactly `size` bytes. */
export function unhex(s: string, size: number): Uint8Array {
  if (typeof s !== 'string' || s.length !== 2 * size || !/^[0-9a-f]*$/.test(s)) throw new FormatError(`want ${size} bytes of lower-case hex`);
  return new Uint8Array(Buffer.from(s, 'hex'));
}

export function base64(b: Uint8Array): string {
  return Buffer.from(b.buffer, b.byteOffset, b.byteLength).toString('base64');
}

/** Strict, padded, canonical base64. */
export function unbase64(s: string): Uint8Array {
  const b = typeof s === 'string' ? new Uint8Array(Buffer.from(s, 'base64')) : new Uint8Array();
  if (typeof s !== 'string' || base64(b) !== s) throw new FormatError('not canonical base64');
  return b;
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

const uuidShape = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** True for a lower-case UUID with hyphens. */
export function isUUID(s: unknown): s is string {
  return typeof s === 'string' && uuidShape.test(s);
}

export function uuidText(b: Uint8Array): string {
  const h = hex(b);
  return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20)}`;
}

/** Reads a binary record (docs/FORMATS.md section 1). */
export class Reader {
  #rest: Uint8Array;
  constructor(magic: string, record: Uint8Array) {
    const m = new TextEncoder().encode(magic);
    if (record.length < m.length || !equal(record.subarray(0, m.length), m)) throw new FormatError(`not a record ${JSON.stringify(magic.trim())}`);
    this.#rest = record.subarray(m.length);
  }
  fixed(n: number): Uint8Array {
    if (this.#rest.length < n) throw new FormatError('truncated');
    const b = Uint8Array.from(this.#rest.subarray(0, n)); // a copy, of Buffers too
    this.#rest = this.#rest.subarray(n);
    return b;
  }
  u8(): number { return this.fixed(1)[0]!; }
  u32(): number { return new DataView(this.fixed(4).buffer).getUint32(0); }
  u64(): bigint { return new DataView(this.fixed(8).buffer).getBigUint64(0); }
  bytes(max: number): Uint8Array {
    const n = this.u32();
    if (n > max) throw new FormatError(`field of ${n} bytes, at most ${max}`);
    return this.fixed(n);
  }
  text(max: number): string {
    return decodeUTF8(this.bytes(max));
  }
  count(max: number): number {
    const n = this.u32();
    if (n > max) throw new FormatError(`list of ${n} items, at most ${max}`);
    return n;
  }
  close(): void {
    if (this.#rest.length !== 0) throw new FormatError(`${this.#rest.length} trailing bytes`);
  }
}

/** Strict UTF-8. */
export function decodeUTF8(b: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(b);
  } catch {
    throw new FormatError('not valid UTF-8');
  }
}

/** Parses JSON as JSON.parse does, but refuses members that stand twice in
 * one object, of which another reader might see the other, and lone
 * surrogates. */
export function parseJSON(text: string): unknown {
  let v: unknown;
  try {
    v = JSON.parse(text);
  } catch {
    throw new FormatError('not JSON');
  }
  const open: (Set<string> | undefined)[] = []; // names so far; undefined in lists
  let atName = false;
  for (const [token] of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]/gs)) {
    if (token === '{' || token === '[') open.push(token === '{' ? new Set() : undefined);
    if (token === '}' || token === ']') open.pop();
    if (token.startsWith('"')) {
      const s = token.includes('\\') ? (JSON.parse(token) as string) : token.slice(1, -1);
      if (!s.isWellFormed()) throw new FormatError('a string has lone surrogates');
      if (atName && open.at(-1)!.has(s)) throw new FormatError('a member stands twice');
      if (atName) open.at(-1)!.add(s);
    }
    atName = (token === '{' || token === ',') && open.at(-1) !== undefined;
  }
  return v;
}

/** Parses canonical JSON: what it returns prints as exactly the same text.
 * Duplicate members, other orders, spaces and escapes fail that. */
export function parseCanonical(text: string): unknown {
  if (typeof text !== 'string') throw new FormatError('missing');
  const v = parseJSON(text);
  if (JSON.stringify(v) !== text) throw new FormatError('not canonical JSON');
  return v;
}

/** Requires an object with exactly these members, in this order. */
export function members(v: unknown, names: readonly string[], what: string): Record<string, unknown> {
  if (typeof v !== 'object' || v === null || Array.isArray(v)) throw new FormatError(`${what} is not an object`);
  const keys = Object.keys(v);
  if (keys.length !== names.length || keys.some((k, i) => k !== names[i])) throw new FormatError(`${what} has other members than ${names.join(', ')}`);
  return v as Record<string, unknown>;
}

export function text(v: unknown, what: string): string {
  if (typeof v !== 'string') throw new FormatError(`${what} is not a string`);
  return v;
}

export function integer(v: unknown, what: string): number {
  if (typeof v !== 'number' || !Number.isSafeInteger(v)) throw new FormatError(`${what} is not an integer`);
  return v;
}

export function list(v: unknown, max: number, what: string): unknown[] {
  if (!Array.isArray(v) || v.length > max) throw new FormatError(`${what} is not a list of at most ${max}`);
  return v;
}

import { hex } from './canon.js';

/** Thrown where arguments aren't in the one encoding that the ABI prescribes. */
export class NotUnderstood extends Error {}

export function require(ok: boolean): void {
  if (!ok) throw new NotUnderstood();
}

/** An argument as decoded: a word, the content of bytes, or a list. */
export type Value = Uint8Array | readonly Value[];

/** How many bits a word has, bytes, a tuple, or an array of a type. */
type Kind = number | 'bytes' | readonly Kind[] | { readonly of: Kind };

const bits: Readonly<Record<string, number>> = { address: 160, bool: 1, uint8: 8, uint48: 48, uint160: 160, uint256: 256, bytes32: 256 };

/** Reads types as signatures have them: (address,(uint256,bytes)[]). */
function parse(types: string): readonly Kind[] {
  let at = 0;
  const tuple = (): readonly Kind[] => {
    const parts: Kind[] = [];
    at++;
    while (types[at] !== ')') {
      if (types[at] === ',') at++;
      parts.push(kind());
    }
    at++;
    return parts;
  };
  const kind = (): Kind => {
    let k: Kind;
    if (types[at] === '(') {
      k = tuple();
    } else {
      const name = /^[a-z0-9]+/.exec(types.slice(at))![0];
      at += name.length;
      k = name === 'bytes' ? 'bytes' : bits[name]!;
    }
    for (; types.startsWith('[]', at); at += 2) k = { of: k };
    return k;
  };
  return tuple();
}

const isTuple = (k: Kind): k is readonly Kind[] => Array.isArray(k);

/** The size of a static type in bytes; 0 is a dynamic one. */
function size(k: Kind): number {
  if (typeof k === 'number') return 32;
  if (!isTuple(k)) return 0;
  const sizes = k.map(size);
  return sizes.includes(0) ? 0 : sizes.reduce((a, b) => a + b, 0);
}

function count(b: Uint8Array): number {
  require(b.length >= 32);
  const n = BigInt(`0x${hex(b.subarray(0, 32))}`);
  require(n <= 0xffffffffn);
  return Number(n);
}

/** Values one behind the other, with what is dynamic behind all, in order. */
function sequence(b: Uint8Array, kinds: readonly Kind[]): [Value[], number] {
  let end = kinds.reduce((n: number, k) => n + (size(k) || 32), 0), at = 0;
  require(end <= b.length);
  const values = kinds.map((k) => {
    const n = size(k);
    if (n > 0) {
      at += n;
      return value(b.subarray(at - n, at), k)[0];
    }
    require(count(b.subarray(at)) === end);
    const [v, used] = value(b.subarray(end), k);
    at += 32;
    end += used;
    return v;
  });
  return [values, end];
}

function value(b: Uint8Array, k: Kind): [Value, number] {
  if (isTuple(k)) return sequence(b, k);
  if (typeof k === 'number') {
    require(b.length >= 32 && BigInt(`0x${hex(b.subarray(0, 32))}`) >> BigInt(k) === 0n);
    return [b.subarray(0, 32), 32];
  }
  const n = count(b), rest = b.subarray(32);
  if (k === 'bytes') {
    const whole = 32 * Math.ceil(n / 32);
    require(whole <= rest.length && rest.subarray(n, whole).every((c) => c === 0));
    return [rest.subarray(0, n), 32 + whole];
  }
  require(n <= rest.length / 32);
  const [values, end] = sequence(rest, new Array<Kind>(n).fill(k.of));
  return [values, 32 + end];
}

/** Decodes arguments in their one encoding, with nothing behind them. */
export function decode(types: string, b: Uint8Array): readonly Value[] {
  const [values, end] = sequence(b, parse(types));
  require(end === b.length);
  return values;
}

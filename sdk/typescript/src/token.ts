import { FormatError, equal, sha256 } from './canon.js';
import { RequestKey, requestSeed } from './keys.js';

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
const size = 53; // version, seed 32, pin 16, checksum 4

/** A parsed secret token: it holds the key, not the text. */
export interface Token {
  readonly kind: 'sk_live_' | 'as_live_';
  readonly pin: Uint8Array;
  readonly key: RequestKey;
}

/** Reads a secret token; errors never contain any of it. */
export function parseToken(token: string): Token {
  for (const kind of ['sk_live_', 'as_live_'] as const) {
    if (typeof token !== 'string' || !token.startsWith(kind)) continue;
    const raw = decode(token.slice(kind.length));
    const body = raw.subarray(0, size - 4);
    if (raw[0] !== 1) throw new FormatError('the secret token is of an unknown version');
    if (!equal(sha256('sigil/secret-token/v1\n', kind, body).subarray(0, 4), raw.subarray(size - 4))) {
      throw new FormatError("the secret token's checksum is wrong: it is incomplete or mistyped");
    }
    return { kind, pin: raw.slice(33, 49), key: new RequestKey(requestSeed(raw.subarray(1, 33))) };
  }
  throw new FormatError('a secret token begins with sk_live_ or as_live_');
}

function decode(digits: string): Uint8Array {
  if (digits.length !== 85) throw new FormatError('the secret token is malformed');
  const out = new Uint8Array(size);
  let bits = 0, value = 0, n = 0;
  for (const c of digits) {
    const d = alphabet.indexOf(c);
    if (d < 0) throw new FormatError('the secret token is malformed');
    value = (value << 5) | d;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      out[n++] = (value >> bits) & 0xff;
      value &= (1 << bits) - 1;
    }
  }
  if (value !== 0) throw new FormatError("the secret token's unused bit is set");
  return out;
}

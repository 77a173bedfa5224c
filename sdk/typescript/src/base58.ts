const alphabet = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

export function encodeBase58(b: Uint8Array): string {
  let n = 0n, out = '';
  for (const c of b) n = n * 256n + BigInt(c);
  for (; n > 0n; n /= 58n) out = alphabet[Number(n % 58n)]! + out;
  for (let i = 0; i < b.length && b[i] === 0; i++) out = '1' + out;
  return out;
}

/** Decodes base58 of exactly `size` bytes; undefined if it isn't that. */
export function decodeBase58(s: string, size: number): Uint8Array | undefined {
  if (s.length > 2 * size) return undefined;
  let n = 0n;
  for (const c of s) {
    const d = alphabet.indexOf(c);
    if (d < 0) return undefined;
    n = n * 58n + BigInt(d);
  }
  const out = new Uint8Array(size);
  for (let i = size - 1; i >= 0; i--, n >>= 8n) out[i] = Number(n & 0xffn);
  return n === 0n && encodeBase58(out) === s ? out : undefined;
}

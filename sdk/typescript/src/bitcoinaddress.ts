import { decodeBase58 } from './base58.js';
import { equal } from './canon.js';
import { concat, hash160, scriptOf, sha256d } from './bitcoinscript.js';

/** Human-readable parts of the networks' addresses. */
export const bitcoinPrefixes: Readonly<Record<string, string>> = { bitcoin: 'bc', 'bitcoin-testnet4': 'tb', 'bitcoin-signet': 'tb', 'bitcoin-regtest': 'bcrt' };

const charset = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';

/** The P2WPKH address of a key: BIP-173's text of witness version 0. */
export function bitcoinAddress(prefix: string, publicKey: Uint8Array): string {
  const bits = [...hash160(publicKey)].map((b) => b.toString(2).padStart(8, '0')).join(''); // 160, 32 groups of five
  const digits = [0, ...bits.match(/.{5}/g)!.map((group) => parseInt(group, 2))], chars = [...prefix].map((c) => c.charCodeAt(0));
  const checksum = polymod([...chars.map((c) => c >> 5), 0, ...chars.map((c) => c & 31), ...digits, 0, 0, 0, 0, 0, 0]) ^ 1;
  return `${prefix}1${[...digits, ...Array.from({ length: 6 }, (_, i) => (checksum >> (5 * (5 - i))) & 31)].map((d) => charset[d]).join('')}`;
}

function polymod(values: readonly number[]): number {
  return values.reduce((sum, v) => {
    const top = sum >>> 25;
    return [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3].reduce((s, g, i) => ((top >> i) & 1 ? s ^ g : s), ((sum & 0x1ffffff) << 5) ^ v);
  }, 1);
}

/** The checksum's constants: bech32 for witness version 0, bech32m (BIP-350)
 * for all others. */
const constantOf = (version: number): number => (version === 0 ? 1 : 0x2bc830a3);

/** The script of a bech32 address, all in lower or all in upper case. */
function ofWitness(prefix: string, text: string): Uint8Array | undefined {
  const lower = text === text.toUpperCase() ? text.toLowerCase() : text;
  if (!lower.startsWith(`${prefix}1`) || lower.length > 90) return undefined;
  const digits = [...lower.slice(prefix.length + 1)].map((c) => charset.indexOf(c)), [version, ...rest] = digits, chars = [...prefix].map((c) => c.charCodeAt(0));
  if (digits.length < 7 || digits.includes(-1) || polymod([...chars.map((c) => c >> 5), 0, ...chars.map((c) => c & 31), ...digits]) !== constantOf(version!)) return undefined;
  const bits = rest.slice(0, -6).map((d) => d.toString(2).padStart(5, '0')).join(''), size = Math.floor(bits.length / 8), stray = bits.slice(8 * size);
  if (stray.length >= 5 || stray.includes('1') || version! > 16 || size < 2 || size > 40 || (version === 0 && size !== 20 && size !== 32)) return undefined;
  const program = Uint8Array.from({ length: size }, (_, i) => parseInt(bits.slice(8 * i, 8 * i + 8), 2));
  return concat(new Uint8Array([version === 0 ? 0 : 0x50 + version!, size]), program);
}

/** The script that pays an address of the network; undefined where it is none. */
export function parseAddress(network: string, text: unknown): Uint8Array | undefined {
  if (typeof text !== 'string') return undefined;
  const witness = ofWitness(bitcoinPrefixes[network]!, text);
  if (witness) return witness;
  const b = decodeBase58(text, 25), main = network === 'bitcoin';
  if (!b || !equal(sha256d(b.subarray(0, 21)).subarray(0, 4), b.subarray(21))) return undefined;
  if (b[0] === (main ? 0x00 : 0x6f)) return scriptOf.keyHash(b.subarray(1, 21));
  return b[0] === (main ? 0x05 : 0xc4) ? scriptOf.scriptHash(b.subarray(1, 21)) : undefined;
}

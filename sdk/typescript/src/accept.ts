import { FormatError, list, members, text } from './canon.js';

const maxText = 4096, maxTable = 256;
const order = ['from', 'contract', 'function', 'type', 'code', 'begins', 'accounts'];

/** Members of acceptances by their kind; calls may name who makes them, and typed
 * data no contract. */
const kinds: ReadonlyMap<string, readonly string[]> = new Map([
  ['call', ['from', 'contract', 'function']], ['calldata', ['from', 'contract', 'code']], ['typed_data', ['contract', 'type']], ['delegate', ['contract']], ['deploy', ['code']],
  ['instruction', ['contract', 'begins']], ['lookup_accounts', ['contract']], ['lookup_table', ['contract', 'accounts']],
]);

/** Checks what a policy accepts (docs/FORMATS.md section 3.2) as the TEE does,
 * which alone holds it against what it decodes. */
export function checkAccept(v: unknown): void {
  const all = list(v, 256, 'accept');
  if (all.length === 0) throw new FormatError('an empty accept is left out');
  all.forEach(checkOne);
}

function checkOne(v: unknown): void {
  const given = typeof v === 'object' && v !== null ? v : {}, kind = text((given as { kind?: unknown }).kind, 'kind');
  const names = kinds.get(kind)?.filter((n) => n in given || (n !== 'from' && (kind !== 'typed_data' || n !== 'contract')));
  if (!names) throw new FormatError(`an acceptance of the unknown kind ${kind.slice(0, 40)}`);
  const a = members(v, ['kind', 'network', ...order.filter((n) => names.includes(n))], `an acceptance of the kind ${kind}`);
  const network = text(a['network'], 'network');
  if (network === '' || network === '*' || Buffer.byteLength(network) > 64) throw new FormatError('an acceptance names one network');
  for (const name of names) {
    if (name === 'accounts') checkAccounts(a[name]);
    else if (!isMember(kind, name, text(a[name], name))) throw new FormatError(`an acceptance's ${name} is malformed`);
  }
}

function checkAccounts(v: unknown): void {
  const accounts = list(v, maxTable, 'accounts');
  if (accounts.length === 0 || !accounts.every((s) => isAddress(text(s, 'account'), true))) throw new FormatError("an acceptance's accounts aren't addresses");
}

function isMember(kind: string, name: string, s: string): boolean {
  switch (name) {
    case 'from': return /^0x[0-9a-f]{40}$/.test(s);
    case 'contract': return isAddress(s, kind === 'instruction' || kind.startsWith('lookup_'));
    case 'function': return isFunction(s);
    case 'code': return /^[0-9a-f]{64}$/.test(s);
    case 'begins': return /^([0-9a-f]{2}){1,8}$/.test(s);
    default: return s !== '' && Buffer.byteLength(s) <= maxText;
  }
}

/** 0x and lower-case hex, on Solana base58. */
function isAddress(s: string, solana: boolean): boolean {
  return s.startsWith('0x') && !solana ? /^0x[0-9a-f]{40}$/.test(s) : /^[1-9A-HJ-NP-Za-km-z]{32,44}$/.test(s);
}

const maxTypes = 256, maxDepth = 16, maxWords = 1 << 16;

/** Whether s is a function by its name and canonical types, as in
 * supply(address,(uint256,bytes)[]): no names, no spaces, no aliases. */
export function isFunction(s: string): boolean {
  const [, name] = /^([A-Za-z_$][A-Za-z0-9_$]*)\(/.exec(s) ?? [];
  if (name === undefined || Buffer.byteLength(s) > maxText) return false;
  const p = { rest: s.slice(name.length), types: 0 };
  return s.at(-1) === ')' && readType(p, 0) !== undefined && p.rest === '';
}

interface Parser { rest: string; types: number }

/** Reads one type and returns its size in words, NaN of one that has none of
 * its own; undefined is none. */
function readType(p: Parser, depth: number): number | undefined {
  if (++p.types > maxTypes || depth > maxDepth) return undefined;
  let words: number | undefined;
  if (p.rest.startsWith('(')) {
    words = readTuple(p, depth);
  } else {
    const [name] = /^[^,()[]*/.exec(p.rest)!;
    p.rest = p.rest.slice(name.length);
    words = elementary(name);
  }
  while (words !== undefined && p.rest.startsWith('[')) {
    const [all, size] = /^\[([1-9]\d{0,2})?\]/.exec(p.rest) ?? [];
    if (all === undefined || ++depth > maxDepth || Number(size ?? 1) > maxTypes) return undefined;
    p.rest = p.rest.slice(all.length);
    words = size === undefined ? NaN : words * Number(size);
    if (words > maxWords) return undefined;
  }
  return words;
}

function readTuple(p: Parser, depth: number): number | undefined {
  let words = 0;
  p.rest = p.rest.slice(1);
  for (let first = true; !p.rest.startsWith(')'); first = false) {
    if (!first && !p.rest.startsWith(',')) return undefined;
    if (!first) p.rest = p.rest.slice(1);
    const part = readType(p, depth + 1);
    if (part === undefined) return undefined;
    words += part;
    if (words > maxWords) return undefined;
  }
  const empty = depth > 0 && words === 0;
  p.rest = p.rest.slice(1);
  return empty ? undefined : words;
}

function elementary(name: string): number | undefined {
  if (name === 'address' || name === 'bool') return 1;
  if (name === 'bytes' || name === 'string') return NaN;
  const m = /^(bytes|uint|int)([1-9]\d{0,2})$/.exec(name), n = Number(m?.[2]);
  return m && (m[1] === 'bytes' ? n <= 32 : n <= 256 && n % 8 === 0) ? 1 : undefined;
}

import { keccak_256 } from '@noble/hashes/sha3.js';
import { hex } from './canon.js';
import { SigilConfigError } from './errors.js';

/** A document of EIP-712, as viem and ethers take it, with EIP712Domain among
 * its types. Integers are numbers up to 2^53-1 or text. */
export interface TypedData {
  readonly types: Readonly<Record<string, readonly { readonly name: string; readonly type: string }[]>>;
  readonly domain: Readonly<Record<string, unknown>>;
  readonly primaryType: string;
  readonly message: Readonly<Record<string, unknown>>;
}

const maxSize = 32 << 10;
const maxTypes = 64;
const maxMembers = 256; // of all types together
const maxName = 128;
const maxDepth = 16;
const domainMembers = ['string name', 'string version', 'uint256 chainId', 'address verifyingContract', 'bytes32 salt'];
const utf8 = new TextEncoder();

function invalid(where: string, why: string): never {
  throw new SigilConfigError('payload_invalid', `not typed data that every library signs alike: ${where}: ${why}`);
}

/** Hashes one document; strict as the TEE is (docs/FORMATS.md 7.6): what it
 * would refuse isn't sent. */
class Hasher {
  readonly #types: TypedData['types'];
  readonly #hashes = new Map<string, Uint8Array>();
  constructor(types: TypedData['types']) {
    this.#types = types;
  }

  /** The struct types that a type mentions, itself included; each is looked
   * into once. */
  mentioned(name: string, found = new Set<string>()): Set<string> {
    if (found.has(name)) return found;
    found.add(name);
    for (const f of this.#types[name]!) {
      const base = f.type.split('[')[0]!;
      if (Object.hasOwn(this.#types, base)) this.mentioned(base, found);
    }
    return found;
  }

  /** Refuses types that contain themselves, or are too deep. */
  walk(name: string, done = new Set<string>(), above: readonly string[] = []): void {
    if (above.includes(name) || above.length > maxDepth) invalid(`types.${name}`, 'it contains itself, or is too deep');
    for (const f of this.#types[name]!) {
      const base = f.type.split('[')[0]!;
      if (Object.hasOwn(this.#types, base) && !done.has(base)) this.walk(base, done, [...above, name]);
    }
    done.add(name);
  }

  #typeHash(name: string): Uint8Array {
    const known = this.#hashes.get(name);
    if (known) return known;
    const others = [...this.mentioned(name)].filter((n) => n !== name).sort();
    const hash = keccak_256(utf8.encode([name, ...others].map((n) => `${n}(${this.#types[n]!.map((f) => `${f.type} ${f.name}`).join(',')})`).join('')));
    this.#hashes.set(name, hash);
    return hash;
  }

  struct(name: string, value: unknown, where: string, depth = 0): Uint8Array {
    const fields = this.#types[name]!;
    if (depth >= maxDepth) invalid(where, 'it is too deep');
    if (typeof value !== 'object' || value === null || Array.isArray(value)) invalid(where, `${name} is an object`);
    const members = value as Record<string, unknown>;
    if (Object.keys(members).length !== fields.length || fields.some((f) => !Object.hasOwn(members, f.name))) invalid(where, `it has other members than ${name}`);
    return keccak_256(Buffer.concat([this.#typeHash(name), ...fields.map((f) => this.#value(f.type, members[f.name], `${where}.${f.name}`, depth + 1))]));
  }

  #value(type: string, value: unknown, where: string, depth: number): Uint8Array {
    const list = /^(.*)\[([1-9]\d*)?\]$/.exec(type);
    if (list) {
      if (depth >= maxDepth) invalid(where, 'it is too deep');
      if (!Array.isArray(value) || (list[2] !== undefined && value.length !== Number(list[2]))) invalid(where, `it is no ${type}`);
      return keccak_256(Buffer.concat(value.map((v, i) => this.#value(list[1]!, v, `${where}[${i}]`, depth + 1))));
    }
    return Object.hasOwn(this.#types, type) ? this.struct(type, value, where, depth) : atom(type, value, where);
  }
}

function atom(type: string, value: unknown, where: string): Uint8Array {
  if (type === 'bool') return typeof value === 'boolean' ? word(value ? 1n : 0n) : invalid(where, 'true or false is wanted');
  const sized = /^(uint|int)(\d+)$/.exec(type);
  if (sized) return integer(sized[1] === 'int', Number(sized[2]), value, where);
  if (typeof value !== 'string') invalid(where, 'text is wanted');
  if (type === 'string') return value.isWellFormed() ? keccak_256(utf8.encode(value)) : invalid(where, 'it has lone surrogates');
  if (!/^0x([0-9a-fA-F]{2})*$/.test(value)) invalid(where, '0x and pairs of hex digits are wanted');
  const bytes = Buffer.from(value.slice(2), 'hex');
  if (type === 'bytes') return keccak_256(bytes);
  if (type === 'address') {
    if (!isAddress(value)) invalid(where, 'it is no address, or its checksum is wrong');
    return Buffer.concat([new Uint8Array(12), bytes]);
  }
  if (bytes.length !== Number(type.slice(5))) invalid(where, `it is no ${type}`);
  return Buffer.concat([bytes, new Uint8Array(32 - bytes.length)]);
}

/** An address in EIP-55's letters. */
export function checksum(address: string): string {
  const digits = address.slice(2).toLowerCase(), sum = hex(keccak_256(utf8.encode(digits)));
  return `0x${[...digits].map((c, i) => (parseInt(sum[i]!, 16) >= 8 ? c.toUpperCase() : c)).join('')}`;
}

/** 0x and 40 hex digits, in lower case or as EIP-55 has them. */
export function isAddress(v: unknown): v is string {
  return typeof v === 'string' && /^0x[0-9a-fA-F]{40}$/.test(v) && (v === v.toLowerCase() || v === checksum(v));
}

/** An integer as documents have them: a number up to 2^53-1, or text, decimal
 * or 0x and hex. */
export function integerOf(v: unknown): bigint | undefined {
  const text = typeof v === 'number' && Number.isSafeInteger(v) && !Object.is(v, -0) ? String(v) : v;
  return typeof text === 'string' && /^(0|-?[1-9]\d{0,77}|0x[0-9a-fA-F]{1,78})$/.test(text) ? BigInt(text) : undefined;
}

function integer(signed: boolean, bits: number, value: unknown, where: string): Uint8Array {
  const v = integerOf(value) ?? invalid(where, 'an integer is wanted: up to 2^53-1, or text');
  const low = signed ? -(1n << BigInt(bits - 1)) : 0n, high = 1n << BigInt(signed ? bits - 1 : bits);
  return v >= low && v < high ? word(BigInt.asUintN(256, v)) : invalid(where, 'it is out of the range of its type');
}

export const word = (v: bigint): Uint8Array => Buffer.from(v.toString(16).padStart(64, '0'), 'hex');

function isAtom(type: string): boolean {
  const m = /^(bytes|uint|int)([1-9]\d*)$/.exec(type), n = Number(m?.[2]);
  return ['address', 'bool', 'string', 'bytes'].includes(type) || (m !== null && (m[1] === 'bytes' ? n <= 32 : n <= 256 && n % 8 === 0));
}

const isName = (s: unknown): s is string => typeof s === 'string' && s.length <= maxName && /^[A-Za-z][A-Za-z0-9_]*$/.test(s);

/** The names of a type's members, once each, and their types as written. */
function checkMembers(doc: TypedData, name: string): void {
  const fields = doc.types[name], seen = new Set<string>(), no = (why: string): never => invalid(`types.${name}`, why);
  if (!Array.isArray(fields) || fields.length === 0) no('it has no members');
  for (const f of fields as readonly unknown[]) {
    if (typeof f !== 'object' || f === null || Object.keys(f).sort().join() !== 'name,type') no('a member is an object of name and type');
    const { name: member, type } = f as { name: unknown; type: unknown };
    if (typeof member !== 'string' || !isName(member.replace(/^_+/, '')) || member === '__proto__' || seen.has(member)) return no('a member is named badly, or twice');
    seen.add(member);
    const [, base, lengths] = (typeof type === 'string' && type.length <= maxName && /^([^[]*)((?:\[(?:[1-9]\d{0,4})?\])*)$/.exec(type)) || [];
    if (base === undefined || lengths!.match(/\d+/g)?.some((n) => Number(n) > 0x7fff) || base === 'EIP712Domain' || (!Object.hasOwn(doc.types, base) && !isAtom(base))) no(`the type of ${member} is none`);
  }
}

function checkTypes(doc: TypedData): Hasher {
  if (typeof doc.types !== 'object' || doc.types === null || Array.isArray(doc.types)) invalid('types', 'it is no object');
  const names = Object.keys(doc.types);
  for (const name of names) {
    if (!isName(name) || /^(u?int|bytes)\d*$|^(address|bool|string|function|u?fixed|tuple|byte)$/.test(name)) invalid(`types.${name}`, "it can't be a type's name");
    checkMembers(doc, name);
  }
  if (names.length > maxTypes || Object.values(doc.types).flat().length > maxMembers) invalid('types', 'there are too many');
  if (typeof doc.primaryType !== 'string' || !Object.hasOwn(doc.types, 'EIP712Domain') || !Object.hasOwn(doc.types, doc.primaryType) || doc.primaryType === 'EIP712Domain') invalid('types', "EIP712Domain or the primary type isn't declared");
  const order = doc.types['EIP712Domain']!.map((f) => domainMembers.indexOf(`${f.type} ${f.name}`));
  if (order.some((at, i) => at < 0 || (i > 0 && at <= order[i - 1]!))) invalid('types.EIP712Domain', "it isn't the standard's, in its order");
  const h = new Hasher(doc.types);
  h.walk(doc.primaryType);
  if (h.mentioned(doc.primaryType).size + 1 !== Object.keys(doc.types).length) invalid('types', 'one is there for nothing');
  return h;
}

/** 0x19 0x01, the domain's separator and the message's hash. */
export function preimage(doc: TypedData, network: string, chainId: bigint): Uint8Array {
  if (typeof doc !== 'object' || doc === null || Object.keys(doc).sort().join() !== 'domain,message,primaryType,types') invalid('the document', 'it has other members than types, domain, primaryType and message');
  if (Buffer.byteLength(JSON.stringify(doc)) > maxSize) invalid('the document', 'it is too large');
  const h = checkTypes(doc);
  const out = Buffer.concat([Buffer.from([0x19, 0x01]), h.struct('EIP712Domain', doc.domain, 'domain'), h.struct(doc.primaryType, doc.message, 'message')]);
  if (doc.domain['name'] === '' || doc.domain['version'] === '') invalid('domain', "an empty name or version isn't signed");
  const id = doc.domain['chainId'];
  if (id !== undefined && BigInt(id as string | number) !== chainId) throw new SigilConfigError('transaction_other_network', `the typed data is for chain id ${String(id)}, ${network} has ${chainId}`);
  return out;
}

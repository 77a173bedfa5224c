import { keccak_256 } from '@noble/hashes/sha3.js';
import { decodeBase58, encodeBase58 } from './base58.js';
import { FormatError, decodeUTF8, equal, hex, sha256, unbase64 } from './canon.js';
import { SigilConfigError } from './errors.js';
import { bitcoinFormat, prepareBitcoin, prepareBitcoinMessage } from './bitcoin.js';
import { bitcoinAddress, bitcoinPrefixes } from './bitcoinaddress.js';
import { alike, chainId, chains } from './chains.js';
import { authorization, prepareTransaction, verifyEVM, type AuthorizationBody } from './evm.js';
import { type IntentKind } from './intent.js';
import { uncompressed, verifyEd25519 } from './keys.js';
import { prepareSolana } from './solana.js';
import { checksum, preimage, type TypedData } from './typeddata.js';
import { prepareUserOperation, type UserOperationBody } from './useroperation.js';

export type Curve = 'secp256k1' | 'ed25519';

/** A message to sign, as it goes into the request body. */
export interface Message {
  readonly message: string;
  readonly message_encoding?: 'base64';
  readonly message_format?: string;
  readonly application_domain?: string;
  readonly required_signatories?: readonly string[];
  readonly content_format?: string;
}

/** What a payload means to a network, computed here: the service's word isn't
 * needed for any of it. */
export interface Prepared {
  readonly signBytes: Uint8Array;
  /** Of a message, whose intent is made here. */
  readonly intentDigest?: Uint8Array;
  /** Of all else: the reply has the intent, which must be of this preimage. */
  readonly decoded?: { readonly kind: IntentKind; readonly preimage: Uint8Array };
  /** Where signatures have another text than the network's usual one. */
  verify?(publicKey: Uint8Array, signature: string): boolean;
  /** Puts a signature that verifies into a transaction. */
  assemble?(signature: string): SignedTransaction;
}

/** A transaction with the wallet's signature in it. */
export interface SignedTransaction {
  readonly text: string;
  /** Left out where it hangs on a signature that is still missing. */
  readonly id?: string;
  /** Bitcoin: base64. */
  readonly psbt?: string;
}

/** A document as it goes into the request body. */
export type Document = { readonly typed_data: TypedData } | { readonly authorization: AuthorizationBody } | { readonly user_operation: UserOperationBody };

export interface Family {
  readonly curve: Curve;
  /** Reads an unsigned transaction. */
  transaction(network: string, raw: string, publicKey: Uint8Array): Prepared;
  /** Makes what is signed of a document; undefined where none are signed. */
  document?(network: string, d: Document): Prepared;
  address(publicKey: Uint8Array): string;
  prepare(network: string, publicKey: Uint8Array, m: Message, bytes: Uint8Array): Prepared;
  verify(publicKey: Uint8Array, signBytes: Uint8Array, signature: string): boolean;
}

function intent(network: string, format: string, message: Uint8Array): Uint8Array {
  return sha256(JSON.stringify({ kind: 'message', network, format, length: message.length, sha256: hex(sha256(message)) }));
}

/** EVM networks, whose chain ids id says. */
function evmFamily(id: (network: string) => bigint): Family {
  return {
    curve: 'secp256k1',
    document(network, d) {
      if ('user_operation' in d) return prepareUserOperation(id(network), d.user_operation);
      const [kind, bytes] = 'typed_data' in d ? ['typed_data', preimage(d.typed_data, network, id(network))] as const
        : ['authorization', authorization(d.authorization, network, id(network))] as const;
      return { signBytes: keccak_256(bytes), decoded: { kind, preimage: bytes } };
    },
    transaction: (network, raw) => prepareTransaction(network, id(network), raw),
    address: (publicKey) => checksum(`0x${hex(keccak_256(uncompressed(publicKey).subarray(1)).subarray(12))}`),
    prepare(network, _publicKey, m, bytes) {
      if (m.message_format !== undefined || offchainOnly(m)) throw new SigilConfigError('unsupported_format', `${network} signs messages by EIP-191 alone`);
      const prefix = new TextEncoder().encode(`\x19Ethereum Signed Message:\n${bytes.length}`);
      return { signBytes: keccak_256(new Uint8Array([...prefix, ...bytes])), intentDigest: intent(network, 'eip191', bytes) };
    },
    verify: verifyEVM,
  };
}

const evm = evmFamily(chainId);

const solana: Family = {
  curve: 'ed25519',
  transaction: prepareSolana,
  address: encodeBase58,
  prepare(network, publicKey, m, bytes) {
    if (m.message_format === undefined && offchainOnly(m)) config('applicationDomain, requiredSignatories and contentFormat need a messageFormat');
    if (m.message_format === undefined) return { signBytes: bytes, intentDigest: intent(network, 'solana-raw', bytes) };
    return { signBytes: offchain(publicKey, m, bytes), intentDigest: intent(network, m.message_format, bytes) };
  },
  verify(publicKey, signBytes, signature) {
    const raw = decodeBase58(signature, 64);
    return raw !== undefined && verifyEd25519(publicKey, signBytes, raw);
  },
};

function bitcoin(prefix: string): Family {
  return {
    curve: 'secp256k1',
    transaction: prepareBitcoin,
    address: (publicKey) => bitcoinAddress(prefix, publicKey),
    prepare(network, publicKey, m, bytes) {
      if (offchainOnly(m)) throw new SigilConfigError('unsupported_format', `${network} has no off-chain messages`);
      return { ...prepareBitcoinMessage(network, publicKey, m, bytes), intentDigest: intent(network, bitcoinFormat(m), bytes) };
    },
    verify: () => false, // each payload has its own text of signatures
  };
}

/** Whether fields are set that off-chain messages alone have. */
function offchainOnly(m: Message): boolean {
  return m.application_domain !== undefined || m.content_format !== undefined || m.required_signatories !== undefined;
}

const maxHardware = 1232;

function config(message: string): never {
  throw new SigilConfigError('invalid_argument', message);
}

/** The three layouts of Solana off-chain messages. */
function offchain(publicKey: Uint8Array, m: Message, text: Uint8Array): Uint8Array {
  const domain = Buffer.concat([Buffer.from([0xff]), Buffer.from('solana offchain')]);
  if (text.length === 0) config('an off-chain message is not empty');
  try {
    decodeUTF8(text);
  } catch (e) {
    throw new SigilConfigError('invalid_encoding', `an off-chain message is text: ${(e as FormatError).message}`);
  }
  const signers = signatories(publicKey, m.required_signatories ?? []);
  const length = Buffer.alloc(2);
  length.writeUInt16LE(text.length & 0xffff);
  switch (m.message_format) {
    case 'solana-offchain-v0': {
      const app = m.application_domain === undefined ? new Uint8Array(32) : (decodeBase58(m.application_domain, 32) ?? config('applicationDomain is no base58 of 32 bytes'));
      const header = 16 + 1 + 32 + 1 + 1 + 32 * signers.length + 2;
      return Buffer.concat([domain, Buffer.from([0]), app, Buffer.from([contentFormat(m, text, maxHardware - header, 65535), signers.length]), ...signers, length, text]);
    }
    case 'solana-offchain-v0-legacy':
      if (m.application_domain !== undefined || m.required_signatories !== undefined) config('the legacy header has neither applicationDomain nor requiredSignatories');
      return Buffer.concat([domain, Buffer.from([0, contentFormat(m, text, maxHardware - 20, 65535 - 20)]), length, text]);
    case 'solana-offchain-v1':
      if (m.application_domain !== undefined || m.content_format !== undefined) config('version 1 has neither applicationDomain nor contentFormat');
      return Buffer.concat([domain, Buffer.from([1, signers.length]), ...signers.sort(Buffer.compare), text]);
    default:
      return config(`message format ${m.message_format} is unknown`);
  }
}

/** The keys that have to sign: distinct, and the wallet's own among them. */
function signatories(publicKey: Uint8Array, addresses: readonly string[]): Uint8Array[] {
  if (addresses.length === 0) return [publicKey];
  const out = addresses.map((s) => decodeBase58(s, 32) ?? config('a required signatory is no base58 address'));
  if (out.length > 255 || new Set(addresses).size !== out.length) config('requiredSignatories are at most 255, none twice');
  if (!out.some((s) => equal(s, publicKey))) config("the wallet isn't among the requiredSignatories");
  return out;
}

function contentFormat(m: Message, text: Uint8Array, short: number, long: number): number {
  const names = ['ascii', 'utf8', 'utf8-long'];
  const ascii = text.every((c) => c >= 0x20 && c <= 0x7e);
  const fits = [ascii && text.length <= short, text.length <= short, text.length <= long];
  const found = names.findIndex((name, i) => fits[i] && (m.content_format === undefined || m.content_format === name));
  return found >= 0 ? found : config("the text doesn't fit the content format");
}

const listed: Readonly<Record<string, Family>> = { ...Object.fromEntries(Object.keys(chains).map((slug) => [slug, evm])), ...Object.fromEntries(Object.entries(bitcoinPrefixes).map(([slug, prefix]) => [slug, bitcoin(prefix)])), solana };
const presets: Readonly<Record<string, Family>> = { ...listed, ...Object.fromEntries(Object.keys(alike).map((slug) => [slug, evm])), 'solana-devnet': solana, 'solana-testnet': solana };

/** The networks whose addresses wallets list. */
export function networkSlugs(): string[] { return Object.keys(listed); }

/** An EVM network that an installation adds to those of every release
 * (docs/OPERATIONS.md). */
export interface AddedNetwork {
  readonly slug: string;
  readonly chainId: number | bigint;
}

/** Finds what is known of a network, of added ones too. One that takes the slug
 * or the chain id of another is refused. */
export function families(added: readonly AddedNetwork[] = []): (network: string) => Family {
  const ids = new Map<string, bigint>();
  for (const { slug, chainId: given } of added) {
    if (typeof slug !== 'string' || !/^[a-z0-9-]{1,32}$/.test(slug) || Object.hasOwn(presets, slug) || ids.has(slug)) throw new SigilConfigError('invalid_argument', `networks: ${JSON.stringify(slug)} is no slug, or another network's`);
    if (typeof given !== 'bigint' && !Number.isSafeInteger(given)) throw new SigilConfigError('invalid_argument', `networks: the chain id of ${slug} is no integer`);
    const id = BigInt(given);
    if (id < 1n || id > BigInt(Number.MAX_SAFE_INTEGER) || [...Object.values(chains), ...Object.values(alike), ...ids.values()].includes(id)) throw new SigilConfigError('invalid_argument', `networks: the chain id of ${slug} is out of range, or another network's`);
    ids.set(slug, id);
  }
  const own = evmFamily((network) => ids.get(network)!);
  return (network) => (ids.has(network) ? own : family(network));
}

export function family(network: string): Family {
  if (!Object.hasOwn(presets, network)) throw new SigilConfigError('unknown_network', `this SDK knows no network ${JSON.stringify(network)}`);
  return presets[network]!;
}

export function messageBytes(m: Message): Uint8Array {
  return m.message_encoding === 'base64' ? unbase64(m.message) : new TextEncoder().encode(m.message);
}

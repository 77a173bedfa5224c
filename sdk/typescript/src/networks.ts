import { keccak_256 } from '@noble/hashes/sha3.js';
import { decodeBase58, encodeBase58 } from './base58.js';
import { FormatError, decodeUTF8, equal, hex, sha256, unbase64 } from './canon.js';
import { SigilConfigError } from './errors.js';
import { authorization, prepareTransaction, type PreparedTransaction, type SignedTransaction } from './evm.js';
import { prepareSolana } from './solana.js';
import { preimage, type TypedData } from './typeddata.js';
import { uncompressed, verifyEd25519, verifySecp256k1 } from './keys.js';

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

/** What a message means to a network, computed here: the service's word
 * isn't needed for any of it. */
export interface Prepared {
  readonly signBytes: Uint8Array;
  /** Undefined of what isn't decoded here: the reply has the intent, which must
   * be of this preimage. */
  readonly intentDigest?: Uint8Array;
  readonly document?: { readonly kind: string; readonly preimage: Uint8Array };
}

/** A document as it goes into the request body. */
export type Document = { readonly typed_data: TypedData } | { readonly authorization: Authorization };

/** An authorisation of EIP-7702. */
export interface Authorization {
  readonly chain_id: number | string;
  readonly address: string;
  readonly nonce: number | string;
}

/** What is put together after the signature: nothing, of a message. */
export interface Prepared {
  assemble?(signature: string): SignedTransaction;
}

interface Family {
  readonly curve: Curve;
  /** Decodes an unsigned transaction; undefined where none are signed yet. */
  transaction?(network: string, raw: string, publicKey: Uint8Array): PreparedTransaction;
  /** Makes what is signed of a document; undefined where none are signed. */
  document?(network: string, d: Document): Prepared;
  address(publicKey: Uint8Array): string;
  prepare(network: string, publicKey: Uint8Array, m: Message, bytes: Uint8Array): Prepared;
  verify(publicKey: Uint8Array, signBytes: Uint8Array, signature: string): boolean;
}

function intent(network: string, format: string, message: Uint8Array): Uint8Array {
  return sha256(JSON.stringify({ kind: 'message', network, format, length: message.length, sha256: hex(sha256(message)) }));
}

const evm: Family = {
  curve: 'secp256k1',
  document(network, d) {
    const [kind, bytes] = 'typed_data' in d ? ['typed_data', preimage(d.typed_data, network, chainOf(network).id)] as const
      : ['authorization', authorization(d.authorization, network, chainOf(network).id)] as const;
    return { signBytes: keccak_256(bytes), document: { kind, preimage: bytes } };
  },
  transaction: (network, raw, publicKey) => prepareTransaction(network, chainOf(network).id, chainOf(network).wrapper, raw, () => evm.address(publicKey).toLowerCase()),
  address(publicKey) {
    const a = hex(keccak_256(uncompressed(publicKey).subarray(1)).subarray(12));
    const sum = hex(keccak_256(new TextEncoder().encode(a)));
    return '0x' + [...a].map((c, i) => (parseInt(sum[i]!, 16) >= 8 ? c.toUpperCase() : c)).join('');
  },
  prepare(network, _publicKey, m, bytes) {
    if (m.message_format !== undefined || offchainOnly(m)) throw new SigilConfigError('unsupported_format', `${network} signs messages by EIP-191 alone`);
    const prefix = new TextEncoder().encode(`\x19Ethereum Signed Message:\n${bytes.length}`);
    return { signBytes: keccak_256(new Uint8Array([...prefix, ...bytes])), intentDigest: intent(network, 'eip191', bytes) };
  },
  verify(publicKey, digest, signature) {
    if (!/^0x[0-9a-f]{128}(1b|1c)$/.test(signature)) return false;
    const raw = new Uint8Array(Buffer.from(signature.slice(2), 'hex'));
    raw[64]! -= 27;
    return verifySecp256k1(publicKey, digest, raw);
  },
};

function chainOf(network: string): { id: bigint; wrapper?: string } {
  return (chains[network] ?? alike[network])!;
}

/** Chain ids, and the one contract on each chain that wraps its native asset. */
const chains: Readonly<Record<string, { id: bigint; wrapper?: string }>> = {
  ethereum: { id: 1n, wrapper: '0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2' },
  polygon: { id: 137n, wrapper: '0x0d500b1d8e8ef31e21c99d1db9a6444d3adf1270' },
  arbitrum: { id: 42161n, wrapper: '0x82af49447d8a07e3bd95bd0d56f35241523fbab1' },
  base: { id: 8453n, wrapper: '0x4200000000000000000000000000000000000006' },
  optimism: { id: 10n, wrapper: '0x4200000000000000000000000000000000000006' },
  bsc: { id: 56n, wrapper: '0xbb4cdb9cbd36b01bd1cbaebf2de08d9173bc095c' },
  avalanche: { id: 43114n, wrapper: '0xb31f66aa3c1e785363f0875a1b74e27b85fd66c7' },
  sepolia: { id: 11155111n },
  hoodi: { id: 560048n },
  'polygon-amoy': { id: 80002n },
  'arbitrum-sepolia': { id: 421614n },
  'base-sepolia': { id: 84532n, wrapper: '0x4200000000000000000000000000000000000006' },
  'optimism-sepolia': { id: 11155420n, wrapper: '0x4200000000000000000000000000000000000006' },
  'bsc-testnet': { id: 97n },
  'avalanche-fuji': { id: 43113n },
};

/** Networks on which a wallet's address is the one on ethereum: wallets don't
 * list it once more. */
const alike: Readonly<Record<string, { id: bigint }>> = {
  abstract: { id: 2741n },
  apechain: { id: 33139n },
  'arbitrum-nova': { id: 42170n },
  aurora: { id: 1313161554n },
  berachain: { id: 80094n },
  blast: { id: 81457n },
  bob: { id: 60808n },
  boba: { id: 288n },
  bouncebit: { id: 6001n },
  celo: { id: 42220n },
  classic: { id: 61n },
  cronos: { id: 25n },
  fantom: { id: 250n },
  'flow-evm': { id: 747n },
  fraxtal: { id: 252n },
  gnosis: { id: 100n },
  hyperevm: { id: 999n },
  ink: { id: 57073n },
  kaia: { id: 8217n },
  katana: { id: 747474n },
  'kava-evm': { id: 2222n },
  lightlink: { id: 1890n },
  linea: { id: 59144n },
  manta: { id: 169n },
  mantle: { id: 5000n },
  megaeth: { id: 4326n },
  merlin: { id: 4200n },
  metis: { id: 1088n },
  mode: { id: 34443n },
  monad: { id: 143n },
  moonbeam: { id: 1284n },
  moonriver: { id: 1285n },
  neon: { id: 245022934n },
  oasys: { id: 248n },
  opbnb: { id: 204n },
  plasma: { id: 9745n },
  'polygon-zkevm': { id: 1101n },
  robinhood: { id: 4663n },
  ronin: { id: 2020n },
  scroll: { id: 534352n },
  sei: { id: 1329n },
  soneium: { id: 1868n },
  sonic: { id: 146n },
  taiko: { id: 167000n },
  unichain: { id: 130n },
  viction: { id: 88n },
  wanchain: { id: 888n },
  world: { id: 480n },
  zetachain: { id: 7000n },
  zircuit: { id: 48900n },
  zksync: { id: 324n },
  zora: { id: 7777777n },
  'berachain-bepolia': { id: 80069n },
  'blast-sepolia': { id: 168587773n },
  'celo-sepolia': { id: 11142220n },
  'cronos-testnet': { id: 338n },
  'gnosis-chiado': { id: 10200n },
  'hyperevm-testnet': { id: 998n },
  'ink-sepolia': { id: 763373n },
  'linea-sepolia': { id: 59141n },
  'mantle-sepolia': { id: 5003n },
  'monad-testnet': { id: 10143n },
  'opbnb-testnet': { id: 5611n },
  'plasma-testnet': { id: 9746n },
  'scroll-sepolia': { id: 534351n },
  'sei-testnet': { id: 1328n },
  'sonic-blaze': { id: 57054n },
  'unichain-sepolia': { id: 1301n },
  'world-sepolia': { id: 4801n },
  'zksync-sepolia': { id: 300n },
};

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

const listed: Readonly<Record<string, Family>> = { ...Object.fromEntries(Object.keys(chains).map((slug) => [slug, evm])), solana };
const families: Readonly<Record<string, Family>> = { ...listed, ...Object.fromEntries(Object.keys(alike).map((slug) => [slug, evm])), 'solana-devnet': solana, 'solana-testnet': solana };

/** The networks whose addresses wallets list. */
export function networkSlugs(): string[] { return Object.keys(listed); }

export function family(network: string): Family {
  if (!Object.hasOwn(families, network)) throw new SigilConfigError('unknown_network', `this SDK knows no network ${JSON.stringify(network)}`);
  return families[network]!;
}

export function messageBytes(m: Message): Uint8Array {
  return m.message_encoding === 'base64' ? unbase64(m.message) : new TextEncoder().encode(m.message);
}

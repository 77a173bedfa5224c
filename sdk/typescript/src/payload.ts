import { base64 } from './canon.js';
import { SigilConfigError } from './errors.js';
import type { AuthorizationBody } from './evm.js';
import { messageBytes, type Document, type Family, type Message, type Prepared } from './networks.js';
import type { TypedData } from './typeddata.js';
import type { SignatureScheme, UserOperation } from './useroperation.js';

/** Options of sign. */
export interface SignOptions {
  readonly walletId: string;
  readonly network: string;
  /** Text, or bytes. */
  readonly message: string | Uint8Array;
  /** Solana: solana-offchain-v0, solana-offchain-v1, solana-offchain-v0-legacy.
   * Bitcoin: bip322-p2wpkh, which is that of none, bip322-p2tr, bip137-p2pkh,
   * bip137-p2sh-p2wpkh, bip137-p2wpkh. */
  readonly messageFormat?: string;
  readonly applicationDomain?: string;
  readonly requiredSignatories?: readonly string[];
  readonly contentFormat?: 'ascii' | 'utf8' | 'utf8-long';
  /** Makes several calls one operation: later ones get the first one's answer. */
  readonly idempotencyKey?: string;
}

/** Options of signTransaction. */
export interface SignTransactionOptions {
  readonly walletId: string;
  readonly network: string;
  /** Complete and unsigned, as the chain's libraries serialise it: on EVM 0x and
   * hex, as `serializeTransaction` of viem or `unsignedSerialized` of ethers; on
   * Solana base64, where others may have signed; on Bitcoin a PSBT in base64. */
  readonly transaction: string;
  readonly idempotencyKey?: string;
}

/** Options of signTypedData: a document of EIP-712. */
export interface SignTypedDataOptions {
  readonly walletId: string;
  readonly network: string;
  readonly typedData: TypedData;
  readonly idempotencyKey?: string;
}

/** An authorisation of EIP-7702; the chain's id by either name. */
export type Authorization = { readonly address: string; readonly nonce: number | string | bigint } & ({ readonly chain_id: number | string | bigint } | { readonly chainId: number | string | bigint });

/** Options of signAuthorization: of EIP-7702, for one chain. */
export interface SignAuthorizationOptions {
  readonly walletId: string;
  readonly network: string;
  readonly authorization: Authorization;
  readonly idempotencyKey?: string;
}

/** Options of signUserOperation: of ERC-4337. */
export interface SignUserOperationOptions {
  readonly walletId: string;
  readonly network: string;
  /** The contract of version 0.6, 0.7, 0.8 or 0.9 at its address. */
  readonly entryPoint: string;
  readonly userOperation: UserOperation;
  /** Where the account wants another than is usual: eip191 before 0.8, then
   * digest. */
  readonly signatureScheme?: SignatureScheme;
  readonly idempotencyKey?: string;
}

/** What an item of a batch may be. */
export type Order = SignOptions | SignTransactionOptions | SignTypedDataOptions | SignAuthorizationOptions | SignUserOperationOptions;

type Payload = Message | Document | { readonly transaction: string };

const kinds = ['message', 'transaction', 'typedData', 'authorization', 'userOperation'];
const besides: Readonly<Record<string, string>> = { messageFormat: 'message', applicationDomain: 'message', requiredSignatories: 'message', contentFormat: 'message', entryPoint: 'userOperation', signatureScheme: 'userOperation' };

/** The payload as it goes into the request body. */
export function payloadOf(o: Order): Payload {
  const [kind = 'message', ...more] = kinds.filter((k) => k in o);
  if (more.length > 0 || Object.entries(besides).some(([name, owner]) => name in o && owner !== kind)) {
    throw new SigilConfigError('invalid_argument', 'a call is for one payload, with what belongs to it');
  }
  if ('transaction' in o) return { transaction: o.transaction };
  if ('typedData' in o) return { typed_data: json(o.typedData) as TypedData };
  if ('authorization' in o) return { authorization: authorizationOf(json(o.authorization)) };
  if (!('userOperation' in o)) return messageOf(o);
  return { user_operation: { entry_point: o.entryPoint, user_operation: json(o.userOperation) as UserOperation, ...(o.signatureScheme === undefined ? {} : { signature_scheme: o.signatureScheme }) } };
}

/** A copy that nobody changes between its hash and the request, as JSON has it;
 * big integers become text. */
function json(v: unknown): unknown {
  try {
    return JSON.parse(JSON.stringify(v, (_, x: unknown) => (typeof x === 'bigint' ? String(x) : x))) as unknown;
  } catch (e) {
    throw new SigilConfigError('payload_invalid', `the document isn't one of JSON: ${(e as Error).message}`);
  }
}

function authorizationOf(v: unknown): AuthorizationBody {
  if (typeof v !== 'object' || v === null || !('chainId' in v)) return v as AuthorizationBody;
  const { chainId, ...rest } = v;
  if ('chain_id' in rest) throw new SigilConfigError('invalid_argument', 'an authorization has one chain id');
  return { chain_id: chainId, ...rest } as AuthorizationBody;
}

/** The name of what a payload needs, in policies. */
export function methodOf(p: Payload): string {
  if ('transaction' in p) return 'signTransaction';
  if ('typed_data' in p) return 'signTypedData';
  if ('user_operation' in p) return 'signUserOperation';
  return 'authorization' in p ? 'signAuthorization' : 'signMessage';
}

/** Makes what is signed of a payload. */
export function prepare(f: Family, network: string, publicKey: Uint8Array, payload: Payload): Prepared {
  if ('transaction' in payload) return f.transaction(network, payload.transaction, publicKey);
  if ('message' in payload) return f.prepare(network, publicKey, payload, messageBytes(payload));
  if (!f.document) throw new SigilConfigError('unsupported_payload', `documents aren't signed on ${network}`);
  return f.document(network, payload);
}

function messageOf(o: SignOptions): Message {
  if (typeof o.message !== 'string' && !(o.message instanceof Uint8Array)) throw new SigilConfigError('invalid_argument', 'message must be text or a Uint8Array');
  if (typeof o.message === 'string' && !o.message.isWellFormed()) throw new SigilConfigError('invalid_encoding', 'the message has lone surrogates');
  return {
    ...(typeof o.message === 'string' ? { message: o.message } : { message: base64(o.message), message_encoding: 'base64' as const }),
    ...(o.messageFormat === undefined ? {} : { message_format: o.messageFormat }),
    ...(o.applicationDomain === undefined ? {} : { application_domain: o.applicationDomain }),
    ...(o.requiredSignatories === undefined ? {} : { required_signatories: o.requiredSignatories }),
    ...(o.contentFormat === undefined ? {} : { content_format: o.contentFormat }),
  };
}

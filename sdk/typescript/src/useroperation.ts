import { keccak_256 } from '@noble/hashes/sha3.js';
import { SigilConfigError } from './errors.js';
import { verifyEVM } from './evm.js';
import type { Prepared } from './networks.js';
import { integerOf, isAddress, word } from './typeddata.js';

/** A user operation as bundlers take it (ERC-4337). Integers are numbers up to
 * 2^53-1 or text, decimal or 0x and hex. */
export interface UserOperation {
  readonly sender: string;
  readonly nonce: number | string | bigint;
  readonly callData: string;
  readonly callGasLimit: number | string | bigint;
  readonly verificationGasLimit: number | string | bigint;
  readonly preVerificationGas: number | string | bigint;
  readonly maxFeePerGas: number | string | bigint;
  readonly maxPriorityFeePerGas: number | string | bigint;
  /** Isn't signed; whatever stands here is to be replaced. */
  readonly signature?: string;
  /** 0.6: these two. */
  readonly initCode?: string;
  readonly paymasterAndData?: string;
  /** From 0.7 on. */
  readonly factory?: string;
  readonly factoryData?: string;
  readonly paymaster?: string;
  readonly paymasterVerificationGasLimit?: number | string | bigint;
  readonly paymasterPostOpGasLimit?: number | string | bigint;
  readonly paymasterData?: string;
  /** From 0.8 on, with the factory 0x7702. */
  readonly eip7702Auth?: Readonly<Record<string, unknown>>;
  /** 0.9. */
  readonly paymasterSignature?: string;
}

/** How an account takes its owner's signature of the operation's hash. */
export type SignatureScheme = 'eip191' | 'digest' | 'light-account-v2';

/** A user operation as it goes into the request body. */
export interface UserOperationBody {
  readonly entry_point: string;
  readonly user_operation: UserOperation;
  readonly signature_scheme?: SignatureScheme;
}

/** The contracts' versions 0.6 to 0.9, by address: others may hash what they like. */
const entryPoints: Readonly<Record<string, number>> = {
  '0x5ff137d4b0fdcd49dca30c7cf57e578a026d2789': 6,
  '0x0000000071727de22e5e9d8baf0edac6f37da032': 7,
  '0x4337084d9e255ff0702461cf8895ce9e3b5ff108': 8,
  '0x433709009b8330fda32311df1c2afa402ed8d009': 9,
};

/** Stands for a signature of the paymaster, which isn't hashed (0.9). */
const paymasterMagic = Buffer.from('22e325a297439656', 'hex');
const marker7702 = '0x7702';
const maxGas = 1n << 120n;
const always = ['sender', 'nonce', 'callData', 'callGasLimit', 'verificationGasLimit', 'preVerificationGas', 'maxFeePerGas', 'maxPriorityFeePerGas', 'signature'];
/** Members by the version that they come with; those of 0.6 end with it. */
const from = { 6: ['initCode', 'paymasterAndData'], 7: ['factory', 'factoryData', 'paymaster', 'paymasterVerificationGasLimit', 'paymasterPostOpGasLimit', 'paymasterData'], 8: ['eip7702Auth'], 9: ['paymasterSignature'] };

function invalid(why: string): never {
  throw new SigilConfigError('payload_invalid', `not a user operation: ${why}`);
}

/** Reads the members of an operation; null is as good as nothing. */
class Members {
  readonly #o: Readonly<Record<string, unknown>>;
  constructor(o: unknown, known: readonly string[], others: readonly string[] = []) {
    if (typeof o !== 'object' || o === null || Array.isArray(o)) invalid('it is no object');
    this.#o = o as Record<string, unknown>;
    const other = Object.keys(o).find((k) => !known.includes(k) && (!others.includes(k) || this.has(k)));
    if (other !== undefined) invalid(`its version has no ${other}`);
  }
  has(name: string): boolean { return (this.#o[name] ?? null) !== null; }
  value(name: string): unknown { return this.#o[name]; }
  integer(name: string, below = maxGas): bigint {
    const v = integerOf(this.#o[name]);
    return v !== undefined && v >= 0n && v < below ? v : invalid(`${name} is no integer of its size`);
  }
  /** Of a member that may be missing. */
  bytes(name: string): Uint8Array {
    const v = this.#o[name] ?? '0x';
    return typeof v === 'string' && /^0x([0-9a-fA-F]{2})*$/.test(v) ? Buffer.from(v.slice(2), 'hex') : invalid(`${name} isn't 0x and pairs of hex digits`);
  }
  address(name: string): Uint8Array {
    const v = this.#o[name];
    return isAddress(v) ? Buffer.from(v.slice(2), 'hex') : invalid(`${name} is no address, or its checksum is wrong`);
  }
}

/** An address with bytes behind it, or nothing. */
function joined(m: Members, name: string): Uint8Array {
  const b = m.bytes(name);
  return m.has(name) && (b.length === 0 || b.length >= 20) ? b : invalid(`${name} is 0x, or an address with what follows`);
}

/** What makes the account; whose code it has is hashed in place of the marker
 * of EIP-7702. */
function initCode(m: Members, version: number, chainId: bigint): Uint8Array {
  const data = m.bytes('factoryData'), factory = m.value('factory');
  if (factory === marker7702 || factory === marker7702.padEnd(42, '0')) {
    if (version < 8) invalid(`its version has no factory ${marker7702}`);
    const auth = new Members(m.value('eip7702Auth'), ['chainId', 'address', 'nonce', 'yParity', 'v', 'r', 's']);
    if (auth.integer('chainId') !== chainId) invalid('eip7702Auth is for another chain');
    return Buffer.concat([auth.address('address'), data]);
  }
  if (m.has('eip7702Auth')) invalid(`eip7702Auth needs the factory ${marker7702}`);
  if (!m.has('factory')) return data.length === 0 ? data : invalid('factoryData has no factory');
  return Buffer.concat([m.address('factory'), data]);
}

function paymaster(m: Members, version: number): Uint8Array {
  const data = m.bytes('paymasterData'), gas = ['paymasterVerificationGasLimit', 'paymasterPostOpGasLimit'];
  const signature = m.bytes('paymasterSignature'), signs = m.has('paymasterSignature');
  if (!m.has('paymaster')) {
    if (data.length > 0 || signs || gas.some((name) => m.has(name) && m.integer(name) !== 0n)) invalid("there is no paymaster for what is one's");
    return new Uint8Array();
  }
  const address = m.address('paymaster');
  if (address.every((b) => b === 0) || signature.length > 0xffff) invalid('the paymaster is nobody, or its signature too long');
  if (version >= 9 && Buffer.from(data.subarray(-8)).equals(paymasterMagic)) invalid('paymasterData has its signature in it: give that as paymasterSignature');
  return Buffer.concat([address, halves(m.integer(gas[0]!), m.integer(gas[1]!)), data, signs ? paymasterMagic : new Uint8Array()]);
}

/** Two integers of 128 bits in a word. */
const halves = (high: bigint, low: bigint): Uint8Array => word((high << 128n) | low);
const address = (b: Uint8Array): Uint8Array => Buffer.concat([new Uint8Array(12), b]);
const named = (s: string): Uint8Array => keccak_256(Buffer.from(s));

/** The operation as its entry point hashes it. */
function packed(m: Members, version: number, chainId: bigint): Uint8Array {
  const head = [address(m.address('sender')), word(m.integer('nonce', 1n << 256n))];
  if (!m.has('callData')) invalid('callData is missing: 0x is none');
  m.bytes('signature');
  const call = keccak_256(m.bytes('callData')), [callGas, verification, pre, fee, tip] = ['callGasLimit', 'verificationGasLimit', 'preVerificationGas', 'maxFeePerGas', 'maxPriorityFeePerGas'].map((name) => m.integer(name)) as [bigint, bigint, bigint, bigint, bigint];
  if (version === 6) {
    const pays = joined(m, 'paymasterAndData');
    if (pays.length > 0 && pays.subarray(0, 20).every((b) => b === 0)) invalid('the paymaster is nobody');
    return Buffer.concat([...head, keccak_256(joined(m, 'initCode')), call, ...[callGas, verification, pre, fee, tip].map(word), keccak_256(pays)]);
  }
  return Buffer.concat([...head, keccak_256(initCode(m, version, chainId)), call, halves(verification, callGas), word(pre), halves(tip, fee), keccak_256(paymaster(m, version))]);
}

/** What the operation's hash is the Keccak-256 of: from 0.8 on that of typed
 * data, before the packed operation's hash, the entry point and the chain. */
function preimageOf(m: Members, version: number, at: Uint8Array, chainId: bigint): Uint8Array {
  const operation = packed(m, version, chainId);
  if (version < 8) return Buffer.concat([keccak_256(operation), address(at), word(chainId)]);
  const domain = keccak_256(Buffer.concat([named('EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)'), named('ERC4337'), named('1'), word(chainId), address(at)]));
  const kind = named('PackedUserOperation(address sender,uint256 nonce,bytes initCode,bytes callData,bytes32 accountGasLimits,uint256 preVerificationGas,bytes32 gasFees,bytes paymasterAndData)');
  return Buffer.concat([new Uint8Array([0x19, 0x01]), domain, keccak_256(Buffer.concat([kind, operation]))]);
}

/** Hashes an operation as its entry point does; no hash is taken. */
export function prepareUserOperation(chainId: bigint, body: UserOperationBody): Prepared {
  const at = body.entry_point, version = isAddress(at) ? entryPoints[at.toLowerCase()] : undefined;
  if (version === undefined) invalid("the entry point isn't one of versions 0.6 to 0.9 at their addresses");
  const [known, others] = [true, false].map((mine) => Object.entries(from).flatMap(([v, names]) => ((Number(v) <= version && (version === 6 || v !== '6')) === mine ? names : [])));
  const m = new Members(body.user_operation, [...always, ...known!], others);
  let preimage = preimageOf(m, version, Buffer.from(at.slice(2), 'hex'), chainId);
  const scheme = body.signature_scheme ?? (version < 8 ? 'eip191' : 'digest');
  if (!['eip191', 'digest', 'light-account-v2'].includes(scheme)) invalid(`the signature scheme ${JSON.stringify(scheme)} is unknown`);
  if (scheme !== 'digest') preimage = Buffer.concat([Buffer.from('\x19Ethereum Signed Message:\n32'), keccak_256(preimage)]);
  const signBytes = keccak_256(preimage), decoded = { kind: 'user_operation', preimage } as const;
  if (scheme !== 'light-account-v2') return { signBytes, decoded };
  // A byte 0 goes before the signature of an owner that is no contract.
  return { signBytes, decoded, verify: (publicKey, signature) => signature.startsWith('0x00') && verifyEVM(publicKey, signBytes, `0x${signature.slice(4)}`) };
}

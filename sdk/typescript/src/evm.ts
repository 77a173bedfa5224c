import { keccak_256 } from '@noble/hashes/sha3.js';
import { hex } from './canon.js';
import { SigilConfigError } from './errors.js';
import { verifySecp256k1 } from './keys.js';
import type { Prepared } from './networks.js';
import { List, fields, integer, invalid, list, maxUint64, number, text } from './rlp.js';
import { integerOf, isAddress } from './typeddata.js';

const maxTransaction = 16 << 10;

/** Reads an unsigned transaction. The fields are encoded again as they are
 * read; unequal bytes are refused, though only one form is taken. What they
 * do, the TEE decodes. */
export function prepareTransaction(network: string, chainId: bigint, raw: string): Prepared {
  if (!/^0x([0-9a-fA-F]{2})+$/.test(raw) || raw.length > 2 + 2 * maxTransaction) invalid("it isn't 0x and pairs of hex digits, or too long");
  const unsigned = new Uint8Array(Buffer.from(raw.slice(2), 'hex')), first = unsigned[0]!;
  const kind = first >= 1 && first <= 4 ? first : 0;
  if (kind === 0 && first < 0xc0) invalid(`the type ${first} is unknown`);
  const whole = new List(unsigned.subarray(kind === 0 ? 0 : 1));
  const t = fields(whole, (l) => (kind === 0 ? legacy(l) : typed(l, kind)));
  whole.end();
  const envelope = (tail: Uint8Array[]): Uint8Array => Buffer.concat([kind === 0 ? new Uint8Array() : new Uint8Array([kind]), list(...t.encoded, ...tail)]);
  if (hex(envelope(kind === 0 ? [integer(t.chainId), integer(0n), integer(0n)] : [])) !== hex(unsigned)) invalid('it encodes to other bytes');
  if (t.chainId !== chainId) throw new SigilConfigError('transaction_other_network', `the transaction is for chain id ${t.chainId}, ${network} has ${chainId}`);
  return {
    signBytes: keccak_256(unsigned),
    decoded: { kind: 'transaction', preimage: unsigned },
    assemble(signature) {
      const raw = Buffer.from(signature.slice(2), 'hex'), parity = BigInt(raw[64]! - 27);
      const signed = envelope([integer(kind === 0 ? 35n + 2n * t.chainId + parity : parity), integer(number(raw.subarray(0, 32))), integer(number(raw.subarray(32, 64)))]);
      return { text: `0x${hex(signed)}`, id: `0x${hex(keccak_256(signed))}` };
    },
  };
}

interface Transaction {
  readonly chainId: bigint;
  readonly encoded: readonly Uint8Array[];
}

function called(l: List): { to: Uint8Array; encoded: Uint8Array[] } {
  const to = l.text(20);
  if (to.length !== 0 && to.length !== 20) invalid('the recipient is no address');
  return { to, encoded: [text(to), integer(l.integer()), text(l.text(Infinity))] };
}

function chain(l: List): bigint {
  return l.uint64() || invalid('the chain id is 0');
}

function nonceOf(l: List): bigint {
  const v = l.uint64();
  return v < maxUint64 ? v : invalid('the nonce is over 2^64-2 (EIP-2681)');
}

function checkFee(fee: bigint): void {
  if (fee >> 256n !== 0n) invalid('the fee is over 256 bits');
}

function legacy(l: List): Transaction {
  const nonce = nonceOf(l), price = l.integer(), gas = l.uint64(), c = called(l);
  if (!l.more) invalid('it has no chain id (EIP-155) and would be valid on every chain');
  const chainId = chain(l);
  if (l.text(32).length + l.text(32).length > 0) invalid('it is signed already; send it with chain id, 0, 0');
  checkFee(price * gas);
  return { chainId, encoded: [integer(nonce), integer(price), integer(gas), ...c.encoded] };
}

function typed(l: List, kind: number): Transaction {
  const chainId = chain(l), nonce = nonceOf(l), tip = kind >= 2 ? l.integer() : undefined, price = l.integer(), gas = l.uint64(), c = called(l);
  if (tip !== undefined && tip > price) invalid('maxPriorityFeePerGas is above maxFeePerGas');
  if (kind >= 3 && c.to.length === 0) invalid("its type can't create contracts");
  const access = l.each((entries) => fields(entries, (e) => list(text(e.exact(20)), list(...e.each((keys) => text(keys.exact(32)))))));
  const encoded = [integer(chainId), integer(nonce), ...(tip === undefined ? [] : [integer(tip)]), integer(price), integer(gas), ...c.encoded, list(...access)];
  if (kind === 3) {
    const blobPrice = l.integer(), blobs = l.each((hashes) => hashes.exact(32));
    if (blobs.length < 1 || blobs.length > 16 || blobs.some((b) => b[0] !== 1)) invalid('it has no blobs, too many, or of an unknown version');
    checkFee(price * gas + blobPrice * BigInt(blobs.length) * (1n << 17n));
    return { chainId, encoded: [...encoded, integer(blobPrice), list(...blobs.map(text))] };
  }
  checkFee(price * gas);
  if (kind === 4) {
    const delegations = l.each((all) => fields(all, delegation));
    if (delegations.length === 0) invalid('it has no authorisations');
    return { chainId, encoded: [...encoded, list(...delegations)] };
  }
  return { chainId, encoded };
}

function delegation(l: List): Uint8Array {
  const chainId = l.integer(), address = l.exact(20), nonce = l.uint64(), parity = l.uint64(), r = l.integer(), s = l.integer();
  if (parity > 1n || nonce === maxUint64 || r === 0n || s === 0n) invalid('an authorisation is out of bounds');
  return list(integer(chainId), text(address), integer(nonce), integer(parity), integer(r), integer(s));
}

/** r, s, v as a signature's text: 0x and 65 bytes, v 27 or 28. */
export function verifyEVM(publicKey: Uint8Array, digest: Uint8Array, signature: string): boolean {
  if (!/^0x[0-9a-f]{128}(1b|1c)$/.test(signature)) return false;
  const raw = new Uint8Array(Buffer.from(signature.slice(2), 'hex'));
  raw[64]! -= 27;
  return verifySecp256k1(publicKey, digest, raw);
}

/** An authorisation of EIP-7702 as it goes into the request body. */
export interface AuthorizationBody {
  readonly chain_id: number | string;
  readonly address: string;
  readonly nonce: number | string;
}

/** 0x05 and the list of an authorisation (EIP-7702): what is hashed to be
 * signed. Of chain id 0, which holds on every chain, none is. */
export function authorization(a: AuthorizationBody, network: string, chainId: bigint): Uint8Array {
  const wrong = (why: string): never => { throw new SigilConfigError('payload_invalid', `an authorization is a chain id, an address and a nonce: ${why}`); };
  if (typeof a !== 'object' || a === null || Object.keys(a).sort().join() !== 'address,chain_id,nonce') wrong('it has other members');
  const id = integerOf(a.chain_id) ?? wrong('the chain id is no integer'), nonce = integerOf(a.nonce) ?? wrong('the nonce is no integer');
  if (id <= 0n || id > maxUint64 || nonce < 0n || nonce >= maxUint64) wrong('chain id 0 holds on every chain, and the nonce is up to 2^64-2');
  if (!isAddress(a.address)) wrong('the address is in lower case, or as EIP-55 has it');
  if (id !== chainId) throw new SigilConfigError('transaction_other_network', `the authorization is for chain id ${id}, ${network} has ${chainId}`);
  return Buffer.concat([new Uint8Array([5]), list(integer(id), text(Buffer.from(a.address.slice(2), 'hex')), integer(nonce))]);
}

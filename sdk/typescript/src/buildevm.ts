import { amount, bad, count, known, positive, type Amount, type Count } from './build.js';
import { hex } from './canon.js';
import { alike, chainId, chains } from './chains.js';
import { integer, list, maxUint64, text } from './rlp.js';
import { isAddress, word } from './typeddata.js';

/** What all transactions of EVM networks have: type 2 of EIP-1559, with no
 * access list. */
export interface EvmOptions {
  /** Slug, which says the chain id. */
  readonly network: string;
  /** Of the wallet. */
  readonly nonce: Count;
  /** Units of gas. */
  readonly gasLimit: Count;
  /** Wei for a unit of gas, the tip included. */
  readonly maxFeePerGas: Amount;
  /** Wei for a unit of gas, the tip. */
  readonly maxPriorityFeePerGas: Amount;
}

export interface EvmTransferOptions extends EvmOptions {
  /** Address; its letters in lower case or as EIP-55 has them. */
  readonly to: string;
  /** Wei; 0 does nothing but use the nonce. */
  readonly amount: Amount;
}

export interface Erc20TransferOptions extends EvmOptions {
  /** Address of the contract. */
  readonly token: string;
  readonly to: string;
  /** Smallest units of the token, not 0. */
  readonly amount: Amount;
}

export interface Erc20ApproveOptions extends EvmOptions {
  /** Address of the contract. */
  readonly token: string;
  readonly spender: string;
  /** Smallest units of the token; 0 takes the approval back. */
  readonly amount: Amount;
}

export interface Erc721TransferOptions extends EvmOptions {
  /** Address of the contract. */
  readonly token: string;
  /** Address of the owner, most often the wallet's. */
  readonly from: string;
  readonly to: string;
  /** Number of the token. */
  readonly tokenId: Amount;
}

const own = ['network', 'nonce', 'gasLimit', 'maxFeePerGas', 'maxPriorityFeePerGas'];

/** Sends the native asset. Returns the transaction as signTransaction takes it. */
export function evmTransfer(o: EvmTransferOptions): string {
  known(o, [...own, 'to', 'amount']);
  const to = account('to', o.to);
  return call(o, to, amount('amount', o.amount, 256), new Uint8Array());
}

/** Sends tokens: transfer(address,uint256) of ERC-20. */
export function erc20Transfer(o: Erc20TransferOptions): string {
  known(o, [...own, 'token', 'to', 'amount']);
  const [token, to] = tokenAnd(o.token, 'to', o.to);
  return call(o, token, 0n, calldata('a9059cbb', number(to), positive('amount', o.amount, 256)));
}

/** Lets a spender take tokens: approve(address,uint256) of ERC-20. */
export function erc20Approve(o: Erc20ApproveOptions): string {
  known(o, [...own, 'token', 'spender', 'amount']);
  const [token, spender] = tokenAnd(o.token, 'spender', o.spender);
  return call(o, token, 0n, calldata('095ea7b3', number(spender), amount('amount', o.amount, 256)));
}

/** Sends a token that is one of its kind:
 * safeTransferFrom(address,address,uint256) of ERC-721, which a contract that
 * doesn't know such tokens refuses. */
export function erc721Transfer(o: Erc721TransferOptions): string {
  known(o, [...own, 'token', 'from', 'to', 'tokenId']);
  const [token, to] = tokenAnd(o.token, 'to', o.to), from = account('from', o.from);
  return call(o, token, 0n, calldata('42842e0e', number(from), number(to), amount('tokenId', o.tokenId, 256)));
}

/** Reads an address that is somebody's; in lower case. */
function account(option: string, v: string): string {
  if (!isAddress(v)) bad(option, 'not an address: 0x and 40 hex digits, in lower case or as EIP-55 has them');
  return number(v) === 0n ? bad(option, "the zero address is nobody's") : v.toLowerCase();
}

const number = (address: string): bigint => BigInt(address);

/** A token, and another party: what the token itself got would be lost. */
function tokenAnd(tokenText: string, option: string, otherText: string): [token: string, other: string] {
  const token = account('token', tokenText), other = account(option, otherText);
  return other === token ? bad(option, "it is the token's own contract") : [token, other];
}

/** A function's selector, and its arguments as words of Solidity's ABI. */
function calldata(selector: string, ...words: bigint[]): Uint8Array {
  return Buffer.concat([Buffer.from(selector, 'hex'), ...words.map(word)]);
}

function call(o: EvmOptions, to: string, value: bigint, data: Uint8Array): string {
  if (typeof o.network !== 'string' || !(Object.hasOwn(chains, o.network) || Object.hasOwn(alike, o.network))) bad('network', 'it is no EVM network that this SDK knows');
  const nonce = count('nonce', o.nonce, 64), gas = count('gasLimit', o.gasLimit, 64);
  if (nonce === maxUint64) bad('nonce', 'it is over 2^64-2');
  if (gas === 0n) bad('gasLimit', 'it is 0');
  const price = amount('maxFeePerGas', o.maxFeePerGas, 256), tip = amount('maxPriorityFeePerGas', o.maxPriorityFeePerGas, 256);
  if (tip > price) bad('maxPriorityFeePerGas', 'it is above maxFeePerGas');
  if ((price * gas) >> 256n !== 0n) bad('maxFeePerGas', 'with the gas limit it has over 256 bits');
  const fields = [integer(chainId(o.network)), integer(nonce), integer(tip), integer(price), integer(gas), text(Buffer.from(to.slice(2), 'hex')), integer(value), text(data), list()];
  return `0x02${hex(list(...fields))}`;
}

import { ed25519 } from '@noble/curves/ed25519.js';
import { decodeBase58 } from './base58.js';
import { base64, equal, hex, sha256 } from './canon.js';
import { bad, count, flag, known, positive, type Amount, type Count } from './build.js';
import { SigilConfigError } from './errors.js';
import { SolanaMessage, compact } from './solana.js';

/** Token programs, one of which made each mint. */
export const tokenProgram = 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA';
export const token2022Program = 'TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb';

const systemProgram = '11111111111111111111111111111111';
const budgetProgram = 'ComputeBudget111111111111111111111111111111';
const associatedProgram = 'ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL';
const memoProgram = 'MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr';

/** Addresses of programs and system variables: nobody has their keys. */
const reserved: readonly string[] = [
  systemProgram, budgetProgram, associatedProgram, memoProgram, tokenProgram, token2022Program, 'Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo',
  'Vote111111111111111111111111111111111111111', 'Stake11111111111111111111111111111111111111',
  'BPFLoader1111111111111111111111111111111111', 'BPFLoader2111111111111111111111111111111111', 'BPFLoaderUpgradeab1e11111111111111111111111', 'LoaderV411111111111111111111111111111111111',
  'Ed25519SigVerify111111111111111111111111111', 'KeccakSecp256k11111111111111111111111111111', 'Secp256r1SigVerify1111111111111111111111111',
  'SysvarC1ock11111111111111111111111111111111', 'SysvarRent111111111111111111111111111111111', 'SysvarRecentB1ockHashes11111111111111111111', 'SysvarStakeHistory1111111111111111111111111', 'StakeConfig11111111111111111111111111111111',
];

/** What all transactions of Solana have. The wallet is their one signer and
 * pays the fee. */
export interface SolanaOptions {
  readonly network: string;
  /** Address of the wallet. */
  readonly wallet: string;
  /** A recent one, base58; the transaction is valid while it is. */
  readonly blockhash: string;
  /** A message of version 0; the legacy format otherwise. */
  readonly version0?: boolean;
  /** At most 1.4 million; 0 sets none. */
  readonly computeUnitLimit?: Count;
  /** Micro-lamports for a unit; 0 sets none. */
  readonly computeUnitPrice?: Count;
  /** Text that the chain keeps; '' is none. */
  readonly memo?: string;
}

export interface SolanaTransferOptions extends SolanaOptions {
  /** Address, of a wallet or of any other account. */
  readonly to: string;
  /** Lamports, not 0. */
  readonly amount: Amount;
}

export interface SolanaTokenTransferOptions extends SolanaOptions {
  /** Address of the recipient's wallet, not of its token account. */
  readonly to: string;
  /** `to` may be an address without a key, such as a program's vault. */
  readonly toOffCurve?: boolean;
  readonly mint: string;
  /** `tokenProgram` or `token2022Program`, the owner of the mint. */
  readonly tokenProgram: string;
  /** Of the mint. */
  readonly decimals: Count;
  /** Smallest units of the token, not 0. */
  readonly amount: Amount;
  /** The wallet pays the rent of the recipient's account where there is none yet. */
  readonly createAccount?: boolean;
}

const own = ['network', 'wallet', 'blockhash', 'version0', 'computeUnitLimit', 'computeUnitPrice', 'memo'];
const maxUnits = 1_400_000n;

interface Account {
  readonly key: Uint8Array;
  readonly signs?: true;
  readonly writes?: true;
}

interface Call {
  readonly program: Uint8Array;
  readonly data: Uint8Array;
  readonly accounts: readonly Account[];
}

/** Sends the native asset: Transfer of the System program. Returns the
 * transaction as signTransaction takes it, with room for the signature. */
export function solanaTransfer(o: SolanaTransferOptions): string {
  known(o, [...own, 'to', 'amount']);
  const d = begin(o), to = recipient(o), lamports = positive('amount', o.amount, 64);
  return finish(d, [...d.memo, {
    program: constant(systemProgram), data: Buffer.concat([Buffer.from([2, 0, 0, 0]), little(lamports, 8)]), accounts: [{ key: d.wallet, signs: true, writes: true }, { key: to, writes: true }],
  }]);
}

/** Sends tokens: TransferChecked of the token program, from the wallet's
 * associated token account to the recipient's. Mints of Token-2022 that call
 * another program with a transfer (extension "transfer hook") need accounts that
 * aren't here, and the chain refuses it. */
export function solanaTokenTransfer(o: SolanaTokenTransferOptions): string {
  known(o, [...own, 'to', 'toOffCurve', 'mint', 'tokenProgram', 'decimals', 'amount', 'createAccount']);
  const d = begin(o), to = recipient(o);
  if (!flag('toOffCurve', o.toOffCurve) && !isPoint(to)) bad('to', "no key belongs to it: is it a token account? Give its owner's address, or set toOffCurve");
  const mint = key('mint', o.mint);
  if (o.mint === o.wallet || o.mint === o.to) bad('mint', "it is a wallet's address");
  if (o.tokenProgram !== tokenProgram && o.tokenProgram !== token2022Program) bad('tokenProgram', `it is neither ${tokenProgram} nor ${token2022Program}`);
  const program = constant(o.tokenProgram), amount = positive('amount', o.amount, 64), decimals = count('decimals', o.decimals, 8);
  const source = associated(d.wallet, mint, program), destination = associated(to, mint, program);
  const create: Call = { program: constant(associatedProgram), data: new Uint8Array([1]), accounts: [{ key: d.wallet, signs: true, writes: true }, { key: destination, writes: true }, { key: to }, { key: mint }, { key: constant(systemProgram) }, { key: program }] };
  const transfer: Call = { program, data: Buffer.concat([Buffer.from([12]), little(amount, 8), little(decimals, 1)]), accounts: [{ key: source, writes: true }, { key: mint }, { key: destination, writes: true }, { key: d.wallet, signs: true }] };
  return finish(d, [...(flag('createAccount', o.createAccount) ? [create] : []), ...d.memo, transfer]);
}

function base58(option: string, v: string): Uint8Array {
  return (typeof v === 'string' ? decodeBase58(v, 32) : undefined) ?? bad(option, 'not base58 of 32 bytes');
}

const constant = (address: string): Uint8Array => decodeBase58(address, 32)!;

/** Reads the address of somebody's account. */
function key(option: string, v: string): Uint8Array {
  const k = base58(option, v);
  return reserved.includes(v) ? bad(option, 'it is the address of a program or system variable') : k;
}

function recipient(o: { wallet: string; to: string }): Uint8Array {
  const to = key('to', o.to);
  return o.to === o.wallet ? bad('to', 'it is the wallet itself') : to;
}

function little(v: bigint, size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => Number((v >> BigInt(8 * i)) & 0xffn));
}

interface Draft {
  readonly wallet: Uint8Array;
  readonly blockhash: Uint8Array;
  readonly version0: boolean;
  readonly budget: readonly Call[];
  /** Goes right before the transfer: accounts of Token-2022 that require one
   * look for it there. */
  readonly memo: readonly Call[];
}

function begin(o: SolanaOptions): Draft {
  if (!['solana', 'solana-devnet', 'solana-testnet'].includes(o.network)) bad('network', 'it is none of Solana\'s');
  const wallet = key('wallet', o.wallet), blockhash = base58('blockhash', o.blockhash), version0 = flag('version0', o.version0);
  if (blockhash.every((b) => b === 0)) bad('blockhash', 'it is all zeros, which no block has');
  const limit = count('computeUnitLimit', o.computeUnitLimit ?? 0, 32), price = count('computeUnitPrice', o.computeUnitPrice ?? 0, 64), memo = o.memo ?? '';
  if (limit > maxUnits) bad('computeUnitLimit', `it is over ${maxUnits}`);
  if (typeof memo !== 'string' || !memo.isWellFormed()) bad('memo', 'it is no text, or has lone surrogates');
  const call = (program: string, data: Uint8Array): Call => ({ program: constant(program), data, accounts: [] });
  return {
    wallet, blockhash, version0,
    budget: [...(limit > 0n ? [call(budgetProgram, Buffer.concat([Buffer.from([2]), little(limit, 4)]))] : []), ...(price > 0n ? [call(budgetProgram, Buffer.concat([Buffer.from([3]), little(price, 8)]))] : [])],
    memo: memo === '' ? [] : [call(memoProgram, Buffer.from(memo, 'utf8'))],
  };
}

/** Each account once, with all that any call needs of it, in the order in which
 * they are first named. */
function accountsOf(wallet: Uint8Array, calls: readonly Call[]): { key: Uint8Array; signs: boolean; writes: boolean }[] {
  const all = new Map([[hex(wallet), { key: wallet, signs: true, writes: true }]]);
  for (const { key, signs = false, writes = false } of calls.flatMap((c): Account[] => [{ key: c.program }, ...c.accounts])) {
    const before = all.get(hex(key));
    all.set(hex(key), { key, signs: signs || (before?.signs ?? false), writes: writes || (before?.writes ?? false) });
  }
  return [...all.values()];
}

function finish(d: Draft, rest: readonly Call[]): string {
  const calls = [...d.budget, ...rest], all = accountsOf(d.wallet, calls);
  const groups = [[true, true], [true, false], [false, true], [false, false]].map(([signs, writes]) => all.filter((a) => a.signs === signs && a.writes === writes));
  const [writers, signers, , readers] = groups.map((g) => g.length) as [number, number, number, number], keys = groups.flat().map((a) => a.key);
  const at = (k: Uint8Array): number => keys.findIndex((other) => equal(other, k));
  const body = calls.map((c) => Buffer.from([at(c.program), ...compact(c.accounts.length), ...c.accounts.map((a) => at(a.key)), ...compact(c.data.length), ...c.data]));
  const message = Buffer.concat([Buffer.from([...(d.version0 ? [0x80] : []), writers + signers, signers, readers, ...compact(keys.length)]), ...keys, d.blockhash, Buffer.from(compact(calls.length)), ...body, Buffer.from(d.version0 ? [0] : [])]);
  try {
    new SolanaMessage(message); // of the options that passed, a memo alone can make it too large
  } catch (e) {
    if (e instanceof SigilConfigError) bad('memo', `it doesn't fit: ${e.message}`);
    throw e;
  }
  return base64(Buffer.concat([Buffer.from([1]), Buffer.alloc(64), message]));
}

/** Whether the bytes encode a point of the curve, as public keys do. */
function isPoint(b: Uint8Array): boolean {
  try {
    ed25519.Point.fromBytes(b, true);
    return true;
  } catch {
    return false;
  }
}

/** The address of an owner's account for a mint: the first that is no point of
 * the curve, of those for bumps from 255 downwards. */
function associated(owner: Uint8Array, mint: Uint8Array, program: Uint8Array): Uint8Array {
  for (let bump = 255; bump >= 0; bump--) {
    const derived = sha256(owner, program, mint, new Uint8Array([bump]), constant(associatedProgram), 'ProgramDerivedAddress');
    if (!isPoint(derived)) return derived;
  }
  return bad('to', 'it has no associated token account');
}

import { secp256k1 } from '@noble/curves/secp256k1.js';
import { amount, bad, count, flag, known, type Amount, type Count } from './build.js';
import { bitcoinPrefixes, parseAddress } from './bitcoinaddress.js';
import { Malformed, Scripts, compact, concat, encodeTx, isSegwit, kindOf, le32, le64, readSigned, sized, txidText, type OwnKind, type Tx, type TxIn, type TxOut } from './bitcoinscript.js';
import { base64 } from './canon.js';
import { maxOwn, ofGlobal, ofInput, ofOutput } from './psbt.js';

/** An output that is spent: one of the wallet's, of any of its four types of
 * address. */
export interface BitcoinInput {
  /** The whole transaction that the output is of: lower-case hex. */
  readonly transaction: string;
  /** Of the output. */
  readonly index: Count;
}

export interface BitcoinRecipient {
  readonly address: string;
  /** Satoshi. */
  readonly amount: Amount;
}

export interface BitcoinPaymentOptions {
  readonly network: string;
  /** The wallet's of secp256k1, compressed: lower-case hex of 33 bytes. */
  readonly publicKey: string;
  /** All are spent: which ones to give is the caller's choice. */
  readonly inputs: readonly BitcoinInput[];
  readonly recipients: readonly BitcoinRecipient[];
  /** Any of the wallet's own addresses. */
  readonly changeAddress: string;
  /** Satoshi per virtual byte, from 0.1, below which nodes don't relay, to
   * 1000, above which the TEE refuses. Thousandths count. */
  readonly feeRate: number;
  /** A payment with a higher fee may replace it until it is mined (BIP-125). */
  readonly replaceable?: boolean;
}

/** A payment that was built. */
export interface BitcoinPSBT {
  /** PSBT of version 2 in base64, as signTransaction takes it. */
  readonly transaction: string;
  /** Satoshi. */
  readonly fee: bigint;
  /** Satoshi that come back; 0 is no change output. */
  readonly change: bigint;
  /** Virtual bytes, with the largest signatures. */
  readonly vsize: bigint;
}

const maxMoney = 21_000_000n * 100_000_000n;
const maxPSBT = 40 << 10;
// The caps on fees that the TEE has: in satoshi, per virtual byte, and above
// which it is less than a tenth of what goes in.
const maxFee = 10_000_000n, maxRate = 1000n, largeFee = 1_000_000n;

interface Coin {
  readonly point: TxIn;
  readonly out: TxOut;
  readonly kind: OwnKind;
  readonly previous: Uint8Array;
}

/** Spends all inputs. They and the outputs stand in the order of BIP-69, and
 * what is left goes to the change address, or to the fee where it would be
 * dust. */
export function bitcoinPayment(o: BitcoinPaymentOptions): BitcoinPSBT {
  known(o, ['network', 'publicKey', 'inputs', 'recipients', 'changeAddress', 'feeRate', 'replaceable']);
  if (typeof o.network !== 'string' || !Object.hasOwn(bitcoinPrefixes, o.network)) bad('network', "it is none of Bitcoin's");
  const w = walletOf(o.publicKey), coins = coinsOf(o, w), outs = outputs(o), change = parseAddress(o.network, o.changeAddress);
  if (!change || !w.owns(change)) bad('changeAddress', "it isn't an address of the wallet's on the network");
  if (typeof o.feeRate !== 'number' || !(o.feeRate >= 0.1 && o.feeRate <= 1000)) bad('feeRate', "it isn't from 0.1 to 1000 sat/vB");
  const ins = coins.map((c) => c.point);
  const settled = settle({ version: 2, ins, outs, locktime: 0 }, coins, change, BigInt(Math.round(o.feeRate * 1000)));
  settled.tx.outs.sort((a, b) => (a.value === b.value ? Buffer.compare(a.script, b.script) : a.value < b.value ? -1 : 1));
  const raw = encode(settled.tx, coins, w);
  if (raw.length > maxPSBT) bad('inputs', `the PSBT would have ${raw.length} bytes, at most ${maxPSBT} are signed; spend fewer outputs, or those of smaller transactions`);
  return { transaction: base64(raw), fee: settled.fee, change: settled.change, vsize: settled.vsize };
}

function bytes(option: string, v: string): Uint8Array {
  if (typeof v !== 'string' || !/^([0-9a-f]{2})*$/.test(v)) bad(option, 'not lower-case hex');
  return new Uint8Array(Buffer.from(v, 'hex'));
}

function walletOf(publicKey: string): Scripts {
  const b = bytes('publicKey', publicKey);
  if (b.length !== 33 || (b[0] !== 2 && b[0] !== 3)) bad('publicKey', 'it is no compressed public key');
  try {
    return new Scripts(b);
  } catch {
    return bad('publicKey', "it isn't a point of secp256k1");
  }
}

/** The inputs, in the order of BIP-69: by the transaction's hash as it is
 * shown, and by the output's index. */
function coinsOf(o: BitcoinPaymentOptions, w: Scripts): Coin[] {
  if (!Array.isArray(o.inputs) || o.inputs.length === 0) bad('inputs', 'there are none');
  const sequence = flag('replaceable', o.replaceable) ? 0xfffffffd : 0xffffffff, seen = new Set<string>();
  const all = o.inputs.map((v: BitcoinInput, i): { coin: Coin; id: string } => {
    const option = `inputs[${i}]`;
    known(v, ['transaction', 'index']);
    const previous = bytes(option, v.transaction), vout = Number(count(option, v.index, 32)), { id, outs } = transaction(option, previous), out = outs[vout] ?? bad(option, `the transaction has no output ${vout}`);
    const kind = w.owns(out.script) ?? bad(option, `output ${vout} isn't the wallet's`), name = txidText(id);
    if (out.value > maxMoney) bad(option, `output ${vout} has more than there is`);
    if (seen.has(`${name}:${vout}`)) bad(option, `output ${vout} stands twice`);
    if (i === maxOwn) bad(option, `there are over ${maxOwn}`);
    seen.add(`${name}:${vout}`);
    return { id: name, coin: { point: { txid: id, vout, sequence }, out, kind, previous } };
  });
  return all.sort((a, b) => (a.id === b.id ? a.coin.point.vout - b.coin.point.vout : a.id < b.id ? -1 : 1)).map(({ coin }) => coin);
}

function transaction(option: string, b: Uint8Array): { id: Uint8Array; outs: TxOut[] } {
  try {
    return readSigned(b);
  } catch (e) {
    if (e instanceof Malformed) bad(option, `not a transaction of the chain: ${e.message}`);
    throw e;
  }
}

function outputs(o: BitcoinPaymentOptions): TxOut[] {
  if (!Array.isArray(o.recipients) || o.recipients.length === 0) bad('recipients', 'there are none');
  return o.recipients.map((r: BitcoinRecipient, i) => {
    const option = `recipients[${i}]`;
    known(r, ['address', 'amount']);
    const script = parseAddress(o.network, r.address) ?? bad(option, `not an address of ${o.network}`), value = amount(option, r.amount, 64), kind = kindOf(script);
    if (kind === 'other' || kind === 'witness') bad(option, 'nobody knows yet who can spend what such an address gets');
    if (kind === 'p2tr' && !isXOnly(script.subarray(2))) bad(option, 'nobody can spend what such an address gets: its Taproot key is no point');
    if (value > maxMoney) bad(option, 'it is more than there is');
    if (isDust({ value, script })) bad(option, `${value} sat are dust: nodes don't relay what costs more to spend than it has`);
    return { value, script };
  });
}

/** Whether the bytes are the x coordinate of a point (BIP-340). */
function isXOnly(x: Uint8Array): boolean {
  try {
    secp256k1.Point.fromBytes(concat(new Uint8Array([2]), x));
    return true;
  } catch {
    return false;
  }
}

/** Whether Bitcoin Core would call it dust at its default rate (3 sat/vB). */
function isDust({ value, script }: TxOut): boolean {
  const spending = isSegwit(kindOf(script)) ? 67 : 148;
  return value < 3n * BigInt(8 + sized(script).length + spending);
}

/** The virtual size with the largest signatures, as the TEE estimates it. */
function vsizeOf(tx: Tx, coins: readonly Coin[]): bigint {
  const base: Readonly<Record<OwnKind, number>> = { p2wpkh: 0, p2tr: 0, p2pkh: 107, p2sh: 23 }, witness: Readonly<Record<OwnKind, number>> = { p2wpkh: 108, p2tr: 66, p2pkh: 0, p2sh: 108 };
  const sum = (of: Readonly<Record<OwnKind, number>>): number => coins.reduce((n, c) => n + of[c.kind], 0), signed = sum(witness);
  return BigInt(Math.floor((4 * (encodeTx(tx).length + sum(base)) + signed + (signed > 0 ? 2 : 0) + 3) / 4));
}

interface Settled {
  readonly tx: Tx & { readonly outs: TxOut[] };
  readonly fee: bigint;
  readonly change: bigint;
  readonly vsize: bigint;
}

/** Determines fee and change. */
function settle(tx: Tx & { readonly outs: TxOut[] }, coins: readonly Coin[], script: Uint8Array, milliRate: bigint): Settled {
  const sum = (list: readonly TxOut[]): bigint => list.reduce((n, v) => n + v.value, 0n), paid = sum(tx.outs), given = sum(coins.map((c) => c.out));
  if (paid > maxMoney || given > maxMoney) bad('inputs', 'they, or the payments, have more than there is');
  const feeOf = (vsize: bigint): bigint => (milliRate * vsize + 999n) / 1000n;
  const changed = (value: bigint): Settled['tx'] => ({ ...tx, outs: [...tx.outs, { value, script }] });
  let vsize = vsizeOf(changed(0n), coins), fee = feeOf(vsize), change = given - paid - fee;
  const returned = change >= 0n && !isDust({ value: change, script });
  if (!returned) {
    vsize = vsizeOf(tx, coins);
    if (given - paid < feeOf(vsize)) bad('inputs', `they have ${given} sat, the payments ${paid} and the fee ${feeOf(vsize)}`);
    [fee, change] = [given - paid, 0n];
  }
  if (fee > maxFee || fee > maxRate * vsize || (fee > largeFee && fee > given / 10n)) bad('feeRate', `the fee would be ${fee} sat for ${vsize} vbytes, which the TEE refuses`);
  return { tx: returned ? changed(change) : { ...tx, outs: [...tx.outs] }, fee, change, vsize };
}

/** The PSBT (BIP-370), each map in the order of its keys. */
function encode(tx: Tx, coins: readonly Coin[], w: Scripts): Uint8Array {
  const field = (kind: number, value: Uint8Array): Uint8Array => concat(new Uint8Array([1, kind]), sized(value)), end = new Uint8Array([0]);
  const inputs = coins.map((c) => concat(
    field(ofInput.previous, c.previous), ...(c.kind === 'p2sh' ? [field(ofInput.redeemScript, w.p2wpkh)] : []), field(ofInput.txid, c.point.txid), field(ofInput.vout, le32(c.point.vout)),
    field(ofInput.sequence, le32(c.point.sequence)), ...(c.kind === 'p2tr' ? [field(ofInput.tapKey, w.publicKey.subarray(1))] : []), end));
  const outs = tx.outs.map((v) => concat(field(ofOutput.amount, le64(v.value)), field(ofOutput.script, v.script), end));
  return concat(Buffer.from('psbt\xff', 'latin1'), field(ofGlobal.txVersion, le32(tx.version)), field(ofGlobal.inputs, compact(tx.ins.length)), field(ofGlobal.outputs, compact(tx.outs.length)), field(ofGlobal.version, le32(2)), end, ...inputs, ...outs);
}

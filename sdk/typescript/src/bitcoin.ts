import { schnorr } from '@noble/curves/secp256k1.js';
import { FormatError, base64, equal, hex, unbase64 } from './canon.js';
import { Cursor, Malformed, Scripts, compact, concat, encodeBody, encodeTx, le32, sha256d, sighash, sized, tagged, txidText, type OwnKind, type Tx } from './bitcoinscript.js';
import { SigilConfigError } from './errors.js';
import { verifySecp256k1 } from './keys.js';
import type { Message, Prepared, SignedTransaction } from './networks.js';
import { PSBT, ofInput, type Spend } from './psbt.js';

const maxPSBT = 40 << 10;

const isTaproot = (s: { kind: OwnKind }): boolean => s.kind === 'p2tr';

/** Verifies one raw signature: r, s and recovery id, or BIP-340's. */
function verifies(w: Scripts, kind: OwnKind, digest: Uint8Array, raw: Uint8Array): boolean {
  if (kind !== 'p2tr') return verifySecp256k1(w.publicKey, digest, raw);
  try {
    return raw.length === 64 && schnorr.verify(raw, digest, w.outputKey);
  } catch {
    return false;
  }
}

/** Strict base64; undefined if it isn't that. */
function raw64(text: string): Uint8Array | undefined {
  try {
    return unbase64(text);
  } catch (e) {
    if (e instanceof FormatError) return undefined;
    throw e;
  }
}

/** Cuts the raw signatures of a transaction apart. */
function split(text: string, own: readonly Spend[]): Uint8Array[] | undefined {
  const raw = raw64(text), sizes = own.map((s) => (isTaproot(s) ? 64 : 65));
  if (!raw || raw.length !== sizes.reduce((a, b) => a + b, 0)) return undefined;
  const c = new Cursor(raw);
  return sizes.map((n) => c.take(n));
}

/** Reads a PSBT in base64, and makes what the wallet's key signs of it: a
 * digest for each of its inputs. What it pays, and whether for too high a fee,
 * the TEE decides. */
export function prepareBitcoin(_network: string, text: string, publicKey: Uint8Array): Prepared {
  const b = raw64(text);
  if (!b || b.length > maxPSBT) throw new SigilConfigError('transaction_invalid', `not a PSBT in base64, or one over ${maxPSBT} bytes`);
  const w = new Scripts(publicKey);
  try {
    const p = new PSBT(b), { prev, own } = p.prevouts(w);
    const digests = own.map((s) => sighash(p.tx, prev, s.index, s.kind, s.type, w.hash));
    return {
      signBytes: concat(...digests),
      decoded: { kind: 'transaction', preimage: encodeTx(p.tx) },
      verify: (key, signature) => equal(key, publicKey) && (split(signature, own)?.every((raw, i) => verifies(w, own[i]!.kind, digests[i]!, raw)) ?? false),
      assemble: (signature) => assemble(p, w, own, split(signature, own)!),
    };
  } catch (e) {
    throw e instanceof Malformed ? new SigilConfigError('transaction_invalid', `not a PSBT that is signed: ${e.message}`) : e;
  }
}

/** DER of r and s, and the hash type (BIP-66). */
function der(raw: Uint8Array, type: number): Uint8Array {
  const integers = [raw.subarray(0, 32), raw.subarray(32, 64)].map((half) => {
    const v = half.subarray(Math.min(31, half.findIndex((c) => c !== 0) >>> 0));
    return concat(new Uint8Array([2, v.length + (v[0]! >> 7), ...(v[0]! >> 7 ? [0] : [])]), v);
  });
  return concat(new Uint8Array([0x30, integers[0]!.length + integers[1]!.length]), ...integers, new Uint8Array([type]));
}

/** What makes an input valid; either may be empty. */
interface Unlock {
  readonly script: Uint8Array;
  readonly witness: Uint8Array;
}

const nothing = new Uint8Array();

/** The final form of one of the wallet's own inputs, and the signature in it. */
function unlock(w: Scripts, s: { kind: OwnKind; type: number }, raw: Uint8Array): Unlock & { signature: Uint8Array } {
  if (isTaproot(s)) {
    const signature = s.type === 0 ? raw : concat(raw, new Uint8Array([s.type]));
    return { signature, script: nothing, witness: concat(new Uint8Array([1]), sized(signature)) };
  }
  const signature = der(raw, s.type), pair = concat(sized(signature), sized(w.publicKey)); // pushed by their length
  if (s.kind === 'p2pkh') return { signature, script: pair, witness: nothing };
  return { signature, script: s.kind === 'p2sh' ? sized(w.p2wpkh) : nothing, witness: concat(new Uint8Array([2]), pair) };
}

/** Puts signatures into the PSBT; where every other input is final, makes the
 * transaction as well. */
function assemble(p: PSBT, w: Scripts, own: readonly Spend[], signatures: readonly Uint8Array[]): SignedTransaction {
  const unlocks = p.inputs.map((m): Unlock => ({ script: m.get(ofInput.finalScript) ?? nothing, witness: m.get(ofInput.finalWitness) ?? nothing }));
  const added = new Map(own.map((s, i) => {
    const { signature, ...u } = unlock(w, s, signatures[i]!);
    unlocks[s.index] = u;
    return [s.index, { key: isTaproot(s) ? new Uint8Array([ofInput.tapKeySig]) : concat(new Uint8Array([ofInput.partialSig]), w.publicKey), value: signature }];
  }));
  const psbt = base64(p.encode(added));
  if (unlocks.some((u) => u.script.length + u.witness.length === 0)) return { text: psbt, psbt }; // another's signature is missing
  const script = (i: number): Uint8Array => unlocks[i]!.script, bare = encodeTx(p.tx, script);
  const witnesses = unlocks.map((u) => (u.witness.length > 0 ? u.witness : new Uint8Array([0])));
  const text = unlocks.every((u) => u.witness.length === 0) ? bare // marker and flag of BIP-144 otherwise
    : concat(le32(p.tx.version), new Uint8Array([0, 1]), encodeBody(p.tx, script), ...witnesses, le32(p.tx.locktime));
  return { text: hex(text), id: txidText(sha256d(bare)), psbt };
}

/** First bytes of BIP-137's signatures for recovery id 0. */
const headers: ReadonlyMap<string, number> = new Map([['bip137-p2pkh', 31], ['bip137-p2sh-p2wpkh', 35], ['bip137-p2wpkh', 39]]);
const kinds: ReadonlyMap<string, { kind: OwnKind; type: number }> = new Map([['bip322-p2wpkh', { kind: 'p2wpkh', type: 1 }], ['bip322-p2tr', { kind: 'p2tr', type: 0 }]]);

/** The format of a message; P2WPKH by BIP-322 is the usual one. */
export function bitcoinFormat(m: Message): string {
  return m.message_format ?? 'bip322-p2wpkh';
}

/** Makes what is signed of a message: "simple" signatures of BIP-322, or those
 * of BIP-137. */
export function prepareBitcoinMessage(network: string, publicKey: Uint8Array, m: Message, bytes: Uint8Array): Pick<Prepared, 'signBytes' | 'verify'> {
  const format = bitcoinFormat(m), header = headers.get(format), own = kinds.get(format);
  if (header !== undefined) {
    const signBytes = sha256d(Buffer.from('\x18Bitcoin Signed Message:\n', 'latin1'), compact(bytes.length), bytes);
    return { signBytes, verify: (key, text) => {
      const raw = raw64(text);
      return raw?.length === 65 && raw[0]! >= header && verifySecp256k1(key, signBytes, concat(raw.subarray(1), new Uint8Array([raw[0]! - header])));
    } };
  }
  if (!own) throw new SigilConfigError('unsupported_format', `${network} doesn't sign messages by ${JSON.stringify(format)}`);
  const w = new Scripts(publicKey), script = w[own.kind], signBytes = sighash(toSign(bytes, script), [{ value: 0n, script }], 0, own.kind, own.type, w.hash);
  return { signBytes, verify: (key, text) => equal(key, publicKey) && rawOf(text, own.kind).some((raw) => verifies(w, own.kind, signBytes, raw) && base64(unlock(w, own, raw).witness) === text) };
}

/** BIP-322's to_sign: it spends the output of to_spend, which pays nothing to
 * the script and names the message by its hash. */
export function toSign(message: Uint8Array, script: Uint8Array): Tx {
  const hash = concat(new Uint8Array([0, 32]), tagged('BIP0322-signed-message', message));
  const toSpend: Tx = { version: 0, locktime: 0, ins: [{ txid: new Uint8Array(32), vout: 0xffffffff, sequence: 0 }], outs: [{ value: 0n, script }] };
  return { version: 0, locktime: 0, ins: [{ txid: sha256d(encodeTx(toSpend, () => hash)), vout: 0, sequence: 0 }], outs: [{ value: 0n, script: new Uint8Array([0x6a]) }] };
}

/** Raw signatures that a witness may have; whether it is the one encoding of
 * one, its own encoding says. */
function rawOf(text: string, kind: OwnKind): Uint8Array[] {
  const c = new Cursor(raw64(text) ?? nothing);
  try {
    c.take(1);
    const signature = c.bytes();
    if (kind === 'p2tr') return [signature];
    const d = new Cursor(signature);
    d.take(2);
    const halves = [0, 1].map(() => {
      d.take(1);
      const v = d.bytes().subarray(-32);
      return concat(new Uint8Array(32 - v.length), v);
    });
    return [0, 1].map((id) => concat(...halves, new Uint8Array([id])));
  } catch (e) {
    if (e instanceof Malformed) return [];
    throw e;
  }
}

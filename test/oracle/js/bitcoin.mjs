// PSBTs whose inputs are the wallet's, by the four scripts of its
// key, and others': whole ones, and such as people and attackers get wrong. The
// digests are what each library's own signing hashes for the wallet's inputs,
// one after another; it takes a PSBT where it signs all of these.
import { schnorr, secp256k1 } from '@noble/curves/secp256k1.js';
import { ripemd160 } from '@noble/hashes/legacy.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { Transaction as Scure } from '@scure/btc-signer';
import { RawPSBTV2 } from '@scure/btc-signer/psbt.js';
import { initEccLib, Psbt, Transaction } from 'bitcoinjs-lib';
import { attempt } from './random.mjs';

const { Point } = secp256k1, order = Point.Fn.ORDER;
const points = new Map(); // few come often, and a square root takes long
function isXOnlyPoint(b) {
  const hex = Buffer.from(b).toString('hex');
  if (!points.has(hex)) points.set(hex, attempt(() => schnorr.utils.lift_x(BigInt(`0x${hex}`))) !== null);
  return points.get(hex);
}
initEccLib({
  isXOnlyPoint,
  xOnlyPointAddTweak: (x, tweak) => {
    const p = schnorr.utils.lift_x(BigInt(`0x${Buffer.from(x).toString('hex')}`)), t = BigInt(`0x${Buffer.from(tweak).toString('hex')}`);
    const q = t === 0n ? p : p.add(Point.BASE.multiply(t % order));
    return q.is0() ? null : { parity: q.toAffine().y % 2n === 1n ? 1 : 0, xOnlyPubkey: q.toBytes(true).subarray(1) };
  },
});

// The wallet's private key is 1: of no secret, and its public key is the base
// point, which the Go side has too.
const key = Buffer.alloc(32);
key[31] = 1;
const pub = Buffer.from(secp256k1.getPublicKey(key)), x = pub.subarray(1);
const cat = (...parts) => Buffer.concat(parts.map((p) => (typeof p === 'string' ? Buffer.from(p, 'hex') : Buffer.from(p))));
const hash160 = (b) => Buffer.from(ripemd160(sha256(b))), sha256d = (b) => Buffer.from(sha256(sha256(b)));
const tweaked = (() => { // BIP-341, no script tree
  const tag = sha256(Buffer.from('TapTweak')), t = BigInt(`0x${Buffer.from(sha256(cat(tag, tag, x))).toString('hex')}`);
  return Buffer.from(schnorr.utils.lift_x(BigInt(`0x${x.toString('hex')}`)).add(Point.BASE.multiply(t % order)).toBytes(true)).subarray(1);
})();
const p2wpkh = (hash) => cat('0014', hash), p2sh = (hash) => cat('a914', hash, '87'), p2pkh = (hash) => cat('76a914', hash, '88ac'), p2tr = (k) => cat('5120', k);
const redeem = p2wpkh(hash160(pub));
const scripts = { p2wpkh: redeem, p2tr: p2tr(tweaked), p2pkh: p2pkh(hash160(pub)), p2sh: p2sh(hash160(redeem)) };
const own = new Set(Object.values(scripts).map((s) => s.toString('hex')));

const u32 = (v) => { const b = Buffer.alloc(4); b.writeUInt32LE(v >>> 0); return b; };
const u64 = (v) => { const b = Buffer.alloc(8); b.writeBigUInt64LE(BigInt.asUintN(64, v)); return b; };
const compact = (n) => (n < 0xfd ? Buffer.from([n]) : cat('fd', u32(n).subarray(0, 2)));
const sized = (b) => cat(compact(b.length), b);
const output = (o) => cat(u64(o.value), sized(o.script));
const field = (type, value, data = '') => cat(sized(cat(Buffer.from([type]), data)), sized(value));

const others = Array.from({ length: 8 }, (_, i) => Buffer.from(secp256k1.getPublicKey(cat('01'.repeat(31), Buffer.from([i])))).subarray(1));

function foreign(r) {
  const h = Buffer.from(r.hex(20), 'hex');
  return r.pick([p2wpkh(h), p2sh(h), p2pkh(h), p2tr(r.pick(others)), cat('0020', r.hex(32))]);
}

/** A transaction of the chain that has the output, with or without witnesses. */
function previous(r, out) {
  const outs = Array.from({ length: 1 + r.below(3) }, () => ({ value: r.big(30), script: foreign(r) })), vout = r.below(outs.length), witness = r.chance(50);
  outs[vout] = out;
  const script = witness ? '' : `02${r.hex(2)}`, head = u32(1 + r.below(2)), tail = u32(r.chance(80) ? 0 : r.big(32) % 500_000_000n === 0n ? 0 : r.below(800_000));
  const body = cat('01', r.hex(32), u32(r.below(4)), sized(cat(script)), 'ffffffff', compact(outs.length), ...outs.map(output));
  return { id: sha256d(cat(head, body, tail)), vout, raw: witness ? cat(head, '0001', body, '01', sized(cat(r.hex(1 + r.below(70)))), tail) : cat(head, body, tail) };
}

function input(r, odd, mine) {
  const kind = mine ? r.pick(['p2wpkh', 'p2tr', 'p2wpkh', 'p2tr', 'p2pkh', 'p2sh']) : '', out = { value: 10_000n + r.big(r.pick([20, 30, 40])), script: mine ? scripts[kind] : foreign(r) };
  const prev = previous(r, out), map = [], shown = r.chance(odd) ? { ...out, value: out.value + 1n } : out;
  const segwit = out.script[0] === 0 || out.script[0] === 0x51 || kind === 'p2sh';
  const legacy = !segwit || r.chance(odd ? 90 : 100) || kind !== 'p2tr';
  if (legacy && !r.chance(odd)) map.push(field(0x00, r.chance(odd) ? previous(r, out).raw : prev.raw));
  if (segwit && (r.chance(50) || map.length === 0) || r.chance(odd)) map.push(field(0x01, output(shown)));
  const hashType = r.chance(odd) ? r.pick([0, 1, 2, 3, 0x81, 0x83, 0x80, 4, 257]) : r.chance(30) ? (kind === 'p2tr' ? r.below(2) : 1) : -1;
  if (hashType >= 0) map.push(field(0x03, u32(hashType)));
  if (kind === 'p2sh' ? !r.chance(odd) : r.chance(odd)) map.push(field(0x04, r.chance(odd) ? p2wpkh(cat(r.hex(20))) : redeem));
  if (r.chance(20)) map.push(field(0x06, cat(r.hex(4), u32(0x80000054), u32(0)), pub));
  if (kind === 'p2tr' || r.chance(odd)) map.push(field(0x17, r.chance(odd) ? cat(r.hex(32)) : x));
  if (r.chance(odd)) map.push(field(0x18, cat(r.hex(32))));
  const sequence = r.pick([0xffffffff, 0xfffffffe, 0xfffffffd, 0, r.below(1 << 23)]);
  return { value: out.value, outpoint: cat(prev.id, u32(prev.vout)), sequence, map };
}

/** A transaction and what stands beside its parts. */
function payment(r, odd) {
  const count = r.pick([1, 1, 1, 2, 3]), mine = r.chance(odd) ? -1 : r.below(count);
  const inputs = Array.from({ length: count }, (_, i) => input(r, odd, i === mine || r.chance(60)));
  if (count > 1 && r.chance(odd)) inputs[1].outpoint = inputs[0].outpoint;
  const total = inputs.reduce((n, i) => n + i.value, 0n), outputs = [];
  let left = total - BigInt(r.chance(odd) ? r.below(1 << 30) : r.below(5000));
  for (let n = 1 + r.below(3); n > 0; n--) {
    const value = n === 1 || left <= 0n ? left : r.big(40) % (left + 1n), map = r.chance(20) ? [field(0x02, cat(r.hex(4), u32(0)), pub)] : [];
    outputs.push({ value, map, script: r.chance(odd) ? cat(r.hex(r.below(40))) : r.chance(10) ? cat('6a', sized(cat(r.hex(r.below(60))))) : r.chance(30) ? scripts[r.pick(Object.keys(scripts))] : foreign(r) });
    left -= value;
  }
  return { version: r.chance(odd) ? r.pick([0, 3, 4, 0xffffffff]) : 1 + r.below(2), lock: r.chance(60) ? 0 : r.below(800_000), inputs, outputs };
}

const psbt = (globals, ...maps) => cat('70736274ff', ...[globals, ...maps].map((m) => cat(...m, '00')));

function version0(t, script = () => '00') {
  const tx = cat(u32(t.version), compact(t.inputs.length), ...t.inputs.map((i) => cat(i.outpoint, script(), u32(i.sequence))), compact(t.outputs.length), ...t.outputs.map(output), u32(t.lock));
  return psbt([field(0x00, tx)], ...t.inputs.map((i) => i.map), ...t.outputs.map((o) => o.map));
}

/** The same of version 2 (BIP-370), whose inputs may need lock times: t gets the one that follows. */
function version2(r, odd, t) {
  const fallback = r.chance(50) ? t.lock : -1, heights = [], times = [];
  const inputs = t.inputs.map((i) => {
    const map = [...i.map, field(0x0e, i.outpoint.subarray(0, 32)), field(0x0f, i.outpoint.subarray(32))], needs = r.pick(['', '', '', 'time', 'height', 'both']);
    if (i.sequence !== 0xffffffff || r.chance(50)) map.push(field(0x10, u32(i.sequence)));
    const time = 500_000_000 + r.below(1 << 30), height = 1 + r.below(900_000);
    if (needs === 'time' || needs === 'both') map.push(field(0x11, u32(r.chance(odd) ? 499_999_999 : time)));
    if (needs === 'height' || needs === 'both') map.push(field(0x12, u32(r.chance(odd) ? r.pick([0, 500_000_000]) : height)));
    if (needs) heights.push(needs === 'time' ? NaN : height);
    if (needs) times.push(needs === 'height' ? NaN : time);
    return map;
  });
  t.lock = heights.length === 0 ? Math.max(fallback, 0) : Math.max(...heights) || Math.max(...times);
  const globals = [field(0x02, u32(t.version)), ...(fallback >= 0 ? [field(0x03, u32(fallback))] : []), field(0x04, compact(inputs.length + (r.chance(odd) ? 1 : 0))), field(0x05, compact(t.outputs.length))];
  if (r.chance(odd ? 30 : 10)) globals.push(field(0x06, Buffer.from([r.chance(odd) ? r.below(8) : 0])));
  if (!r.chance(odd)) globals.push(field(0xfb, u32(2)));
  return psbt(globals, ...inputs, ...t.outputs.map((o) => [...o.map, field(0x03, u64(o.value)), field(0x04, o.script)]));
}

function mutate(r, b) {
  const at = r.below(b.length);
  switch (r.below(4)) {
    case 0: b[at] ^= 1 << r.below(8); return b;
    case 1: return b.subarray(0, at);
    case 2: return cat(b, r.hex(1 + r.below(3)));
    default: return cat(b.subarray(0, at), r.hex(r.below(3)), b.subarray(at + 1));
  }
}

/** A PSBT with the fields of each map in one order: it may have them in any. */
function ordered(raw) {
  let at = 5;
  const number = () => {
    const n = raw[at++];
    if (n < 0xfd) return n;
    const size = n === 0xfd ? 2 : 4;
    at += size;
    return raw.readUIntLE(at - size, size);
  };
  const skip = () => { const n = number(); at += n; return n; }, out = [];
  for (let map = []; at < raw.length;) {
    const from = at;
    if (skip() > 0) {
      skip();
      map.push(raw.toString('hex', from, at));
    } else {
      out.push(...map.sort(), '|');
      map = [];
    }
  }
  return out.join();
}

const refuse = (why) => { throw new Error(why); };
const joined = (digests) => (digests.length > 0 ? `0x${cat(...digests).toString('hex')}` : refuse('nothing of the wallet'));
const isTaproot = (script) => script.equals(scripts.p2tr);

function byBitcoinJS(raw) {
  const p = Psbt.fromBuffer(raw, { maximumFeeRate: 1e9 }), digests = [];
  if (ordered(Buffer.from(p.toBuffer())) !== ordered(raw)) refuse(p.data.inputs.some((i) => i.porCommitment !== undefined) ? 'a commitment that is no text' : 'not the same again');
  p.data.inputs.forEach((in_, i) => {
    const prev = in_.witnessUtxo ?? Transaction.fromBuffer(in_.nonWitnessUtxo ?? refuse('no output')).outs[p.txInputs[i].index] ?? refuse('no output'), script = Buffer.from(prev.script);
    if (!own.has(script.toString('hex'))) return;
    const capture = (d) => { digests.push(Buffer.from(d)); return new Uint8Array(64).fill(1); };
    if (isTaproot(script) && !in_.tapInternalKey) refuse('no internal key');
    if (isTaproot(script)) p.signInput(i, { publicKey: cat('02', tweaked), signSchnorr: capture }, [0, 1]);
    else p.signInput(i, { publicKey: pub, sign: capture }, [1]);
  });
  return joined(digests);
}

const hashed = new Error('after all checks, before the signature, which takes long');

function byScure(raw, again = true) {
  const t = Scure.fromPSBT(raw, { allowUnknownOutputs: true, allowUnknownInputs: true, unknown: 'ignore' }), digests = [];
  if (again && ordered(Buffer.from(t.toPSBT())) !== ordered(raw)) refuse('not the same again');
  for (const name of ['preimageLegacy', 'preimageWitnessV0', 'preimageWitnessV1']) {
    t[name] = (...args) => { digests.push(Buffer.from(Scure.prototype[name].apply(t, args))); throw hashed; };
  }
  for (let i = 0; i < t.inputsLength; i++) {
    const in_ = t.getInput(i), prev = in_.witnessUtxo ?? in_.nonWitnessUtxo?.outputs[in_.index] ?? refuse('no output'), script = Buffer.from(prev.script);
    if (!own.has(script.toString('hex'))) continue;
    if (isTaproot(script) && !in_.tapInternalKey) refuse('no internal key');
    try {
      t.signIdx(key, i, isTaproot(script) ? [0, 1] : [1]);
    } catch (e) {
      if (e !== hashed) throw e;
    }
  }
  return joined(digests);
}

/** A library's digests, or why it has none. */
function told(f, raw) {
  try {
    return [f(raw), ''];
  } catch (e) {
    return [null, String(e?.message ?? e).slice(0, 200)];
  }
}

const result = (raw, [a, why_a], [b, why_b]) => ({ chain: 'bitcoin', transaction: raw.toString('base64'), a, b, why_a, why_b });

export function bitcoin(r) {
  const odd = r.chance(50) ? 0 : r.pick([1, 3, 10]);
  let raw = version0(payment(r, odd), () => (r.chance(odd) && r.chance(20) ? '0151' : '00'));
  if (r.chance(20)) raw = mutate(r, raw);
  return result(raw, told(byBitcoinJS, raw), told(byScure, raw));
}

/**
 * Version 2. bitcoinjs-lib doesn't read it, and is given the same transaction in
 * version 0; @scure/btc-signer doesn't write it as it was.
 */
export function bitcoin2(r) {
  const odd = r.chance(50) ? 0 : r.pick([1, 3, 10]), t = payment(r, odd), raw = version2(r, odd, t);
  return result(raw, told(() => (Number.isNaN(t.lock) ? refuse('no lock time') : byBitcoinJS(version0(t)))), told((b) => {
    RawPSBTV2.decode(b); // for its error: the other names that of version 0
    return byScure(b, false);
  }, raw));
}

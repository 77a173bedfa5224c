// Bitcoin: the files that the workload's tests read, what it makes of PSBTs,
// and a service that signs others.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { schnorr, secp256k1 } from '@noble/curves/secp256k1.js';
import { toSign } from '../dist/bitcoin.js';
import { Cursor, Malformed, Scripts, encodeTx, kindOf, readUnsigned, sha256d, sighash, tagged, txidText, whole } from '../dist/bitcoinscript.js';
import { hex, sha256 } from '../dist/canon.js';
import { SigilConfigError } from '../dist/index.js';
import { family, messageBytes } from '../dist/networks.js';
import { PSBT } from '../dist/psbt.js';
import { client, refused, start } from './support/start.mjs';

const read = (name) => JSON.parse(readFileSync(new URL(`../../../internal/chain/bitcoin/testdata/${name}.json`, import.meta.url), 'utf8'));
const unhex = (s) => Buffer.from(s, 'hex');
const recorded = read('signed'), signed = recorded.filter((e) => !e.refused);
const prepare = (text, publicKey) => family('bitcoin').transaction('bitcoin', text, publicKey);
const publicKey = unhex(recorded[0].public_key);
const no = (run, name) => assert.throws(run, (e) => e instanceof SigilConfigError && e.code === 'transaction_invalid', name);

test('PSBTs are signed and put together as the workload does', () => {
  for (const e of signed) {
    const p = prepare(e.psbt, unhex(e.public_key));
    assert.equal(hex(p.signBytes), e.sign_bytes, e.name);
    assert.equal(hex(sha256(p.decoded.preimage)), e.unsigned, e.name);
    assert.ok(p.verify(publicKey, e.signature), e.name);
    const psbt = e.signed_psbt;
    assert.deepEqual(p.assemble(e.signature), { text: e.signed_transaction, ...(e.transaction_hash ? { id: e.transaction_hash } : {}), psbt }, e.name);
    no(() => prepare(psbt, publicKey), `${e.name}: signed twice`);
    no(() => prepare(e.psbt, secp256k1.getPublicKey(Buffer.alloc(32, 7))), `${e.name}: a stranger signs`);
  }
  assert.ok(signed.length >= 25);
});

// Whether amounts, fees and outputs are fit to be signed, the TEE decides.
const itsDecision = /sat|more than there is|spends what another|no outputs|anyone could|version 1, 2 or 3|have no address/;

test('PSBTs that are refused', () => {
  let ran = 0;
  for (const e of recorded.filter((v) => v.refused && !itsDecision.test(v.refused))) {
    no(() => prepare(e.psbt, unhex(e.public_key)), e.name);
    ran++;
  }
  assert.ok(ran > 30, ran);
  const good = Buffer.from(signed[0].psbt, 'base64');
  for (let i = 0; i < good.length; i++) no(() => prepare(good.subarray(0, i).toString('base64'), publicKey), `${i} bytes`);
  for (const text of ['', 'x', `${signed[0].psbt}\n`, good.toString('hex'), Buffer.concat([good, Buffer.alloc(1)]).toString('base64'), Buffer.alloc((40 << 10) + 1).toString('base64')]) no(() => prepare(text, publicKey), text.slice(0, 20));
});

test('any byte may be another', () => {
  for (const e of signed.filter((_, i) => i % 3 === 0)) {
    const b = Buffer.from(e.psbt, 'base64');
    for (let i = 0; i < b.length; i++) {
      const other = Buffer.from(b);
      other[i] ^= 1 + (i % 255);
      try {
        prepare(other.toString('base64'), publicKey);
        assert.deepEqual(Buffer.from(new PSBT(other).encode(new Map())), other); // what is read is all there is
      } catch (x) {
        assert.ok(x instanceof SigilConfigError, `${e.name} ${i}: ${x.stack}`);
      }
    }
  }
});

test('signatures that are of something else', () => {
  const all = signed.find((e) => e.name.startsWith('all kinds')), p = prepare(all.psbt, publicKey), raw = Buffer.from(all.signature, 'base64');
  assert.equal(raw.length, 3 * 65 + 64);
  for (let i = 0; i < raw.length; i++) {
    const other = Buffer.from(raw);
    other[i] ^= 1;
    assert.ok(!p.verify(publicKey, other.toString('base64')), `byte ${i}`);
  }
  for (const text of ['', raw.subarray(1).toString('base64'), Buffer.concat([raw, raw]).toString('base64'), raw.toString('hex'), `${all.signature} `, Buffer.concat([raw.subarray(65), raw.subarray(0, 65)]).toString('base64')]) assert.ok(!p.verify(publicKey, text), text.slice(0, 20));
  assert.ok(!p.verify(secp256k1.getPublicKey(Buffer.alloc(32, 7)), all.signature));
});

test("the proposals' cases of PSBTs", () => {
  const w = new Scripts(secp256k1.getPublicKey(Buffer.alloc(32, 7)));
  const ran = {};
  for (const e of read('psbts')) {
    const name = `${e.bip} ${e.case}`, b = Buffer.from(e.psbt, 'base64');
    ran[e.expect] = (ran[e.expect] ?? 0) + 1;
    if (e.expect === 'invalid') assert.throws(() => new PSBT(b), Malformed, name);
    else if (e.expect === 'signer') assert.throws(() => new PSBT(b).prevouts(w), /script|witness_utxo/, name);
    else {
      const p = new PSBT(b);
      assert.deepEqual(Buffer.from(p.encode(new Map())), b, name);
      if (e.locktime !== undefined && e.locktime !== null) assert.equal(p.tx.locktime, e.locktime, name);
    }
  }
  assert.equal(Object.values(ran).reduce((x, y) => x + y), 99);
});

test('published transactions', () => {
  for (const e of read('transactions')) {
    const t = whole(unhex(e.unsigned_tx_hex), readUnsigned), prev = e.inputs.map((i) => ({ value: BigInt(i.amount ?? 0), script: unhex(i.script_pubkey) }));
    assert.equal(hex(encodeTx(t)), e.unsigned_tx_hex, e.id);
    for (const i of e.inputs) {
      const w = new Scripts(secp256k1.getPublicKey(unhex(i.private_key_hex))), kind = w.owns(prev[i.index].script);
      assert.equal(hex(sighash(t, prev, i.index, kind, i.sighash_type, w.hash)), i.sighash, `${e.id} ${i.index}`);
    }
  }
  for (const e of read('bip-0341').keyPathSpending) {
    const t = whole(unhex(e.given.rawUnsignedTx), readUnsigned), prev = e.given.utxosSpent.map((u) => ({ value: BigInt(u.amountSats), script: unhex(u.scriptPubKey) }));
    const plain = e.inputSpending.filter((i) => i.given.hashType <= 1);
    for (const i of plain) assert.equal(hex(sighash(t, prev, i.given.txinIndex, 'p2tr', i.given.hashType, Buffer.alloc(20))), i.intermediary.sigHash);
    assert.ok(plain.length >= 2);
  }
});

test('addresses', () => {
  const list = read('addresses');
  for (const e of list) assert.equal(family(e.network).address(secp256k1.getPublicKey(unhex(e.private_key_hex))), e.address);
  assert.ok(list.length > 1);
  const key = secp256k1.getPublicKey(Buffer.alloc(32, 1));
  assert.deepEqual(['bitcoin-testnet4', 'bitcoin-signet', 'bitcoin-regtest'].map((n) => family(n).address(key).split('1')[0]), ['tb', 'tb', 'bcrt']);
  assert.deepEqual(['51024e73', '0014'.padEnd(44, '0'), '6002abcd', '00', '', '0002abcd', '6a'].map((s) => kindOf(unhex(s))), ['witness', 'p2wpkh', 'witness', 'other', 'other', 'other', 'other']);
});

/** The private key in a text of the wallet import format. */
function fromWIF(text) {
  let n = 0n;
  for (const c of text) n = n * 58n + BigInt('123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'.indexOf(c));
  return unhex(n.toString(16).padStart(76, '0')).subarray(1, 33);
}

test('messages by BIP-322', () => {
  const files = ['bip-0322-basic', 'bip-0322-generated'].map(read), own = [];
  let verified = 0, bad = 0;
  for (const e of files.flatMap((f) => f.simple)) {
    if (e.type !== 'p2wpkh' && e.type !== 'p2tr') continue;
    const key = secp256k1.getPublicKey(fromWIF(e.private_keys[0])), m = { message: e.message, message_format: `bip322-${e.type}` };
    own.push([e.address, key, m.message_format]);
    const p = family('bitcoin').prepare('bitcoin', key, m, messageBytes(m));
    for (const text of e.bip322_signatures.map((s) => s.replace(/^smp/, ''))) {
      assert.ok(p.verify(key, text), `${e.message}: ${text}`);
      for (const other of [`smp${text}`, text.slice(4), text.replace(/.(?==*$)/, (c) => (c === 'A' ? 'B' : 'A')), '']) assert.ok(!p.verify(key, other), other);
      const b = Buffer.from(text, 'base64');
      for (let i = 0; i < b.length; i++) assert.ok(!p.verify(key, Buffer.from(b.map((c, at) => (at === i ? c ^ 1 : c))).toString('base64')), `byte ${i}`);
      verified++;
    }
  }
  for (const e of files.flatMap((f) => f.error)) {
    for (const [, key, message_format] of own.filter(([address]) => address === e.address)) {
      const m = { message: e.message ?? '', message_format }, p = family('bitcoin').prepare('bitcoin', key, m, messageBytes(m));
      for (const text of [e.signature, e.signature?.replace(/^smp/, '')]) if (typeof text === 'string') assert.ok(!p.verify(key, text), e.description);
      bad++;
    }
  }
  assert.ok(verified === 7 && bad >= 5, `${verified} good, ${bad} bad`);
  for (const e of files[0].tx_hashes) {
    const w = own.find(([address]) => address === e.address);
    if (!w) continue;
    const t = toSign(Buffer.from(e.message), new Scripts(w[1])[w[2].slice(7)]);
    assert.deepEqual([txidText(t.ins[0].txid), txidText(sha256d(encodeTx(t))), hex(tagged('BIP0322-signed-message', Buffer.from(e.message)))], [e.to_spend_tx_hash, e.to_sign_tx_hash, e.message_hash]);
  }
});

test('messages by BIP-137, and in no other format', () => {
  for (const [format, header] of [['bip137-p2pkh', 31], ['bip137-p2sh-p2wpkh', 35], ['bip137-p2wpkh', 39]]) {
    for (let i = 1; i < 12; i++) {
      const secret = Buffer.alloc(32, i), key = secp256k1.getPublicKey(secret), m = { message: 'long '.repeat(60 * (i % 2)) + i, message_format: format };
      const p = family('bitcoin').prepare('bitcoin', key, m, messageBytes(m)), raw = secp256k1.sign(p.signBytes, secret, { prehash: false, format: 'recovered' });
      const text = (h) => Buffer.from([h, ...raw.slice(1)]).toString('base64');
      assert.ok(p.verify(key, text(header + raw[0])));
      for (const h of [0, header - 4 + raw[0], header + 2 + raw[0], header + (1 - raw[0]), 255]) assert.ok(!p.verify(key, text(h)), `header ${h}`);
    }
  }
  const empty = family('bitcoin').prepare('bitcoin', publicKey, { message: '', message_format: 'bip137-p2pkh' }, new Uint8Array());
  assert.equal(hex(empty.signBytes), '80e795d4a4caadd7047af389d9f7f220562feb6196032e2131e10563352c4bcc');
  for (const m of [{ message_format: 'bip322' }, { message_format: 'solana-offchain-v0' }, { message_format: 'constructor' }, { application_domain: '1' }, { required_signatories: ['1'] }, { content_format: 'ascii' }]) {
    assert.throws(() => family('bitcoin').prepare('bitcoin', publicKey, { message: 'x', ...m }, Buffer.from('x')), { name: 'SigilConfigError' }, JSON.stringify(m));
  }
  assert.throws(() => new Cursor(Buffer.from([0xfd, 1, 0])).compact(), Malformed);
});

test('a PSBT is signed, and lies about it are found', async (t) => {
  const s = await start(t), sigil = client(s), w = new Scripts(unhex(s.wallet.publicKeys.secp256k1));
  const psbt = (amount) => {
    const le = (n, size) => { const b = Buffer.alloc(8); b.writeBigUInt64LE(BigInt(n)); return b.subarray(0, size); };
    const tx = Buffer.concat([le(2, 4), Buffer.from([1]), Buffer.alloc(32, 3), le(0, 4), Buffer.from([0]), le(0xffffffff, 4), Buffer.from([1]), le(amount, 8), Buffer.from([22, 0, 20]), Buffer.alloc(20, 7), le(0, 4)]);
    return Buffer.concat([Buffer.from('psbt\xff\x01\x00', 'latin1'), Buffer.from([tx.length]), tx, Buffer.from([0, 1, 1, 43]), le(60000, 8), Buffer.from([34]), w.p2tr, Buffer.from([0, 0])]).toString('base64');
  };
  const order = (amount) => ({ walletId: s.wallet.id, network: 'bitcoin-regtest', transaction: psbt(amount) });
  const other = await sigil.signTransaction(order(1000)), r = await sigil.signTransaction(order(59000));
  assert.match(r.signedTransaction, /^02000000000101/);
  assert.match(r.transactionHash, /^[0-9a-f]{64}$/);
  assert.ok(r.signedPsbt.startsWith('cHNidP8B') && r.intent.kind === 'transaction');
  for (const [name, attack, code, field] of [
    ['another transaction', { body: (b) => { b.transaction = psbt(1000); } }, 'signature_mismatch'],
    ['another signature', { signed: (x) => { x.signature = other.signature; } }, 'signature_mismatch'],
    ['another signed transaction', { signed: (x) => { x.signed_transaction = other.signedTransaction; } }, 'response_mismatch', 'signed_transaction'],
    ['another name', { signed: (x) => { x.transaction_hash = other.transactionHash; } }, 'response_mismatch', 'transaction_hash'],
    ['another PSBT', { signed: (x) => { x.signed_psbt = other.signedPsbt; } }, 'response_mismatch', 'signed_psbt'],
    ['no PSBT', { signed: (x) => { delete x.signed_psbt; } }, 'response_mismatch', 'signed_psbt'],
    ['another intent', { signed: (x) => { x.intent = other.intent; } }, 'response_mismatch', 'intent'],
    ['an intent that pays more', { signed: (x) => { x.intent.effects.actions[0].amount = '2'; } }, 'receipt_mismatch', 'intent_digest'],
    ['another network', { body: (b) => { b.network = 'bitcoin'; } }, 'response_mismatch', 'network'],
  ]) {
    s.attack = attack;
    await refused(sigil.signTransaction(order(59000)), code, field, name);
  }
  s.attack = {};
  await sigil.signTransaction(order(59000)); // the canary
  const m = await sigil.sign({ walletId: s.wallet.id, network: 'bitcoin', message: 'hello', messageFormat: 'bip322-p2tr' });
  assert.match(m.signature, /^AU[A-D]/);
  assert.ok(schnorr.verify(Buffer.from(m.signature, 'base64').subarray(2), family('bitcoin').prepare('bitcoin', w.publicKey, { message: 'hello', message_format: 'bip322-p2tr' }, Buffer.from('hello')).signBytes, w.outputKey));
  await assert.rejects(sigil.sign({ walletId: s.wallet.id, network: 'bitcoin', message: 'hello', messageFormat: 'eip191' }), SigilConfigError);
});

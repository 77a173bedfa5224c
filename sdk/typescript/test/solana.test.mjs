// Solana transactions: the files that the workload's tests read.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ed25519 } from '@noble/curves/ed25519.js';
import { decodeBase58, encodeBase58 } from '../dist/base58.js';
import { hex, sha256 } from '../dist/canon.js';
import { SigilConfigError } from '../dist/index.js';
import { openIntent } from '../dist/intent.js';
import { family } from '../dist/networks.js';
import { SolanaMessage } from '../dist/solana.js';
import { client, refused, start } from './support/start.mjs';

const read = (name) => JSON.parse(readFileSync(new URL(`../../../internal/chain/solana/testdata/${name}.json`, import.meta.url), 'utf8'));
const published = read('transactions'), described = read('effects'), recorded = read('instructions');
const prepare = (text, publicKey) => family('solana').transaction('solana', text, publicKey);
const unhex = (s) => Buffer.from(s, 'hex');
const own = Buffer.from('me'.padEnd(32, '.')); // who signs what is recorded

/** The message in a transaction, by trying. */
function messageOf(b) {
  try {
    return [b, new SolanaMessage(b)];
  } catch {
    return [b.subarray(1 + 64 * b[0]), new SolanaMessage(b.subarray(1 + 64 * b[0]))];
  }
}

test('published transactions are signed by each of their keys', () => {
  for (const e of published) {
    const unsigned = Buffer.from(e.unsigned_tx_base64, 'base64'), signed = Buffer.from(e.signed_tx, 'base64');
    for (let i = 0; i < unsigned[0]; i++) { // those whose keys weren't published
      if (!e.signatures.some((s) => s.index === i)) signed.copy(unsigned, 1 + 64 * i, 1 + 64 * i, 65 + 64 * i);
    }
    let text = unsigned.toString('base64');
    for (const s of e.signatures) {
      const key = unhex(s.private_key_hex), p = prepare(text, ed25519.getPublicKey(key));
      assert.equal(hex(p.signBytes), e.sign_bytes_hex, e.id);
      const out = p.assemble(encodeBase58(ed25519.sign(p.signBytes, key)));
      text = out.text;
      const first = Buffer.from(text, 'base64').subarray(1, 65);
      assert.equal(out.id, first.some((b) => b !== 0) ? encodeBase58(first) : undefined, e.id);
      assert.throws(() => prepare(text, ed25519.getPublicKey(key)), SigilConfigError, `${e.id}: signed twice`);
    }
    assert.equal(text, e.signed_tx, e.id);
  }
  assert.ok(published.length > 50);
});

test('messages are read as the workload reads them', () => {
  for (const e of [...described, ...recorded]) {
    if (e.refused) continue; // where that is for what instructions say, it is left to the workload
    const [b, m] = messageOf(Buffer.from(e.transaction, 'base64'));
    const p = prepare(e.transaction, e.intent_digest ? own : Buffer.from(decodeBase58(m.keys[0], 32)));
    assert.deepEqual([p.signBytes, p.decoded.preimage].map(hex), [hex(b), hex(b)], e.name);
    // The digest of the workload's intent is that of this very JSON.
    const intent = { kind: 'transaction', network: 'solana', format: m.version < 0 ? 'solana-legacy' : 'solana-v0', length: b.length, sha256: hex(sha256(b)), effects: e.effects };
    if (e.intent_digest) assert.equal(hex(openIntent(p, 'solana', { intent }).digest), e.intent_digest, e.name);
  }
  assert.ok(recorded.length > 150);
});

test('any other bytes are no transaction', () => {
  const no = (b, key, name) => assert.throws(() => prepare(b.toString('base64'), key), (x) => x instanceof SigilConfigError && x.code === 'transaction_invalid', name);
  for (const e of published.filter((_, i) => i % 4 === 0)) {
    const b = Buffer.from(e.unsigned_tx_base64, 'base64'), key = ed25519.getPublicKey(unhex(e.private_key_hex));
    for (let i = 0; i < b.length; i++) no(b.subarray(0, i), key, `${e.id}: ${i} bytes`);
    no(Buffer.concat([b, Buffer.from([0])]), key, e.id);
    no(b, own, `${e.id}: a stranger signs`);
  }
  const b = Buffer.from(recorded[0].transaction, 'base64');
  const loose = Buffer.concat([b.subarray(0, 3), Buffer.from([b[3] | 0x80, 0]), b.subarray(4)]), twice = Buffer.from(b);
  b.copy(twice, 36, 4, 36);
  no(loose, own, 'a loose length');
  no(twice, own, 'an account twice');
  const header = (...h) => Buffer.concat([Buffer.from(h), b.subarray(h.length)]);
  for (const h of [[0], [0x81, ...b.subarray(0, 3)], [b[0], b[0]], [b[0], 0, b[3]], [b[3] + 1]]) no(header(...h), own, `header ${h}`);
  for (const text of ['', 'x', '0x02', recorded[0].transaction.replace(/=*$/, '==='), `${recorded[0].transaction}\n`]) assert.throws(() => prepare(text, own), SigilConfigError, text);
});

test('a Solana transaction is signed, and lies about it are found', async (t) => {
  const s = await start(t), sigil = client(s), key = Buffer.from(decodeBase58(s.wallet.addresses.solana, 32));
  const message = (amount) => Buffer.concat([Buffer.from([2, 0, 1, 4]), Buffer.alloc(32, 5), key, Buffer.alloc(32, 7), Buffer.alloc(32), Buffer.alloc(32, 9), Buffer.from([1, 3, 2, 1, 2, 12, 2, 0, 0, 0, amount, 0, 0, 0, 0, 0, 0, 0])]);
  const order = (amount) => ({ walletId: s.wallet.id, network: 'solana', transaction: message(amount).toString('base64') });
  const r = await sigil.signTransaction(order(100));
  const want = Buffer.concat([Buffer.from([2]), Buffer.alloc(64), Buffer.from(decodeBase58(r.signature, 64)), message(100)]);
  assert.equal(r.signedTransaction, want.toString('base64'));
  assert.ok(!('transactionHash' in r));
  for (const [name, attack, code, field] of [
    ['another transaction', { body: (b) => { b.transaction = message(200).toString('base64'); } }, 'signature_mismatch'],
    ['a name', { signed: (x) => { x.transaction_hash = r.signature; } }, 'response_mismatch', 'transaction_hash'],
    ['another intent', { leaf: (l) => { l.intentDigest = Buffer.alloc(32, 1); } }, 'receipt_mismatch', 'intent_digest'],
  ]) {
    s.attack = attack;
    await refused(sigil.signTransaction(order(100)), code, field, name);
  }
  s.attack = {};
  assert.equal((await sigil.signTransaction(order(100))).signature, r.signature); // the canary
});

// EVM transactions: the same file that the workload's tests read, and a service
// that signs others or says something else of them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { hex } from '../dist/canon.js';
import { SigilConfigError, SigilPolicyError } from '../dist/index.js';
import { family, networkSlugs } from '../dist/networks.js';
import { ask, client, refused, start } from './support/start.mjs';

const entries = JSON.parse(readFileSync(new URL('../../../internal/chain/evm/testdata/transactions.json', import.meta.url), 'utf8'));
const slugs = { 1: 'ethereum', 10: 'optimism', 56: 'bsc', 137: 'polygon', 8453: 'base' };
const slugOf = (e) => slugs[e.network.slice(4)];
const unhex = (s) => Buffer.from(s.replace(/^0x/, ''), 'hex');
const keys = new Map(entries.map((e) => [e.id, secp256k1.getPublicKey(unhex(e.private_key_hex))]));
const prepare = (e, text = e.unsigned_tx, slug = slugOf(e)) => family(slug).transaction(slug, text, keys.get(e.id));

test('published transactions', () => {
  for (const e of entries) {
    const p = prepare(e);
    assert.equal(`0x${hex(p.signBytes)}`, e.sign_hash, e.name);
    assert.equal(hex(p.decoded.preimage), e.unsigned_tx.slice(2), e.name);
    const raw = secp256k1.sign(p.signBytes, unhex(e.private_key_hex), { prehash: false, format: 'recovered' });
    assert.deepEqual(p.assemble(`0x${Buffer.from([...raw.slice(1), 27 + raw[0]]).toString('hex')}`), { text: e.signed_tx, id: e.tx_hash }, e.name);
  }
  assert.ok(entries.length > 40);
});

test('any other bytes are no transaction', () => {
  const no = (e, text, code = 'transaction_invalid', slug) => assert.throws(() => prepare(e, text, slug), (x) => x instanceof SigilConfigError && x.code === code, `${e.name}: ${text}`);
  for (const e of entries) {
    for (let i = 2; i < e.unsigned_tx.length; i += 2) {
      no(e, e.unsigned_tx.slice(0, i));
      assert.throws(() => prepare(e, `${e.unsigned_tx.slice(0, i)}00${e.unsigned_tx.slice(i)}`), SigilConfigError, `${e.name}: zero at ${i}`);
    }
    no(e, `${e.unsigned_tx}00`);
    no(e, e.signed_tx);
    no(e, e.unsigned_tx.slice(2));
    no(e, `${e.unsigned_tx}0`);
    no(e, e.unsigned_tx, 'transaction_other_network', networkSlugs().find((s) => s !== slugOf(e)));
  }
  for (const text of ['', '0x', '0x02', '0x00', '0x05c0', '0xc0', '0x02ff', '0xf8', `0x${'00'.repeat(20000)}`]) no(entries[0], text);
});

const named = (name) => entries.find((e) => e.name === name);
const transfer = named('transfer with an access list'), other = named('transfer'), opaque = named('unknown function');
const order = (s, change = {}) => ({ walletId: s.wallet.id, network: 'base', transaction: transfer.unsigned_tx, ...change });

test('a transaction is signed', async (t) => {
  const s = await start(t), sigil = client(s);
  const r = await sigil.signTransaction(order(s));
  assert.match(r.signedTransaction, /^0x02f8/);
  assert.match(r.transactionHash, /^0x[0-9a-f]{64}$/);
  assert.equal(r.intent.effects.actions[0].kind, 'transfer');
  assert.equal((await sigil.receipts.get(r.receiptId)).method, 'signTransaction');
  const [one, two] = await sigil.signBatch([order(s), ask(s)]);
  assert.equal(one.result.signedTransaction, r.signedTransaction);
  assert.equal(two.result.signedTransaction, undefined);
  assert.ok(!('signedTransaction' in (await sigil.sign(ask(s)))));
  s.deny = 'transaction_opaque';
  await assert.rejects(sigil.signTransaction(order(s, { network: 'ethereum', transaction: opaque.unsigned_tx })), (e) => e instanceof SigilPolicyError && e.code === 'transaction_opaque' && e.receipt.decision === 'deny');
});

test('what is wrong is found before anything is sent', async (t) => {
  const s = await start(t), sigil = client(s);
  await sigil.sign(ask(s));
  const sent = s.requests.length;
  for (const change of [{ transaction: '0x' }, { transaction: undefined }, { transaction: 7 }, { network: 'polygon' }, { network: 'solana' }, { message: 'x' }, { messageFormat: 'x' }, { walletId: 'x' }]) {
    await assert.rejects(sigil.signTransaction(order(s, change)), SigilConfigError, JSON.stringify(change));
  }
  assert.equal(s.requests.length, sent);
});

test('a service that lies about a transaction', async (t) => {
  const s = await start(t), sigil = client(s);
  const stolen = await sigil.signTransaction(order(s, { network: 'ethereum', transaction: other.unsigned_tx }));
  const honest = await sigil.signTransaction(order(s));
  for (const [name, attack, code, field] of [
    ['another transaction', { body: (b) => { b.transaction = other.unsigned_tx; } }, 'signature_mismatch'],
    ['another signature', { signed: (r) => { r.signature = stolen.signature; } }, 'signature_mismatch'],
    ['another signed transaction', { signed: (r) => { r.signed_transaction = stolen.signedTransaction; } }, 'response_mismatch', 'signed_transaction'],
    ['no signed transaction', { signed: (r) => { delete r.signed_transaction; } }, 'response_mismatch', 'signed_transaction'],
    ['another hash', { signed: (r) => { r.transaction_hash = stolen.transactionHash; } }, 'response_mismatch', 'transaction_hash'],
    ['another method', { leaf: (l) => { l.method = 'signMessage'; } }, 'receipt_mismatch', 'method'],
    ['another intent', { leaf: (l) => { l.intentDigest = Buffer.alloc(32, 1); } }, 'receipt_mismatch', 'intent_digest'],
  ]) {
    s.attack = attack;
    await refused(sigil.signTransaction(order(s)), code, field, name);
  }
  s.attack = {};
  assert.equal((await sigil.signTransaction(order(s))).signature, honest.signature); // the canary
});

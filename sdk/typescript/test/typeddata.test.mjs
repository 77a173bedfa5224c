// Documents of EIP-712 and EIP-7702: the same files that the workload's tests
// read, and a service that says something else of them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { hex } from '../dist/canon.js';
import { SigilConfigError, SigilPolicyError } from '../dist/index.js';
import { family, networkSlugs } from '../dist/networks.js';
import { client, refused, start } from './support/start.mjs';

const read = (path) => JSON.parse(readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8'));
const ids = new Map([[1, 'ethereum'], [10, 'optimism'], [137, 'polygon'], [8453, 'base'], [560048, 'hoodi'], [5, undefined]]);

test('documents as three libraries hash them', () => {
  let same = 0, no = 0;
  for (const e of read('internal/typeddata/testdata/documents.json')) {
    const id = Number(e.document.domain?.chainId ?? 1);
    const slug = ids.get(id) ?? networkSlugs().find((s) => s === 'ethereum');
    if (e.digest === undefined) {
      assert.throws(() => family(slug).document(slug, { typed_data: e.document }), SigilConfigError, e.name);
      no++;
    } else if (ids.get(id)) {
      assert.equal(`0x${hex(family(slug).document(slug, { typed_data: e.document }).signBytes)}`, e.digest, e.name);
      same++;
    }
  }
  assert.ok(same > 30 && no > 100, `${same} alike, ${no} refused`);
});

/** A document of nested types, each with so many members of the next one. */
function nested(depth, width) {
  const types = { EIP712Domain: [{ name: 'name', type: 'string' }] };
  for (let i = 0; i < depth; i++) types[`T${i}`] = Array.from({ length: i + 1 < depth ? width : 1 }, (_, m) => ({ name: `m${m}`, type: i + 1 < depth ? `T${i + 1}${width > 1 ? '[]' : ''}` : 'bool' }));
  const message = width > 1 ? Object.fromEntries(types.T0.map((f) => [f.name, []])) : Array.from({ length: depth }).reduce((m) => ({ m0: m }), true);
  return { types, domain: { name: 'x' }, primaryType: 'T0', message };
}

test('documents are bounded, and so is what it takes to read them', () => {
  const hash = (doc) => hex(family('base').document('base', { typed_data: doc }).signBytes);
  const no = (doc, name) => assert.throws(() => hash(doc), (e) => e instanceof SigilConfigError && e.code === 'payload_invalid', name);
  hash(nested(16, 1));
  no(nested(17, 1), 'structs');
  hash(nested(16, 15)); // 15^15 ways from the first type to the last
  no(nested(18, 2), 'types');
  const wide = (n, name = 'm') => ({ ...nested(1, 1), types: { EIP712Domain: [{ name: 'name', type: 'string' }], T0: Array.from({ length: n }, (_, i) => ({ name: `${name}${i}`, type: 'bool' })) }, message: Object.fromEntries(Array.from({ length: n }, (_, i) => [`${name}${i}`, true])) });
  hash(wide(255));
  no(wide(256), 'members');
  hash(wide(1, 'm'.repeat(127)));
  no(wide(1, 'm'.repeat(128)), 'a name');
  for (const [what, change] of [['types', null], ['types', []], ['types', { EIP712Domain: {} }], ['types', { EIP712Domain: [null] }], ['types', { EIP712Domain: [{ name: 1, type: 'string' }] }], ['types', { EIP712Domain: [{ name: 'name', type: {} }] }], ['domain', null], ['message', []], ['primaryType', {}]]) no({ ...nested(1, 1), [what]: change }, `${what} ${JSON.stringify(change)}`);
});

test('authorisations as two libraries hash them', () => {
  for (const e of read('test/vectors/testdata/authorizations.json')) {
    const { chainId, address, nonce } = e.authorization, slug = ids.get(chainId) ?? 'ethereum';
    const make = () => family(slug).document(slug, { authorization: { chain_id: chainId, address, nonce } });
    if (e.expect === 'reject') assert.throws(make, SigilConfigError);
    else assert.equal(`0x${hex(make().signBytes)}`, e.sign_hash, e.id);
  }
});

const mail = (change = {}) => ({
  types: { EIP712Domain: [{ name: 'name', type: 'string' }, { name: 'chainId', type: 'uint256' }], Mail: [{ name: 'text', type: 'string' }] },
  primaryType: 'Mail', domain: { name: 'x', chainId: 8453 }, message: { text: 'hi' }, ...change,
});
const order = (s, change = {}) => ({ walletId: s.wallet.id, network: 'base', typedData: mail(), ...change });

test('a document is signed', async (t) => {
  const s = await start(t), sigil = client(s);
  const r = await sigil.signTypedData(order(s));
  assert.match(r.signature, /^0x[0-9a-f]{128}(1b|1c)$/);
  assert.equal(r.intent.kind, 'typed_data');
  assert.equal((await sigil.receipts.get(r.receiptId)).method, 'signTypedData');
  const a = await sigil.signAuthorization({ walletId: s.wallet.id, network: 'base', authorization: { chain_id: 8453, address: `0x${'ab'.repeat(20)}`, nonce: 1 } });
  assert.equal((await sigil.receipts.get(a.receiptId)).method, 'signAuthorization');
  s.deny = 'transaction_opaque';
  await assert.rejects(sigil.signTypedData(order(s)), (e) => e instanceof SigilPolicyError && e.code === 'transaction_opaque');
});

test('what is wrong is found before anything is sent', async (t) => {
  const s = await start(t), sigil = client(s);
  await sigil.signTypedData(order(s));
  const sent = s.requests.length;
  for (const change of [{ typedData: null }, { typedData: mail({ extra: 1 }) }, { typedData: mail({ message: {} }) }, { typedData: mail({ domain: { name: 'x', chainId: 1 } }) }, { network: 'solana' }, { message: 'x' }, { messageFormat: 'x' }]) {
    await assert.rejects(sigil.signTypedData(order(s, change)), SigilConfigError, JSON.stringify(change));
  }
  assert.equal(s.requests.length, sent);
});

test('a service that lies about a document', async (t) => {
  const s = await start(t), sigil = client(s);
  const stolen = await sigil.signTypedData(order(s, { typedData: mail({ message: { text: 'ho' } }) }));
  const honest = await sigil.signTypedData(order(s));
  for (const [name, attack, code, field] of [
    ['another signature', { signed: (r) => { r.signature = stolen.signature; } }, 'signature_mismatch'],
    ['another intent', { signed: (r) => { r.intent = stolen.intent; } }, 'response_mismatch', 'intent'],
    ['an intent of another network', { signed: (r) => { r.intent.network = 'ethereum'; } }, 'response_mismatch', 'intent'],
    ['an intent that does something else', { signed: (r) => { r.intent.effects.flags = ['x']; } }, 'receipt_mismatch', 'intent_digest'],
    ['another method', { leaf: (l) => { l.method = 'signMessage'; } }, 'receipt_mismatch', 'method'],
    ['another intent in the receipt', { leaf: (l) => { l.intentDigest = Buffer.alloc(32, 1); } }, 'receipt_mismatch', 'intent_digest'],
  ]) {
    s.attack = attack;
    await refused(sigil.signTypedData(order(s)), code, field, name);
  }
  s.attack = {};
  assert.equal((await sigil.signTypedData(order(s))).signature, honest.signature); // the canary
});

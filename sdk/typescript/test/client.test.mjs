// What the client does with an honest service, and with one that is slow,
// refuses or fails.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { SigilApiError, SigilAuthError, SigilConfigError, SigilNetworkError, SigilPolicyError, SigilS2S } from '../dist/index.js';
import { ask, client, message, refused, start } from './support/start.mjs';

const signs = (s) => s.requests.filter(([, path]) => path === '/v1/s2s/sign');

test('the snippet', async (t) => {
  const s = await start(t), before = Date.now();
  const sigil = client(s);
  const r = await sigil.sign({ walletId: s.wallet.id, network: 'base', message });
  assert.match(r.signature, /^0x[0-9a-f]{128}1[bc]$/);
  assert.equal(r.address, s.wallet.addresses.base);
  assert.equal(r.publicKey, s.wallet.publicKeys.secp256k1);
  const v = r.verified;
  assert.equal(v.organizationId, s.organization);
  assert.equal(v.genesisDigest, s.genesis.digest.toString('hex'));
  assert.equal(v.grantDigest, s.grant.digest.toString('hex'));
  assert.equal(v.stateKey, s.state.public.toString('hex'));
  assert.equal(v.batchNumber, 7);
  assert.equal(v.replayed, false);
  assert.equal(JSON.parse(JSON.stringify(r)).verified.stateKey, v.stateKey); // prints as JSON
  assert.ok(v.decidedAt.getTime() >= before - 1);
  assert.equal(v.attested.hardware, 'GCP_AMD_SEV');
  assert.equal(v.attested.imageDigest, s.genesisDocument.tees[0].image_digests[0]);
  // Organisation, certificate and evidence are fetched once.
  const sent = s.requests.length;
  await sigil.sign(ask(s));
  assert.equal(s.requests.length, sent + 1);
  const solana = await sigil.sign(ask(s, { network: 'solana', message: new Uint8Array([0xc3, 0xbc]) }));
  assert.equal(solana.address, s.wallet.addresses.solana);
});

test('many at once share what is fetched once', async (t) => {
  const s = await start(t), sigil = client(s);
  const all = await Promise.all(Array.from({ length: 20 }, (_, i) => sigil.sign(ask(s, { message: `message ${i}` }))));
  assert.equal(new Set(all.map((r) => r.receiptId)).size, 20);
  assert.equal(s.requests.filter(([, path]) => path === '/v1/s2s/credential').length, 1);
});

test('wallets are made, listed and read', async (t) => {
  const s = await start(t), sigil = client(s);
  const made = await sigil.wallets.create({ label: 'payouts' });
  assert.equal(made.label, 'payouts');
  assert.deepEqual(made.addresses, s.wallets.get(made.id).addresses);
  assert.equal(made.verified.organizationId, s.organization);
  assert.deepEqual(await sigil.wallets.get(made.id), { id: made.id, label: 'payouts', addresses: made.addresses, publicKeys: made.publicKeys });
  const list = await sigil.wallets.list();
  assert.deepEqual([list.items.map((w) => w.id), list.total, list.limit, list.offset], [[s.wallet.id, made.id], 2, 50, 0]);
  assert.deepEqual((await sigil.wallets.list({ limit: 1, offset: 1 })).items.map((w) => w.id), [made.id]);
  await sigil.sign(ask(s, { walletId: made.id }));
});

test('receipts and attestation', async (t) => {
  const s = await start(t), sigil = client(s);
  const r = await sigil.sign(ask(s));
  const receipt = await sigil.receipts.get(r.receiptId);
  assert.deepEqual([receipt.id, receipt.kind, receipt.decision, receipt.auth, receipt.walletId, receipt.network, receipt.method, receipt.reason],
    [r.receiptId, 'sign', 'allow', 'signature', s.wallet.id, 'base', 'signMessage', 'allowed']);
  assert.deepEqual(receipt.attested, r.verified.attested);
  assert.equal((await sigil.attestation()).projectId, 'sigil-tee');
  for (const attack of [
    { attested: Buffer.alloc(32, 7) }, { challenge: () => undefined }, { challenge: () => null }, { challenge: (p) => ({ ...p, index: 0 }) },
    { challenge: (p) => ({ ...p, count: 1, index: 0 }) }, { challenge: (p) => ({ ...p, count: 3 }) }, { challenge: (p) => ({ ...p, path: [] }) },
    { challenge: (p) => ({ ...p, path: [...p.path, p.path[0]] }) }, { challenge: (p) => ({ ...p, path: ['AAAA'] }) }, { challenge: (p) => ({ ...p, path: 'x' }) },
    { challenge: (p) => ({ ...p, index: 1.5 }) }, { challenge: (p) => ({ ...p, index: -1 }) }, { challenge: (p) => ({ ...p, count: '2' }) },
  ]) {
    s.attack = attack;
    await refused(sigil.attestation(), 'evidence_invalid', 'challenge');
  }
  s.attack = {};
  s.claims = (x) => { x.dbgstat = 'enabled'; };
  await refused(sigil.attestation(), 'evidence_refused', 'dbgstat', 'debug image', 'debug');
});

test('two admins, two signatures', async (t) => {
  const s = await start(t, { admins: 3, quorum: 2 });
  await client(s).sign(ask(s));
});

test('a quorum that is not met', async (t) => {
  const s = await start(t, { admins: 3, quorum: 2, signers: 1 });
  await refused(client(s).sign(ask(s)), 'genesis_invalid');
});

test('the very same request is sent again', async (t) => {
  const s = await start(t), sigil = client(s);
  await sigil.sign(ask(s));
  s.requests = [];
  s.fail = ['drop', 503, 429, 'answer lost'];
  const r = await sigil.sign(ask(s));
  assert.equal(signs(s).length, 5);
  assert.equal(new Set(signs(s).map((x) => x.join())).size, 1); // id and signature are the same
  assert.equal(r.verified.replayed, false);
  assert.equal(s.answers.size, 2); // two operations in all
});

test('a request that is too old is not sent again', async (t) => {
  const s = await start(t);
  let now = Date.now();
  const sigil = client(s, { now: () => (now += 9_000) - 30_000 });
  s.fail = Array(20).fill(503);
  await assert.rejects(sigil.sign(ask(s)), (e) => e instanceof SigilApiError && e.status === 503 && e.code === 'overloaded');
  assert.ok(s.requests.length < 8, `${s.requests.length} attempts`);
});

test('nobody is there', async (t) => {
  const s = await start(t);
  await s.stop();
  let now = Date.now();
  await assert.rejects(client(s, { now: () => (now += 30_000) }).sign(ask(s)), (e) => e instanceof SigilNetworkError && e.code === 'network');
  s.server = { closeAllConnections() {}, close: (f) => f() };
});

test('redirects are not followed', async (t) => {
  const s = await start(t), other = await start(t);
  s.server.removeAllListeners('request').on('request', (_, res) => res.writeHead(307, { Location: other.url }).end());
  let now = Date.now();
  await assert.rejects(client(s, { now: () => (now += 30_000) }).sign(ask(s)), SigilNetworkError);
  assert.equal(other.requests.length, 0);
});

test('idempotency keys make calls one operation', async (t) => {
  const s = await start(t), sigil = client(s);
  const first = await sigil.sign(ask(s, { idempotencyKey: 'order-7' })), again = await sigil.sign(ask(s, { idempotencyKey: 'order-7' }));
  assert.deepEqual([again.signature, again.receiptId, again.verified.replayed, first.verified.replayed], [first.signature, first.receiptId, true, false]);
  const wallet = await sigil.wallets.create({ label: 'a', idempotencyKey: 'wallet-1' });
  const same = await sigil.wallets.create({ label: 'a', idempotencyKey: 'wallet-1' });
  assert.deepEqual([same.id, same.verified.replayed], [wallet.id, true]);
  // The service answers for another operation: no.
  s.answers.set('order-8', s.answers.get('order-7'));
  await refused(sigil.sign(ask(s, { idempotencyKey: 'order-8' })), 'receipt_mismatch', 'idempotency_digest');
  await refused(sigil.sign(ask(s, { idempotencyKey: 'order-7', message: 'other' })), 'signature_mismatch');
  await refused(sigil.wallets.create({ label: 'b', idempotencyKey: 'wallet-1' }), 'receipt_mismatch', 'payload_digest');
  // Without a key, an earlier request's answer is nobody's.
  s.attack = { reply: (url, d) => (url === '/v1/s2s/sign' ? s.answers.get('order-7') : d) };
  await refused(sigil.sign(ask(s)), 'receipt_mismatch', 'idempotency_digest');
});

test('denials come with their receipt', async (t) => {
  const s = await start(t), sigil = client(s);
  for (const reason of ['policy_network', 'message_is_transaction', 'message_is_digest']) {
    s.deny = reason;
    await assert.rejects(sigil.sign(ask(s)), (e) => {
      assert.ok(e instanceof SigilPolicyError, e.stack);
      assert.deepEqual([e.code, e.status, e.receipt.decision, e.receipt.reason, e.receipt.id, e.name], [reason, 403, 'deny', reason, e.receiptId, 'SigilPolicyError']);
      assert.equal(e.message, `${reason}: refused (HTTP 403)`);
      return true;
    });
  }
  s.deny = 'policy_method';
  await assert.rejects(sigil.wallets.create(), SigilPolicyError);
  const lies = (attack, code, field) => {
    s.attack = attack;
    return refused(sigil.sign(ask(s)), code, field, JSON.stringify(code));
  };
  await lies({ refusal: (e) => { e.code = 'policy_wallet'; } }, 'receipt_mismatch', 'reason');
  await lies({ leaf: (l) => { l.payloadDigest = l.genesis; } }, 'receipt_mismatch', 'payload_digest');
  await lies({ leaf: (l) => { l.intentDigest = l.genesis; } }, 'receipt_mismatch', 'intent_digest');
  await lies({ leaf: (l) => { l.requestId = l.id; } }, 'receipt_mismatch', 'request_id');
  await lies({ refusal: (e) => { e.details.receipt.proof = 'AAAA'; } }, 'receipt_invalid');
  // Without a receipt it is the service's word, and no policy error.
  for (const details of [undefined, null, {}, { explanation: 'x' }, 'x']) {
    s.attack = { refusal: (e) => { e.details = details; } };
    await assert.rejects(sigil.sign(ask(s)), (e) => e.name === 'SigilApiError' && e.status === 403, String(details));
  }
});

test('refusals by the service', async (t) => {
  const s = await start(t), sigil = client(s);
  await assert.rejects(sigil.sign(ask(s, { walletId: '00000000-0000-4000-8000-000000000001' })), (e) => e instanceof SigilApiError && e.code === 'wallet_not_found' && e.status === 404 && /^[0-9a-f-]{36}$/.test(e.requestId));
  s.fail = [401];
  await assert.rejects(sigil.sign(ask(s)), SigilAuthError);
  s.fail = [502];
  s.attack = { text: () => '<html>bad gateway' };
  await assert.rejects(sigil.sign(ask(s)), (e) => e instanceof SigilApiError && e.status === 502);
  s.attack = {};
  await sigil.sign(ask(s));
});

test('a failure is not remembered', async (t) => {
  const s = await start(t), sigil = client(s);
  s.attack = { reply: (url, d) => (url === '/v1/s2s/credential' ? {} : d) };
  await refused(sigil.sign(ask(s)), 'response_invalid');
  const good = s.newEvidence().toString('hex');
  s.attack = { reply: (url, d) => (url.startsWith('/v1/attestation/') ? { evidence: { ...d.evidence, token: 'a.b.c' } } : d), batch: (b) => { b.statement = Buffer.from(good, 'hex'); } };
  await refused(sigil.sign(ask(s)), 'evidence_invalid');
  delete s.attack.reply;
  await sigil.sign(ask(s));
});

test('calls that cannot be made send nothing', async (t) => {
  const s = await start(t), sigil = client(s);
  for (const [change, code] of [
    [{ walletId: 'x' }, 'invalid_argument'], [{ walletId: s.wallet.id.toUpperCase() }, 'invalid_argument'], [{ walletId: undefined }, 'invalid_argument'],
    [{ network: 'dogecoin' }, 'unknown_network'], [{ network: 'constructor' }, 'unknown_network'],
    [{ message: undefined }, 'invalid_argument'], [{ message: 7 }, 'invalid_argument'], [{ message: '\ud800' }, 'invalid_encoding'],
  ]) await assert.rejects(sigil.sign(ask(s, change)), (e) => e instanceof SigilConfigError && e.code === code, JSON.stringify(change));
  for (const call of [() => sigil.wallets.get('../x'), () => sigil.receipts.get(''), () => sigil.wallets.list({ limit: 0 }), () => sigil.wallets.list({ limit: 1.5 }), () => sigil.wallets.list({ offset: 0.5 }), () => sigil.wallets.list({ offset: -1 })]) await assert.rejects(async () => call(), SigilConfigError);
  assert.equal(signs(s).length, 0);
  s.attack = { certificate: (_, w) => s.certify(w, { keys: [{ curve: 1, publicKey: w.secp256k1.publicKey }] }, s.state) };
  await assert.rejects(client(s).sign(ask(s, { network: 'solana' })), (e) => e instanceof SigilConfigError && e.code === 'curve_mismatch');
  s.attack = {};
  await assert.rejects(sigil.sign(ask(s, { messageFormat: 'solana-offchain-v0' })), (e) => e.code === 'unsupported_format');
  for (const idempotencyKey of ['', 'a"b', 'a b', 'a\nb', 'ü', 'x'.repeat(256)]) await assert.rejects(sigil.sign(ask(s, { idempotencyKey })), SigilConfigError);
  assert.equal(signs(s).length, 0);
});

test('secrets and addresses that are none', async (t) => {
  const s = await start(t), make = (o) => () => new SigilS2S({ apiBaseUrl: s.url, secretKey: s.secret, ...o });
  const other = s.secret.at(-1) === 'a' ? 'i' : 'a';
  for (const secretKey of [undefined, s.session, '', 'sk_live_', s.secret.slice(0, -1), s.secret + 'a', s.secret.slice(0, -1) + other, s.secret.replace('sk_', 'as_'), s.secret.toUpperCase(), ` ${s.secret}`]) {
    assert.throws(make({ secretKey }), (e) => e instanceof SigilConfigError && e.code === 'token_invalid' && !inspect(e).includes(s.secret.slice(20, 60)));
  }
  for (const apiBaseUrl of [undefined, '', 'sigil', 'ftp://x', 'http://u:p@x', `${s.url}/v1`, `${s.url}?a`, `${s.url}#a`]) assert.throws(make({ apiBaseUrl }), SigilConfigError);
});

test('the secret is never sent or shown', async (t) => {
  const s = await start(t), sigil = client(s), seen = [];
  const spy = client(s, { fetch: (url, init) => { seen.push(url, JSON.stringify(init)); return fetch(url, init); } });
  await spy.sign(ask(s));
  await spy.wallets.create();
  seen.push(inspect(sigil, { depth: 9, showHidden: true }), JSON.stringify(sigil), String(sigil));
  const part = s.secret.slice(10, 40);
  assert.ok(seen.length > 10 && !seen.some((text) => text.includes(part) || text.includes('sk_live_')));
});

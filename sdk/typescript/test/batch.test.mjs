// Batches: each item is decided, and its answer verified, for itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SigilApiError, SigilConfigError, SigilPolicyError, SigilVerificationError } from '../dist/index.js';
import { itemIdempotency, itemRequestId } from '../dist/receipt.js';
import { sha256 } from '../dist/canon.js';
import { ask, client, start } from './support/start.mjs';

const hex = (b) => Buffer.from(b).toString('hex');

test('ids of items are those of the Go tests', () => {
  const batch = '01ac1f2e-3b4d-7c5e-8f60-718293a4b5c6';
  assert.deepEqual([0, 1, 999].map((i) => itemRequestId(batch, i)), ['01ac1f2e-3b4d-8c7b-b9da-4695fa017a2a', '01ac1f2e-3b4d-809e-b1e8-bf63c1c17706', '01ac1f2e-3b4d-8110-93f9-619a3b318f8b']);
  assert.equal(hex(itemIdempotency(sha256('order-1'), 1)), '6e64343bc6a02e13d73e8c04d1b9ab5b77d558c21b414bf227530c3615f0e185');
});

test('a batch is signed by one request', async (t) => {
  const s = await start(t), sigil = client(s);
  const items = ['a', 'a', new Uint8Array([1, 2])].map((message) => ask(s, { message }));
  for (const options of [undefined, { idempotencyKey: 'order-1' }]) {
    const out = await sigil.signBatch(items, options);
    assert.deepEqual(out.map((o) => o.error), [undefined, undefined, undefined]);
    assert.equal(new Set(out.map((o) => o.result.receiptId)).size, 3);
    assert.equal(out[0].result.address, s.wallet.addresses.base);
  }
  assert.equal(s.requests.filter(([, path]) => path === '/v1/s2s/sign/batch').length, 2);
});

test('a refusal of one item is that item\'s', async (t) => {
  const s = await start(t), sigil = client(s);
  s.attack.reply = (url, data) => {
    if (url.endsWith('/batch')) data.items[1] = { status: 404, data: null, error: { code: 'wallet_not_found', message: 'none' } };
    return data;
  };
  const out = await sigil.signBatch([ask(s), ask(s)]);
  assert.equal(out[0].error, undefined);
  assert.ok(out[1].error instanceof SigilApiError && out[1].error.code === 'wallet_not_found');
  s.attack.reply = undefined;
  s.deny = 'policy_network';
  const denied = await sigil.signBatch([ask(s)]);
  assert.ok(denied[0].error instanceof SigilPolicyError && denied[0].error.receipt.reason === 'policy_network');
  s.deny = 'message_is_digest'; // its receipt names the item's bytes
  assert.equal((await sigil.signBatch([ask(s), ask(s)]))[1].error.constructor, SigilPolicyError);
});

test('answers that were exchanged are found', async (t) => {
  const s = await start(t), sigil = client(s);
  const codes = async (edit, ...messages) => {
    s.attack.reply = (url, data) => { if (url.endsWith('/batch')) edit(data.items); return data; };
    return (await sigil.signBatch(messages.map((message) => ask(s, { message })))).map((o) => o.error?.code ?? 'ok');
  };
  const swap = (l) => { [l[0], l[1]] = [l[1], l[0]]; };
  assert.deepEqual(await codes(() => {}, 'a', 'a'), ['ok', 'ok']); // the canary
  assert.deepEqual(await codes(swap, 'a', 'a'), ['receipt_mismatch', 'receipt_mismatch']);
  assert.deepEqual(await codes(swap, 'a', 'b'), ['signature_mismatch', 'signature_mismatch']);
  assert.deepEqual(await codes((l) => { l[1] = l[0]; }, 'a', 'a'), ['ok', 'receipt_mismatch']);
  await assert.rejects(codes((l) => l.pop(), 'a', 'b'), SigilVerificationError);
});

test('what can\'t be a batch isn\'t sent', async (t) => {
  const s = await start(t), sigil = client(s);
  for (const items of [[], Array.from({ length: 101 }, () => ask(s)), [ask(s, { idempotencyKey: 'x' })]]) await assert.rejects(sigil.signBatch(items), SigilConfigError);
  assert.equal(s.requests.filter(([, path]) => path.endsWith('/batch')).length, 0);
});

test('wallets are labelled and archived', async (t) => {
  const s = await start(t), sigil = client(s);
  assert.equal((await sigil.wallets.label(s.wallet.id, 'treasury')).label, 'treasury');
  await sigil.wallets.archive(s.wallet.id);
  assert.equal(s.wallets.get(s.wallet.id).archived, true);
  await sigil.wallets.archive(s.wallet.id, false);
  assert.equal(s.wallets.get(s.wallet.id).archived, false);
});

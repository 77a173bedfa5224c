// Intents: what the TEE decoded comes with the answer, and is believed by its
// digest in the receipt, of the very bytes that were asked for.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { decodeBase58 } from '../dist/base58.js';
import { SigilPolicyError } from '../dist/index.js';
import { sha256 } from './support/records.mjs';
import { ask, client, refused, start } from './support/start.mjs';

const read = (path) => JSON.parse(readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8'));
const transactions = read('internal/chain/evm/testdata/transactions.json');
const evm = ['ERC-20 transfer', 'approve'].map((name) => transactions.find((e) => e.name === name).unsigned_tx);
const solana = (s, amount) => Buffer.concat([Buffer.from([2, 0, 1, 4]), Buffer.alloc(32, 5), Buffer.from(decodeBase58(s.wallet.addresses.solana, 32)), Buffer.alloc(32, 7), Buffer.alloc(32), Buffer.alloc(32, 9), Buffer.from([1, 3, 2, 1, 2, 12, 2, 0, 0, 0, amount, 0, 0, 0, 0, 0, 0, 0])]).toString('base64');
const mail = (text) => ({ types: { EIP712Domain: [{ name: 'name', type: 'string' }], Mail: [{ name: 'text', type: 'string' }] }, domain: { name: 'x' }, primaryType: 'Mail', message: { text } });
const operation = (nonce) => ({ sender: `0x${'ac'.repeat(20)}`, nonce, callData: '0x', callGasLimit: '0x1', verificationGasLimit: 2, preVerificationGas: '3', maxFeePerGas: 4n, maxPriorityFeePerGas: '5', factory: null });

/** One call of each kind, with a part that can be varied. */
const calls = {
  'a transaction': (s, i) => ['signTransaction', { network: 'ethereum', transaction: evm[i] }],
  'a Solana transaction': (s, i) => ['signTransaction', { network: 'solana', transaction: solana(s, 1 + i) }],
  'typed data': (s, i) => ['signTypedData', { network: 'base', typedData: mail(`${i}`) }],
  'an authorisation': (s, i) => ['signAuthorization', { network: 'base', authorization: { chainId: 8453n, address: `0x${'ab'.repeat(20)}`, nonce: i } }],
  'a user operation': (s, i) => ['signUserOperation', { network: 'base', entryPoint: '0x0000000071727De22E5E9d8BAf0edAc6f37da032', userOperation: operation(i) }],
};

for (const [what, call] of Object.entries(calls)) {
  test(`lies about the intent of ${what}`, async (t) => {
    const s = await start(t), sigil = client(s);
    const run = (i = 0) => {
      const [method, order] = call(s, i);
      return sigil[method]({ walletId: s.wallet.id, ...order });
    };
    const honest = await run(), other = await run(1);
    assert.equal(honest.intent.effects.actions.length, 1);
    const lie = (change) => ({ signed: (r) => { change(r.intent, r); } });
    for (const [name, attack, code, field] of [
      ['none', lie((_, r) => { delete r.intent; }), 'response_invalid'],
      ['null', lie((_, r) => { r.intent = null; }), 'response_invalid'],
      ['text', lie((_, r) => { r.intent = JSON.stringify(r.intent); }), 'response_invalid'],
      ['a list', lie((_, r) => { r.intent = [r.intent]; }), 'response_invalid'],
      ['other bytes', lie((v) => { v.sha256 = sha256('x').toString('hex'); }), 'response_mismatch', 'intent'],
      ['another length', lie((v) => { v.length++; }), 'response_mismatch', 'intent'],
      ['another kind', lie((v) => { v.kind = 'message'; }), 'response_mismatch', 'intent'],
      ['another network', lie((v) => { v.network = 'polygon'; }), 'response_mismatch', 'intent'],
      ['another format', lie((v) => { v.format = 'x'; }), 'receipt_mismatch', 'intent_digest'],
      ['no effects', lie((v) => { delete v.effects; }), 'response_invalid'],
      ['effects of another shape', lie((v) => { v.effects.actions[0] = 'none'; }), 'response_invalid'],
      ['an amount as a number', lie((v) => { v.effects.actions[0].amount = 1; }), 'response_invalid'],
      ['another recipient', lie((v) => { v.effects.actions[0].to = 'somebody else'; }), 'receipt_mismatch', 'intent_digest'],
      ['an action less', lie((v) => { v.effects.actions.pop(); }), 'receipt_mismatch', 'intent_digest'],
      ['a flag more', lie((v) => { v.effects.flags.push('x'); }), 'receipt_mismatch', 'intent_digest'],
      ['a member more', lie((v) => { v.note = 'x'; }), 'receipt_mismatch', 'intent_digest'],
      ['another order of members', lie((v, r) => { r.intent = { network: v.network, ...v }; }), 'receipt_mismatch', 'intent_digest'],
      ['another digest in the receipt', { leaf: (l) => { l.intentDigest = Buffer.alloc(32, 1); } }, 'receipt_mismatch', 'intent_digest'],
      ['no digest in the receipt', { leaf: (l) => { l.intentDigest = Buffer.alloc(32); } }, 'receipt_mismatch', 'intent_digest'],
    ]) {
      s.attack = attack;
      await refused(run(), code, field, name);
    }
    s.attack = lie((_, r) => { r.intent = other.intent; });
    await refused(run(), 'response_mismatch', 'intent', 'that of another payload');
    s.attack = {};
    assert.deepEqual((await run()).intent, honest.intent); // the canary
  });

  test(`lies about ${what} that is decoded alone`, async (t) => {
    const s = await start(t), sigil = client(s), [method, order] = call(s, 0), ordered = { walletId: s.wallet.id, ...order };
    const honest = await sigil.decode(ordered);
    assert.deepEqual(honest.intent, (await sigil[method](ordered)).intent);
    assert.equal(honest.intentDigest, sha256(JSON.stringify(honest.intent)).toString('hex'));
    for (const [name, change, code, field] of [
      ['other bytes', (r) => { r.intent.sha256 = sha256('x').toString('hex'); }, 'response_mismatch', 'intent'],
      ['another recipient', (r) => { r.intent.effects.actions[0].to = 'somebody else'; }, 'response_mismatch', 'intent_digest'],
      ['another digest', (r) => { r.intent_digest = 'ab'.repeat(32); }, 'response_mismatch', 'intent_digest'],
      ['a flag that the intent has not', (r) => { r.flags.push({ flag: 'x', says: 'x' }); }, 'response_mismatch', 'flags'],
      ['a flag without words', (r) => { r.flags = [{ flag: 'x' }]; }, 'response_invalid', 'flags'],
      ['no summary', (r) => { delete r.summary; }, 'response_invalid', 'summary'],
      ['an acceptance without network', (r) => { r.accept = [{ kind: 'call' }]; }, 'response_invalid', 'accept'],
      ['nothing to accept of what is opaque', (r) => { r.intent.effects.actions[0].kind = 'opaque'; r.intent_digest = sha256(JSON.stringify(r.intent)).toString('hex'); }, 'response_mismatch', 'accept'],
      ['a refusal that is no text', (r) => { r.refused = [1]; }, 'response_invalid', 'refused'],
    ]) {
      s.attack = { reply: (url, d) => {
        if (url !== '/v1/s2s/transactions/decode') return d;
        const lie = structuredClone(d);
        change(lie);
        return lie;
      } };
      await refused(sigil.decode(ordered), code, field, name);
    }
    s.attack = {};
    assert.deepEqual(await sigil.decode(ordered), honest); // the canary
  });

  test(`a denial of ${what} has no intent`, async (t) => {
    const s = await start(t), sigil = client(s), [method, order] = call(s, 0);
    if (order.network === 'solana') return; // the double denies none of those
    s.deny = 'transaction_opaque';
    const run = () => sigil[method]({ walletId: s.wallet.id, ...order });
    await assert.rejects(run(), (e) => e instanceof SigilPolicyError && e.code === 'transaction_opaque');
    s.attack = { leaf: (l) => { l.payloadDigest = Buffer.alloc(32, 1); } };
    await refused(run(), 'receipt_mismatch', 'payload_digest');
  });
}

test('the intent of a message is made here, whatever the reply says', async (t) => {
  const s = await start(t), sigil = client(s);
  s.attack = { reply: (url, d) => (url === '/v1/s2s/sign' ? { ...d, intent: { kind: 'message' } } : d) };
  assert.ok(!('intent' in (await sigil.sign(ask(s)))));
  s.attack = { leaf: (l) => { l.intentDigest = Buffer.alloc(32); } };
  await refused(sigil.sign(ask(s)), 'receipt_mismatch', 'intent_digest');
});

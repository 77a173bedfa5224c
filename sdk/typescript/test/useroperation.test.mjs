// User operations of ERC-4337: the same files that the workload's tests read.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { hex } from '../dist/canon.js';
import { alike, chains } from '../dist/chains.js';
import { SigilConfigError } from '../dist/index.js';
import { family } from '../dist/networks.js';
import { client, refused, start } from './support/start.mjs';

const read = (path) => JSON.parse(readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8'));
const entries = [...read('test/vectors/testdata/useroperations.json'), ...read('internal/chain/evm/testdata/userops.json').map(({ user_operation: { authorization, ...o }, ...e }) => ({ ...e, user_operation: { ...o, ...(authorization ? { eip7702Auth: authorization } : {}) } }))];
const ids = { ...chains, ...alike };
const make = (e, change = {}, scheme) => {
  const slug = Object.keys(ids).find((name) => ids[name] === BigInt(e.chain_id)) ?? assert.fail(`chain id ${e.chain_id}`);
  return family(slug).document(slug, { user_operation: { entry_point: e.entry_point, user_operation: { ...e.user_operation, ...change }, ...(scheme ? { signature_scheme: scheme } : {}) } });
};

test('operations as two libraries hash them', () => {
  for (const e of entries) {
    if (e.id === 'own-userop-another-version') continue; // the SDK names none: the entry point says it
    if (e.expect === 'reject') {
      assert.throws(() => make(e), SigilConfigError, e.id);
      continue;
    }
    assert.equal(`0x${hex(make(e, {}, 'digest').signBytes)}`, e.user_op_hash, e.id);
    const key = secp256k1.getPublicKey(Buffer.from(e.private_key_hex.replace(/^0x/, ''), 'hex'));
    for (const scheme of ['eip191', 'digest']) {
      const signature = e[`owner_signature_${scheme}`];
      if (signature) assert.ok(family('base').verify(key, make(e, {}, scheme).signBytes, signature), `${e.id} ${scheme}`);
    }
    assert.equal(hex(make(e).signBytes), hex(make(e, {}, e.entry_point_version < '0.8' ? 'eip191' : 'digest').signBytes), e.id);
  }
  assert.ok(entries.length >= 40);
});

const version = (v) => entries.find((e) => e.entry_point_version === v);

test('what is no operation of its version', () => {
  const someone = `0x${'ab'.repeat(20)}`;
  const gas = { paymasterVerificationGasLimit: 1, paymasterPostOpGasLimit: 1 };
  const base = ({ user_operation: { paymaster, paymasterData, paymasterVerificationGasLimit, paymasterPostOpGasLimit, factory, factoryData, ...o }, ...e }) => ({ ...e, user_operation: o });
  for (const v of ['0.6', '0.7', '0.8', '0.9']) {
    const e = base(version(v)), young = v !== '0.6';
    make(e); // the canary
    make(e, { signature: '0x1234', nonce: Number(1), factory: null });
    for (const change of [{ gasLimit: 1 }, { sender: undefined }, { sender: '0x' }, { sender: someone.slice(2) }, { sender: someone.replace('ab', 'AB') }, { nonce: -1 }, { nonce: '' }, { nonce: '01' }, { nonce: 2 ** 53 }, { nonce: `0x1${'0'.repeat(64)}` },
      { callData: null }, { callData: '0x1' }, { callData: '00' }, { callGasLimit: `0x1${'0'.repeat(30)}` }, { maxFeePerGas: null }, { signature: 'x' }, { signature: 1 },
      ...(young ? [{ initCode: '0x' }, { paymasterAndData: '0x' }, { factoryData: '0x01' }, { factory: '0x' }, { paymaster: someone }, { paymaster: `0x${'00'.repeat(20)}`, ...gas }, { paymasterData: '0x01' }, { paymasterPostOpGasLimit: 1 }]
        : [{ initCode: undefined }, { initCode: '0x01' }, { paymasterAndData: `0x${'00'.repeat(20)}` }, { factory: someone }, { paymaster: someone, ...gas }]),
      ...(v === '0.9' ? [{ paymaster: someone, ...gas, paymasterData: '0x0022e325a297439656' }, { paymasterSignature: '0x' }] : [{ paymaster: someone, ...gas, paymasterSignature: '0x' }]),
      ...(v < '0.8' ? [{ factory: '0x7702'.padEnd(42, '0') }, { factory: '0x7702', eip7702Auth: { chainId: 1, address: someone } }] : [{ factory: '0x7702' }, { factory: '0x7702', eip7702Auth: { chainId: 3, address: someone } }, { factory: '0x7702', eip7702Auth: { chainId: 1, address: someone, extra: 1 } }]),
      { eip7702Auth: { chainId: 1, address: someone } }]) {
      assert.throws(() => make(e, change), (x) => x instanceof SigilConfigError && x.code === 'payload_invalid', `${v}: ${JSON.stringify(change)}`);
    }
    for (const scheme of ['raw', 'EIP191', 7]) assert.throws(() => make(e, {}, scheme), SigilConfigError);
    assert.throws(() => make({ ...e, entry_point: someone }), SigilConfigError);
  }
  const signed = base(version('0.9')), plain = make(signed, { paymaster: someone, ...gas }), apart = make(signed, { paymaster: someone, ...gas, paymasterSignature: '0x12' });
  assert.notEqual(hex(plain.signBytes), hex(apart.signBytes));
  assert.equal(hex(apart.signBytes), hex(make(signed, { paymaster: someone, ...gas, paymasterSignature: '0x' }).signBytes)); // it isn't hashed
});

test('an operation is signed', async (t) => {
  const s = await start(t), sigil = client(s), e = version('0.7');
  const order = (change) => ({ walletId: s.wallet.id, network: 'ethereum', entryPoint: e.entry_point, userOperation: e.user_operation, ...change });
  const r = await sigil.signUserOperation(order());
  assert.match(r.signature, /^0x[0-9a-f]{128}(1b|1c)$/);
  assert.equal(r.intent.kind, 'user_operation');
  assert.equal((await sigil.receipts.get(r.receiptId)).method, 'signUserOperation');
  const [one] = await sigil.signBatch([order()]);
  assert.equal(one.result.signature, r.signature);
  const light = await sigil.signUserOperation(order({ signatureScheme: 'light-account-v2' }));
  assert.equal(light.signature, `0x00${r.signature.slice(2)}`);
  s.attack = { signed: (x) => { x.signature = r.signature; } };
  await refused(sigil.signUserOperation(order({ signatureScheme: 'light-account-v2' })), 'signature_mismatch');
  s.attack = { signed: (x) => { x.signature = light.signature; } };
  await refused(sigil.signUserOperation(order()), 'signature_mismatch');
  s.attack = {};
  for (const change of [{ entryPoint: undefined }, { userOperation: 1 }, { userOperation: null }, { network: 'solana' }, { transaction: '0x' }, { messageFormat: 'x' }]) await assert.rejects(sigil.signUserOperation(order(change)), SigilConfigError, JSON.stringify(change));
});

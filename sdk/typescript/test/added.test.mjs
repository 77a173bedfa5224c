// EVM networks that an installation adds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SigilConfigError } from '../dist/index.js';
import { client, start } from './support/start.mjs';

const transaction = '0x02ef82053907830f42408405f5e100825208945aaeb6053f3e94c9b9a09f33669435e7ef1beaed872386f26fc1000080c0'; // of chain id 1337

test('a network that the installation adds', async (t) => {
  const s = await start(t), order = { walletId: s.wallet.id, network: 'dev', transaction };
  s.attack = { signed: (r) => { r.address = s.wallet.addresses.ethereum; } };
  const sigil = client(s, { networks: [{ slug: 'dev', chainId: 1337 }] });
  const signed = await sigil.signTransaction(order);
  assert.equal(signed.address, s.wallet.addresses.ethereum);
  assert.equal((await sigil.decode(order)).intent.network, 'dev');
  const refuses = (networks, code, o = order) => assert.rejects(async () => client(s, { networks }).signTransaction(o), (e) => e instanceof SigilConfigError && e.code === code, JSON.stringify([networks, code], (_, v) => String(v)));
  await refuses([], 'unknown_network');
  await refuses([{ slug: 'dev', chainId: 1338n }], 'transaction_other_network');
  await refuses([{ slug: 'dev', chainId: 1337 }], 'transaction_other_network', { ...order, network: 'base' }); // the canary of the presets
});

test('networks that take what is another one\'s', async (t) => {
  const s = await start(t);
  for (const networks of [
    [{ slug: 'base', chainId: 1337 }], [{ slug: 'linea', chainId: 1337 }], [{ slug: 'solana', chainId: 1337 }], [{ slug: 'dev', chainId: 8453 }], [{ slug: 'dev', chainId: 59144n }], [{ slug: 'dev', chainId: 0 }],
    [{ slug: 'dev', chainId: 1.5 }], [{ slug: 'dev', chainId: 2n ** 53n }], [{ slug: 'dev', chainId: '1337' }], [{ slug: 'Dev', chainId: 1337 }], [{ slug: '', chainId: 1337 }], [{ slug: '*', chainId: 1337 }],
    [{ slug: 'dev', chainId: 1337 }, { slug: 'dev', chainId: 1338 }], [{ slug: 'dev', chainId: 1337 }, { slug: 'test', chainId: 1337n }],
  ]) assert.throws(() => client(s, { networks }), SigilConfigError, JSON.stringify(networks, (_, v) => String(v)));
});

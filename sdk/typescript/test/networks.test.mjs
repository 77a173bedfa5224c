// Message encodings and signatures, against what viem, ethers and @solana/kit
// made: the same files that the workload's tests read.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { decodeBase58, encodeBase58 } from '../dist/base58.js';
import { hex } from '../dist/canon.js';
import { RequestKey } from '../dist/keys.js';
import { family, messageBytes, networkSlugs } from '../dist/networks.js';

const unhex = (s) => new Uint8Array(Buffer.from(s.replace(/^0x/, ''), 'hex'));
const read = (name) => JSON.parse(readFileSync(new URL(`../../../internal/chain/${name}`, import.meta.url), 'utf8'));
const publicKey = (slug, secret) => (slug === 'solana' ? new RequestKey(secret).publicKey : secp256k1.getPublicKey(secret));

/** The request that asks for an entry's message. */
function request(e) {
  if (e.kind === 'offchain-message-v0-legacy-header') return { message: e.message, message_format: 'solana-offchain-v0-legacy' };
  if (e.kind === 'offchain-message') {
    const m = e.message, required_signatories = m.requiredSignatories.map((s) => s.address);
    if (m.version === 1) return { message: m.content, message_format: 'solana-offchain-v1', required_signatories };
    return { message: m.content.text, message_format: 'solana-offchain-v0', application_domain: m.applicationDomain, content_format: ['ascii', 'utf8', 'utf8-long'][m.content.format], required_signatories };
  }
  if (e.message !== undefined) return { message: e.message };
  return { message: Buffer.from(e.message_hex.replace(/^0x/, ''), 'hex').toString('base64'), message_encoding: 'base64' };
}

for (const [name, slugs] of [['evm', networkSlugs().filter((s) => s !== 'solana' && !s.startsWith('bitcoin'))], ['solana', ['solana']]]) {
  test(`published messages: ${name}`, () => {
    const ran = {};
    for (const e of read(`${name}/testdata/messages.json`)) {
      if (e.expect !== undefined || e.code !== undefined) continue; // the workload refuses them
      const m = request(e), bytes = messageBytes(m), signature = e.signature_base58 ?? e.signature;
      for (const slug of slugs) {
        const f = family(slug), pub = publicKey(slug, unhex(e.private_key_hex));
        const { signBytes } = f.prepare(slug, pub, m, bytes);
        if (e.sign_hash) assert.equal(`0x${hex(signBytes)}`, e.sign_hash, e.id);
        if (e.sign_bytes_hex) assert.equal(hex(signBytes), e.sign_bytes_hex, e.id);
        assert.equal(f.address(pub), e.address, e.id);
        assert.ok(f.verify(pub, signBytes, signature), e.id);
        assert.ok(!f.verify(pub, new Uint8Array([...signBytes.subarray(0, -1), signBytes.at(-1) ^ 1]), signature), `${e.id}: verifies anything`);
      }
      if (m.content_format !== undefined && e.message.content.format < 2) { // the narrowest is picked by itself
        const { content_format, ...open } = m, narrow = e.message.content.format === 0 || !/^[ -~]*$/.test(m.message);
        if (narrow) assert.equal(hex(family('solana').prepare('solana', publicKey('solana', unhex(e.private_key_hex)), open, bytes).signBytes), e.sign_bytes_hex, content_format);
      }
      ran[e.kind] = (ran[e.kind] ?? 0) + 1;
    }
    assert.ok(Object.values(ran).reduce((a, b) => a + b, 0) >= 25, JSON.stringify(ran));
  });

  test(`published addresses: ${name}`, () => {
    const entries = read(`${name}/testdata/addresses.json`).filter((e) => networkSlugs().includes(e.network));
    for (const e of entries) assert.equal(family(e.network).address(publicKey(e.network, unhex(e.private_key_hex))), e.address, e.network);
    assert.ok(entries.length >= 2);
  });
}

test('messages that cannot be encoded', () => {
  const own = publicKey('solana', new Uint8Array(32).fill(1)), other = encodeBase58(new Uint8Array(32).fill(9)), self = encodeBase58(own);
  const prepare = (m, slug = 'solana') => family(slug).prepare(slug, own, { message: 'x', ...m }, messageBytes({ message: 'x', ...m }));
  prepare({ message_format: 'solana-offchain-v0', required_signatories: [self, other] }); // the canary
  for (const m of [
    { message_format: 'v0' }, { application_domain: self }, { required_signatories: [self] }, { content_format: 'ascii' },
    { message_format: 'solana-offchain-v0', message: '' }, { message_format: 'solana-offchain-v0', message: '/w==', message_encoding: 'base64' },
    { message_format: 'solana-offchain-v0', application_domain: '1' }, { message_format: 'solana-offchain-v0', content_format: 'utf16' },
    { message_format: 'solana-offchain-v0', content_format: 'ascii', message: 'ü' }, { message_format: 'solana-offchain-v0', content_format: 'utf8', message: 'x'.repeat(1200) },
    { message_format: 'solana-offchain-v0', message: 'x'.repeat(65536) }, { message_format: 'solana-offchain-v0', required_signatories: [other] },
    { message_format: 'solana-offchain-v1', required_signatories: [self, self] }, { message_format: 'solana-offchain-v1', required_signatories: [self, '0'] },
    { message_format: 'solana-offchain-v1', application_domain: self }, { message_format: 'solana-offchain-v0-legacy', required_signatories: [self] },
  ]) assert.throws(() => prepare(m), { name: 'SigilConfigError' }, JSON.stringify(m).slice(0, 200));
});

test('base58', () => {
  for (const b of [new Uint8Array(32), new Uint8Array(32).fill(255), new Uint8Array([0, 0, ...new Uint8Array(30).fill(7)])]) assert.deepEqual(decodeBase58(encodeBase58(b), 32), b);
  for (const s of ['', '0'.repeat(32), '1'.repeat(31), '1'.repeat(33), 'z'.repeat(44), ` ${'1'.repeat(32)}`]) assert.equal(decodeBase58(s, 32), undefined, s);
});

// Golden vectors of docs/FORMATS.md: the same files that the Go tests read.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { isFunction } from '../dist/accept.js';
import { Reader, hex, isUUID } from '../dist/canon.js';
import { verifyGenesis, verifyGrant } from '../dist/documents.js';
import { signRequest } from '../dist/httpsig.js';
import { RequestKey, requestSeed } from '../dist/keys.js';
import * as receipt from '../dist/receipt.js';
import { parseToken } from '../dist/token.js';

const folder = new URL('../../../testdata/formats/', import.meta.url);
const text = (b) => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(b);
const unhex = (s) => new Uint8Array(Buffer.from(s, 'hex'));

/** Decoders by format; each throws for an invalid entry and checks fields. */
const decoders = {
  'secret-token': (b, e) => {
    const t = parseToken(text(b));
    if (e.fields) {
      assert.equal(hex(t.pin), e.fields.pin);
      assert.equal(hex(t.key.publicKey), e.fields.public_key);
      assert.equal(t.key.keyId, e.fields.key_id);
    }
  },
  genesis: (b, e) => {
    const g = verifyGenesis(text(b));
    if (e.fields) {
      assert.equal(hex(g.digest), e.fields.digest);
      assert.equal(g.organizationId, e.fields.organization_id);
      assert.equal(g.name, e.fields.name);
    }
  },
  grant: (b, e) => {
    const v = verifyGrant(text(b), verifyGenesis(text(unhex(e.context.genesis))));
    if (e.fields) {
      assert.equal(hex(v.digest), e.fields.digest);
      assert.equal(hex(v.stateKey), e.fields.state_key);
    }
  },
  'request-signature': (b, e) => {
    if (!e.valid) return 'server side'; // the SDK makes these, it reads none
    const f = e.fields;
    const key = new RequestKey(unhex(f.seed));
    const r = signRequest(key, { method: f.method, path: f.path, query: f.query, body: text(unhex(f.body)), created: f.created, id: f.nonce, idempotencyKey: f.idempotency_key || undefined });
    assert.equal(key.keyId, f.key_id);
    assert.equal(hex(r.digest), f.digest);
    const lines = ['Content-Digest', 'Signature-Input', 'Signature'].map((h) => `${h}: ${r.headers[h]}`).join('\n');
    assert.equal(lines, text(b));
  },
  'instance-statement': (b, e) => {
    const s = receipt.decodeStatement(b);
    if (e.fields) {
      assert.equal(hex(s.instanceKey), e.fields.instance_key);
      assert.equal(s.nonce, e.fields.nonce);
    }
  },
  'state-certificate': (b, e) => {
    const s = receipt.decodeStateCertificate(b);
    s.verify(unhex(e.context.instance_key));
    if (e.fields) assert.equal(hex(s.certificate.stateKey), e.fields.state_key);
  },
  'wallet-certificate': (b, e) => {
    const c = receipt.openWalletCertificate(b);
    if (e.fields) for (const k of e.fields.keys) assert.equal(hex(c.keys.get(k.curve)), k.public_key);
  },
  'receipt-leaf': (b, e) => {
    const l = receipt.decodeLeaf(b);
    if (!e.fields) return;
    assert.ok(isUUID(l.id));
    for (const [field, name] of Object.entries({ request_digest: 'requestDigest', payload_digest: 'payloadDigest', output_digest: 'outputDigest', grant: 'grant' })) assert.equal(hex(l[name]), e.fields[field]);
    for (const field of ['id', 'kind', 'decision', 'wallet', 'method', 'network', 'reason', 'release']) assert.equal(l[field], e.fields[field]);
    assert.equal(Number(l.time), e.fields.time);
  },
  batch: (b, e) => {
    const v = receipt.openBatch(b);
    if (e.fields) assert.equal(hex(v.root), e.fields.root);
  },
  receipt: (b) => {
    const r = receipt.decodeReceipt(b);
    const v = receipt.openBatch(r.batch);
    receipt.verifyPath(r.leaf, r.index, v.count, r.path, v.root);
    receipt.decodeLeaf(r.leaf);
  },
  checkpoint: (b, e) => {
    const c = receipt.openCheckpoint(text(b), e.context.origin, unhex(e.context.log_key));
    if (e.fields) assert.equal(hex(c.root), e.fields.root);
  },
};
// Inside the TEE and on its link alone; the SDK has no decoder for them.
const teeOnly = new Set(['share-aad', 'sealed-share', 'link-frame', 'revocation']);
// Auditors read and write these with the Go package or the CLI.
const auditOnly = new Set(['attestation-archive']);

for (const name of readdirSync(folder).filter((n) => n.endsWith('.json'))) {
  const file = JSON.parse(readFileSync(new URL(name, folder), 'utf8'));
  if (teeOnly.has(file.format) || auditOnly.has(file.format)) continue;
  test(`vectors of ${file.format}`, () => {
    for (const e of file.entries) {
      const run = () => decoders[file.format](unhex(e.encoded), e);
      if (e.valid) run();
      else if (file.format !== 'request-signature') assert.throws(run, `${e.name}: accepted`);
    }
  });
}

test('request seed derivation is bound to the token seed', () => {
  assert.notEqual(hex(requestSeed(new Uint8Array(32))), hex(requestSeed(new Uint8Array(32).fill(1))));
});

test('reader refuses trailing bytes and huge lengths', () => {
  assert.throws(() => new Reader('m\n', new TextEncoder().encode('m\nx')).close());
  assert.throws(() => new Reader('m\n', new Uint8Array([109, 10, 255, 255, 255, 255])).bytes(1 << 30));
});

test('functions by their types, as the owner accepts them', () => {
  const deep = (n) => `${'('.repeat(n)}bool${')'.repeat(n)}`;
  for (const s of ['f()', 'transfer(address,uint256)', '_$1(bytes32[2][],(string,int8)[3])', 'f(bytes,bytes1,uint8)', `f${deep(16)}`, `f(bool${'[]'.repeat(15)})`, `f(${'bool,'.repeat(254)}bool)`, 'f(bytes[256][256])', 'f(bool[256][256])']) assert.ok(isFunction(s), s);
  for (const s of ['', 'f', '()', '1f()', 'f(', 'f)', 'f())', 'f()[]', 'f(,)', 'f(bool,)', 'f(bool', 'f(())', 'f(uint)', 'f(uint7)', 'f(uint264)', 'f(bytes0)', 'f(bytes33)', 'f(uint08)', 'f(bool[0])', 'f(bool[01])', 'f(bool[257])', 'f(bool[)', 'f(bool x)', 'f(bool, bool)', 'f(function)', 'f(bool)x',
    `f${deep(18)}`, `f(bool${'[]'.repeat(16)})`, `f(${'bool,'.repeat(255)}bool)`, 'f(bool[256][256][2])', `f(${'bool,'.repeat(900)}bool)`]) assert.ok(!isFunction(s), s);
});

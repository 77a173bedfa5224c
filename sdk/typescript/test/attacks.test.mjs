// A control plane, or whoever stands before it, that lies. Every lie is told
// by the test double on the wire, and has a code of its own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Issuer } from './support/pki.mjs';
import { Key, envelope, sha256, zero32 } from './support/records.mjs';
import { ask, client, refused, start } from './support/start.mjs';

test('altered before signing: another message, wallet, network, curve', async (t) => {
  const s = await start(t), second = s.newWallet();
  for (const [name, body, code, field] of [
    ['message', (b) => { b.message = 'pay the attacker'; }, 'signature_mismatch'],
    ['wallet', (b) => { b.wallet_id = second.id; }, 'signature_mismatch'],
    ['curve', (b) => { b.network = 'solana'; }, 'signature_mismatch'],
    // The same bytes are signed on every EVM network: the reply tells.
    ['network', (b) => { b.network = 'ethereum'; }, 'response_mismatch', 'network'],
  ]) {
    s.attack = { body };
    await refused(client(s).sign(ask(s)), code, field, name);
  }
  // …and where the reply is brought in line, the receipt tells.
  s.attack = { body: (b) => { b.network = 'ethereum'; }, reply: (url, d) => (url === '/v1/s2s/sign' ? { ...d, network: 'base' } : d) };
  await refused(client(s).sign(ask(s)), 'receipt_mismatch', 'network');
  s.attack = {};
  await client(s).sign(ask(s)); // the canary: without the lie it passes
});

test('rewritten replies to sign', async (t) => {
  const s = await start(t), second = s.newWallet();
  const earlier = await client(s).sign(ask(s)), other = await client(s).sign(ask(s, { message: 'another' }));
  const ref = (r) => ({ id: r.receiptId, proof: s.receipts.get(r.receiptId).proof });
  const flipS = (hex) => { // the other S of the same signature: malleability
    const n = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
    return `0x${hex.slice(2, 66)}${(n - BigInt(`0x${hex.slice(66, 130)}`)).toString(16).padStart(64, '0')}${hex.endsWith('1b') ? '1c' : '1b'}`;
  };
  for (const [name, edit, code, field] of [
    ['other signature', (d) => { d.signature = other.signature; }, 'signature_mismatch'],
    ['no signature', (d) => { d.signature = ''; }, 'signature_mismatch'],
    ['upper case', (d) => { d.signature = d.signature.toUpperCase(); }, 'signature_mismatch'],
    ['high S', (d) => { d.signature = flipS(d.signature); }, 'signature_mismatch'],
    ['other v', (d) => { d.signature = d.signature.slice(0, -2) + (d.signature.endsWith('1b') ? '1c' : '1b'); }, 'signature_mismatch'],
    ['wrong type', (d) => { d.signature = 1; }, 'response_invalid'],
    ['wallet', (d) => { d.wallet_id = second.id; }, 'response_mismatch', 'wallet_id'],
    ['network', (d) => { d.network = 'ethereum'; }, 'response_mismatch', 'network'],
    ['address', (d) => { d.address = second.addresses.base; }, 'response_mismatch', 'address'],
    ['key', (d) => { d.public_key = second.publicKeys.secp256k1; }, 'response_mismatch', 'public_key'],
    ['no receipt', (d) => { delete d.receipt; }, 'receipt_invalid'],
    ['receipt cut', (d) => { d.receipt.proof = d.receipt.proof.slice(0, 400); }, 'receipt_invalid'],
    ['receipt with a tail', (d) => { d.receipt.proof = Buffer.concat([Buffer.from(d.receipt.proof, 'base64'), Buffer.from([0])]).toString('base64'); }, 'receipt_invalid'],
    ['receipt of an earlier request', (d) => { d.receipt = ref(earlier); }, 'receipt_mismatch', 'request_id'],
    ['receipt of another message', (d) => { d.receipt = ref(other); }, 'receipt_mismatch', 'payload_digest'],
    ['receipt id', (d) => { d.receipt.id = earlier.receiptId; }, 'receipt_mismatch', 'id'],
  ]) {
    s.attack = { reply: (url, d) => { if (url === '/v1/s2s/sign') edit(d); return d; } };
    await refused(client(s).sign(ask(s)), code, field, name);
  }
});

test('every field of the receipt is compared', async (t) => {
  const s = await start(t), off = (b) => Buffer.from(b).fill(b[0] ^ 1, 0, 1), uuid = '00000000-0000-4000-8000-000000000001';
  for (const [field, leaf] of Object.entries({
    kind: (l) => { l.kind = 2; },
    decision: (l) => { Object.assign(l, { decision: 2, reason: 'policy_wallet', outputDigest: zero32 }); },
    auth: (l) => { l.auth = 2; },
    freshness: (l) => { l.freshness = 2; },
    organization: (l) => { l.organization = uuid; },
    genesis: (l) => { l.genesis = off(l.genesis); },
    grant: (l) => { l.grant = off(l.grant); },
    credential: (l) => { l.credential = off(l.credential); },
    wallet: (l) => { l.wallet = uuid; },
    method: (l) => { l.method = 'signTransaction'; },
    network: (l) => { l.network = 'polygon'; },
    idempotency_digest: (l) => { l.idempotencyDigest = sha256('x'); },
    payload_digest: (l) => { l.payloadDigest = off(l.payloadDigest); },
    intent_digest: (l) => { l.intentDigest = off(l.intentDigest); },
    output_digest: (l) => { l.outputDigest = off(l.outputDigest); },
    request_id: (l) => { l.requestId = uuid; },
    request_digest: (l) => { l.requestDigest = off(l.requestDigest); },
  })) {
    s.attack = { leaf };
    await refused(client(s).sign(ask(s)), 'receipt_mismatch', field, field);
  }
  const c = client(s);
  s.attack = {};
  await c.sign(ask(s));
  s.statement = s.newEvidence({ claims: (x) => { x.iat -= 1800; x.nbf -= 1800; } }); // in force long enough for all of these
  const minutes = (n) => BigInt(n) * 60_000_000n;
  for (const [name, leaf, batch] of [
    ['long ago', (l) => { l.time -= minutes(6); }],
    ['in the future', (l) => { l.time += minutes(6); }],
    ['another time than its batch', (l) => { l.time -= minutes(3); }, (b) => { b.time += minutes(6); }],
    ['later than its batch', () => {}, (b) => { b.time -= minutes(6); }],
  ]) {
    s.attack = { leaf, ...(batch ? { batch } : {}) };
    await refused(c.sign(ask(s)), 'receipt_mismatch', 'time', name);
  }
  s.attack = {};
  await c.sign(ask(s));
  s.attack = { leaf: (l) => { l.release = `sha256:${'00'.repeat(32)}`; } };
  await refused(c.sign(ask(s)), 'evidence_refused', 'image_digest', 'release');
  for (const [name, leaf] of [
    ['no decision', (l) => { l.decision = 0; }], ['unknown kind', (l) => { l.kind = 3; }], ['allowed for another reason', (l) => { l.reason = 'policy_wallet'; }],
    ['allowed without output', (l) => { l.outputDigest = zero32; }],
  ]) {
    s.attack = { leaf };
    await refused(c.sign(ask(s)), 'receipt_invalid', undefined, name);
  }
});

test('altered batches and paths', async (t) => {
  const s = await start(t), foreign = new Key();
  for (const [name, attack, code] of [
    ['signed by another key', { batchKey: foreign }, 'batch_invalid'],
    ['signed by another key that it names', { batchKey: foreign, batch: (b) => { b.instanceKey = foreign.public; } }, 'batch_invalid'],
    ['number zero', { batch: (b) => { b.number = 0; } }, 'batch_invalid'],
    ['first with a predecessor', { batch: (b) => { b.number = 1; } }, 'batch_invalid'],
    ['no leaves', { batch: (b) => { b.count = 0; } }, 'batch_invalid'],
    ['root', { batch: (b) => { b.root = sha256('x'); } }, 'receipt_invalid'],
    ['count', { batch: (b) => { b.count = 1; } }, 'receipt_invalid'],
    ['path', { proof: (p) => { p.path = [zero32, p.path[1]]; } }, 'receipt_invalid'],
    ['shorter path', { proof: (p) => { p.path = [p.path[0]]; } }, 'receipt_invalid'],
    ['longer path', { proof: (p) => { p.path = [...p.path, zero32]; } }, 'receipt_invalid'],
    ['index', { proof: (p) => { p.index = 0; } }, 'receipt_invalid'],
    ['index beyond', { proof: (p) => { p.index = 3; } }, 'receipt_invalid'],
    ['leaf after signing', { proof: (p) => { p.leaf = Buffer.from(p.leaf); p.leaf[p.leaf.length - 1] ^= 1; } }, 'receipt_invalid'],
    ['unknown statement', { batch: (b) => { b.statement = sha256('x'); } }, 'evidence_invalid'],
  ]) {
    s.attack = attack;
    await refused(client(s).sign(ask(s)), code, undefined, name);
  }
});

test('workloads that the owner did not accept', async (t) => {
  const s = await start(t), honest = s.statement, c = client(s);
  await c.sign(ask(s)); // the organisation is known; what follows is newer evidence
  const now = Math.floor(Date.now() / 1000);
  for (const [reason, field, claims] of [
    ['issuer', 'iss', (x) => { x.iss = 'https://issuer.test.evil'; }],
    ['audience', 'aud', (x) => { x.aud = 'https://sts.googleapis.com'; }],
    ['audience', 'aud', (x) => { x.aud = [x.aud]; }],
    ['issued_in_future', 'iat', (x) => { x.iat = now + 120; }],
    ['issued_in_future', 'iat', (x) => { delete x.iat; }],
    ['not_yet_valid', 'nbf', (x) => { x.nbf = now + 120; }],
    ['not_yet_valid', 'nbf', (x) => { x.nbf = String(x.nbf); }],
    ['expired', 'exp', (x) => { x.exp = now - 120; }],
    ['lifetime', 'exp', (x) => { x.exp = now + 2 * 86400; }],
    ['nonce', 'eat_nonce', (x) => { x.eat_nonce = 'ab'.repeat(32); }],
    ['nonce', 'eat_nonce', (x) => { x.eat_nonce = [x.eat_nonce, 'another']; }],
    ['nonce', 'eat_nonce', (x) => { delete x.eat_nonce; }],
    ['software_name', 'swname', (x) => { x.swname = 'GCE'; }],
    ['hardware', 'hwmodel', (x) => { x.hwmodel = 'GCP_SHIELDED_VM'; }],
    ['secure_boot', 'secboot', (x) => { x.secboot = 'true'; }],
    ['debug', 'dbgstat', (x) => { x.dbgstat = 'enabled'; }],
    ['not_stable', 'support_attributes', (x) => { x.submods.confidential_space.support_attributes = ['USABLE']; }],
    ['not_stable', 'support_attributes', (x) => { x.submods.confidential_space.support_attributes.push('EXPERIMENTAL'); }],
    ['image_digest', 'image_digest', (x) => { x.submods.container.image_digest = `sha256:${'cd'.repeat(32)}`; }],
    ['project_id', 'project_id', (x) => { x.submods.gce.project_id = 'evil'; }],
    ['service_account', 'google_service_accounts', (x) => { x.google_service_accounts = ['evil']; }],
    ['service_account', 'google_service_accounts', (x) => { x.google_service_accounts = 'sigil@sigil-tee.test'; }],
    ['cmd_override', 'cmd_override', (x) => { x.submods.container.cmd_override = ['sh']; }],
    ['env_override', 'env_override', (x) => { x.submods.container.env_override = { LD_PRELOAD: 'x' }; }],
    ['software_name', 'swname', (x) => { delete x.submods; delete x.swname; }],
  ]) {
    s.statement = s.newEvidence({ claims });
    await refused(c.sign(ask(s)), 'evidence_refused', field, String(claims), reason);
  }
  s.statement = s.newEvidence({ claims: (x) => { x.eat_nonce = [x.eat_nonce]; x.submods.container.env_override = {}; x.ueid = 'new claim'; x.hwmodel = 'GCP_INTEL_TDX'; } });
  assert.equal((await c.sign(ask(s))).verified.attested.hardware, 'GCP_INTEL_TDX');
  s.statement = honest;
  await c.sign(ask(s));
});

test('forged tokens', async (t) => {
  const s = await start(t), c = client(s), foreign = new Issuer({ label: 'Foreign' }), twin = new Issuer(), mine = s.issuer;
  await c.sign(ask(s));
  const stolen = s.evidence.get(s.statement.toString('hex')).token;
  const parts = (token) => token.split('.');
  const b64 = (text) => Buffer.from(text).toString('base64url');
  for (const [name, token] of Object.entries({
    'another issuer': (x) => foreign.token(x),
    'pasted root': (x) => foreign.token(x, { x5c: [...foreign.x5c.slice(0, 2), mine.x5c[2]] }),
    'pasted root, same names': (x) => twin.token(x, { x5c: [...twin.x5c.slice(0, 2), mine.x5c[2]] }),
    'pasted intermediate and root, same names': (x) => twin.token(x, { x5c: [twin.x5c[0], ...mine.x5c.slice(1)] }),
    'chain of another key': (x) => foreign.token(x, { x5c: mine.x5c }),
    'two certificates': (x) => mine.token(x, { x5c: [mine.x5c[0], mine.x5c[2]] }),
    'four certificates': (x) => mine.token(x, { x5c: [...mine.x5c, mine.x5c[2]] }),
    'CA as leaf': (x) => mine.token(x, { x5c: [mine.x5c[1], mine.x5c[1], mine.x5c[2]] }),
    'not a certificate': (x) => mine.token(x, { x5c: ['AAAA', ...mine.x5c.slice(1)] }),
    'certificate with a tail': (x) => mine.token(x, { x5c: [Buffer.concat([mine.chain[0], Buffer.from([0])]).toString('base64'), ...mine.x5c.slice(1)] }),
    'no chain': (x) => mine.token(x, { x5c: undefined }),
    'alg none': (x) => `${b64('{"alg":"none"}')}.${b64(JSON.stringify(x))}.`,
    'alg HS256': (x) => mine.token(x, { alg: 'HS256' }),
    'alg twice': (x) => `${b64(`{"alg":"none","alg":"RS256","x5c":${JSON.stringify(mine.x5c)}}`)}.${parts(mine.token(x)).slice(1).join('.')}`,
    'typ of an access token': (x) => mine.token(x, { typ: 'at+jwt' }),
    crit: (x) => mine.token(x, { crit: ['b64'] }),
    'key in the header': (x) => mine.token(x, { jwk: {} }),
    'other payload': (x) => { const p = parts(mine.token(x)); return `${p[0]}.${b64(JSON.stringify({ ...x, extra: 1 }))}.${p[2]}`; },
    'no signature': (x) => `${parts(mine.token(x)).slice(0, 2).join('.')}.`,
    padding: (x) => `${mine.token(x)}=`,
    'four segments': (x) => `${mine.token(x)}.`,
    'claim twice': (x) => mine.tokenOf(JSON.stringify(x).replace('"secboot":true', '"secboot":false,"secboot":true')),
    'too large': (x) => mine.token({ ...x, filler: 'x'.repeat(16384) }),
    empty: () => '',
  })) {
    s.statement = s.newEvidence({ token });
    await refused(c.sign(ask(s)), 'evidence_invalid', undefined, name);
  }
  s.statement = s.newEvidence({ token: () => stolen });
  await refused(c.sign(ask(s)), 'evidence_refused', 'eat_nonce', 'stolen token', 'nonce');
  // A token of an accepted workload for another instance's key is of no use.
  const instance = s.instance;
  s.statement = s.newEvidence({ statement: { instanceKey: new Key().public } });
  await refused(c.sign(ask(s)), 'batch_invalid', undefined, 'another instance');
  s.instance = instance;
});

test('chains with wrong roles or times', async (t) => {
  const at = Math.floor(Date.now() / 1000);
  for (const [name, options] of [['leaf is a CA', { leafCA: true }], ['intermediate is none', { middleCA: false }], ['intermediate is none, but may issue', { middleCA: false, middleMayIssue: true }],
    ['intermediate is one, but may not issue', { middleMayIssue: false }], ['root is none', { rootCA: false }], ['leaf of another name', { leafIssuer: 'Other' }],
    ['intermediate of another name', { middleIssuer: 'Other' }], ['leaf with another kind of key', { leafType: 'ec' }], ['intermediate expired', { middleTo: at - 3600 }], ['not yet valid', { at: at + 2 * 86400 }]]) {
    const issuer = new Issuer(options), s = await start(t, { tee: { pki_root_sha256: issuer.root } });
    s.issuer = issuer;
    s.statement = s.newEvidence();
    s.stateRecord = s.newStateRecord({}, s.instance);
    await refused(client(s).sign(ask(s)), 'evidence_invalid', undefined, name);
  }
});

test('documents of somebody else', async (t) => {
  const s = await start(t, { admins: 2, quorum: 2 }), other = await start(t);
  await client(s).sign(ask(s));
  const credential = s.route({ method: 'GET', url: '/v1/s2s/credential' }), foreign = other.route({ method: 'GET', url: '/v1/s2s/credential' });
  const flipped = (e) => ({ ...e, signatures: e.signatures.map((x, i) => (i ? x : { ...x, sig: x.sig.replace(/^./, (c) => (c === 'A' ? 'B' : 'A')) })) });
  const one = (e) => ({ ...e, signatures: e.signatures.slice(1) });
  const org = (change) => ({ ...credential, organization: { ...credential.organization, ...change } });
  const regrant = (change, keys) => ({ ...credential, grant: s.newGrant(change, keys).envelope });
  const genesis = (change) => org({ genesis: envelope('application/vnd.sigil.genesis.v1+json', { ...s.genesisDocument, ...change }, s.admins).envelope });
  for (const [name, reply, code, field] of [
    ['everything of another', foreign, 'pin_mismatch'],
    ['genesis of another', { ...credential, organization: foreign.organization }, 'pin_mismatch'],
    ['genesis with another name', genesis({ name: 'Evil' }), 'pin_mismatch'],
    ['genesis with another image', genesis({ tees: s.genesisDocument.tees.map((x) => ({ ...x, image_digests: [`sha256:${'00'.repeat(32)}`] })) }), 'pin_mismatch'],
    ['genesis with a broken signature', org({ genesis: flipped(credential.organization.genesis) }), 'genesis_invalid'],
    ['genesis by one admin', org({ genesis: one(credential.organization.genesis) }), 'genesis_invalid'],
    ['genesis with one member more', genesis({ extra: 1 }), 'genesis_invalid'],
    ['envelope with one member more', org({ genesis: { ...credential.organization.genesis, extra: 1 } }), 'genesis_invalid'],
    ['no genesis', org({ genesis: undefined }), 'genesis_invalid'],
    ['grant as genesis', org({ genesis: credential.grant }), 'genesis_invalid'],
    ['grant of another organisation', { ...credential, grant: foreign.grant }, 'grant_invalid'],
    ['grant by one admin', { ...credential, grant: one(credential.grant) }, 'grant_invalid'],
    ['grant by the same admin twice', { ...credential, grant: { ...credential.grant, signatures: [credential.grant.signatures[0], credential.grant.signatures[0]] } }, 'grant_invalid'],
    ['grant by a stranger', regrant({}, [s.admins[0], new Key()]), 'grant_invalid'],
    ['grant of another key', regrant({ credential: new Key().public.toString('hex') }), 'grant_invalid'],
    ['grant with an unknown member', regrant({ admin: true }), 'grant_invalid'],
    ['grant with an unknown method', regrant({ policy: { wallets: ['*'], networks: ['*'], methods: ['exportKey'] } }), 'grant_invalid'],
    ['no grant', { ...credential, grant: null }, 'grant_invalid'],
    ['another state key', { ...credential, ...regrant({ state_key: new Key().public.toString('hex') }) }, 'state_certificate_invalid'],
    ['state record of another', org({ state_record: foreign.organization.state_record, evidence: foreign.organization.evidence }), 'state_certificate_invalid'],
    ['state record of no instance', org({ state_record: s.newStateRecord({}, new Key()).toString('base64') }), 'state_certificate_invalid'],
    ['state record with a tail', org({ state_record: Buffer.concat([s.stateRecord, Buffer.from([0])]).toString('base64') }), 'state_certificate_invalid'],
    ['state record made for another organisation', org({ state_record: s.newStateRecord({ organization: other.organization }, s.instance).toString('base64') }), 'state_certificate_invalid'],
    ['state record made for another genesis', org({ state_record: s.newStateRecord({ genesis: zero32 }, s.instance).toString('base64') }), 'state_certificate_invalid'],
    ['state record of another key', org({ state_record: s.newStateRecord({ stateKey: new Key().public }, s.instance).toString('base64') }), 'state_certificate_invalid'],
    ['state record by another release', org({ state_record: s.newStateRecord({ release: `sha256:${'00'.repeat(32)}` }, s.instance).toString('base64') }), 'evidence_refused', 'image_digest'],
    ['evidence of another statement', org({ evidence: foreign.organization.evidence }), 'evidence_invalid'],
    ['not an object', [], 'response_invalid'],
  ]) {
    s.attack = { reply: (url, d) => (url === '/v1/s2s/credential' ? reply : d) };
    await refused(client(s).sign(ask(s)), code, field, name);
  }
});

test("certificates of the attacker's keys", async (t) => {
  const s = await start(t), other = await start(t), second = s.newWallet(), key = new Key();
  for (const [name, certificate, field] of [
    ['signed by a state key of its own', (_, w) => s.certify(w, { stateKey: key.public }, key), 'state_key'],
    ['that names the state key', (_, w) => s.certify(w, {}, key), undefined],
    ['of another organisation', () => other.wallet.certificate, 'state_key'],
    ['of another organisation, by the state key', (_, w) => s.certify(w, { organization: other.organization }, s.state), 'organization'],
    ['of another genesis', (_, w) => s.certify(w, { genesis: zero32 }, s.state), 'organization'],
    ['of another wallet', () => second.certificate, 'wallet'],
    ['altered', (b) => { b = Buffer.from(b); b[100] ^= 1; return b; }, undefined],
    ['with unknown flags', (_, w) => s.certify(w, { flags: 4 }, s.state), undefined],
    ['without keys', (_, w) => s.certify(w, { keys: [] }, s.state), undefined],
    ['with keys out of order', (_, w) => s.certify(w, { keys: [{ curve: 2, publicKey: w.ed25519.public }, { curve: 1, publicKey: w.secp256k1.publicKey }] }, s.state), undefined],
    ['with one key twice', (_, w) => s.certify(w, { keys: [{ curve: 1, publicKey: w.secp256k1.publicKey }, { curve: 1, publicKey: w.secp256k1.publicKey }] }, s.state), undefined],
    ['of an unknown curve', (_, w) => s.certify(w, { keys: [{ curve: 1, publicKey: w.secp256k1.publicKey }, { curve: 3, publicKey: w.ed25519.public }] }, s.state), undefined],
    ['with a key of another size', (_, w) => s.certify(w, { keys: [{ curve: 1, publicKey: w.secp256k1.publicKey }, { curve: 2, publicKey: w.ed25519.public.subarray(1) }] }, s.state), undefined],
    ['of a seed', (_, w) => s.certify(w, { keys: [{ curve: 1, kind: 2, publicKey: w.secp256k1.publicKey }] }, s.state), undefined],
    ['none', () => Buffer.alloc(0), undefined],
  ]) {
    s.attack = { certificate };
    await refused(client(s).sign(ask(s)), 'certificate_invalid', field, name);
    await refused(client(s).wallets.get(s.wallet.id), 'certificate_invalid', field, name);
  }
  for (const [field, edit] of [['address', (d) => { d.addresses = { ...d.addresses, base: second.addresses.base }; }], ['public_key', (d) => { d.public_keys = second.publicKeys; }], ['id', (d) => { d.id = second.id; }]]) {
    s.attack = { reply: (url, d) => { if (url.startsWith('/v1/s2s/wallets/')) edit(d); return d; } };
    await refused(client(s).wallets.get(s.wallet.id), 'response_mismatch', field);
  }
});

test('wallets that were not made as asked', async (t) => {
  const s = await start(t);
  const old = s.show(s.wallet);
  for (const [name, edit, code, field] of [
    ["an earlier wallet's certificate", (d) => { d.certificate = old.certificate; }, 'certificate_invalid', 'wallet'],
    ['an earlier wallet', (d) => ({ ...old, receipt: d.receipt }), 'certificate_invalid', 'wallet'],
    ['no receipt', (d) => { delete d.receipt; }, 'receipt_invalid', undefined],
    ['another id', (d) => { d.id = old.id; }, 'response_mismatch', 'id'],
  ]) {
    s.attack = { reply: (url, d) => (url === '/v1/s2s/wallets' ? edit(d) ?? d : d) };
    await refused(client(s).wallets.create({ label: 'x' }), code, field, name);
  }
  s.attack = { leaf: (l) => { l.wallet = s.wallet.id; }, reply: (url, d) => (url === '/v1/s2s/wallets' ? { ...old, receipt: d.receipt } : d) };
  await refused(client(s).wallets.create(), 'receipt_mismatch', 'output_digest', 'an earlier wallet, with a receipt in line');
  s.attack = { leaf: (l) => { l.payloadDigest = sha256('{"label":"y"}'); } };
  await refused(client(s).wallets.create({ label: 'x' }), 'receipt_mismatch', 'payload_digest');
});

test('replies that are not of the API', async (t) => {
  const s = await start(t);
  for (const [name, text] of [
    ['not JSON', () => '<html>'], ['empty', () => ''], ['data and error', (x) => x.replace('"error":null', '"error":{"code":"x"}')], ['no data', () => '{"data":null,"error":null}'],
    ['member twice', (x) => x.replace('{"data":', '{"data":{},"data":')], ['lone surrogate', (x) => x.replace('"signature":"', '"signature":"\\ud800')],
    ['too large', (x) => x.replace('{"data"', `{"filler":"${'x'.repeat(5 << 20)}","data"`)],
  ]) {
    s.attack = { text: (url, x) => (url === '/v1/s2s/sign' ? text(x) : x) };
    await refused(client(s).sign(ask(s)), 'response_invalid', undefined, name);
  }
});

test('lists that are none', async (t) => {
  const s = await start(t), c = client(s);
  s.newWallet();
  for (const [name, edit] of [['more than asked for', (d) => ({ ...d, items: [d.items[0], d.items[0]] })], ['no list', (d) => ({ ...d, items: { length: 0, map: 1 } })], ['no total', (d) => ({ ...d, total: '2' })]]) {
    s.attack = { reply: (url, d) => (url.startsWith('/v1/s2s/wallets?') ? edit(d) : d) };
    await refused(c.wallets.list({ limit: 1 }), 'response_invalid', undefined, name);
  }
});

test('receipts that were asked for', async (t) => {
  const s = await start(t), c = client(s);
  const one = await c.sign(ask(s)), two = await c.sign(ask(s));
  const stored = (id) => s.receipts.get(id);
  s.receipts.set(one.receiptId, stored(two.receiptId));
  await refused(c.receipts.get(one.receiptId), 'receipt_mismatch', 'id');
  for (const leaf of [(l) => { l.organization = '00000000-0000-4000-8000-000000000001'; }, (l) => { l.genesis = zero32; }]) {
    s.attack = { leaf };
    const forged = s.decide({ nonce: '00000000-0000-4000-8000-000000000002', digest: zero32 }, { wallet: s.wallet.id, payloadDigest: zero32, method: 'signMessage', network: 'base' }, 'x');
    s.receipts.set(forged.id, forged);
    await refused(c.receipts.get(forged.id), 'receipt_mismatch', 'organization');
  }
});

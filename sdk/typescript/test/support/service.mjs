// A test double of a whole deployment: owner, cloud's attestation service,
// workload and control plane in one, with a knob at every place where one of
// them could lie. It is written from docs/FORMATS.md and shares no code with
// the SDK; without knobs it is honest, which the tests check first.
import { family } from '../../dist/networks.js';
import { createPrivateKey, createPublicKey, hkdfSync, randomBytes, randomUUID, verify } from 'node:crypto';
import { createServer } from 'node:http';
import { schnorr, secp256k1 } from '@noble/curves/secp256k1.js';
import { keccak_256 } from '@noble/hashes/sha3.js';
import { Issuer } from './pki.mjs';
import * as rec from './records.mjs';

const { Key, sha256, zero32 } = rec;
const release = `sha256:${'ab'.repeat(32)}`;
const micros = () => BigInt(Date.now()) * 1000n;
const seconds = () => Math.floor(Date.now() / 1000);
let sharedIssuer; // RSA keys take long to make
const issuer = () => (sharedIssuer ??= new Issuer());

function base58(b) {
  const digits = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
  let n = BigInt(`0x${b.toString('hex') || '0'}`), out = '';
  for (; n > 0n; n /= 58n) out = digits[Number(n % 58n)] + out;
  for (const c of b) {
    if (c) break;
    out = `1${out}`;
  }
  return out;
}

function checksum(address) {
  const sum = Buffer.from(keccak_256(Buffer.from(address))).toString('hex');
  return `0x${[...address].map((c, i) => (parseInt(sum[i], 16) > 7 ? c.toUpperCase() : c)).join('')}`;
}

const evmNetworks = ['ethereum', 'polygon', 'arbitrum', 'base', 'optimism', 'bsc', 'avalanche',
  'sepolia', 'hoodi', 'polygon-amoy', 'arbitrum-sepolia', 'base-sepolia', 'optimism-sepolia', 'bsc-testnet', 'avalanche-fuji'];

/** Puts a signature into a transaction of EIP-1559 whose list has a short head. */
function assembled(unsigned, [id, ...rs]) {
  const b = Buffer.from(unsigned.slice(2), 'hex');
  const int = (v) => { const i = v.findIndex((c) => c !== 0); return Buffer.from([0x80 + v.length - i, ...v.slice(i)]); };
  const content = Buffer.concat([b.subarray(b[1] < 0xf8 ? 2 : b[1] - 0xf7 + 2), Buffer.from([id || 0x80]), int(rs.slice(0, 32)), int(rs.slice(32))]);
  const size = content.length < 256 ? [0xf8, content.length] : [0xf9, content.length >> 8, content.length & 255];
  return Buffer.concat([Buffer.from([2, ...size]), content]);
}

/** A refusal by the service. */
class Refusal extends Error {
  constructor(status, code, details) {
    super(code);
    Object.assign(this, { status, code, details });
  }
}

export class Service {
  /** Knobs; each is called with what is about to be signed, sealed or sent,
   * and changes it. Set to {} for an honest service. */
  attack = {};
  requests = []; // [method, path, nonce] of each that arrived
  fail = []; // what to answer instead: 'drop' or a status, one per request
  deny = undefined; // reason code of the workload's denial
  wallets = new Map();
  answers = new Map(); // by Idempotency-Key
  evidence = new Map(); // by digest of the statement

  constructor({ admins = 1, quorum = 1, signers, tee = {} } = {}) {
    this.organization = randomUUID();
    this.admins = Array.from({ length: admins }, () => new Key());
    this.issuer = issuer();
    this.genesisDocument = {
      format: 'sigil.genesis.v1', organization_id: this.organization, name: 'Test', created: seconds(), version: 1, previous: '',
      admins: this.admins.map((k, i) => ({ name: `admin ${i}`, public_key: k.public.toString('hex') })), quorum, freshness: { mode: 'unwitnessed' },
      tees: [{
        kind: 'confidential-space', issuer: 'https://issuer.test', pki_root_sha256: this.issuer.root, hardware: ['GCP_AMD_SEV', 'GCP_INTEL_TDX'],
        project_id: 'sigil-tee', service_account: 'sigil@sigil-tee.test', image_digests: [release], tee_kek: 'kms/tee', provider_kek: 'kms/provider', ...tee,
      }],
    };
    this.genesis = rec.envelope('application/vnd.sigil.genesis.v1+json', this.genesisDocument, this.admins.slice(0, signers ?? quorum));
    this.state = new Key();
    this.instance = new Key();
    const seed = randomBytes(32);
    this.secret = rec.token(this.genesis.digest.subarray(0, 16), seed);
    this.session = rec.token(this.genesis.digest.subarray(0, 16), seed, 'as_live_');
    this.credential = publicOf(hkdfSync('sha256', seed, '', 'sigil/request-key/v1', 32));
    this.grant = this.newGrant({});
    this.statement = this.newEvidence();
    this.stateRecord = this.newStateRecord({}, this.instance);
    this.wallet = this.newWallet();
  }

  newGrant(change, keys = this.admins.slice(0, this.genesisDocument.quorum)) {
    return rec.envelope('application/vnd.sigil.grant.v1+json', {
      format: 'sigil.grant.v1', organization_id: this.organization, genesis: this.genesis.digest.toString('hex'), state_key: this.state.public.toString('hex'),
      grant_id: randomUUID(), name: 'backend', credential: this.credential.toString('hex'), bearer: false, delegate: false,
      not_before: seconds() - 60, expires: seconds() + 3600, policy: { wallets: ['*'], networks: ['*'], methods: ['*'] }, ...change,
    }, keys);
  }

  /** Attests the instance key; returns the statement's digest. */
  newEvidence({ statement = {}, claims = () => {}, token } = {}) {
    const s = rec.statement({ instanceKey: this.instance.public, linkKey: zero32, config: zero32, started: micros(), issued: micros(), ...statement });
    const digest = sha256(s);
    const c = {
      aud: 'https://sigilkeys.com/evidence/v1', exp: seconds() + 3600, iat: seconds(), iss: 'https://issuer.test', nbf: seconds(), sub: 'https://instance.test',
      eat_nonce: digest.toString('hex'), secboot: true, oemid: 11129, hwmodel: 'GCP_AMD_SEV', swname: 'CONFIDENTIAL_SPACE', swversion: ['250300'],
      dbgstat: 'disabled-since-boot', google_service_accounts: ['sigil@sigil-tee.test'],
      submods: {
        confidential_space: { support_attributes: ['LATEST', 'STABLE', 'USABLE'] },
        container: { image_digest: release, image_reference: `registry.test/sigil@${release}`, args: ['/sigil-tee'], env: {} },
        gce: { project_id: 'sigil-tee', zone: 'test-a' },
      },
    };
    claims(c);
    this.evidence.set(digest.toString('hex'), { id: digest.toString('hex'), statement: s.toString('base64'), token: token ? token(c) : this.issuer.token(c) });
    return digest;
  }

  newStateRecord(change, key) {
    const c = { organization: this.organization, genesis: this.genesis.digest, stateKey: this.state.public, release, statement: this.statement, created: micros(), ...change };
    return rec.stateRecord(rec.stateCertificate(c, key));
  }

  newWallet(id = randomUUID(), label = '') {
    const w = { id, label, secp256k1: secp256k1.keygen(), ed25519: new Key(), created: new Date().toISOString() };
    w.certificate = this.certify(w, {}, this.state);
    const evm = checksum(Buffer.from(keccak_256(secp256k1.Point.fromBytes(w.secp256k1.publicKey).toBytes(false).subarray(1)).subarray(12)).toString('hex'));
    const bitcoin = ['bitcoin', 'bitcoin-testnet4', 'bitcoin-signet', 'bitcoin-regtest'].map((n) => [n, family(n).address(w.secp256k1.publicKey)]);
    w.addresses = { ...Object.fromEntries([...evmNetworks.map((n) => [n, evm]), ...bitcoin]), solana: base58(w.ed25519.public) };
    w.publicKeys = { secp256k1: Buffer.from(w.secp256k1.publicKey).toString('hex'), ed25519: w.ed25519.public.toString('hex') };
    this.wallets.set(id, w);
    return w;
  }

  certify(w, change, key) {
    return rec.walletCertificate({
      organization: this.organization, genesis: this.genesis.digest, stateKey: this.state.public, wallet: w.id, release, created: micros(),
      keys: [{ curve: 1, publicKey: w.secp256k1.publicKey }, { curve: 2, publicKey: w.ed25519.public }], ...change,
    }, key);
  }

  /** The workload: decides, signs a batch over the decision. */
  decide(r, l, output) {
    const decision = {
      id: randomUUID(), kind: 1, decision: 1, auth: 1, freshness: 1, organization: this.organization, genesis: this.genesis.digest, grant: this.grant.digest,
      credential: this.credential, requestId: r.nonce, requestDigest: r.digest, idempotencyDigest: r.idempotency ?? (r.idempotencyKey === undefined ? zero32 : sha256(r.idempotencyKey)),
      intentDigest: zero32, outputDigest: output === undefined ? zero32 : sha256(output), reason: 'allowed', release, time: micros(), ...l,
    };
    this.attack.leaf?.(decision);
    const encoded = rec.leaf(decision), tree = rec.middleOfThree(encoded);
    const b = { instanceKey: this.instance.public, statement: this.statement, number: 7, previous: sha256('6'), time: decision.time, count: tree.count, root: tree.root };
    this.attack.batch?.(b);
    const proof = { leaf: encoded, index: tree.index, path: tree.path, batch: rec.batch(b, this.attack.batchKey ?? this.instance) };
    this.attack.proof?.(proof);
    return { id: decision.id, proof: rec.receipt(proof).toString('base64'), evidence: this.statement.toString('hex') };
  }

  sign(r) {
    const body = JSON.parse(r.body);
    this.attack.body?.(body);
    const w = this.wallets.get(body.wallet_id);
    if (!w) throw new Refusal(404, 'wallet_not_found');
    if (body.network.startsWith('bitcoin')) return this.signBitcoin(r, w, body);
    if (body.transaction !== undefined) return this.signTransaction(r, w, body);
    if (body.message === undefined) return this.signDocument(r, w, body);
    const message = Buffer.from(body.message, body.message_encoding ?? 'utf8');
    const evm = evmNetworks.includes(body.network);
    const payload = evm ? Buffer.from(keccak_256(Buffer.concat([Buffer.from(`\x19Ethereum Signed Message:\n${message.length}`), message]))) : message;
    const intent = { kind: 'message', network: body.network, format: evm ? 'eip191' : 'solana-raw', length: message.length, sha256: sha256(message).toString('hex') };
    const l = { wallet: w.id, method: 'signMessage', network: body.network, payloadDigest: sha256(payload), intentDigest: sha256(JSON.stringify(intent)) };
    if (this.deny) {
      const undecoded = this.deny.startsWith('message_is_') ? { payloadDigest: sha256(r.body), intentDigest: zero32 } : {};
      throw new Refusal(403, this.deny, { receipt: this.decide(r, { ...l, ...undecoded, decision: 2, reason: this.deny }) });
    }
    let signature = base58(w.ed25519.sign(payload));
    if (evm) {
      const [id, ...rs] = secp256k1.sign(payload, w.secp256k1.secretKey, { prehash: false, format: 'recovered' });
      signature = `0x${Buffer.from([...rs, 27 + id]).toString('hex')}`;
    }
    signature = this.attack.signature?.(signature, w) ?? signature;
    return { signature, wallet_id: w.id, network: body.network, address: w.addresses[body.network], public_key: w.publicKeys[evm ? 'secp256k1' : 'ed25519'], receipt: this.decide(r, l, signature) };
  }

  /** An intent of the bytes; what they do is the TEE's word, so that any will do. */
  intent(kind, network, bytes) {
    const flags = this.flags ?? [];
    return { kind, network, format: 'test', length: bytes.length, sha256: sha256(bytes).toString('hex'), effects: { nonce: '0', fee_max: '0', actions: [{ kind: 'transfer', asset: 'native', to: 'someone', amount: '1' }], flags } };
  }

  /** Signs a Solana message of two signers in the second one's place. */
  signSolana(r, w, body) {
    const message = Buffer.from(body.transaction, 'base64'), raw = w.ed25519.sign(message);
    const intent = this.intent('transaction', 'solana', message);
    const l = { wallet: w.id, method: 'signTransaction', network: 'solana', payloadDigest: sha256(message), intentDigest: sha256(JSON.stringify(intent)) };
    const signed = Buffer.concat([Buffer.from([2]), Buffer.alloc(64), raw, message]);
    const reply = { signature: base58(raw), wallet_id: w.id, network: 'solana', address: w.addresses.solana, public_key: w.publicKeys.ed25519, receipt: this.decide(r, l, base58(raw)), signed_transaction: signed.toString('base64'), intent };
    this.attack.signed?.(reply);
    return reply;
  }

  /** Signs for Taproot inputs alone; digests and the transaction, the
   * workload's own hold the SDK to. */
  signBitcoin(r, w, body) {
    const isMessage = body.message !== undefined, f = family(body.network);
    const p = isMessage ? f.prepare(body.network, w.secp256k1.publicKey, body, Buffer.from(body.message)) : f.transaction(body.network, body.transaction, w.secp256k1.publicKey);
    const raw = Buffer.from(schnorr.sign(p.signBytes, tweaked(w.secp256k1.secretKey))), signature = (isMessage ? Buffer.concat([Buffer.from([1, 64]), raw]) : raw).toString('base64');
    const bytes = Buffer.from(body.message ?? ''), intent = isMessage ? { kind: 'message', network: body.network, format: body.message_format, length: bytes.length, sha256: sha256(bytes).toString('hex') } : this.intent('transaction', body.network, p.decoded.preimage);
    const l = { wallet: w.id, method: isMessage ? 'signMessage' : 'signTransaction', network: body.network, payloadDigest: sha256(p.signBytes), intentDigest: sha256(JSON.stringify(intent)) };
    const reply = { signature, wallet_id: w.id, network: body.network, address: f.address(w.secp256k1.publicKey), public_key: w.publicKeys.secp256k1, receipt: this.decide(r, l, signature) };
    if (!isMessage) {
      const { text, id, psbt } = p.assemble(signature);
      Object.assign(reply, { intent, signed_transaction: text, transaction_hash: id, signed_psbt: psbt });
    }
    this.attack.signed?.(reply);
    return reply;
  }

  signTransaction(r, w, body) {
    if (body.network === 'solana') return this.signSolana(r, w, body);
    const unsigned = Buffer.from(body.transaction.slice(2), 'hex'), payload = Buffer.from(keccak_256(unsigned)), intent = this.intent('transaction', body.network, unsigned);
    const l = { wallet: w.id, method: 'signTransaction', network: body.network, payloadDigest: sha256(payload), intentDigest: sha256(JSON.stringify(intent)) };
    if (this.deny) throw new Refusal(403, this.deny, { receipt: this.decide(r, { ...l, decision: 2, reason: this.deny }) });
    const raw = secp256k1.sign(payload, w.secp256k1.secretKey, { prehash: false, format: 'recovered' });
    const signed = assembled(body.transaction, [...raw]);
    const signature = `0x${Buffer.from([...raw.slice(1), 27 + raw[0]]).toString('hex')}`;
    const reply = { signature, wallet_id: w.id, network: body.network, address: w.addresses[body.network], public_key: w.publicKeys.secp256k1, receipt: this.decide(r, l, signature),
      signed_transaction: `0x${signed.toString('hex')}`, transaction_hash: `0x${Buffer.from(keccak_256(signed)).toString('hex')}`, intent };
    this.attack.signed?.(reply);
    return reply;
  }

  /** Signs a document; what is hashed of one, published digests hold the SDK to. */
  signDocument(r, w, body) {
    const methods = { typed_data: 'signTypedData', authorization: 'signAuthorization', user_operation: 'signUserOperation' };
    const { signBytes, decoded: { kind, preimage } } = family(body.network).document(body.network, body), intent = this.intent(kind, body.network, preimage);
    const l = { wallet: w.id, method: methods[kind], network: body.network, payloadDigest: sha256(signBytes), intentDigest: sha256(JSON.stringify(intent)) };
    if (this.deny) throw new Refusal(403, this.deny, { receipt: this.decide(r, { ...l, decision: 2, reason: this.deny }) });
    const raw = secp256k1.sign(signBytes, w.secp256k1.secretKey, { prehash: false, format: 'recovered' });
    const light = body.user_operation?.signature_scheme === 'light-account-v2' ? '00' : '';
    const signature = `0x${light}${Buffer.from([...raw.slice(1), 27 + raw[0]]).toString('hex')}`;
    const reply = { signature, wallet_id: w.id, network: body.network, address: w.addresses[body.network], public_key: w.publicKeys.secp256k1, receipt: this.decide(r, l, signature), intent };
    this.attack.signed?.(reply);
    return reply;
  }

  /** One item of a batch (docs/FORMATS.md section 4.3), answered as a request of its own is. */
  item(r, body, index) {
    const id = Buffer.from(r.nonce.replaceAll('-', ''), 'hex'), n = Buffer.alloc(4);
    n.writeUInt32BE(index);
    sha256(Buffer.concat([Buffer.from('sigil/item-id/v1\n'), id, n])).copy(id, 6, 0, 10);
    id[6] = (id[6] & 15) | 128;
    id[8] = (id[8] & 63) | 128;
    const nonce = id.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
    const idempotency = r.idempotencyKey === undefined ? undefined : sha256(Buffer.concat([Buffer.from('sigil/item-idempotency/v1\n'), sha256(r.idempotencyKey), n]));
    try {
      return { status: 200, data: this.sign({ ...r, body, nonce, idempotency }), error: null };
    } catch (e) {
      if (!(e instanceof Refusal)) throw e;
      return { status: e.status, data: null, error: { code: e.code, message: 'refused', ...(e.details ? { details: e.details } : {}) } };
    }
  }

  create(r) {
    const l = { kind: 2, wallet: randomUUID(), method: 'createWallet', network: '', payloadDigest: sha256(r.body) };
    if (this.deny) throw new Refusal(403, this.deny, { receipt: this.decide(r, { ...l, decision: 2, reason: this.deny }) });
    const w = this.newWallet(l.wallet, JSON.parse(r.body).label);
    return { ...this.show(w), receipt: this.decide(r, l, w.certificate) };
  }

  show(w) {
    const certificate = (this.attack.certificate?.(w.certificate, w) ?? w.certificate).toString('base64');
    return { id: w.id, label: w.label ?? '', addresses: w.addresses, public_keys: w.publicKeys, certificate, created_at: w.created };
  }

  /** Answers a challenge as the second of two; attack.challenge alters the proof. */
  answerChallenge(challenge) {
    const node = (b, ...parts) => sha256(Buffer.concat([Buffer.from([b]), ...parts]));
    const first = node(0, zero32), root = node(1, first, node(0, this.attack.attested ?? challenge));
    const digest = this.newEvidence({ statement: { challenges: root }, claims: this.claims });
    const proof = { index: 1, count: 2, path: [first.toString('base64')] };
    return { evidence: this.evidence.get(digest.toString('hex')), release, version: 'test', challenge: this.attack.challenge ? this.attack.challenge(proof) : proof };
  }

  route(r) {
    const [path, query] = r.url.split('?');
    const id = path.split('/').at(-1);
    switch (`${r.method} ${path.replace(/[0-9a-f]{64}|[0-9a-f-]{36}/, ':id')}`) {
      case 'GET /v1/s2s/credential':
        return {
          key_id: keyId(this.credential), grant: this.grant.envelope,
          organization: { organization_id: this.organization, name: 'Test', genesis: this.genesis.envelope, genesis_digest: this.genesis.digest.toString('hex'), state_record: this.stateRecord.toString('base64'), evidence: this.stateEvidence ?? this.evidence.get(this.statement.toString('hex')) },
        };
      case 'GET /v1/s2s/wallets/:id':
        if (!this.wallets.has(id)) throw new Refusal(404, 'wallet_not_found');
        return this.show(this.wallets.get(id));
      case 'GET /v1/s2s/wallets': {
        const q = new URLSearchParams(query), offset = Number(q.get('offset')), limit = Number(q.get('limit'));
        return { items: [...this.wallets.values()].slice(offset, offset + limit).map((w) => this.show(w)), total: this.wallets.size, limit, offset };
      }
      case 'POST /v1/s2s/sign/batch': return { items: JSON.parse(r.body).items.map((item, i) => this.item(r, JSON.stringify(item), i)) };
      case 'PATCH /v1/s2s/wallets/:id': {
        const w = this.wallets.get(id), change = JSON.parse(r.body);
        if (change.label !== undefined) w.label = change.label;
        if (change.archived !== undefined) w.archived = change.archived;
        return this.show(w);
      }
      case 'POST /v1/s2s/sign': return this.once(r, () => this.sign(r));
      case 'POST /v1/s2s/transactions/decode': {
        const { intent } = this.sign(r); // what is decided here, nobody asks for
        return { intent, intent_digest: sha256(JSON.stringify(intent)).toString('hex'), summary: ['a sentence'], flags: intent.effects.flags.map((flag) => ({ flag, says: `It is ${flag}.` })), accept: [], refused: [] };
      }
      case 'POST /v1/s2s/wallets': return this.once(r, () => this.create(r));
      case 'GET /v1/attestation':
        if (query) return this.answerChallenge(Buffer.from(new URLSearchParams(query).get('challenge'), 'hex'));
        return { evidence: this.evidence.get(this.statement.toString('hex')), release, version: 'test' };
      case 'GET /v1/attestation/:id': return { evidence: this.evidence.get(id) ?? [...this.evidence.values()][0], release, version: 'test' };
      case 'GET /v1/receipts/:id': {
        const found = this.receipts?.get(id);
        if (!found) throw new Refusal(404, 'receipt_not_found');
        return { id, proof: found.proof, evidence: this.evidence.get(found.evidence), leaf: {} };
      }
      default: throw new Refusal(404, 'not_found');
    }
  }

  /** The same Idempotency-Key, or request id, gets the same answer. */
  once(r, f) {
    const key = r.idempotencyKey ?? r.nonce;
    if (!this.answers.has(key)) this.answers.set(key, f());
    const answer = structuredClone(this.answers.get(key));
    (this.receipts ??= new Map()).set(answer.receipt.id, answer.receipt);
    return answer;
  }

  async start() {
    this.server = createServer((req, res) => this.serve(req, res).catch((e) => res.writeHead(500).end(JSON.stringify({ data: null, error: { code: 'internal', message: String(e.stack) } }))));
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }

  async serve(req, res) {
    let body = '';
    for await (const chunk of req.setEncoding('utf8')) body += chunk;
    const r = this.authenticate(req, body);
    this.requests.push([req.method, req.url, r.nonce, req.headers.signature]);
    const failure = this.fail.shift();
    if (failure === 'drop') return res.destroy();
    let status = failure ?? 200, reply = { data: null, error: { code: 'overloaded', message: 'try again' } };
    if (failure === 'answer lost') {
      this.route(r);
      return res.destroy();
    }
    if (!failure) {
      try {
        const data = this.route(r);
        reply = { data: this.attack.reply?.(req.url, data) ?? data, error: null };
      } catch (e) {
        if (!(e instanceof Refusal)) throw e;
        status = e.status;
        reply = { data: null, error: { code: e.code, message: 'refused', ...(e.details ? { details: e.details } : {}) } };
        this.attack.refusal?.(reply.error);
      }
    }
    const text = this.attack.text?.(req.url, JSON.stringify(reply)) ?? JSON.stringify(reply);
    res.writeHead(status, { 'Content-Type': 'application/json', 'Sigil-Request-Id': randomUUID(), ...(failure === 429 ? { 'Retry-After': '0' } : {}) }).end(text);
  }

  /** RFC 9421, profile sigil-v1. A request that isn't signed right ends the test. */
  authenticate(req, body) {
    const h = req.headers, [path, query = ''] = req.url.split('?');
    const idempotencyKey = h['idempotency-key'];
    const digest = `sha-256=:${sha256(body).toString('base64')}:`;
    const covered = `("@method" "@path" "@query" "content-digest"${idempotencyKey === undefined ? '' : ' "idempotency-key"'})`;
    const input = /^sig=(.*;created=(\d+);nonce="([0-9a-f-]{36})";keyid="([0-9a-f]{32})";alg="ed25519";tag="sigil-v1")$/.exec(h['signature-input']);
    if (!input?.[1].startsWith(`${covered};created=`) || h['content-digest'] !== digest || input[4] !== keyId(this.credential)) throw new Error('request is not signed by the profile');
    const base = [`"@method": ${req.method}`, `"@path": ${path}`, `"@query": ?${query}`, `"content-digest": ${digest}`,
      ...(idempotencyKey === undefined ? [] : [`"idempotency-key": ${idempotencyKey}`]), `"@signature-params": ${input[1]}`].join('\n');
    const signature = Buffer.from(/^sig=:(.*):$/.exec(h.signature)[1], 'base64');
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: this.credential.toString('base64url') }, format: 'jwk' });
    if (!verify(null, Buffer.from(base), key, signature) || Math.abs(seconds() - Number(input[2])) > 60) throw new Error('request signature does not verify');
    return { method: req.method, url: req.url, body, nonce: input[3], digest: sha256(base), idempotencyKey };
  }
}

/** The private key of a key's Taproot output (BIP-341), without a script tree. */
function tweaked(secret) {
  const n = secp256k1.Point.Fn.ORDER, { y } = secp256k1.Point.fromBytes(secp256k1.getPublicKey(secret)).toAffine(), d = BigInt(`0x${Buffer.from(secret).toString('hex')}`);
  const tag = sha256('TapTweak'), t = BigInt(`0x${sha256(tag, tag, secp256k1.getPublicKey(secret).subarray(1)).toString('hex')}`);
  return Buffer.from((((y % 2n ? n - d : d) + t) % n).toString(16).padStart(64, '0'), 'hex');
}

function publicOf(seed) {
  const key = createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from(seed)]), format: 'der', type: 'pkcs8' });
  return Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x, 'base64url');
}

const keyId = (publicKey) => sha256('sigil/key-id/v1\n', publicKey).subarray(0, 16).toString('hex');

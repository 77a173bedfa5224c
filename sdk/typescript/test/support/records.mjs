// Writers of the records that the SDK reads (docs/FORMATS.md), written from
// the document and apart from the SDK's code.
import { createHash, generateKeyPairSync, sign } from 'node:crypto';

export const sha256 = (...parts) => {
  const h = createHash('sha256');
  for (const p of parts) h.update(p);
  return h.digest();
};

/** An Ed25519 key. */
export class Key {
  constructor() {
    const pair = generateKeyPairSync('ed25519');
    this.secret = pair.privateKey;
    this.public = Buffer.from(pair.publicKey.export({ format: 'jwk' }).x, 'base64url');
    this.id = sha256('sigil/key-id/v1\n', this.public).subarray(0, 16).toString('hex');
  }

  sign(b) { return sign(null, b, this.secret); }
}

const u = (size) => (n) => {
  const b = Buffer.alloc(8);
  b.writeBigUInt64BE(BigInt(n));
  return b.subarray(8 - size);
};
export const u8 = u(1), u32 = u(4), u64 = u(8);
export const bytes = (b) => Buffer.concat([u32(Buffer.byteLength(b)), Buffer.from(b)]);
export const list = (items) => Buffer.concat([u32(items.length), ...items]);
export const uuid = (s) => Buffer.from(s.replaceAll('-', ''), 'hex');
const record = (name, ...fields) => Buffer.concat([Buffer.from(`sigil/${name}/v1\n`), ...fields]);
const signed = (key, r) => Buffer.concat([r, key.sign(r)]);
export const zero32 = Buffer.alloc(32);

/** DSSE envelope, signed by the keys. */
export function envelope(type, document, keys) {
  const payload = Buffer.from(JSON.stringify(document));
  const pae = Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload]);
  const signatures = keys.map((k) => ({ keyid: k.id, sig: k.sign(pae).toString('base64') })).sort((a, b) => (a.keyid < b.keyid ? -1 : 1));
  return { digest: sha256(pae), envelope: { payloadType: type, payload: payload.toString('base64'), signatures } };
}

export const statement = (s) => record('instance-statement', s.instanceKey, s.linkKey, s.config, s.challenges ?? zero32, u64(s.started), u64(s.issued));

export const stateCertificate = (c, key) =>
  signed(key, record('state-certificate', uuid(c.organization), c.genesis, c.stateKey, bytes(c.release), c.statement, u64(c.created)));

export const stateRecord = (certificate) => record('state-record', bytes(certificate), bytes('tee share'), bytes('provider share'));

export const walletCertificate = (c, key) =>
  signed(key, record('wallet-certificate', uuid(c.organization), c.genesis, c.stateKey, uuid(c.wallet), u8(c.flags ?? 0), bytes(c.release), u64(c.created),
    list(c.keys.map((k) => Buffer.concat([u8(k.curve), u8(k.kind ?? 1), bytes(k.path ?? ''), bytes(k.publicKey)])))));

export const leaf = (l) =>
  record('receipt', uuid(l.id), u8(l.kind), u8(l.decision), u8(l.auth), u8(l.freshness), uuid(l.organization), l.genesis, l.grant, l.credential,
    uuid(l.wallet), uuid(l.requestId), l.requestDigest, l.idempotencyDigest, l.payloadDigest, l.intentDigest, l.outputDigest,
    bytes(l.method), bytes(l.network), bytes(l.reason), bytes(l.release), u64(l.time));

export const batch = (b, key) =>
  signed(key, record('batch', b.instanceKey, b.statement, u64(b.number), b.previous, u64(b.time), u32(b.count), b.root, list([])));

export const receipt = (r) => record('receipt-proof', bytes(r.leaf), u32(r.index), list(r.path), bytes(r.batch));

const hashLeaf = (l) => sha256(Buffer.from([0]), l), node = (a, b) => sha256(Buffer.from([1]), a, b);

/** Tree of three leaves with the given one in the middle. */
export function middleOfThree(l) {
  const left = hashLeaf(Buffer.from('left')), right = hashLeaf(Buffer.from('right'));
  return { root: node(node(left, hashLeaf(l)), right), path: [left, right], index: 1, count: 3 };
}

/** A secret token and the request key behind it. */
export function token(pin, seed, prefix = 'sk_live_') {
  const body = Buffer.concat([Buffer.from([1]), seed, pin]);
  const raw = Buffer.concat([body, sha256('sigil/secret-token/v1\n', prefix, body).subarray(0, 4)]);
  let bits = '', text = '';
  for (const b of raw) bits += b.toString(2).padStart(8, '0');
  for (bits += '0'; bits; bits = bits.slice(5)) text += 'abcdefghijklmnopqrstuvwxyz234567'[parseInt(bits.slice(0, 5), 2)];
  return prefix + text;
}

// A certificate authority for tests: just enough DER (X.690) and X.509 (RFC
// 5280) to make chains, good ones and bad ones. node:crypto reads certificates
// but makes none.
import { createHash, generateKeyPairSync, sign } from 'node:crypto';

const der = (tag, ...content) => {
  const body = Buffer.concat(content.map((c) => Buffer.from(c)));
  const n = body.length;
  const length = n < 128 ? [n] : n < 256 ? [0x81, n] : [0x82, n >> 8, n & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
};
const sequence = (...c) => der(0x30, ...c);
const number = (n) => der(0x02, [n]);
const oid = (hex) => der(0x06, Buffer.from(hex, 'hex'));
const yes = der(0x01, [0xff]);
const name = (cn) => sequence(der(0x31, sequence(oid('550403'), der(0x0c, Buffer.from(cn)))));
const time = (seconds) => der(0x17, Buffer.from(new Date(seconds * 1000).toISOString().replace(/[-:T]|\.\d+/g, '').slice(2))); // UTCTime
const ecdsaSHA256 = sequence(oid('2a8648ce3d040302'));

/** Makes one certificate, signed by an EC key. */
export function certificate({ subject, issuer, publicKey, signer, ca, mayIssue = ca, serial = 1, from, to }) {
  const extensions = sequence(
    sequence(oid('551d13'), yes, der(0x04, ca ? sequence(yes) : sequence())),
    sequence(oid('551d0f'), yes, der(0x04, der(0x03, mayIssue ? [1, 0x06] : [7, 0x80]))),
  );
  const tbs = sequence(der(0xa0, number(2)), number(serial), ecdsaSHA256, name(issuer), sequence(time(from), time(to)), name(subject),
    publicKey.export({ format: 'der', type: 'spki' }), der(0xa3, extensions));
  return sequence(tbs, ecdsaSHA256, der(0x03, [0], sign('sha256', tbs, signer)));
}

const ec = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });

/** An issuer of PKI tokens with a chain of its own: leaf, intermediate, root. */
export class Issuer {
  /** All options but the label make a chain that is to be refused. */
  constructor({ label = 'Test', at = Math.floor(Date.now() / 1000), leafCA = false, leafIssuer, leafType = 'rsa', middleCA = true, middleMayIssue, middleIssuer, middleTo, rootCA = true } = {}) {
    const root = ec(), middle = ec(), leaf = leafType === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : ec();
    const from = at - 86400, to = at + 10 * 365 * 86400;
    const names = ['Leaf', 'Intermediate', 'Root'].map((n) => `${label} ${n}`);
    this.key = leaf.privateKey;
    this.chain = [
      certificate({ subject: names[0], issuer: leafIssuer ?? names[1], publicKey: leaf.publicKey, signer: middle.privateKey, ca: leafCA, serial: 3, from, to }),
      certificate({ subject: names[1], issuer: middleIssuer ?? names[2], publicKey: middle.publicKey, signer: root.privateKey, ca: middleCA, mayIssue: middleMayIssue ?? middleCA, serial: 2, from, to: middleTo ?? to }),
      certificate({ subject: names[2], issuer: names[2], publicKey: root.publicKey, signer: root.privateKey, ca: rootCA, mayIssue: true, from, to }),
    ];
  }

  get root() { return createHash('sha256').update(this.chain[2]).digest('hex'); }

  get x5c() { return this.chain.map((c) => c.toString('base64')); }

  /** Signs text as the payload of a token; header members can be set. */
  tokenOf(payload, header = {}, key = this.key) {
    const head = { alg: 'RS256', typ: 'JWT', x5c: this.x5c, ...header };
    const input = [JSON.stringify(head), payload].map((p) => Buffer.from(p).toString('base64url')).join('.');
    return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`;
  }

  token(claims, header) { return this.tokenOf(JSON.stringify(claims), header); }
}

import { FormatError, Reader, equal, hex, sha256, unhex, uuidText } from './canon.js';
import { curveNames, publicKeySizes, verifyEd25519 } from './keys.js';

function split(signed: Uint8Array): [record: Uint8Array, signature: Uint8Array] {
  if (signed.length <= 64) throw new FormatError('too short to be signed');
  return [signed.subarray(0, signed.length - 64), signed.subarray(signed.length - 64)];
}

function requireSignature(key: Uint8Array, record: Uint8Array, signature: Uint8Array): void {
  if (!verifyEd25519(key, record, signature)) throw new FormatError('signature does not verify');
}

export interface Statement {
  readonly instanceKey: Uint8Array;
  readonly linkKey: Uint8Array;
  /** Merkle root over callers' challenges; zero without. */
  readonly challenges: Uint8Array;
  readonly digest: Uint8Array;
  readonly nonce: string;
}

export function decodeStatement(record: Uint8Array): Statement {
  const r = new Reader('sigil/instance-statement/v1\n', record);
  const instanceKey = r.fixed(32), linkKey = r.fixed(32);
  r.fixed(32); // configuration
  const challenges = r.fixed(32);
  r.u64(); // started
  r.u64(); // issued
  r.close();
  const digest = sha256(record);
  return { instanceKey, linkKey, challenges, digest, nonce: hex(digest) };
}

export interface StateCertificate {
  readonly organization: string;
  readonly genesis: Uint8Array;
  readonly stateKey: Uint8Array;
  readonly release: string;
  readonly statement: Uint8Array;
  readonly created: bigint; // unix microseconds
}

/** The certificate inside a state record; `verify` checks it under a key. */
export function decodeStateRecord(record: Uint8Array): { certificate: StateCertificate; verify(instanceKey: Uint8Array): void } {
  const r = new Reader('sigil/state-record/v1\n', record);
  const signed = r.bytes(2048);
  r.bytes(2048); // TEE share
  r.bytes(2048); // provider share
  r.close();
  return decodeStateCertificate(signed);
}

export function decodeStateCertificate(signed: Uint8Array): { certificate: StateCertificate; verify(instanceKey: Uint8Array): void } {
  const [rec, sig] = split(signed);
  const c = new Reader('sigil/state-certificate/v1\n', rec);
  const certificate = { organization: uuidText(c.fixed(16)), genesis: c.fixed(32), stateKey: c.fixed(32), release: c.text(128), statement: c.fixed(32), created: c.u64() };
  c.close();
  return { certificate, verify: (key) => requireSignature(key, rec, sig) };
}

export interface WalletCertificate {
  readonly organization: string;
  readonly genesis: Uint8Array;
  readonly stateKey: Uint8Array;
  readonly wallet: string;
  readonly keys: ReadonlyMap<string, Uint8Array>; // by curve
}

/** Decodes and verifies under the state key that it names; the caller
 * compares that with the one of the grant. */
export function openWalletCertificate(signed: Uint8Array): WalletCertificate {
  const [rec, sig] = split(signed);
  const r = new Reader('sigil/wallet-certificate/v1\n', rec);
  const organization = uuidText(r.fixed(16)), genesis = r.fixed(32), stateKey = r.fixed(32), wallet = uuidText(r.fixed(16));
  if ((r.u8() & ~3) !== 0) throw new FormatError('unknown flags');
  r.text(128); // release
  r.u64(); // created
  const keys = new Map<string, Uint8Array>();
  let lastCurve = 0, lastPath = '';
  for (let n = r.count(8); n > 0; n--) {
    const curve = r.u8(), kind = r.u8(), path = r.text(128), publicKey = r.bytes(64);
    const name = curveNames[curve];
    if (name === undefined || kind !== 1 || publicKey.length !== publicKeySizes[curve]) throw new FormatError('malformed key');
    if (curve < lastCurve || (curve === lastCurve && Buffer.compare(Buffer.from(path), Buffer.from(lastPath)) <= 0)) throw new FormatError('keys are out of order');
    lastCurve = curve;
    lastPath = path;
    if (path === '') keys.set(name, publicKey);
  }
  r.close();
  if (lastCurve === 0) throw new FormatError('no keys');
  requireSignature(stateKey, rec, sig);
  return { organization, genesis, stateKey, wallet, keys };
}

export interface Leaf {
  readonly id: string;
  readonly kind: number; // 1 sign, 2 create wallet
  readonly decision: number; // 1 allow, 2 deny
  readonly auth: number; // 1 signature, 2 bearer
  readonly freshness: number; // 1 none, 2 witnessed
  readonly organization: string;
  readonly genesis: Uint8Array;
  readonly grant: Uint8Array;
  readonly credential: Uint8Array;
  readonly wallet: string;
  readonly requestId: string;
  readonly requestDigest: Uint8Array;
  readonly idempotencyDigest: Uint8Array;
  readonly payloadDigest: Uint8Array;
  readonly intentDigest: Uint8Array;
  readonly outputDigest: Uint8Array;
  readonly method: string;
  readonly network: string;
  readonly reason: string;
  readonly release: string;
  readonly time: bigint; // unix microseconds
}

export const zero32 = new Uint8Array(32);

export function decodeLeaf(record: Uint8Array): Leaf {
  const r = new Reader('sigil/receipt/v1\n', record);
  const l: Leaf = {
    id: uuidText(r.fixed(16)), kind: r.u8(), decision: r.u8(), auth: r.u8(), freshness: r.u8(), organization: uuidText(r.fixed(16)),
    genesis: r.fixed(32), grant: r.fixed(32), credential: r.fixed(32), wallet: uuidText(r.fixed(16)), requestId: uuidText(r.fixed(16)),
    requestDigest: r.fixed(32), idempotencyDigest: r.fixed(32), payloadDigest: r.fixed(32), intentDigest: r.fixed(32), outputDigest: r.fixed(32),
    method: r.text(32), network: r.text(32), reason: r.text(64), release: r.text(128), time: r.u64(),
  };
  r.close();
  const inRange = [l.kind, l.decision, l.auth, l.freshness].every((v) => v === 1 || v === 2);
  const allow = l.decision === 1;
  if (!inRange || allow !== (l.reason === 'allowed') || allow === equal(l.outputDigest, zero32)) throw new FormatError('values do not fit together');
  return l;
}

export interface Batch {
  readonly instanceKey: Uint8Array;
  readonly statement: Uint8Array;
  readonly number: bigint;
  readonly time: bigint;
  readonly count: number;
  readonly root: Uint8Array;
}

/** Decodes and verifies under the instance key that it names. */
export function openBatch(signed: Uint8Array): Batch {
  const [rec, sig] = split(signed);
  const r = new Reader('sigil/batch/v1\n', rec);
  const instanceKey = r.fixed(32), statement = r.fixed(32), number = r.u64(), previous = r.fixed(32), time = r.u64(), count = r.u32(), root = r.fixed(32);
  for (let n = r.count(64); n > 0; n--) {
    r.fixed(16);
    r.u64();
    r.fixed(32);
  }
  r.close();
  if (count === 0 || number === 0n || (number === 1n) !== equal(previous, zero32)) throw new FormatError('values do not fit together');
  requireSignature(instanceKey, rec, sig);
  return { instanceKey, statement, number, time, count, root };
}

export interface Receipt {
  readonly leaf: Uint8Array;
  readonly index: number;
  readonly path: readonly Uint8Array[];
  readonly batch: Uint8Array;
}

export function decodeReceipt(record: Uint8Array): Receipt {
  const r = new Reader('sigil/receipt-proof/v1\n', record);
  const leaf = r.bytes(4096), index = r.u32(), path: Uint8Array[] = [];
  for (let n = r.count(32); n > 0; n--) path.push(r.fixed(32));
  const batch = r.bytes(8192);
  r.close();
  return { leaf, index, path, batch };
}

/** RFC 9162 section 2.1.3.2: leaf is number index of count under root. */
export function verifyPath(leaf: Uint8Array, index: number, count: number, path: readonly Uint8Array[], root: Uint8Array): void {
  if (index >= count) throw new FormatError('index beyond the batch');
  let fn = index, sn = count - 1;
  let h = sha256(new Uint8Array([0]), leaf);
  const node = (a: Uint8Array, b: Uint8Array) => sha256(new Uint8Array([1]), a, b);
  for (const p of path) {
    if (sn === 0) throw new FormatError('path is too long');
    if (fn % 2 === 1 || fn === sn) {
      h = node(p, h);
      while (fn % 2 === 0 && fn !== 0) {
        fn = Math.floor(fn / 2);
        sn = Math.floor(sn / 2);
      }
    } else {
      h = node(h, p);
    }
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  if (sn !== 0 || !equal(h, root)) throw new FormatError("path does not lead to the batch's root");
}

/** A checkpoint of an organisation's log (docs/FORMATS.md section 7.4). */
export function openCheckpoint(note: string, origin: string, key: Uint8Array): { size: bigint; root: Uint8Array } {
  const at = note.indexOf('\n\n');
  const body = note.slice(0, at + 1), lines = body.split('\n'), first = note.slice(at + 2).split('\n')[0]!;
  if (at < 0 || lines.length !== 4 || lines[0] !== origin || !note.endsWith('\n')) throw new FormatError('not a checkpoint of this log');
  if (!/^(0|[1-9][0-9]{0,18})$/.test(lines[1]!)) throw new FormatError('size is not a canonical number');
  const strict = (s: string, size: number) => {
    const b = new Uint8Array(Buffer.from(s, 'base64'));
    if (b.length !== size || Buffer.from(b).toString('base64') !== s) throw new FormatError('malformed base64');
    return b;
  };
  const prefix = `\u2014 ${origin} `;
  if (!first.startsWith(prefix)) throw new FormatError('no signature line of the log key');
  const blob = strict(first.slice(prefix.length), 68);
  const hint = sha256(`${origin}\n\u0001`, key).subarray(0, 4);
  if (!equal(blob.subarray(0, 4), hint) || !verifyEd25519(key, new TextEncoder().encode(body), blob.subarray(4))) throw new FormatError('signature does not verify');
  return { size: BigInt(lines[1]!), root: strict(lines[2]!, 32) };
}

function itemDigest(magic: string, of: Uint8Array, index: number): Uint8Array {
  const n = new Uint8Array(4);
  new DataView(n.buffer).setUint32(0, index);
  return sha256(magic, of, n);
}

/** The request id in the receipt of a batch's item (docs/FORMATS.md section 4.3). */
export function itemRequestId(batch: string, index: number): string {
  const id = unhex(batch.replaceAll('-', ''), 16);
  id.set(itemDigest('sigil/item-id/v1\n', id, index).subarray(0, 10), 6);
  id[6] = (id[6]! & 0x0f) | 0x80;
  id[8] = (id[8]! & 0x3f) | 0x80;
  return uuidText(id);
}

/** The idempotency digest in the receipt of a batch's item. */
export function itemIdempotency(batch: Uint8Array, index: number): Uint8Array {
  return itemDigest('sigil/item-idempotency/v1\n', batch, index);
}

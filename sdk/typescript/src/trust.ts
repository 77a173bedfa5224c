import { equal, hex, sha256, unbase64 } from './canon.js';
import { verifyGenesis, verifyGrant, type Genesis, type Grant } from './documents.js';
import { SigilVerificationError, broken, type VerificationCode } from './errors.js';
import { Evidence, checkEvidence, type Attested } from './evidence.js';
import type { SignedRequest } from './httpsig.js';
import { decodeLeaf, decodeReceipt, decodeStateRecord, itemIdempotency, itemRequestId, openBatch, openWalletCertificate, verifyPath, zero32, type Batch, type Leaf, type WalletCertificate } from './receipt.js';
import type { Token } from './token.js';

/** An organisation as far as it is proved. */
export interface Root {
  readonly genesis: Genesis;
  readonly grant: Grant;
}

/** Runs a check; what it throws becomes a failure with the code. */
export function check<T>(code: VerificationCode, f: () => T): T {
  try {
    return f();
  } catch (e) {
    if (e instanceof SigilVerificationError) throw e;
    throw new SigilVerificationError(code, (e as Error).message, undefined, { cause: e });
  }
}

type Loose = Record<string, unknown>;

export function object(v: unknown, what: string): Loose {
  if (typeof v !== 'object' || v === null || Array.isArray(v)) throw broken('response_invalid', `${what} is not an object`);
  return v as Loose;
}

export function string(o: Loose, key: string): string {
  const v = o[key];
  if (typeof v !== 'string') throw broken('response_invalid', `${key} is not a string`);
  return v;
}

export function evidenceOf(v: unknown): Evidence {
  const o = object(v, 'evidence');
  return check('evidence_invalid', () => new Evidence(unbase64(string(o, 'statement')), string(o, 'token')));
}

/** From the pin in the secret token to the own grant and the state key. */
export function openCredential(token: Token, data: unknown): Root & { attested: Attested } {
  const o = object(data, 'credential'), org = object(o['organization'], 'organization');
  const genesis = check('genesis_invalid', () => verifyGenesis(JSON.stringify(org['genesis'])));
  if (!equal(genesis.digest.subarray(0, 16), token.pin)) throw broken('pin_mismatch', "the service's genesis document isn't the one that the secret key was made for");
  const grant = check('grant_invalid', () => verifyGrant(JSON.stringify(o['grant']), genesis));
  if (!equal(grant.credential, token.key.publicKey)) throw broken('grant_invalid', 'the grant is of another key');
  const state = check('state_certificate_invalid', () => decodeStateRecord(unbase64(string(org, 'state_record'))));
  const evidence = evidenceOf(org['evidence']);
  const c = state.certificate;
  if (!equal(sha256(evidence.statement), c.statement)) throw broken('evidence_invalid', 'evidence of another statement');
  const { statement, attested } = checkEvidence(genesis, evidence, c.release, c.created);
  check('state_certificate_invalid', () => state.verify(statement.instanceKey));
  if (c.organization !== genesis.organizationId || !equal(c.genesis, genesis.digest) || !equal(c.stateKey, grant.stateKey)) {
    throw broken('state_certificate_invalid', "the state key isn't the one that the owner's grant names");
  }
  return { genesis, grant, attested };
}

/** Proves that the owner's state key certified this very wallet's keys. */
export function openWallet(root: Root, certificate: string, wallet: string): WalletCertificate {
  const c = check('certificate_invalid', () => openWalletCertificate(unbase64(certificate)));
  const off = !equal(c.stateKey, root.grant.stateKey) ? 'state_key' : c.organization !== root.genesis.organizationId || !equal(c.genesis, root.genesis.digest) ? 'organization' : c.wallet !== wallet ? 'wallet' : undefined;
  if (off) throw broken('certificate_invalid', "the certificate isn't of this wallet under the owner's state key", off);
  return c;
}

/** A receipt that is proved up to the evidence. */
export interface OpenedReceipt {
  readonly leaf: Leaf;
  readonly proof: string; // base64
  readonly batch: Batch;
  readonly attested: Attested;
}

const maxAge = 300_000_000n; // 5 minutes, in microseconds

export async function openReceipt(root: Root, proof: string, find: (statement: string) => Promise<Evidence>): Promise<OpenedReceipt> {
  const r = check('receipt_invalid', () => decodeReceipt(unbase64(proof)));
  const batch = check('batch_invalid', () => openBatch(r.batch));
  const leaf = check('receipt_invalid', () => {
    verifyPath(r.leaf, r.index, batch.count, r.path, batch.root);
    return decodeLeaf(r.leaf);
  });
  const evidence = await find(hex(batch.statement));
  if (!equal(sha256(evidence.statement), batch.statement)) throw broken('evidence_invalid', 'evidence of another statement');
  const { statement, attested } = checkEvidence(root.genesis, evidence, leaf.release, batch.time);
  if (!equal(statement.instanceKey, batch.instanceKey)) throw broken('batch_invalid', "signed by another key than the attested instance's");
  const apart = batch.time - leaf.time;
  if (apart > maxAge || apart < -maxAge) throw broken('receipt_mismatch', 'the decision is of another time than its batch', 'time');
  return { leaf, proof, batch, attested };
}

/** What a request implies for its receipt. */
export interface Expected {
  readonly kind: number;
  readonly decision: number;
  readonly request: SignedRequest;
  readonly wallet: string;
  readonly method: string;
  readonly network: string;
  readonly payloadDigest: Uint8Array;
  readonly intentDigest: Uint8Array;
  readonly outputDigest: Uint8Array;
  /** Index in a batch; the request is the whole one. */
  readonly item?: number;
}

/** Compares every field; returns whether it is an earlier request's answer
 * under the same Idempotency-Key. */
export function checkLeaf(root: Root, token: Token, l: Leaf, x: Expected, nowMs: number): { replayed: boolean } {
  const key = x.request.idempotencyKey;
  const whole = key === undefined ? zero32 : sha256(key);
  const idempotency = x.item === undefined || key === undefined ? whole : itemIdempotency(whole, x.item);
  const id = x.item === undefined ? x.request.id : itemRequestId(x.request.id, x.item);
  const fields: [string, boolean][] = [
    ['kind', l.kind === x.kind], ['decision', l.decision === x.decision], ['auth', l.auth === 1], ['freshness', l.freshness === 1],
    ['organization', l.organization === root.genesis.organizationId], ['genesis', equal(l.genesis, root.genesis.digest)],
    ['grant', equal(l.grant, root.grant.digest)], ['credential', equal(l.credential, token.key.publicKey)],
    ['wallet', l.wallet === x.wallet], ['method', l.method === x.method], ['network', l.network === x.network],
    ['idempotency_digest', equal(l.idempotencyDigest, idempotency)],
    ['payload_digest', equal(l.payloadDigest, x.payloadDigest)],
    ['intent_digest', equal(l.intentDigest, x.intentDigest)],
    ['output_digest', equal(l.outputDigest, x.outputDigest)],
  ];
  const off = fields.find(([, same]) => !same);
  if (off) throw broken('receipt_mismatch', 'the receipt is of another decision than was asked for', off[0]);
  return checkRequest(l, x.request, id, nowMs);
}

function checkRequest(l: Leaf, r: SignedRequest, id: string, nowMs: number): { replayed: boolean } {
  const sameId = l.requestId === id, sameDigest = equal(l.requestDigest, r.digest);
  const age = BigInt(Math.round(nowMs * 1000)) - l.time;
  if (age < -maxAge) throw broken('receipt_mismatch', "decided in the future; check this machine's clock", 'time');
  if (!sameId && !sameDigest && r.idempotencyKey !== undefined) return { replayed: true };
  if (!sameId || !sameDigest) throw broken('receipt_mismatch', 'the receipt is of another request', sameId ? 'request_digest' : 'request_id');
  if (age > maxAge) throw broken('receipt_mismatch', "decided long ago; check this machine's clock", 'time');
  return { replayed: false };
}


import { X509Certificate, verify } from 'node:crypto';
import { FormatError, base64, decodeUTF8, hex, parseJSON, sha256, unbase64 } from './canon.js';
import type { Genesis, TEE } from './documents.js';
import { SigilVerificationError, broken } from './errors.js';
import { decodeStatement, verifyPath, type Statement } from './receipt.js';

/** Audience of evidence tokens; no STS accepts it. */
const audience = 'https://sigilkeys.com/evidence/v1';
const skew = 60; // seconds

/** A statement and the token that vouches for it. */
export class Evidence {
  readonly statement: Uint8Array;
  readonly token: string;
  readonly #authentic = new Map<string, Authentic>(); // by pinned root
  constructor(statement: Uint8Array, token: string) {
    this.statement = statement;
    this.token = token;
  }

  /** The token's claims, if it was authentic at the time (unix seconds). The
   * signatures are verified once: they take milliseconds. */
  claims(pinnedRoot: string, at: number): Readonly<Record<string, unknown>> {
    let a = this.#authentic.get(pinnedRoot);
    if (a === undefined) this.#authentic.set(pinnedRoot, (a = verifyToken(this.token, pinnedRoot)));
    if (!(a.from <= at + skew && at - skew <= a.to)) throw new FormatError('a certificate was not valid at the time');
    return a.claims;
  }
}

/** An authentic token, within the time of its certificates (unix seconds). */
interface Authentic {
  readonly claims: Readonly<Record<string, unknown>>;
  readonly from: number;
  readonly to: number;
}

/** What verified evidence says of the workload. */
export interface Attested {
  /** Image digest, sha256:… */
  readonly imageDigest: string;
  readonly hardware: string;
  readonly projectId: string;
  readonly issued: Date;
  readonly expires: Date;
}

function base64url(s: string): Buffer {
  const b = Buffer.from(s, 'base64url');
  if (b.toString('base64url') !== s) throw new FormatError('not canonical base64url');
  return b;
}

function parseObject(b: Buffer): Record<string, unknown> {
  const v = parseJSON(decodeUTF8(b));
  if (typeof v !== 'object' || v === null || Array.isArray(v)) throw new FormatError('not a JSON object');
  return v as Record<string, unknown>;
}

/** One certificate of the chain, in its one spelling. */
function certificate(x5c: string): X509Certificate {
  const c = new X509Certificate(unbase64(x5c));
  if (base64(c.raw) !== x5c) throw new FormatError('a certificate has trailing bytes');
  return c;
}

/** Chain of a PKI token: leaf, intermediate, root; the root is the pinned one. */
function verifyChain(x5c: unknown, pinned: string): [X509Certificate, X509Certificate, X509Certificate] {
  if (!Array.isArray(x5c) || x5c.length !== 3 || x5c.some((c) => typeof c !== 'string')) throw new FormatError('x5c is not a chain of three certificates');
  const [leaf, middle, root] = x5c.map(certificate) as [X509Certificate, X509Certificate, X509Certificate];
  if (hex(sha256(root.raw)) !== pinned) throw new FormatError('the chain ends in another root than the genesis document names');
  if (!middle.ca || !root.ca || leaf.ca) throw new FormatError('the chain has wrong roles');
  if (!leaf.checkIssued(middle) || !leaf.verify(middle.publicKey) || !middle.checkIssued(root) || !middle.verify(root.publicKey)) {
    throw new FormatError('the chain does not verify');
  }
  return [leaf, middle, root];
}

/** Verifies the token's signature and chain; the time is left to the caller. */
function verifyToken(token: string, pinnedRoot: string): Authentic {
  if (token.length > 16384) throw new FormatError('token is too large');
  const parts = token.split('.');
  if (parts.length !== 3) throw new FormatError('not a JWT');
  const header = parseObject(base64url(parts[0]!));
  if (header['alg'] !== 'RS256') throw new FormatError('alg is not RS256');
  if (header['typ'] !== undefined && header['typ'] !== 'JWT') throw new FormatError('typ is not JWT');
  // Members that would move the key or the payload somewhere else.
  const moved = ['crit', 'jwk', 'jku', 'x5u', 'b64', 'zip', 'enc'].find((m) => m in header);
  if (moved !== undefined) throw new FormatError(`the header has the member ${moved}`);
  const chain = verifyChain(header['x5c'], pinnedRoot), [leaf] = chain;
  if (leaf.publicKey.asymmetricKeyType !== 'rsa') throw new FormatError('the leaf key is not RSA');
  if (!verify('sha256', Buffer.from(`${parts[0]}.${parts[1]}`), leaf.publicKey, base64url(parts[2]!))) throw new FormatError('the signature does not verify');
  return {
    claims: parseObject(base64url(parts[1]!)),
    from: Math.max(...chain.map((c) => Date.parse(c.validFrom) / 1000)), to: Math.min(...chain.map((c) => Date.parse(c.validTo) / 1000)),
  };
}

function object(v: unknown): Record<string, unknown> {
  return typeof v === 'object' && v !== null && !Array.isArray(v) ? (v as Record<string, unknown>) : {};
}

const withoutSlash = (v: unknown) => (typeof v === 'string' && v.endsWith('/') ? v.slice(0, -1) : v);
/** A claim that isn't there, or is there and empty. */
const empty = (v: unknown) => v === undefined || v === null || (typeof v === 'object' && Object.keys(v).length === 0);

/** Every claim as the genesis document expects it; the first that isn't, with
 * the reason as every SDK names it. */
function refusedClaim(claims: Readonly<Record<string, unknown>>, tee: TEE, release: string, nonce: string, at: number): { claim: string; reason: string } | undefined {
  const submods = object(claims['submods']), container = object(submods['container']), gce = object(submods['gce']);
  const support = object(submods['confidential_space'])['support_attributes'];
  const time = (k: string) => (Number.isSafeInteger(claims[k]) && (claims[k] as number) > 0 ? (claims[k] as number) : NaN);
  const accounts = claims['google_service_accounts'];
  const got = claims['eat_nonce'];
  const life = time('exp') - time('iat'); // NaN where one is missing: no comparison holds
  const checks: [claim: string, reason: string, passes: boolean][] = [
    ['iss', 'issuer', withoutSlash(claims['iss']) === withoutSlash(tee.issuer)],
    ['aud', 'audience', claims['aud'] === audience],
    ['iat', 'issued_in_future', time('iat') <= at + skew],
    ['nbf', 'not_yet_valid', time('nbf') <= at + skew],
    ['exp', 'expired', time('exp') > at - skew],
    ['exp', 'lifetime', life > 0 && life <= 86400],
    ['eat_nonce', 'nonce', got === nonce || (Array.isArray(got) && got.length === 1 && got[0] === nonce)],
    ['swname', 'software_name', claims['swname'] === 'CONFIDENTIAL_SPACE'],
    ['hwmodel', 'hardware', typeof claims['hwmodel'] === 'string' && claims['hwmodel'] !== '' && tee.hardware.includes(claims['hwmodel'])],
    ['secboot', 'secure_boot', claims['secboot'] === true],
    ['dbgstat', 'debug', claims['dbgstat'] === 'disabled-since-boot'],
    ['support_attributes', 'not_stable', Array.isArray(support) && support.includes('STABLE') && !support.includes('EXPERIMENTAL')],
    ['image_digest', 'image_digest', container['image_digest'] === release && tee.imageDigests.includes(release)],
    ['project_id', 'project_id', gce['project_id'] === tee.projectId],
    ['google_service_accounts', 'service_account', Array.isArray(accounts) && accounts.includes(tee.serviceAccount)],
    ['cmd_override', 'cmd_override', empty(container['cmd_override'])],
    ['env_override', 'env_override', empty(container['env_override'])],
  ];
  const off = checks.find(([, , passes]) => !passes);
  return off && { claim: off[0], reason: off[1] };
}

function refuse(detail: string, claim: string, reason: string): SigilVerificationError {
  return new SigilVerificationError('evidence_refused', detail, claim, { reason });
}

/** Verifies evidence for something signed at the given time (unix microseconds)
 * by a workload of the release, and returns the statement it vouches for. */
export function checkEvidence(genesis: Genesis, evidence: Evidence, release: string, atMicros: bigint): { statement: Statement; attested: Attested } {
  let statement: Statement;
  try {
    statement = decodeStatement(evidence.statement);
  } catch (e) {
    throw broken('evidence_invalid', (e as Error).message);
  }
  const at = Number(atMicros / 1_000_000n);
  const tees = genesis.tees.filter((t) => t.imageDigests.includes(release));
  let last = refuse(`the genesis document doesn't accept the release ${release}`, 'image_digest', 'image_digest');
  for (const tee of tees) {
    let claims: Readonly<Record<string, unknown>>;
    try {
      claims = evidence.claims(tee.pkiRoot, at);
    } catch (e) {
      last = broken('evidence_invalid', (e as Error).message);
      continue;
    }
    const refused = refusedClaim(claims, tee, release, statement.nonce, at);
    if (refused === undefined) {
      const seconds = (k: string) => new Date((claims[k] as number) * 1000);
      return { statement, attested: { imageDigest: release, hardware: claims['hwmodel'] as string, projectId: tee.projectId, issued: seconds('iat'), expires: seconds('exp') } };
    }
    last = refuse("the token attests something that the genesis document doesn't accept", refused.claim, refused.reason);
  }
  throw last;
}

/** Checks that the evidence was made for the challenge, among others: proof is
 * the path from the challenge to the root in the statement. */
export function checkChallenge(evidence: Evidence, challenge: Uint8Array, proof: unknown): void {
  try {
    if (typeof proof !== 'object' || proof === null) throw new FormatError('it was not made for the challenge');
    const { index, count, path } = proof as Record<string, unknown>;
    if (!Number.isInteger(index) || !Number.isInteger(count) || (index as number) < 0 || (count as number) > 0xffffffff || !Array.isArray(path)) {
      throw new FormatError('the proof is malformed');
    }
    verifyPath(challenge, index as number, count as number, path.map((h) => {
      const b = unbase64(String(h));
      if (b.length !== 32) throw new FormatError(`a hash of ${b.length} bytes`);
      return b;
    }), decodeStatement(evidence.statement).challenges);
  } catch (e) {
    throw broken('evidence_invalid', (e as Error).message, 'challenge');
  }
}

import { X509Certificate, verify } from 'node:crypto';
import { FormatError, hex, sha256 } from './canon.js';
import type { Genesis, TEE } from './documents.js';
import { broken } from './errors.js';
import { decodeStatement, type Statement } from './receipt.js';

/** Audience of evidence tokens; no STS accepts it. */
const audience = 'https://sigilkeys.com/evidence/v1';
const skew = 60; // seconds

export interface Evidence {
  readonly statement: Uint8Array;
  readonly token: string;
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

function parseJSON(b: Buffer): Record<string, unknown> {
  const v: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(b));
  if (typeof v !== 'object' || v === null || Array.isArray(v)) throw new FormatError('not a JSON object');
  return v as Record<string, unknown>;
}

/** Chain of a PKI token: leaf, intermediate, root; the root is the pinned one. */
function verifyChain(x5c: unknown, pinned: string, at: number): X509Certificate {
  if (!Array.isArray(x5c) || x5c.length !== 3 || x5c.some((c) => typeof c !== 'string')) throw new FormatError('x5c is not a chain of three certificates');
  const [leaf, middle, root] = x5c.map((c: string) => new X509Certificate(Buffer.from(c, 'base64'))) as [X509Certificate, X509Certificate, X509Certificate];
  if (hex(sha256(root.raw)) !== pinned) throw new FormatError('the chain ends in another root than the genesis document names');
  for (const c of [leaf, middle, root]) {
    if (Date.parse(c.validFrom) > (at + skew) * 1000 || Date.parse(c.validTo) < (at - skew) * 1000) throw new FormatError('a certificate was not valid at the time');
  }
  if (!middle.ca || !root.ca || leaf.ca) throw new FormatError('the chain has wrong roles');
  if (!leaf.checkIssued(middle) || !leaf.verify(middle.publicKey) || !middle.checkIssued(root) || !middle.verify(root.publicKey) || !root.verify(root.publicKey)) {
    throw new FormatError('the chain does not verify');
  }
  return leaf;
}

/** The claims of an authentic token. */
export function verifyToken(token: string, pinnedRoot: string, at: number): Record<string, unknown> {
  if (token.length > 16384) throw new FormatError('token is too large');
  const parts = token.split('.');
  if (parts.length !== 3) throw new FormatError('not a JWT');
  const header = parseJSON(base64url(parts[0]!));
  if (header['alg'] !== 'RS256' || header['crit'] !== undefined) throw new FormatError('alg is not RS256');
  const leaf = verifyChain(header['x5c'], pinnedRoot, at);
  if (leaf.publicKey.asymmetricKeyType !== 'rsa') throw new FormatError('the leaf key is not RSA');
  if (!verify('sha256', Buffer.from(`${parts[0]}.${parts[1]}`), leaf.publicKey, base64url(parts[2]!))) throw new FormatError('the signature does not verify');
  return parseJSON(base64url(parts[1]!));
}

function object(v: unknown): Record<string, unknown> {
  return typeof v === 'object' && v !== null && !Array.isArray(v) ? (v as Record<string, unknown>) : {};
}

/** Every claim as the genesis document expects it; the name of the first that isn't. */
function refusedClaim(claims: Record<string, unknown>, tee: TEE, release: string, nonce: string, at: number): string | undefined {
  const submods = object(claims['submods']), container = object(submods['container']), gce = object(submods['gce']);
  const support = object(submods['confidential_space'])['support_attributes'];
  const time = (k: string) => (typeof claims[k] === 'number' ? (claims[k] as number) : NaN);
  const accounts = claims['google_service_accounts'];
  const got = claims['eat_nonce'];
  const checks: [string, boolean][] = [
    ['iss', claims['iss'] === tee.issuer],
    ['aud', claims['aud'] === audience],
    ['iat', time('iat') <= at + skew],
    ['nbf', time('nbf') <= at + skew],
    ['exp', time('exp') > at - skew && time('exp') - time('iat') <= 86400],
    ['swname', claims['swname'] === 'CONFIDENTIAL_SPACE'],
    ['hwmodel', typeof claims['hwmodel'] === 'string' && tee.hardware.includes(claims['hwmodel'])],
    ['secboot', claims['secboot'] === true],
    ['dbgstat', claims['dbgstat'] === 'disabled-since-boot'],
    ['support_attributes', Array.isArray(support) && support.includes('STABLE')],
    ['image_digest', container['image_digest'] === release && tee.imageDigests.includes(release)],
    ['project_id', gce['project_id'] === tee.projectId],
    ['service_account', Array.isArray(accounts) && accounts.includes(tee.serviceAccount)],
    ['cmd_override', container['cmd_override'] === undefined || container['cmd_override'] === null],
    ['env_override', container['env_override'] === undefined || container['env_override'] === null],
    ['eat_nonce', got === nonce || (Array.isArray(got) && got.length === 1 && got[0] === nonce)],
  ];
  return checks.find(([, passes]) => !passes)?.[0];
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
  let last = broken('evidence_refused', `the genesis document doesn't accept the release ${release}`, 'image_digest');
  for (const tee of tees) {
    let claims: Record<string, unknown>;
    try {
      claims = verifyToken(evidence.token, tee.pkiRoot, at);
    } catch (e) {
      last = broken('evidence_invalid', (e as Error).message);
      continue;
    }
    const refused = refusedClaim(claims, tee, release, statement.nonce, at);
    if (refused === undefined) {
      const seconds = (k: string) => new Date((claims[k] as number) * 1000);
      return { statement, attested: { imageDigest: release, hardware: claims['hwmodel'] as string, projectId: tee.projectId, issued: seconds('iat'), expires: seconds('exp') } };
    }
    last = broken('evidence_refused', 'the token attests something that the genesis document does not accept', refused);
  }
  throw last;
}

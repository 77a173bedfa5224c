import { base64, sha256 } from './canon.js';
import type { RequestKey } from './keys.js';

/** A request as its signature covers it (docs/FORMATS.md section 4.1). */
export interface SignedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly body: string;
  readonly created: number;
  readonly id: string;
  readonly idempotencyKey: string | undefined;
  readonly digest: Uint8Array; // request digest
  readonly headers: Readonly<Record<string, string>>;
}

/** Makes the one signature that is sent; retries send the same one again. */
export function signRequest(key: RequestKey, r: { method: string; path: string; query?: string; body?: string; created: number; id: string; idempotencyKey?: string | undefined }): SignedRequest {
  const query = r.query ?? '', body = r.body ?? '';
  const contentDigest = `sha-256=:${base64(sha256(body))}:`;
  const covered = ['@method', '@path', '@query', 'content-digest'];
  const lines = [`"@method": ${r.method}`, `"@path": ${r.path}`, `"@query": ?${query}`, `"content-digest": ${contentDigest}`];
  if (r.idempotencyKey !== undefined) {
    covered.push('idempotency-key');
    lines.push(`"idempotency-key": ${r.idempotencyKey}`);
  }
  const params = `(${covered.map((c) => `"${c}"`).join(' ')});created=${r.created};nonce="${r.id}";keyid="${key.keyId}";alg="ed25519";tag="sigil-v1"`;
  lines.push(`"@signature-params": ${params}`);
  const base = new TextEncoder().encode(lines.join('\n'));
  const headers: Record<string, string> = { 'Content-Digest': contentDigest, 'Signature-Input': `sig=${params}`, Signature: `sig=:${base64(key.sign(base))}:` };
  if (r.idempotencyKey !== undefined) headers['Idempotency-Key'] = r.idempotencyKey;
  return { method: r.method, path: r.path, query, body, created: r.created, id: r.id, idempotencyKey: r.idempotencyKey, digest: sha256(base), headers };
}

/** Whether a string can be an Idempotency-Key. */
export function isIdempotencyKey(s: string): boolean {
  return s.length >= 1 && s.length <= 255 && /^[!#-[\]-~]*$/.test(s);
}

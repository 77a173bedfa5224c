import { randomUUID } from 'node:crypto';
import { SigilApiError, SigilAuthError, SigilConfigError, SigilNetworkError, broken } from './errors.js';
import { isIdempotencyKey, signRequest, type SignedRequest } from './httpsig.js';
import type { RequestKey } from './keys.js';

/** Everything outside that the client uses; tests replace parts. */
export interface TransportOptions {
  readonly apiBaseUrl: string;
  readonly fetch?: typeof globalThis.fetch;
  readonly now?: () => number; // milliseconds
  readonly timeoutMs?: number; // of one attempt
}

export interface Call {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly query?: string;
  readonly body?: string;
  readonly idempotencyKey?: string | undefined;
}

/** How long one signed request may be sent again, in milliseconds: the
 * service takes it for 60 s. */
const resendFor = 50_000;
const maxReply = 4 << 20;

export class Transport {
  readonly now: () => number;
  readonly #base: string;
  readonly #fetch: typeof globalThis.fetch;
  readonly #timeout: number;
  readonly #key: RequestKey;
  constructor(options: TransportOptions, key: RequestKey) {
    let url: URL;
    try {
      url = new URL(options.apiBaseUrl);
    } catch {
      throw new SigilConfigError('invalid_argument', 'apiBaseUrl is not a URL');
    }
    if (!['http:', 'https:'].includes(url.protocol) || url.search || url.hash || url.username || (url.pathname !== '/' && url.pathname !== '')) {
      throw new SigilConfigError('invalid_argument', 'apiBaseUrl must be http(s)://host[:port] alone');
    }
    this.#base = url.origin;
    this.#fetch = options.fetch ?? globalThis.fetch;
    this.#timeout = options.timeoutMs ?? 25_000;
    this.now = options.now ?? Date.now;
    this.#key = key;
  }

  /** Signs a call once. */
  sign(c: Call): SignedRequest {
    if (c.idempotencyKey !== undefined && !isIdempotencyKey(c.idempotencyKey)) {
      throw new SigilConfigError('invalid_argument', 'idempotencyKey must be 1 to 255 visible ASCII characters without " and \\');
    }
    return signRequest(this.#key, { ...c, created: Math.floor(this.now() / 1000), id: randomUUID() });
  }

  /** Sends a signed request; the very same one again where that may help. */
  async send(r: SignedRequest): Promise<unknown> {
    for (let wait = 100; ; wait = Math.min(2 * wait, 3000)) {
      try {
        return await this.#attempt(r);
      } catch (e) {
        const again = e instanceof SigilNetworkError || (e instanceof SigilApiError && (e.status === 429 || e.status === 503));
        if (!again || this.now() - r.created * 1000 + wait > resendFor) throw e;
        await new Promise((resolve) => setTimeout(resolve, wait * (0.5 + Math.random() / 2)));
      }
    }
  }

  async call(c: Call): Promise<unknown> { return this.send(this.sign(c)); }

  async #attempt(r: SignedRequest): Promise<unknown> {
    let response: Response, body: string;
    try {
      response = await this.#fetch(this.#base + r.path + (r.query ? `?${r.query}` : ''), {
        method: r.method, redirect: 'error', signal: AbortSignal.timeout(this.#timeout),
        headers: r.method === 'POST' ? { ...r.headers, 'Content-Type': 'application/json' } : r.headers,
        ...(r.method === 'POST' ? { body: r.body } : {}),
      });
      body = await response.text();
    } catch (e) {
      throw new SigilNetworkError('network', `the service at ${this.#base} couldn't be reached: ${(e as Error).message}`, { cause: e });
    }
    if (body.length > maxReply) throw broken('response_invalid', 'the reply is too large');
    let envelope: { data?: unknown; error?: { code?: unknown; message?: unknown; details?: unknown } | null };
    try {
      envelope = JSON.parse(body) as typeof envelope;
    } catch {
      if (response.status >= 500) throw new SigilApiError(response.status, 'internal', 'the service failed', undefined);
      throw broken('response_invalid', `the reply (HTTP ${response.status}) isn't JSON`);
    }
    if (response.ok && envelope?.error === null && envelope.data !== null && envelope.data !== undefined) return envelope.data;
    const code = typeof envelope?.error?.code === 'string' ? envelope.error.code : 'internal';
    const message = typeof envelope?.error?.message === 'string' ? envelope.error.message : 'the service gave no reason';
    const kind = response.status === 401 ? SigilAuthError : SigilApiError;
    throw new kind(response.status, code, message, response.headers.get('Sigil-Request-Id') ?? undefined, envelope?.error?.details);
  }
}

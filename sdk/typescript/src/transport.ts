import { randomBytes } from 'node:crypto';
import { uuidText } from './canon.js';
import { decodeUTF8, parseJSON } from './canon.js';
import { SigilApiError, SigilAuthError, SigilConfigError, SigilError, SigilNetworkError, broken } from './errors.js';
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
  readonly method: 'GET' | 'POST' | 'PATCH';
  readonly path: string;
  readonly query?: string;
  readonly body?: string;
  readonly idempotencyKey?: string | undefined;
}

/** How long one signed request may be sent again, in milliseconds: the
 * service takes it for 60 s. */
const resendFor = 50_000;
const maxReply = 4 << 20;

/** A version 7 UUID (RFC 9562): ids in order of time are cheaper to store. */
function orderedUUID(now: number): string {
  const b = randomBytes(16);
  b.writeUIntBE(Math.floor(now), 0, 6);
  b[6] = (b[6]! & 0x0f) | 0x70;
  b[8] = (b[8]! & 0x3f) | 0x80;
  return uuidText(b);
}

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
    return signRequest(this.#key, { ...c, created: Math.floor(this.now() / 1000), id: orderedUUID(this.now()) });
  }

  /** Sends a signed request; the very same one again where that may help. */
  async send(r: SignedRequest): Promise<unknown> {
    for (let backoff = 100; ; backoff = Math.min(2 * backoff, 3000)) {
      const reply = await this.#attempt(r);
      if (!(reply instanceof Again)) return reply;
      const wait = Math.max(backoff * (0.5 + Math.random() / 2), reply.afterMs);
      if (this.now() - r.created * 1000 + wait > resendFor) throw reply.error;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  async call(c: Call): Promise<unknown> { return this.send(this.sign(c)); }

  /** One exchange: the data, an error that is thrown, or one worth a repetition. */
  async #attempt(r: SignedRequest): Promise<unknown> {
    let response: Response, body: Uint8Array;
    try {
      response = await this.#fetch(this.#base + r.path + (r.query ? `?${r.query}` : ''), {
        method: r.method, redirect: 'error', signal: AbortSignal.timeout(this.#timeout),
        headers: r.method !== 'GET' ? { ...r.headers, 'Content-Type': 'application/json' } : r.headers,
        ...(r.method !== 'GET' ? { body: r.body } : {}),
      });
      body = await read(response);
    } catch (e) {
      if (e instanceof SigilError) throw e;
      const cause = (e as Error).cause instanceof Error ? `: ${((e as Error).cause as Error).message}` : '';
      return new Again(new SigilNetworkError('network', `the service at ${this.#base} couldn't be reached: ${(e as Error).message}${cause}`, { cause: e }), 0);
    }
    const reply = open(response, body);
    if (reply instanceof SigilApiError && (reply.status === 429 || reply.status === 503)) {
      const seconds = response.headers.get('Retry-After') ?? '';
      return new Again(reply, /^\d{1,4}$/.test(seconds) ? Number(seconds) * 1000 : 0);
    }
    if (reply instanceof SigilApiError) throw reply;
    return reply;
  }
}

/** An attempt that is worth a repetition. */
class Again {
  readonly error: SigilError;
  readonly afterMs: number;
  constructor(error: SigilError, afterMs: number) {
    this.error = error;
    this.afterMs = afterMs;
  }
}

/** The whole body, which is bounded while it is read. */
async function read(response: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > maxReply) throw broken('response_invalid', 'the reply is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The data of a reply, or the error that it is. */
function open(response: Response, body: Uint8Array): unknown {
  let envelope: { data?: unknown; error?: { code?: unknown; message?: unknown; details?: unknown } | null } | null;
  try {
    envelope = parseJSON(decodeUTF8(body)) as typeof envelope;
  } catch (e) {
    if (response.status >= 500) return new SigilApiError(response.status, 'internal', 'the service failed');
    throw broken('response_invalid', `the reply (HTTP ${response.status}): ${(e as Error).message}`);
  }
  if (response.ok && envelope?.error === null && envelope.data !== null && envelope.data !== undefined) return envelope.data;
  if (response.ok) throw broken('response_invalid', 'the reply has no data');
  const code = typeof envelope?.error?.code === 'string' ? envelope.error.code : 'internal';
  const message = typeof envelope?.error?.message === 'string' ? envelope.error.message : 'the service gave no reason';
  const kind = response.status === 401 ? SigilAuthError : SigilApiError;
  return new kind(response.status, code, message, response.headers.get('Sigil-Request-Id') ?? undefined, envelope?.error?.details);
}

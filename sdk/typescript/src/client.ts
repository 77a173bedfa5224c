import { randomBytes } from 'node:crypto';
import { equal, hex, isUUID, sha256, unbase64 } from './canon.js';
import { SigilApiError, SigilAuthError, SigilConfigError, SigilPolicyError, SigilVerificationError, broken } from './errors.js';
import { checkChallenge, checkEvidence, type Attested, type Evidence } from './evidence.js';
import type { SignedRequest } from './httpsig.js';
import { openDecoded, openIntent, type Decoded, type Intent } from './intent.js';
import { families, family, networkSlugs, type AddedNetwork, type Family, type Prepared } from './networks.js';
import { methodOf, payloadOf, prepare, type Order, type SignAuthorizationOptions, type SignOptions, type SignTransactionOptions, type SignTypedDataOptions, type SignUserOperationOptions } from './payload.js';
import { zero32, type WalletCertificate } from './receipt.js';
import { parseToken, type Token } from './token.js';
import { Transport, type TransportOptions } from './transport.js';
import { checkLeaf, evidenceOf, object, openCredential, openReceipt, openWallet, string, type Expected, type OpenedReceipt, type Root } from './trust.js';
import { decidedAt, receiptView, type Receipt } from './view.js';

/** Options of a client. */
export interface SigilS2SOptions extends TransportOptions {
  /** sk_live_… made by `sigil key create`. It is never sent. */
  readonly secretKey: string;
  /** EVM networks that the installation adds, by the names and chain ids in the
   * workload's configuration. */
  readonly networks?: readonly AddedNetwork[];
}

/** What was proved about an answer. */
export interface Verified {
  readonly organizationId: string;
  readonly genesisDigest: string;
  readonly grantDigest: string;
  readonly stateKey: string;
  readonly batchNumber: number;
  readonly decidedAt: Date;
  readonly attested: Attested;
  readonly replayed: boolean;
}

export interface SignResult {
  /** EVM: 0x, r, s, v; Solana: base58; Bitcoin: base64. */
  readonly signature: string;
  readonly address: string;
  readonly publicKey: string;
  readonly receiptId: string;
  readonly verified: Verified;
}

export interface SignDocumentResult extends SignResult {
  /** What the TEE decoded the document to: the receipt names it by digest. */
  readonly intent: Intent;
}

export interface SignTransactionResult extends SignDocumentResult {
  /** With the signature in it, put together here: to be sent to a node. On
   * Bitcoin the PSBT while others' signatures are missing. */
  readonly signedTransaction: string;
  /** Left out of a Solana transaction whose first signature is another's and
   * missing, and of a Bitcoin transaction that isn't complete. */
  readonly transactionHash?: string;
  /** Bitcoin: the PSBT with the wallet's signatures, base64. */
  readonly signedPsbt?: string;
}

/** What became of one item of a batch: exactly one is set. `error` is what
 * `sign` would have thrown. */
export interface SignOutcome {
  readonly result?: SignResult | SignDocumentResult | SignTransactionResult;
  readonly error?: Error;
}

export interface Wallet {
  readonly id: string;
  readonly label: string;
  /** By network, computed from the certified keys. */
  readonly addresses: Readonly<Record<string, string>>;
  /** By curve, hex. */
  readonly publicKeys: Readonly<Record<string, string>>;
}

export interface CreatedWallet extends Wallet {
  readonly receiptId: string;
  readonly verified: Verified;
}

export interface WalletList {
  readonly items: readonly Wallet[];
  readonly total: number;
  readonly limit: number;
  readonly offset: number;
}

/** A bounded map that forgets the oldest. */
class Cache<V> extends Map<string, V> {
  override set(key: string, value: V): this {
    if (this.size >= 10_000) this.delete(this.keys().next().value!);
    return super.set(key, value);
  }
}

/** Server-to-server client. Each request is signed with a key derived from the
 * secret; each answer is verified, from the pin in the secret to the
 * attestation of the workload that decided, before anything of it is returned. */
export class SigilS2S {
  /** Wallets of the organisation. */
  readonly wallets = {
    create: (options: { label?: string; idempotencyKey?: string } = {}): Promise<CreatedWallet> => this.#createWallet(options),
    get: async (id: string): Promise<Wallet> => this.#wallet(await this.#trusted(), await this.#t.call({ method: 'GET', path: `/v1/s2s/wallets/${requireUUID(id, 'id')}` }), id).view,
    list: (options: { limit?: number; offset?: number } = {}): Promise<WalletList> => this.#listWallets(options),
    /** Gives a wallet another label. */
    label: (id: string, label: string): Promise<Wallet> => this.#changeWallet(id, { label }),
    /** Puts a wallet away, or takes it back: the control plane then refuses to
     * sign with it. The TEE knows nothing of it. */
    archive: (id: string, archived = true): Promise<Wallet> => this.#changeWallet(id, { archived }),
  };
  /** Receipts of the organisation. */
  readonly receipts = {
    get: (id: string): Promise<Receipt> => this.#getReceipt(id),
  };
  readonly #token: Token;
  readonly #t: Transport;
  readonly #family: (network: string) => Family;
  readonly #certificates = new Cache<WalletCertificate>();
  readonly #evidence = new Cache<Evidence>();
  #root: Promise<Root> | undefined;

  constructor(options: SigilS2SOptions) {
    this.#family = families(options.networks);
    try {
      this.#token = parseToken(options.secretKey);
    } catch (e) {
      throw new SigilConfigError('token_invalid', (e as Error).message);
    }
    if (this.#token.kind !== 'sk_live_') throw new SigilConfigError('token_invalid', 'SigilS2S takes a secret key (sk_live_…)');
    this.#t = new Transport(options, this.#token.key);
  }

  /** Signs a message and verifies the answer whole. */
  sign(options: SignOptions): Promise<SignResult> {
    return this.#signOne(options);
  }

  /** Signs a transaction, which the TEE decodes first, and verifies the answer
   * whole. The key needs the method signTransaction. */
  async signTransaction(options: SignTransactionOptions): Promise<SignTransactionResult> {
    if (typeof options.transaction !== 'string') throw new SigilConfigError('invalid_argument', 'transaction must be text');
    return (await this.#signOne(options)) as SignTransactionResult;
  }

  /** Signs a document of EIP-712, which the TEE decodes first, and verifies the
   * answer whole. What it can't explain it refuses, unless the key's policy
   * accepts the type. The key needs the method signTypedData. */
  async signTypedData(options: SignTypedDataOptions): Promise<SignDocumentResult> {
    if (typeof options.typedData !== 'object') throw new SigilConfigError('invalid_argument', 'typedData must be a document');
    return (await this.#signOne(options)) as SignDocumentResult;
  }

  /** Signs an authorisation of EIP-7702 for an address that the key's policy
   * accepts. y parity is the signature's last byte less 27. The key needs the
   * method signAuthorization. */
  async signAuthorization(options: SignAuthorizationOptions): Promise<SignDocumentResult> {
    if (typeof options.authorization !== 'object') throw new SigilConfigError('invalid_argument', 'authorization must be an object');
    return (await this.#signOne(options)) as SignDocumentResult;
  }

  /** Signs a user operation of ERC-4337, whose hash is made here and in the TEE,
   * and verifies the answer whole. The key needs the method signUserOperation. */
  async signUserOperation(options: SignUserOperationOptions): Promise<SignDocumentResult> {
    if (typeof options.userOperation !== 'object') throw new SigilConfigError('invalid_argument', 'userOperation must be an object');
    return (await this.#signOne(options)) as SignDocumentResult;
  }

  /** Says in words what a transaction or document does, what about it deserves a
   * second look, and what the policy of a key must accept. It must be of the
   * bytes that are made here; what it says of them is the service's word until
   * a signature's receipt has the digest of the same intent. */
  async decode(options: Exclude<Order, SignOptions>): Promise<Decoded> {
    const root = await this.#trusted();
    const { prepared, body } = await this.#plan(root, options);
    if (prepared.decoded === undefined) throw new SigilConfigError('invalid_argument', 'a message says itself what it says: decode is for the rest');
    return openDecoded(prepared, options.network, object(await this.#t.call({ method: 'POST', path: '/v1/s2s/transactions/decode', body: JSON.stringify(body) }), 'reply'));
  }

  async #signOne(options: Order): Promise<SignResult> {
    const root = await this.#trusted();
    const plan = await this.#plan(root, options);
    const request = this.#t.sign({ method: 'POST', path: '/v1/s2s/sign', body: JSON.stringify(plan.body), idempotencyKey: options.idempotencyKey });
    const expected = { ...plan.expected, request };
    return this.#accept(root, plan, expected, await this.#send(root, request, expected));
  }

  /** Signs up to 100 messages, transactions and documents by one request. Each is decided, and each
   * answer verified, for itself; outcomes are in the order of the items. It throws only
   * where there is no answer about any of them. */
  async signBatch(items: readonly Order[], options: { idempotencyKey?: string } = {}): Promise<SignOutcome[]> {
    if (items.length < 1 || items.length > 100) throw new SigilConfigError('invalid_argument', 'a batch has 1 to 100 items');
    if (items.some((o) => o.idempotencyKey !== undefined)) throw new SigilConfigError('invalid_argument', 'a batch has one idempotencyKey for all items');
    const root = await this.#trusted();
    const plans = await Promise.all(items.map((o) => this.#plan(root, o)));
    const bodies = plans.map((p) => JSON.stringify(p.body));
    const request = this.#t.sign({ method: 'POST', path: '/v1/s2s/sign/batch', body: `{"items":[${bodies.join(',')}]}`, idempotencyKey: options.idempotencyKey });
    const replies = object(await this.#t.send(request), 'reply')['items'];
    if (!Array.isArray(replies) || replies.length !== items.length) throw broken('response_mismatch', 'the reply has another number of items', 'items');
    return Promise.all(plans.map(async (plan, i) => {
      const expected = { ...plan.expected, request, item: i };
      try {
        const reply = object(replies[i], 'item');
        const refusal = itemError(reply);
        if (refusal) throw await this.#denied(root, refusal, expected, bodies[i]!);
        return { result: await this.#accept(root, plan, expected, reply['data']) };
      } catch (e) {
        return { error: e as Error };
      }
    }));
  }

  /** What has to be signed, made from nothing but the options and the certified key. */
  async #plan(root: Root, options: Order): Promise<Plan> {
    const walletId = requireUUID(options.walletId, 'walletId');
    const f = this.#family(options.network);
    const payload = payloadOf(options);
    const publicKey = (await this.#certificate(root, walletId)).keys.get(f.curve);
    if (!publicKey) throw new SigilConfigError('curve_mismatch', `the wallet has no ${f.curve} key, which ${options.network} needs`);
    const prepared = prepare(f, options.network, publicKey, payload);
    return {
      publicKey, prepared, body: { wallet_id: walletId, network: options.network, ...payload },
      expected: { kind: 1, wallet: walletId, method: methodOf(payload), network: options.network, payloadDigest: sha256(prepared.signBytes), ...(prepared.intentDigest && { intentDigest: prepared.intentDigest }) },
    };
  }

  /** Verifies an answer; only what passes every check is returned. */
  async #accept(root: Root, plan: Plan, expected: Pending & { wallet: string }, reply: unknown): Promise<SignResult> {
    const { publicKey, prepared } = plan, { network, wallet } = expected, f = this.#family(network);
    const data = object(reply, 'reply');
    const signature = string(data, 'signature');
    if (!(prepared.verify ? prepared.verify(publicKey, signature) : f.verify(publicKey, prepared.signBytes, signature))) throw broken('signature_mismatch', "the signature doesn't sign what was asked for under the wallet's certified key");
    const address = f.address(publicKey), signed = prepared.assemble?.(signature);
    for (const [field, want] of Object.entries({ wallet_id: wallet, network, address, public_key: hex(publicKey), signed_transaction: signed?.text, transaction_hash: signed?.id, signed_psbt: signed?.psbt })) {
      if (data[field] !== want) throw broken('response_mismatch', `the reply names another ${field}`, field);
    }
    const opened = await this.#receipt(root, data['receipt']);
    const own = prepared.intentDigest, decoded = own === undefined ? openIntent(prepared, network, data) : undefined;
    const { replayed } = checkLeaf(root, this.#token, opened.leaf, { ...expected, intentDigest: own ?? decoded!.digest, decision: 1, outputDigest: sha256(signature) }, this.#t.now());
    const result: SignResult = { signature, address, publicKey: hex(publicKey), receiptId: opened.leaf.id, verified: summary(root, opened, replayed) };
    if (decoded === undefined) return result;
    const document: SignDocumentResult = { ...result, intent: decoded.intent };
    if (signed === undefined) return document;
    const whole: SignTransactionResult = { ...document, signedTransaction: signed.text, ...(signed.id === undefined ? {} : { transactionHash: signed.id }), ...(signed.psbt === undefined ? {} : { signedPsbt: signed.psbt }) };
    return whole;
  }

  /** Has the workload attested for a challenge that is drawn here, and verifies
   * the evidence against the genesis document: what it says was so after the
   * call began. It may take some seconds, since a workload answers all
   * challenges of a second at once. */
  async attestation(): Promise<Attested> {
    const root = await this.#trusted();
    const challenge = randomBytes(32);
    const reply = object(await this.#t.call({ method: 'GET', path: '/v1/attestation', query: `challenge=${hex(challenge)}` }), 'reply');
    const evidence = evidenceOf(reply['evidence']);
    checkChallenge(evidence, challenge, reply['challenge']);
    let last: unknown = broken('evidence_refused', 'the genesis document accepts no release', 'image_digest');
    for (const release of root.genesis.tees.flatMap((t) => t.imageDigests)) {
      try {
        return checkEvidence(root.genesis, evidence, release, BigInt(this.#t.now()) * 1000n).attested;
      } catch (e) {
        last = e;
      }
    }
    throw last;
  }

  async #createWallet(options: { label?: string; idempotencyKey?: string }): Promise<CreatedWallet> {
    const root = await this.#trusted();
    const body = JSON.stringify(options.label === undefined ? {} : { label: options.label });
    const request = this.#t.sign({ method: 'POST', path: '/v1/s2s/wallets', body, idempotencyKey: options.idempotencyKey });
    const expected = { kind: 2, request, method: 'createWallet', network: '', payloadDigest: sha256(body), intentDigest: zero32 };
    const data = object(await this.#send(root, request, expected), 'reply');
    const opened = await this.#receipt(root, data['receipt']);
    const id = opened.leaf.wallet;
    const { view, signed } = this.#wallet(root, data, id);
    const { replayed } = checkLeaf(root, this.#token, opened.leaf, { ...expected, wallet: id, decision: 1, outputDigest: sha256(signed) }, this.#t.now());
    return { ...view, receiptId: opened.leaf.id, verified: summary(root, opened, replayed) };
  }

  async #listWallets(options: { limit?: number; offset?: number }): Promise<WalletList> {
    const limit = options.limit ?? 50, offset = options.offset ?? 0;
    if (!Number.isSafeInteger(limit) || !Number.isSafeInteger(offset) || limit < 1 || offset < 0) throw new SigilConfigError('invalid_argument', 'limit and offset are whole numbers, limit at least 1');
    const root = await this.#trusted();
    const data = object(await this.#t.call({ method: 'GET', path: '/v1/s2s/wallets', query: `limit=${limit}&offset=${offset}` }), 'reply');
    const { items, total } = data;
    if (!Array.isArray(items) || items.length > limit || !Number.isSafeInteger(total)) throw broken('response_invalid', 'the reply is not a list');
    return { items: items.map((w) => this.#wallet(root, w, string(object(w, 'wallet'), 'id')).view), total: total as number, limit, offset };
  }

  async #changeWallet(id: string, change: { label?: string; archived?: boolean }): Promise<Wallet> {
    requireUUID(id, 'id');
    const root = await this.#trusted();
    return this.#wallet(root, await this.#t.call({ method: 'PATCH', path: `/v1/s2s/wallets/${id}`, body: JSON.stringify(change) }), id).view;
  }

  async #getReceipt(id: string): Promise<Receipt> {
    requireUUID(id, 'id');
    const root = await this.#trusted();
    const data = object(await this.#t.call({ method: 'GET', path: `/v1/receipts/${id}` }), 'reply');
    const opened = await openReceipt(root, string(data, 'proof'), () => Promise.resolve(evidenceOf(data['evidence'])));
    if (opened.leaf.id !== id) throw broken('receipt_mismatch', 'another receipt than was asked for', 'id');
    if (opened.leaf.organization !== root.genesis.organizationId || !equal(opened.leaf.genesis, root.genesis.digest)) {
      throw broken('receipt_mismatch', 'a receipt of another organisation', 'organization');
    }
    return receiptView(opened);
  }

  /** Verifies a wallet's certificate; addresses come from it alone. */
  #wallet(root: Root, data: unknown, id: string): { view: Wallet; signed: Uint8Array } {
    const o = object(data, 'wallet');
    const encoded = string(o, 'certificate');
    const certificate = openWallet(root, encoded, id);
    this.#certificates.set(id, certificate);
    const addresses: Record<string, string> = {}, made = new Map<object, string>(); // a family has one address
    for (const slug of networkSlugs()) {
      const f = family(slug), key = certificate.keys.get(f.curve);
      if (!key) continue;
      if (!made.has(f)) made.set(f, f.address(key));
      addresses[slug] = made.get(f)!;
    }
    const publicKeys = Object.fromEntries([...certificate.keys].map(([curve, key]) => [curve, hex(key)]));
    if (o['id'] !== id) throw broken('response_mismatch', 'the reply names another wallet', 'id');
    requireSame(object(o['addresses'], 'addresses'), addresses, 'address');
    requireSame(object(o['public_keys'], 'public_keys'), publicKeys, 'public_key');
    return { view: { id, label: typeof o['label'] === 'string' ? o['label'] : '', addresses, publicKeys }, signed: unbase64(encoded) };
  }

  async #certificate(root: Root, id: string): Promise<WalletCertificate> {
    const known = this.#certificates.get(id);
    if (known) return known;
    this.#wallet(root, await this.#t.call({ method: 'GET', path: `/v1/s2s/wallets/${id}` }), id);
    return this.#certificates.get(id)!;
  }

  /** The organisation, proved once from the pin; a failure is tried again. */
  #trusted(): Promise<Root> {
    this.#root ??= this.#t.call({ method: 'GET', path: '/v1/s2s/credential' }).then((data) => openCredential(this.#token, data));
    const root = this.#root;
    root.catch(() => { if (this.#root === root) this.#root = undefined; });
    return root;
  }

  /** Sends a request for a decision. */
  async #send(root: Root, request: SignedRequest, expected: Pending): Promise<unknown> {
    try {
      return await this.#t.send(request);
    } catch (e) {
      throw e instanceof SigilApiError ? await this.#denied(root, e, expected, request.body) : e;
    }
  }

  /** A denial is believed with its receipt only; any other refusal is returned. */
  async #denied(root: Root, e: SigilApiError, expected: Pending, body: string): Promise<SigilApiError> {
    const { details } = e;
    if (typeof details !== 'object' || details === null || !('receipt' in details)) return e;
    const opened = await this.#receipt(root, details.receipt);
    const l = opened.leaf;
    if (l.reason !== e.code) throw broken('receipt_mismatch', 'the receipt gives another reason than the reply', 'reason');
    // What the workload refuses to decode, its receipt names by the body.
    const decoded = undecoded.has(l.reason) ? { payloadDigest: sha256(body), intentDigest: zero32 } : {};
    // A denial comes with no intent: of all but messages it isn't known here.
    checkLeaf(root, this.#token, l, { intentDigest: l.intentDigest, ...expected, ...decoded, wallet: expected.wallet ?? l.wallet, decision: 2, outputDigest: zero32 }, this.#t.now());
    return new SigilPolicyError(e, receiptView(opened));
  }

  async #receipt(root: Root, ref: unknown): Promise<OpenedReceipt> {
    if (ref === undefined || ref === null) throw broken('receipt_invalid', 'the reply has no receipt');
    const o = object(ref, 'receipt');
    let used = '';
    try {
      const opened = await openReceipt(root, string(o, 'proof'), (statement) => this.#findEvidence(used = statement));
      if (o['id'] !== opened.leaf.id) throw broken('receipt_mismatch', 'the reply names another receipt', 'id');
      return opened;
    } catch (e) {
      // A token that was refused isn't kept: the next one may be good.
      if (e instanceof SigilVerificationError && e.code.startsWith('evidence_')) this.#evidence.delete(used);
      throw e;
    }
  }

  async #findEvidence(statement: string): Promise<Evidence> {
    const known = this.#evidence.get(statement);
    if (known) return known;
    const data = object(await this.#t.call({ method: 'GET', path: `/v1/attestation/${statement}` }), 'reply');
    const evidence = evidenceOf(data['evidence']);
    this.#evidence.set(statement, evidence);
    return evidence;
  }
}

/** What a request implies for its receipt, before there is an answer. */
type Pending = Omit<Expected, 'wallet' | 'decision' | 'outputDigest' | 'intentDigest'> & { wallet?: string; intentDigest?: Uint8Array };

/** A signature that is to be asked for. */
interface Plan {
  readonly publicKey: Uint8Array;
  readonly prepared: Prepared;
  readonly body: object;
  readonly expected: Omit<Pending, 'request'> & { wallet: string };
}

/** The error of a batch's item, as the error of a reply of its own. */
function itemError(reply: Record<string, unknown>): SigilApiError | undefined {
  const { status, error } = reply;
  if (error === null && reply['data'] !== null) return undefined;
  const e = object(error, 'error');
  if (typeof status !== 'number' || status < 400) throw broken('response_invalid', 'the item has neither data nor an error');
  const make = status === 401 ? SigilAuthError : SigilApiError;
  return new make(status, string(e, 'code'), typeof e['message'] === 'string' ? e['message'] : '', undefined, e['details']);
}

/** Reasons of denials for which nothing was decoded. */
const undecoded: ReadonlySet<string> = new Set(['message_is_transaction', 'message_is_digest']);

/** What the service shows must be what was computed from the certificate; it
 * may show less, or networks that this SDK doesn't know. */
function requireSame(shown: Record<string, unknown>, own: Record<string, string>, field: string): void {
  for (const [name, value] of Object.entries(own)) {
    if (shown[name] !== undefined && shown[name] !== value) throw broken('response_mismatch', `the ${name} ${field} isn't that of the certified key`, field);
  }
}

function summary(root: Root, r: OpenedReceipt, replayed: boolean): Verified {
  return { organizationId: root.genesis.organizationId, genesisDigest: hex(root.genesis.digest), grantDigest: hex(root.grant.digest), stateKey: hex(root.grant.stateKey), batchNumber: Number(r.batch.number),
    decidedAt: decidedAt(r), attested: r.attested, replayed };
}

function requireUUID(v: string, name: string): string {
  if (!isUUID(v)) throw new SigilConfigError('invalid_argument', `${name} must be a lower-case UUID`);
  return v;
}

import { isIP } from 'node:net';
import { checkAccept } from './accept.js';
import { FormatError, decodeUTF8, hex, integer, isUUID, list, members, parseCanonical, sha256, text, unbase64, unhex } from './canon.js';
import { keyId, verifyEd25519 } from './keys.js';

/** Reference values of an accepted TEE (docs/FORMATS.md section 3.1). */
export interface TEE {
  readonly kind: string;
  readonly issuer: string;
  readonly pkiRoot: string;
  readonly hardware: readonly string[];
  readonly projectId: string;
  readonly serviceAccount: string;
  readonly imageDigests: readonly string[];
}

export interface Genesis {
  readonly organizationId: string;
  readonly name: string;
  readonly quorum: number;
  readonly admins: ReadonlyMap<string, Uint8Array>; // by key id
  readonly tees: readonly TEE[];
  readonly digest: Uint8Array;
}

export interface Grant {
  readonly credential: Uint8Array;
  readonly stateKey: Uint8Array;
  readonly digest: Uint8Array;
  readonly notBefore: number;
  readonly expires: number;
}

const typeGenesis = 'application/vnd.sigil.genesis.v1+json';
const typeGrant = 'application/vnd.sigil.grant.v1+json';
const typeGrant2 = 'application/vnd.sigil.grant.v2+json';

interface Opened {
  readonly type: string;
  readonly payload: string;
  readonly digest: Uint8Array;
  readonly pae: Uint8Array;
  readonly signatures: readonly { keyid: string; sig: string }[];
}

/** DSSE's pre-authentication encoding. */
export function pae(type: string, payload: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(type)} ${type} ${payload.length} `), payload]));
}

function open(envelope: string, ...types: readonly string[]): Opened {
  const parsed = parseCanonical(envelope);
  if (Buffer.byteLength(envelope) > 32 << 10) throw new FormatError('envelope is too large');
  const e = members(parsed, ['payloadType', 'payload', 'signatures'], 'envelope');
  const type = text(e['payloadType'], 'payloadType');
  if (!types.includes(type)) throw new FormatError(`payload type is not ${types.join(' or ')}`);
  const bytes = unbase64(text(e['payload'], 'payload'));
  const payload = decodeUTF8(bytes);
  const signatures = list(e['signatures'], 16, 'signatures').map((s) => {
    const m = members(s, ['keyid', 'sig'], 'signature');
    return { keyid: text(m['keyid'], 'keyid'), sig: text(m['sig'], 'sig') };
  });
  const encoded = pae(type, bytes);
  return { type, payload, digest: sha256(encoded), pae: encoded, signatures };
}

/** Every signature is by a distinct admin and verifies, and there are enough. */
function requireQuorum(o: Opened, admins: ReadonlyMap<string, Uint8Array>, quorum: number): void {
  o.signatures.forEach((s, i) => {
    if (i > 0 && o.signatures[i - 1]!.keyid >= s.keyid) throw new FormatError('signatures are not in ascending order');
    const pub = admins.get(s.keyid);
    if (!pub || !verifyEd25519(pub, o.pae, unbase64(s.sig))) throw new FormatError('a signature is not by an admin or does not verify');
  });
  if (quorum < 1 || o.signatures.length < quorum) throw new FormatError(`signed by ${o.signatures.length} admins, ${quorum} needed`);
}

function name(v: unknown): string {
  const s = text(v, 'name');
  const n = Buffer.byteLength(s);
  if (n < 1 || n > 100 || /\p{Cc}/u.test(s)) throw new FormatError('a name has 1 to 100 bytes and no control characters');
  return s;
}

/** A UUID that isn't all zeros. */
function isId(v: unknown): v is string {
  return isUUID(v) && /[1-9a-f]/.test(v);
}

export function verifyGenesis(envelope: string): Genesis {
  const o = open(envelope, typeGenesis);
  const g = members(parseCanonical(o.payload), ['format', 'organization_id', 'name', 'created', 'version', 'previous', 'admins', 'quorum', 'freshness', 'tees'], 'genesis');
  if (g['format'] !== 'sigil.genesis.v1' || g['version'] !== 1 || g['previous'] !== '') throw new FormatError('not a genesis document of this version');
  if (!isId(g['organization_id']) || integer(g['created'], 'created') <= 0) throw new FormatError('organization_id or created is malformed');
  if (members(g['freshness'], ['mode'], 'freshness')['mode'] !== 'unwitnessed') throw new FormatError('freshness mode is not supported by this release');
  const admins = new Map<string, Uint8Array>();
  const adminList = list(g['admins'], 16, 'admins');
  for (const a of adminList) {
    const m = members(a, ['name', 'public_key'], 'admin');
    name(m['name']);
    const pub = unhex(text(m['public_key'], 'public_key'), 32);
    admins.set(keyId(pub), pub);
  }
  const quorum = integer(g['quorum'], 'quorum');
  if (admins.size === 0 || admins.size !== adminList.length || quorum < 1 || quorum > admins.size) throw new FormatError('admins or quorum are malformed');
  const tees = list(g['tees'], 4, 'tees').map(tee);
  if (tees.length === 0) throw new FormatError('no TEE is accepted');
  requireQuorum(o, admins, quorum);
  return { organizationId: g['organization_id'], name: name(g['name']), quorum, admins, tees, digest: o.digest };
}

function tee(v: unknown): TEE {
  const m = members(v, ['kind', 'issuer', 'pki_root_sha256', 'hardware', 'project_id', 'service_account', 'image_digests', 'tee_kek', 'provider_kek'], 'TEE');
  const strings = (key: string) => list(m[key], 1024, key).map((s) => text(s, key));
  if (m['kind'] !== 'confidential-space') throw new FormatError('TEE kind is not supported by this release');
  const pkiRoot = text(m['pki_root_sha256'], 'pki_root_sha256');
  unhex(pkiRoot, 32);
  const imageDigests = strings('image_digests');
  if (imageDigests.some((d) => !/^sha256:[0-9a-f]{64}$/.test(d))) throw new FormatError('an image digest is malformed');
  for (const key of ['issuer', 'project_id', 'service_account', 'tee_kek', 'provider_kek']) {
    if (text(m[key], key) === '') throw new FormatError(`${key} is empty`);
  }
  if (m['tee_kek'] === m['provider_kek']) throw new FormatError('both shares under one KMS key');
  return { kind: m['kind'], issuer: text(m['issuer'], 'issuer'), pkiRoot, hardware: strings('hardware'), projectId: text(m['project_id'], 'project_id'),
    serviceAccount: text(m['service_account'], 'service_account'), imageDigests };
}

export function verifyGrant(envelope: string, genesis: Genesis): Grant {
  const o = open(envelope, typeGrant, typeGrant2);
  const second = o.type === typeGrant2;
  const v = members(parseCanonical(o.payload), ['format', 'organization_id', 'genesis', 'state_key', 'grant_id', 'name', 'credential', 'bearer', 'delegate', 'not_before', 'expires', 'policy',
    ...(second ? ['scope', 'allow_ips'] : [])], 'grant');
  if (v['format'] !== (second ? 'sigil.grant.v2' : 'sigil.grant.v1')) throw new FormatError('not a grant of this version');
  if (v['organization_id'] !== genesis.organizationId || v['genesis'] !== hex(genesis.digest)) throw new FormatError('grant of another organisation or genesis');
  if (!isId(v['grant_id']) || typeof v['bearer'] !== 'boolean' || v['delegate'] !== false) throw new FormatError('grant_id, bearer or delegate are malformed');
  name(v['name']);
  const notBefore = integer(v['not_before'], 'not_before'), expires = integer(v['expires'], 'expires');
  if (notBefore < 0 || expires <= notBefore) throw new FormatError('not_before and expires are malformed');
  const accepts = typeof v['policy'] === 'object' && v['policy'] !== null && Object.hasOwn(v['policy'], 'accept');
  const policy = members(v['policy'], ['wallets', 'networks', 'methods', ...(accepts ? ['accept'] : [])], 'policy');
  if (accepts) checkAccept(policy['accept']);
  for (const key of ['wallets', 'networks', 'methods']) checkList(policy[key], key);
  const wallets = policy['wallets'] as string[], methods = policy['methods'] as string[];
  if (!wallets.every((w) => w === '*' || isUUID(w)) || !methods.every((m) => ['*', 'signMessage', 'signTransaction', 'signTypedData', 'signAuthorization', 'signUserOperation', 'createWallet'].includes(m))) {
    throw new FormatError('the policy names something else than wallets and methods');
  }
  if (v['bearer'] && (expires - notBefore > 31 * 86400 || wallets.includes('*') || methods.includes('*') || methods.includes('createWallet'))) {
    throw new FormatError('a bearer grant lives at most 31 days, names its wallets and methods, and creates no wallets');
  }
  if (second) checkScope(v['scope'], v['allow_ips'], policy);
  requireQuorum(o, genesis.admins, genesis.quorum);
  return { credential: unhex(text(v['credential'], 'credential'), 32), stateKey: unhex(text(v['state_key'], 'state_key'), 32), digest: o.digest, notBefore, expires };
}

/** The members that version 2 of a grant adds. */
function checkScope(scope: unknown, allowIPs: unknown, policy: Record<string, unknown>): void {
  if (scope !== 'full' && scope !== 'read') throw new FormatError('the scope is unknown');
  if (scope === 'read' && ['wallets', 'networks', 'methods'].some((k) => (policy[k] as unknown[]).length > 0)) throw new FormatError('a grant to read has an empty policy');
  const networks = list(allowIPs, 64, 'allow_ips').map((s) => text(s, 'allow_ips'));
  checkList(networks, 'allow_ips');
  if (networks.length === 0 || !networks.every((n) => n === '*' || isNetwork(n))) throw new FormatError('allow_ips names something else than networks');
}

function isNetwork(s: string): boolean {
  const [address = '', bits = '', ...rest] = s.split('/');
  const family = isIP(address);
  return rest.length === 0 && family !== 0 && !address.includes('%') && /^(0|[1-9][0-9]{0,2})$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
}

function checkList(v: unknown, what: string): void {
  const items = list(v, 1000, what).map((s) => text(s, what));
  if (new Set(items).size !== items.length || items.some((s) => s === '' || Buffer.byteLength(s) > 64) || (items.includes('*') && items.length > 1)) throw new FormatError(`${what} is malformed`);
}


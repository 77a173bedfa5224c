import { hex, sha256 } from './canon.js';
import { broken } from './errors.js';
import type { Prepared } from './networks.js';
import { object } from './trust.js';

export type IntentKind = 'transaction' | 'typed_data' | 'authorization' | 'user_operation';

/** What the TEE decoded a payload to (docs/FORMATS.md section 7.6). */
export interface Intent {
  readonly kind: IntentKind;
  readonly network: string;
  readonly format: string;
  /** Of the bytes that the signature is about, in bytes. */
  readonly length: number;
  readonly sha256: string;
  readonly effects: Effects;
}

/** Amounts are decimal text in base units. */
export interface Effects {
  readonly nonce: string;
  /** The most that it costs besides what the actions move. */
  readonly fee_max: string;
  /** Left out, it is the wallet. */
  readonly fee_payer?: string;
  readonly actions: readonly Action[];
  /** What deserves a second look. */
  readonly flags: readonly string[];
}

/** One thing that is done. Releases to come may have kinds and members that
 * this one hasn't. */
export interface Action {
  readonly kind: string;
  readonly asset?: string;
  readonly from?: string;
  readonly to?: string;
  readonly spender?: string;
  readonly amount?: string;
  readonly token_id?: string;
  readonly expiry?: string;
  readonly contract?: string;
  readonly selector?: string;
  readonly method?: string;
  readonly account?: string;
  readonly authority?: string;
  readonly text?: string;
}

const actionMembers = ['asset', 'from', 'to', 'spender', 'amount', 'token_id', 'expiry', 'contract', 'selector', 'method', 'account', 'authority', 'text'];

/** Takes the intent out of a reply. It must be of the bytes that were prepared
 * here; what it says of them is the TEE's word, by the digest that is
 * returned, which must be the receipt's. Nothing is decoded here a second
 * time: the TEE learns more with each release, and a receipt of what this one
 * doesn't know would be refused. */
export function openIntent(p: Prepared, network: string, reply: Record<string, unknown>): { intent: Intent; digest: Uint8Array } {
  const intent = object(reply['intent'], 'intent'), { kind, preimage } = p.decoded!;
  for (const [field, want] of Object.entries({ kind, network, length: preimage.length, sha256: hex(sha256(preimage)) })) {
    if (intent[field] !== want) throw broken('response_mismatch', `the intent is of another ${field}`, 'intent');
  }
  const effects = object(intent['effects'], 'effects'), text = (v: unknown): boolean => typeof v === 'string';
  const { actions, flags } = effects;
  const known = text(intent['format']) && text(effects['nonce']) && text(effects['fee_max']) && (effects['fee_payer'] === undefined || text(effects['fee_payer'])) && Array.isArray(flags) && flags.every(text)
    && Array.isArray(actions) && actions.every((v) => {
      const a = object(v, 'action');
      return text(a['kind']) && actionMembers.every((m) => a[m] === undefined || text(a[m]));
    });
  if (!known) throw broken('response_invalid', "the intent isn't of the shape that intents have");
  return { intent: intent as unknown as Intent, digest: sha256(JSON.stringify(intent)) };
}

/** An intent for a person to read. */
export interface Decoded {
  readonly intent: Intent;
  /** SHA-256 of the intent in hex, as a receipt has it. */
  readonly intentDigest: string;
  /** A sentence for each action, and one for the fee. */
  readonly summary: readonly string[];
  /** What deserves a second look, spelled out. */
  readonly flags: readonly { readonly flag: string; readonly says: string }[];
  /** What the policy of a key must accept, all of it (docs/FORMATS.md). */
  readonly accept: readonly { readonly kind: string; readonly network: string; readonly [member: string]: unknown }[];
  /** Why it is never signed, whatever a policy says. */
  readonly refused: readonly string[];
}

/** Kinds of actions that an owner's policy must name, whatever the release. */
const unexplained = ['opaque', 'unresolved', 'typed_data', 'deploy', 'delegate', 'proceeds'];

/** Takes what a reply says of the bytes that were prepared here. Flags are those
 * of the intent, each once. */
export function openDecoded(p: Prepared, network: string, reply: Record<string, unknown>): Decoded {
  const { intent, digest } = openIntent(p, network, reply);
  if (reply['intent_digest'] !== hex(digest)) throw broken('response_mismatch', 'the digest is of another intent', 'intent_digest');
  const list = (name: string, of: (v: unknown) => boolean): unknown[] => {
    const v = reply[name];
    if (!Array.isArray(v) || !v.every(of)) throw broken('response_invalid', `${name} is no list of what belongs there`, name);
    return v;
  };
  const text = (v: unknown): boolean => typeof v === 'string', texts = (v: unknown, ...members: string[]): boolean => members.every((m) => text(object(v, m)[m]));
  const flags = list('flags', (v) => texts(v, 'flag', 'says')) as Decoded['flags'];
  if (flags.length !== intent.effects.flags.length || flags.some((f, i) => f.flag !== intent.effects.flags[i])) throw broken('response_mismatch', 'the flags are not those of the intent', 'flags');
  const accept = list('accept', (v) => texts(v, 'kind', 'network')) as Decoded['accept'], refused = list('refused', text) as string[];
  if (accept.length + refused.length === 0 && intent.effects.actions.some((a) => unexplained.includes(a.kind))) throw broken('response_mismatch', 'what nobody can explain is to be accepted or refused', 'accept');
  return { intent, intentDigest: hex(digest), summary: list('summary', text) as string[], flags, accept, refused };
}

import { hex } from './canon.js';
import type { Attested } from './evidence.js';
import type { OpenedReceipt } from './trust.js';

/** A verified receipt: an attested workload of an accepted release decided
 * what it says. Digests are hex; docs/FORMATS.md section 7.1 says of what. */
export interface Receipt {
  readonly id: string;
  readonly kind: 'sign' | 'create_wallet';
  readonly decision: 'allow' | 'deny';
  /** How the caller proved itself. A bearer token crossed the control plane. */
  readonly auth: 'signature' | 'bearer';
  readonly organizationId: string;
  readonly walletId: string;
  readonly requestId: string;
  readonly method: string;
  readonly network: string;
  /** Stable code; `allowed`, or why not. */
  readonly reason: string;
  readonly genesisDigest: string;
  readonly grantDigest: string;
  readonly credential: string;
  readonly requestDigest: string;
  readonly idempotencyDigest: string;
  readonly payloadDigest: string;
  readonly intentDigest: string;
  readonly outputDigest: string;
  readonly decidedAt: Date;
  readonly batchNumber: number;
  readonly attested: Attested;
  /** The receipt itself, base64: to keep, and to verify again. */
  readonly proof: string;
}

/** Shows an opened receipt. */
export function receiptView(r: OpenedReceipt): Receipt {
  const l = r.leaf;
  return {
    id: l.id, kind: l.kind === 1 ? 'sign' : 'create_wallet', decision: l.decision === 1 ? 'allow' : 'deny', auth: l.auth === 1 ? 'signature' : 'bearer',
    organizationId: l.organization, walletId: l.wallet, requestId: l.requestId, method: l.method, network: l.network, reason: l.reason,
    genesisDigest: hex(l.genesis), grantDigest: hex(l.grant), credential: hex(l.credential), requestDigest: hex(l.requestDigest),
    idempotencyDigest: hex(l.idempotencyDigest), payloadDigest: hex(l.payloadDigest), intentDigest: hex(l.intentDigest), outputDigest: hex(l.outputDigest),
    decidedAt: decidedAt(r), batchNumber: Number(r.batch.number), attested: r.attested, proof: r.proof,
  };
}

/** The decision's time, by the workload's clock. */
export function decidedAt(r: OpenedReceipt): Date {
  return new Date(Number(r.leaf.time / 1000n));
}

import type { Receipt } from './view.js';

/** Base class of all errors of the SDK; `code` is stable. */
export class SigilError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.name = new.target.name;
  }
}

/** The SDK or a call is configured wrongly; nothing was sent. */
export class SigilConfigError extends SigilError {}

/** The service couldn't be reached. */
export class SigilNetworkError extends SigilError {}

/** Which link of the chain of proof broke. */
export type VerificationCode =
  | 'pin_mismatch' | 'genesis_invalid' | 'grant_invalid' | 'state_certificate_invalid' | 'certificate_invalid'
  | 'signature_mismatch' | 'receipt_invalid' | 'receipt_mismatch' | 'batch_invalid' | 'evidence_invalid'
  | 'evidence_refused' | 'response_invalid' | 'response_mismatch';

/** A reply that can't be believed. Nothing of such a reply is returned. */
export class SigilVerificationError extends SigilError {
  declare readonly code: VerificationCode;
  /** Field of the receipt or reply, or claim of the evidence, that is off. */
  readonly field: string | undefined;
  /** Why evidence was refused (code evidence_refused): hardware, debug, …; the
   * same words in every SDK. */
  readonly reason: string | undefined;
  constructor(code: VerificationCode, detail: string, field?: string, options?: ErrorOptions & { reason?: string }) {
    super(code, `verification failed: ${code}${field ? ` (${field})` : ''}: ${detail}`, options);
    this.field = field;
    this.reason = options?.reason;
  }
}

/** A refusal by the service: its word, unless `receipt` proves a decision. */
export class SigilApiError extends SigilError {
  readonly status: number;
  /** Sigil-Request-Id of the reply. */
  readonly requestId: string | undefined;
  readonly details: unknown;
  constructor(status: number, code: string, explanation: string, requestId?: string, details?: unknown) {
    super(code, `${code}: ${explanation} (HTTP ${status})`);
    this.status = status;
    this.requestId = requestId;
    this.details = details;
  }
}

/** The request wasn't authenticated (HTTP 401). */
export class SigilAuthError extends SigilApiError {}

/** The owner's policy, or the rule against blind signing, denied the request;
 * `receipt` is the verified receipt of that decision. */
export class SigilPolicyError extends SigilApiError {
  readonly receiptId: string;
  readonly receipt: Receipt;
  constructor(base: SigilApiError, receipt: Receipt) {
    super(base.status, base.code, '', base.requestId, base.details);
    this.message = base.message;
    this.receiptId = receipt.id;
    this.receipt = receipt;
  }
}

/** Verification failure with a code. */
export function broken(code: VerificationCode, detail: string, field?: string): SigilVerificationError {
  return new SigilVerificationError(code, detail, field);
}

// Package api holds the wire types and error codes of Sigil's HTTP API. It
// imports the standard library alone; server, SDK and tests share it.
package api

import "net/http"

// Code is a stable error code: switch on it, the message may change.
type Code string

// Codes, by where they arise.
const (
	// The request's form.
	CodeMalformedJSON        Code = "malformed_json"
	CodeUnknownField         Code = "unknown_field"
	CodeDuplicateField       Code = "duplicate_field"
	CodeInvalidUTF8          Code = "invalid_utf8"
	CodeInvalidArgument      Code = "invalid_argument"
	CodeBodyTooLarge         Code = "body_too_large"
	CodeUnsupportedMediaType Code = "unsupported_media_type"
	CodeMethodNotAllowed     Code = "method_not_allowed"
	CodeNotFound             Code = "not_found"
	CodeUnsupportedRequest   Code = "unsupported_request"

	// What is asked for.
	CodeUnknownNetwork       Code = "unknown_network"
	CodeCurveMismatch        Code = "curve_mismatch"
	CodeUnsupportedFormat    Code = "unsupported_format"
	CodeInvalidEncoding      Code = "invalid_encoding"
	CodeMessageTooLarge      Code = "message_too_large"
	CodeMessageIsTransaction Code = "message_is_transaction"
	CodeMessageIsDigest      Code = "message_is_digest"
	CodeUnsupportedPayload   Code = "unsupported_payload"
	CodeTransactionInvalid   Code = "transaction_invalid"
	CodeTransactionNetwork   Code = "transaction_other_network"
	CodePayloadInvalid       Code = "payload_invalid"
	CodeTransactionOpaque    Code = "transaction_opaque"
	CodeWalletNotFound       Code = "wallet_not_found"
	CodeLedgerEmpty          Code = "ledger_empty"
	CodeTileNotFound         Code = "tile_not_found"
	CodeOutsideLedger        Code = "outside_ledger"
	CodeWalletArchived       Code = "wallet_archived"
	CodeReceiptNotFound      Code = "receipt_not_found"
	CodeEvidenceNotFound     Code = "evidence_not_found"
	CodeOrganizationNotFound Code = "organization_not_found"
	CodeGrantNotFound        Code = "grant_not_found"

	// Who asks.
	CodeSignatureMissing   Code = "signature_missing"
	CodeSignatureInvalid   Code = "signature_invalid"
	CodeTokenInvalid       Code = "token_invalid"
	CodeClockSkew          Code = "clock_skew"
	CodeInvalidKey         Code = "invalid_key"
	CodeKeyExpired         Code = "key_expired"
	CodeKeyNotYetValid     Code = "key_not_yet_valid"
	CodeBearerNotAllowed   Code = "bearer_not_allowed"
	CodeDocumentInvalid    Code = "document_invalid"
	CodeRegistrationClosed Code = "registration_closed"
	CodeKeyReadOnly        Code = "key_read_only"
	CodeAddressNotAllowed  Code = "address_not_allowed"

	// What the owner allows.
	CodePolicyMethod  Code = "policy_method"
	CodePolicyNetwork Code = "policy_network"
	CodePolicyWallet  Code = "policy_wallet"

	// Repeats.
	CodeRequestIDConflict   Code = "request_id_conflict"
	CodeIdempotencyConflict Code = "idempotency_conflict"
	CodeOrganizationExists  Code = "organization_exists"
	CodeKeyExists           Code = "key_exists"

	// The TEE found that what the control plane handed it doesn't fit.
	CodeWalletMismatch     Code = "wallet_mismatch"
	CodeCertificateInvalid Code = "certificate_invalid"
	CodeObjectInvalid      Code = "object_invalid"
	CodeShareOpenFailed    Code = "share_open_failed"
	CodeSelfVerifyFailed   Code = "self_verify_failed"
	CodeReleaseNotAccepted Code = "release_not_accepted"

	// Something is down.
	CodeTEEUnavailable         Code = "tee_unavailable"
	CodeAttestationUnavailable Code = "attestation_unavailable"
	CodeAttestationBusy        Code = "attestation_busy"
	CodeKMSUnavailable         Code = "kms_unavailable"
	CodeKMSDenied              Code = "kms_denied"
	CodeStoreUnavailable       Code = "store_unavailable"
	CodeRateLimited            Code = "rate_limited"
	CodeOverloaded             Code = "overloaded"
	CodeDeadlineExceeded       Code = "deadline_exceeded"
	CodeShuttingDown           Code = "shutting_down"
	CodeInternal               Code = "internal"
)

// Spec describes one code: its HTTP status and what a developer can do.
type Spec struct {
	Code   Code
	Status int
	Help   string
}

// Specs lists every code that a reply can carry, in the order of
// docs/ERRORS.md, which is made from it.
func Specs() []Spec { return append(specsOfRequests(), specsOfDecisions()...) }

const (
	bad, unauthorized, forbidden, missing = http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound
	conflict, refusedTEE, down, internal  = http.StatusConflict, http.StatusUnprocessableEntity, http.StatusServiceUnavailable, http.StatusInternalServerError
)

// specsOfRequests is about what is asked for.
func specsOfRequests() []Spec {
	return []Spec{
		{CodeMalformedJSON, bad, "Send one JSON object as the route documents it."},
		{CodeUnknownField, bad, "Remove the field; a misspelt field is never ignored."},
		{CodeDuplicateField, bad, "Send each field once."},
		{CodeInvalidUTF8, bad, "Encode the body as UTF-8; send binary messages as hex or base64 with message_encoding."},
		{CodeInvalidArgument, bad, "Correct the value that the message names."},
		{CodeBodyTooLarge, http.StatusRequestEntityTooLarge, "Keep the body within 64 KiB."},
		{CodeUnsupportedMediaType, http.StatusUnsupportedMediaType, "Send Content-Type: application/json."},
		{CodeMethodNotAllowed, http.StatusMethodNotAllowed, "Use a method from the Allow field of the reply."},
		{CodeNotFound, missing, "Check the path; the routes are in openapi.yaml."},
		{CodeUnsupportedRequest, bad, "The TEE doesn't serve this route; use a control plane of the same release."},
		{CodeUnknownNetwork, bad, "Use a slug that GET /v1/networks lists."},
		{CodeCurveMismatch, bad, "The wallet has no key of the network's curve; create a new wallet."},
		{CodeUnsupportedFormat, bad, "Use a message format of the network's family."},
		{CodeInvalidEncoding, bad, "Send the message in the encoding that message_encoding names."},
		{CodeMessageTooLarge, bad, "Sign a shorter message, or its description."},
		{CodeMessageIsTransaction, forbidden, "Transactions are never signed as messages."},
		{CodeMessageIsDigest, forbidden, "Sign the content, not its hash: a hash may stand for anything."},
		{CodeUnsupportedPayload, bad, "Send a kind of payload that GET /v1/networks lists for the network."},
		{CodeTransactionInvalid, bad, "Send the whole unsigned transaction in the chain's own encoding, as its libraries serialise it."},
		{CodePayloadInvalid, bad, "Send the document as its standard has it, and write each value the plain way: the message says where it isn't."},
		{CodeTransactionNetwork, bad, "Name the network that the transaction is for: its chain id says which."},
		{CodeTransactionOpaque, forbidden, "Send what the TEE understands, or have the owner make a key whose policy accepts exactly this (accept, docs/FORMATS.md)."},
		{CodeWalletNotFound, missing, "Check the wallet id and that the key is of the same organisation."},
		{CodeWalletArchived, conflict, "Take the wallet back from the archive (PATCH archived: false), or use another."},
		{CodeReceiptNotFound, missing, "Check the receipt id and that the key is of the same organisation."},
		{CodeLedgerEmpty, missing, "Sign something, or wait a second: the organisation has no checkpoint yet."},
		{CodeTileNotFound, missing, "Ask for tiles of the ledger's size only; GET /v1/log/checkpoint says it."},
		{CodeOutsideLedger, bad, "Ask for sizes up to the checkpoint's, from before to; GET /v1/log/checkpoint says it."},
		{CodeEvidenceNotFound, missing, "Check the digest: it is that of a statement, as batches name it."},
		{CodeOrganizationNotFound, missing, "Check the organisation id."},
		{CodeGrantNotFound, missing, "Check the grant's digest."},
	}
}

// specsOfDecisions is about who asks, what is decided, and what fails.
func specsOfDecisions() []Spec {
	return []Spec{
		{CodeSignatureMissing, unauthorized, "Sign the request: the SDKs do, and `sigil proxy` does for other clients."},
		{CodeSignatureInvalid, unauthorized, "Sign exactly what is sent, with the key that keyid names."},
		{CodeTokenInvalid, unauthorized, "Copy the secret token whole."},
		{CodeClockSkew, unauthorized, "Set the client's clock; created may be off by 60 s. Sign again, don't resend."},
		{CodeInvalidKey, unauthorized, "The key is unknown or revoked; have the owner create a new one."},
		{CodeKeyExpired, unauthorized, "Have the owner create a new key."},
		{CodeKeyNotYetValid, unauthorized, "Wait until the key's not_before."},
		{CodeBearerNotAllowed, unauthorized, "Sign the request, or have the owner allow bearer in the grant."},
		{CodeDocumentInvalid, bad, "Make and sign the document with `sigil` or an SDK of this release."},
		{CodeRegistrationClosed, forbidden, "Have the operator open registration."},
		{CodeKeyReadOnly, forbidden, "The key's scope is to read; have the owner create one of scope full."},
		{CodeAddressNotAllowed, forbidden, "Call from a network that the key's grant lists, or have the owner list this one."},
		{CodePolicyMethod, forbidden, "The grant doesn't allow the method; have the owner grant it."},
		{CodePolicyNetwork, forbidden, "The grant doesn't allow the network; have the owner grant it."},
		{CodePolicyWallet, forbidden, "The grant doesn't allow the wallet; have the owner grant it."},
		{CodeRequestIDConflict, conflict, "Use a fresh request id for a new request."},
		{CodeIdempotencyConflict, conflict, "Use a fresh Idempotency-Key for another request."},
		{CodeOrganizationExists, conflict, "The organisation exists; use it, or make a new id."},
		{CodeKeyExists, conflict, "The grant or its credential exists; make a new one."},
		{CodeWalletMismatch, refusedTEE, "The control plane mixed up records; report it to its operator."},
		{CodeCertificateInvalid, refusedTEE, "The record isn't certified by the owner's state key; report it."},
		{CodeObjectInvalid, refusedTEE, "A stored document or record doesn't verify; report it."},
		{CodeShareOpenFailed, refusedTEE, "A sealed share was altered or moved; restore it from a backup."},
		{CodeSelfVerifyFailed, refusedTEE, "The shares don't join to the wallet's key; restore them from a backup."},
		{CodeReleaseNotAccepted, refusedTEE, "The owner's genesis doesn't accept the running release."},
		{CodeTEEUnavailable, down, "No TEE workload is connected; try again."},
		{CodeAttestationBusy, http.StatusTooManyRequests, "Challenges are attested once a second at most; try again after Retry-After."},
		{CodeAttestationUnavailable, down, "The TEE can't renew its attestation; try again."},
		{CodeKMSUnavailable, down, "The KMS doesn't answer; try again."},
		{CodeKMSDenied, down, "The KMS refuses this image; its operator must check the key's bindings."},
		{CodeStoreUnavailable, down, "The database doesn't answer or can't write; try again."},
		{CodeRateLimited, http.StatusTooManyRequests, "Send the same request again after Retry-After, which the SDKs do; ask the operator for a higher limit."},
		{CodeOverloaded, http.StatusTooManyRequests, "Too many requests are in work; try again after Retry-After."},
		{CodeDeadlineExceeded, down, "The request wasn't decided in time; send the same request again."},
		{CodeShuttingDown, down, "Readiness alone: the replica is going away; others serve."},
		{CodeInternal, internal, "A defect; report it with the request id."},
	}
}

package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/attest/confspace"
)

// Code names the link of the chain of proof that broke. The values are stable
// and the same in every SDK.
type Code string

// Codes of a VerificationError.
const (
	// CodePin: the genesis document isn't the one that the secret key pins.
	CodePin Code = "pin_mismatch"
	// CodeGenesis: the genesis document isn't signed by its own admins.
	CodeGenesis Code = "genesis_invalid"
	// CodeGrant: the grant isn't signed by the admins or is of another key.
	CodeGrant Code = "grant_invalid"
	// CodeStateCertificate: the state key isn't certified by the attested
	// instance, or isn't the one that the grant names.
	CodeStateCertificate Code = "state_certificate_invalid"
	// CodeCertificate: the wallet certificate isn't signed by the state key or
	// is of another wallet.
	CodeCertificate Code = "certificate_invalid"
	// CodeSignature: the signature doesn't sign the message under the
	// certified key.
	CodeSignature Code = "signature_mismatch"
	// CodeReceiptInvalid: the receipt is malformed or its path doesn't lead to
	// the batch.
	CodeReceiptInvalid Code = "receipt_invalid"
	// CodeReceiptMismatch: the receipt is of another decision; Field says how.
	CodeReceiptMismatch Code = "receipt_mismatch"
	// CodeBatch: the batch isn't signed by the attested instance.
	CodeBatch Code = "batch_invalid"
	// CodeEvidenceInvalid: the attestation token isn't authentic.
	CodeEvidenceInvalid Code = "evidence_invalid"
	// CodeEvidenceRefused: the token is authentic and attests something that
	// the genesis document doesn't accept; Reason says what.
	CodeEvidenceRefused Code = "evidence_refused"
	// CodeLedger: the ledger isn't the one that its checkpoint signs, doesn't
	// extend an earlier one, or has an entry that isn't the organisation's.
	CodeLedger Code = "ledger_invalid"
	// CodeResponse: the reply isn't of the API's shape.
	CodeResponse Code = "response_invalid"
	// CodeResponseMismatch: the reply names another wallet, network, address
	// or key than the request and the certificate; Field says which.
	CodeResponseMismatch Code = "response_mismatch"
)

// VerificationError says that a reply can't be believed. Nothing of such a
// reply is returned.
type VerificationError struct {
	Code   Code
	Field  string           // of the receipt or reply, "" elsewhere
	Reason confspace.Reason // of refused or invalid evidence, "" elsewhere
	Detail string           // for people
	Err    error            // cause, may be nil
}

// Error implements error.
func (e *VerificationError) Error() string {
	s := "verification failed: " + string(e.Code)
	if e.Field != "" {
		s += " (" + e.Field + ")"
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *VerificationError) Unwrap() error { return e.Err }

func broken(code Code, err error, format string, args ...any) *VerificationError {
	v := &VerificationError{Code: code, Detail: fmt.Sprintf(format, args...), Err: err}
	var r *confspace.Refusal
	if errors.As(err, &r) {
		v.Reason = r.Reason
	}
	return v
}

func mismatch(code Code, field, format string, args ...any) *VerificationError {
	return &VerificationError{Code: code, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// APIError is a refusal by the service. It is the service's word; only with a
// Receipt is it proved that a workload decided it.
type APIError struct {
	Status    int             // HTTP status
	Code      api.Code        // stable, docs/ERRORS.md
	Message   string          // for people
	RequestID string          // Sigil-Request-Id of the reply, "" if it had none
	Details   json.RawMessage // the error's details as sent, may be nil
	Receipt   *Receipt        // verified receipt of a denial, nil without
	// RetryAfter is when the service wants to be asked again, of 429 and 503;
	// the client has waited so already, as often as the request stayed young
	// enough to be taken.
	RetryAfter time.Duration
}

// Error implements error.
func (e *APIError) Error() string {
	return fmt.Sprintf("%s: %s (HTTP %d)", e.Code, e.Message, e.Status)
}

// ArgumentError says that a call can't be made as it stands; nothing was sent.
type ArgumentError struct {
	Field  string
	Detail string
}

// Error implements error.
func (e *ArgumentError) Error() string { return e.Field + ": " + e.Detail }

func badArgument(field, format string, args ...any) error {
	return &ArgumentError{Field: field, Detail: fmt.Sprintf(format, args...)}
}

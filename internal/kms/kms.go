// Package kms holds what the clients of key management services have in
// common: how they fail. The clients are in the packages below, the contract
// they fulfil is sealed.KEK, the proof that they do is in kmstest.
package kms

import (
	"fmt"

	"github.com/sigilkeys/sigil/internal/sealed"
)

// Kind says why a KMS didn't wrap or unwrap. Every kind is a failure; the
// zero value is treated like Unavailable.
type Kind uint8

// Kinds.
const (
	Unavailable Kind = iota // no answer in time, or an overloaded service: try again later
	Denied                  // the service refuses this caller, or the key is disabled or gone
	Rejected                // the service can't decrypt this ciphertext with this AAD and key
	BadReply                // the reply isn't what it must be: checksum, key name, size, syntax
)

// String returns the kind in words.
func (k Kind) String() string {
	switch k {
	case Denied:
		return "KMS denies access"
	case Rejected:
		return "KMS rejects the wrapped key"
	case BadReply:
		return "KMS sent an unusable reply"
	}
	return "KMS is unavailable"
}

// Error is what clients return. It never contains bytes of a request or a
// reply's body, as either may hold a DEK.
type Error struct {
	Kind   Kind
	Reason string // made by this program; safe to log
	Err    error  // cause on the network's side, may be nil
}

// Error returns kind, reason and cause.
func (e *Error) Error() string {
	s := e.Kind.String()
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap makes a Rejected error match sealed.ErrOpen, and others their cause.
func (e *Error) Unwrap() error {
	if e.Kind == Rejected {
		return sealed.ErrOpen
	}
	return e.Err
}

// Code returns the stable code for the API: kms_denied or kms_unavailable. A
// Rejected error is share_open_failed by way of sealed.ErrOpen.
func (e *Error) Code() string {
	switch e.Kind {
	case Denied:
		return "kms_denied"
	case Rejected:
		return "share_open_failed"
	}
	return "kms_unavailable"
}

// Errorf makes an Error without a cause.
func Errorf(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Reason: fmt.Sprintf(format, args...)}
}

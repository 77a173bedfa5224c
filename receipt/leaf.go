package receipt

import (
	"github.com/sigilkeys/sigil/internal/canon"
)

// Kind is what was decided on.
type Kind uint8

// Kinds.
const (
	KindSign         Kind = 1
	KindCreateWallet Kind = 2
)

// Decision is the outcome; the zero value is none.
type Decision uint8

// Decisions.
const (
	Allow Decision = 1
	Deny  Decision = 2
)

// Auth is how the caller proved itself.
type Auth uint8

// Auth classes.
const (
	AuthSignature Auth = 1
	AuthBearer    Auth = 2 // the token itself crossed the control plane
)

// Freshness is how well the state behind a decision was protected against a
// host that rolls it back.
type Freshness uint8

// Freshness modes.
const (
	FreshnessNone      Freshness = 1 // revocations and limits per instance lifetime
	FreshnessWitnessed Freshness = 2
)

// ReasonAllowed is the reason of every allow.
const ReasonAllowed = "allowed"

// Leaf is the record of one decision (docs/FORMATS.md section 7.1).
type Leaf struct {
	ID           UUID
	Kind         Kind
	Decision     Decision
	Auth         Auth
	Freshness    Freshness
	Organization UUID
	Genesis      [32]byte // digest of the genesis document
	Grant        [32]byte // digest of the grant
	Credential   [32]byte // public key of the request key
	Wallet       UUID
	RequestID    UUID

	RequestDigest     [32]byte // of the signature base
	IdempotencyDigest [32]byte // of the Idempotency-Key, zero without
	PayloadDigest     [32]byte // of the bytes given to the curve, or of the body
	IntentDigest      [32]byte // of the decoded intent
	OutputDigest      [32]byte // of the signature or certificate, zero on deny

	Method  string // signMessage, createWallet
	Network string // slug; "" where none applies
	Reason  string // stable code
	Release string // image digest of the workload
	Time    uint64 // unix microseconds
}

// Encode returns the record.
func (l *Leaf) Encode() ([]byte, error) {
	w := canon.NewWriter(magicLeaf, 520).Fixed(l.ID[:]).U8(uint8(l.Kind)).U8(uint8(l.Decision)).
		U8(uint8(l.Auth)).U8(uint8(l.Freshness)).Fixed(l.Organization[:]).Fixed(l.Genesis[:]).
		Fixed(l.Grant[:]).Fixed(l.Credential[:]).Fixed(l.Wallet[:]).Fixed(l.RequestID[:]).
		Fixed(l.RequestDigest[:]).Fixed(l.IdempotencyDigest[:]).Fixed(l.PayloadDigest[:]).
		Fixed(l.IntentDigest[:]).Fixed(l.OutputDigest[:])
	return w.Text(l.Method).Text(l.Network).Text(l.Reason).Text(l.Release).U64(l.Time).Record()
}

// DecodeLeaf reads the record. Enumerations outside the known values, an
// allow without its reason and a deny with an output are refused.
func DecodeLeaf(record []byte) (*Leaf, error) {
	r := canon.NewReader(magicLeaf, record)
	l := &Leaf{}
	r.Fixed(l.ID[:])
	l.Kind, l.Decision, l.Auth, l.Freshness = Kind(r.U8()), Decision(r.U8()), Auth(r.U8()), Freshness(r.U8())
	for _, f := range [][]byte{l.Organization[:], l.Genesis[:], l.Grant[:], l.Credential[:], l.Wallet[:], l.RequestID[:],
		l.RequestDigest[:], l.IdempotencyDigest[:], l.PayloadDigest[:], l.IntentDigest[:], l.OutputDigest[:]} {
		r.Fixed(f)
	}
	l.Method, l.Network, l.Reason, l.Release = r.Text(32), r.Text(32), r.Text(64), r.Text(128)
	l.Time = r.U64()
	switch {
	case r.Err() != nil:
	case l.Kind != KindSign && l.Kind != KindCreateWallet:
		r.Fail("kind %d", l.Kind)
	case l.Decision != Allow && l.Decision != Deny:
		r.Fail("decision %d", l.Decision)
	case l.Auth != AuthSignature && l.Auth != AuthBearer:
		r.Fail("auth class %d", l.Auth)
	case l.Freshness != FreshnessNone && l.Freshness != FreshnessWitnessed:
		r.Fail("freshness %d", l.Freshness)
	case (l.Decision == Allow) != (l.Reason == ReasonAllowed):
		r.Fail("decision %d with reason %q", l.Decision, l.Reason)
	case (l.Decision == Deny) != (l.OutputDigest == [32]byte{}):
		r.Fail("output doesn't fit decision %d", l.Decision)
	}
	if err := r.Close(); err != nil {
		return nil, invalid("receipt leaf", err)
	}
	return l, nil
}

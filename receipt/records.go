// Package receipt reads, writes and verifies what a Sigil workload signs:
// instance statements, state and wallet certificates, decision receipts and
// log checkpoints. It needs no network and no secret, so that customers and
// auditors can import it and check by themselves.
//
// How far a check reaches. OpenWalletCertificate and Receipt.Open prove that
// a key signed the bytes; that the key belongs to an accepted workload follows
// from the evidence for its Statement (package attest/confspace), and what is
// accepted from the owner's genesis document. Package client does the whole
// chain; the layouts are docs/FORMATS.md sections 6 and 7.
package receipt

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/keys"
)

// ErrInvalid is wrapped by every refusal of this package.
var ErrInvalid = errors.New("invalid")

// UUID is an RFC 9562 identifier.
type UUID = canon.UUID

// Magic lines.
const (
	magicStatement = "sigil/instance-statement/v1\n"
	magicState     = "sigil/state-certificate/v1\n"
	magicStateRec  = "sigil/state-record/v1\n"
	magicWallet    = "sigil/wallet-certificate/v1\n"
	magicWalletRec = "sigil/wallet-record/v1\n"
	magicLeaf      = "sigil/receipt/v1\n"
	magicBatch     = "sigil/batch/v1\n"
	magicReceipt   = "sigil/receipt-proof/v1\n"
)

// EvidenceAudience is the audience of attestation tokens that are shown to
// clients. No STS accepts it, so a token that leaks opens nothing.
const EvidenceAudience = "https://sigilkeys.com/evidence/v1"

// Digest is SHA-256.
func Digest(b []byte) [32]byte { return sha256.Sum256(b) }

func invalid(what string, err error) error {
	return fmt.Errorf("%s: %w: %w", what, ErrInvalid, err)
}

// wrapInvalid is invalid for an error that may be nil.
func wrapInvalid(what string, err error) error {
	if err == nil {
		return nil
	}
	return invalid(what, err)
}

// sign returns record ‖ Ed25519 signature.
func sign(record []byte, key ed25519.PrivateKey) []byte {
	return append(record[:len(record):len(record)], ed25519.Sign(key, record)...)
}

// split takes a signed record apart without verifying it.
func split(what string, signed []byte) (record, sig []byte, err error) {
	if len(signed) <= ed25519.SignatureSize {
		return nil, nil, invalid(what, errors.New("too short to be signed"))
	}
	n := len(signed) - ed25519.SignatureSize
	return signed[:n:n], signed[n:], nil
}

func verify(what string, record, sig []byte, key [32]byte) error {
	if !keys.Verify(keys.Ed25519, key[:], record, sig) {
		return invalid(what, errors.New("signature doesn't verify"))
	}
	return nil
}

// Statement is what an attestation token vouches for: the token's only nonce
// is Nonce.
type Statement struct {
	InstanceKey [32]byte // Ed25519, signs batches and state certificates
	LinkKey     [32]byte // SHA-256 of the link certificate's SubjectPublicKeyInfo
	Config      [32]byte // SHA-256 of the measured configuration
	Challenges  [32]byte // Merkle root over callers' nonces, zero = none
	Started     uint64   // unix microseconds
	Issued      uint64   // unix microseconds
}

// Encode returns the record.
func (s *Statement) Encode() []byte {
	return canon.NewWriter(magicStatement, 144).Fixed(s.InstanceKey[:]).Fixed(s.LinkKey[:]).
		Fixed(s.Config[:]).Fixed(s.Challenges[:]).U64(s.Started).U64(s.Issued).MustRecord()
}

// Digest returns the SHA-256 of the record.
func (s *Statement) Digest() [32]byte { return Digest(s.Encode()) }

// Nonce returns the token nonce that binds the statement: 64 hex digits.
func (s *Statement) Nonce() string { d := s.Digest(); return fmt.Sprintf("%x", d[:]) }

// DecodeStatement reads the record.
func DecodeStatement(record []byte) (*Statement, error) {
	r := canon.NewReader(magicStatement, record)
	s := &Statement{}
	r.Fixed(s.InstanceKey[:])
	r.Fixed(s.LinkKey[:])
	r.Fixed(s.Config[:])
	r.Fixed(s.Challenges[:])
	s.Started, s.Issued = r.U64(), r.U64()
	if err := r.Close(); err != nil {
		return nil, invalid("statement", err)
	}
	return s, nil
}

// StateCertificate says that an attested instance made the organisation's
// state key.
type StateCertificate struct {
	Organization UUID
	Genesis      [32]byte
	StateKey     [32]byte
	Release      string   // image digest of the instance
	Statement    [32]byte // digest of the instance's statement
	Created      uint64   // unix microseconds
}

// Sign returns the certificate signed by the instance key.
func (c *StateCertificate) Sign(instance ed25519.PrivateKey) ([]byte, error) {
	record, err := canon.NewWriter(magicState, 256).Fixed(c.Organization[:]).Fixed(c.Genesis[:]).
		Fixed(c.StateKey[:]).Text(c.Release).Fixed(c.Statement[:]).U64(c.Created).Record()
	if err != nil {
		return nil, err
	}
	return sign(record, instance), nil
}

// StateCertificateOf decodes the certificate in a state record; it verifies
// nothing.
func StateCertificateOf(record []byte) (*StateCertificate, error) {
	r, err := DecodeStateRecord(record)
	if err != nil {
		return nil, err
	}
	c, _, _, err := DecodeStateCertificate(r.Certificate)
	return c, err
}

// OpenStateCertificate decodes a signed certificate and verifies it under the
// instance key.
func OpenStateCertificate(signed []byte, instance [32]byte) (*StateCertificate, error) {
	c, record, sig, err := DecodeStateCertificate(signed)
	if err != nil {
		return nil, err
	}
	if err := verify("state certificate", record, sig, instance); err != nil {
		return nil, err
	}
	return c, nil
}

// DecodeStateCertificate takes a signed certificate apart without verifying
// the signature: to learn which statement's instance key to verify it under.
func DecodeStateCertificate(signed []byte) (c *StateCertificate, record, sig []byte, err error) {
	record, sig, err = split("state certificate", signed)
	if err != nil {
		return nil, nil, nil, err
	}
	r := canon.NewReader(magicState, record)
	c = &StateCertificate{}
	r.Fixed(c.Organization[:])
	r.Fixed(c.Genesis[:])
	r.Fixed(c.StateKey[:])
	c.Release = r.Text(128)
	r.Fixed(c.Statement[:])
	c.Created = r.U64()
	if err := r.Close(); err != nil {
		return nil, nil, nil, invalid("state certificate", err)
	}
	return c, record, sig, nil
}

// StateRecord is a sealed state key as the database keeps it.
type StateRecord struct {
	Certificate   []byte // signed state certificate
	TEEShare      []byte // sealed share
	ProviderShare []byte // sealed share
}

// Encode returns the record.
func (s *StateRecord) Encode() []byte {
	return canon.NewWriter(magicStateRec, 2048).Bytes(s.Certificate).Bytes(s.TEEShare).Bytes(s.ProviderShare).MustRecord()
}

// DecodeStateRecord reads the record; it verifies nothing.
func DecodeStateRecord(record []byte) (*StateRecord, error) {
	r := canon.NewReader(magicStateRec, record)
	s := &StateRecord{Certificate: r.Bytes(2048), TEEShare: r.Bytes(2048), ProviderShare: r.Bytes(2048)}
	if err := r.Close(); err != nil {
		return nil, invalid("state record", err)
	}
	return s, nil
}

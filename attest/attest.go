// Package attest holds what all kinds of attestation evidence share. The
// packages below it verify one kind each: confspace for Google Confidential
// Space.
//
// Two words are kept apart throughout. To verify evidence is to find out that
// it is authentic: the platform's attestation service made it. To validate it
// is to compare what it says with reference values. Evidence that verifies
// says nothing by itself: anybody can rent a machine and get authentic
// evidence for another image.
package attest

import "crypto/sha256"

// Evidence binds a statement of a workload instance to its platform.
type Evidence struct {
	// Statement is the instance statement, docs/FORMATS.md section 6.1. The
	// token vouches for it through its nonce.
	Statement []byte `json:"statement"`
	// Token is the platform's attestation token, for Confidential Space a
	// compact JWT of type PKI.
	Token string `json:"token"`
}

// ID returns the digest that names the evidence: SHA-256 of the statement.
func (e Evidence) ID() [32]byte { return sha256.Sum256(e.Statement) }

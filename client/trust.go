package client

import (
	"crypto/subtle"
	"fmt"
	"slices"
	"time"

	"github.com/sigilkeys/sigil/attest"
	"github.com/sigilkeys/sigil/attest/confspace"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/receipt"
)

// root is an organisation as far as it is proved: a genesis that the pin
// names and, for credentials, the grant of the own key.
type root struct {
	genesis *authority.VerifiedGenesis
	grant   *authority.VerifiedGrant // nil for administrators
}

// verifyGenesis verifies a genesis envelope; whose it is, the caller compares.
func verifyGenesis(envelope []byte) (*authority.VerifiedGenesis, error) {
	g, err := authority.VerifyGenesis(envelope)
	if err != nil {
		return nil, broken(CodeGenesis, err, "genesis document")
	}
	return g, nil
}

func verifyGrant(envelope []byte, g *authority.VerifiedGenesis) (*authority.VerifiedGrant, error) {
	v, err := authority.VerifyGrant(envelope, g)
	if err != nil {
		return nil, broken(CodeGrant, err, "grant")
	}
	return v, nil
}

// inGrantsLife reports whether a decision fell into the life of its grant.
func inGrantsLife(g *authority.VerifiedGrant, l *receipt.Leaf) bool {
	at := int64(l.Time / uint64(time.Second/time.Microsecond))
	return at >= g.NotBefore && at < g.Expires
}

// openRoot goes from the pin of a secret key to its own grant.
func openRoot(token *authority.Token, genesis, grant []byte) (*root, error) {
	g, err := verifyGenesis(genesis)
	if err != nil {
		return nil, err
	}
	pin, have := token.Pin(), g.Pin()
	if subtle.ConstantTimeCompare(pin[:], have[:]) != 1 {
		return nil, broken(CodePin, nil, "the service's genesis document isn't the one that the secret key was made for")
	}
	v, err := verifyGrant(grant, g)
	if err != nil {
		return nil, err
	}
	if v.Credential != token.PublicKey() {
		return nil, broken(CodeGrant, nil, "the grant is of another key")
	}
	return &root{genesis: g, grant: v}, nil
}

// statementOf returns the digest of the statement whose evidence a state
// record needs.
func statementOf(record []byte) ([32]byte, error) {
	c, err := receipt.StateCertificateOf(record)
	if err != nil {
		return [32]byte{}, broken(CodeStateCertificate, err, "state record")
	}
	return c.Statement, nil
}

// checkState proves that an accepted workload made the organisation's state
// key, and returns the certificate.
func checkState(g *authority.VerifiedGenesis, record []byte, ev attest.Evidence) (*receipt.StateCertificate, error) {
	want, err := statementOf(record)
	if err != nil {
		return nil, err
	}
	r, err := receipt.DecodeStateRecord(record)
	if err != nil {
		return nil, broken(CodeStateCertificate, err, "state record")
	}
	s, err := openStatement(ev, want)
	if err != nil {
		return nil, err
	}
	c, err := receipt.OpenStateCertificate(r.Certificate, s.InstanceKey)
	if err != nil {
		return nil, broken(CodeStateCertificate, err, "state certificate")
	}
	if c.Organization != g.OrganizationID || c.Genesis != g.Digest {
		return nil, broken(CodeStateCertificate, nil, "the state key is of another organisation or genesis")
	}
	if _, err := checkEvidence(g, ev, c.Release, micros(c.Created)); err != nil {
		return nil, err
	}
	return c, nil
}

// checkWallet proves that the state key, which the owner's grant names,
// certified the keys of this very wallet.
func (r *root) checkWallet(signed []byte, wallet receipt.UUID) (*receipt.WalletCertificate, error) {
	c, err := receipt.OpenWalletCertificate(signed)
	switch {
	case err != nil:
		return nil, broken(CodeCertificate, err, "wallet certificate")
	case c.StateKey != r.grant.StateKey:
		return nil, mismatch(CodeCertificate, "state_key", "signed by another state key than the owner's grant names")
	case c.Organization != r.genesis.OrganizationID || c.Genesis != r.genesis.Digest:
		return nil, mismatch(CodeCertificate, "organization", "of another organisation or genesis")
	case c.Wallet != wallet:
		return nil, mismatch(CodeCertificate, "wallet", "of wallet %s instead of %s", c.Wallet, wallet)
	}
	return c, nil
}

// Attested is what verified evidence says of the workload.
type Attested struct {
	Release     string    `json:"release"` // image digest, sha256:…
	Hardware    string    `json:"hardware"`
	ProjectID   string    `json:"project_id"`
	Zone        string    `json:"zone"`
	Issuer      string    `json:"issuer"`
	InstanceKey string    `json:"instance_key"` // Ed25519, hex
	Issued      time.Time `json:"issued"`       // of the token
	Expires     time.Time `json:"expires"`
}

// openStatement decodes evidence's statement and requires the digest.
func openStatement(ev attest.Evidence, want [32]byte) (*receipt.Statement, error) {
	if ev.ID() != want {
		return nil, broken(CodeEvidenceInvalid, nil, "evidence of another statement")
	}
	s, err := receipt.DecodeStatement(ev.Statement)
	if err != nil {
		return nil, broken(CodeEvidenceInvalid, err, "statement")
	}
	return s, nil
}

// checkEvidence verifies the token and validates it against the genesis' TEE
// entries that accept the release, for the instant at which something that
// the evidence vouches for was signed.
func checkEvidence(g *authority.VerifiedGenesis, ev attest.Evidence, release string, at time.Time) (*Attested, error) {
	s, err := receipt.DecodeStatement(ev.Statement)
	if err != nil {
		return nil, broken(CodeEvidenceInvalid, err, "statement")
	}
	last := &VerificationError{Code: CodeEvidenceRefused, Reason: confspace.ReasonImageDigest,
		Detail: fmt.Sprintf("the genesis document doesn't accept the release %q", release)}
	for i := range g.TEEs {
		t := &g.TEEs[i]
		if release == "" || !slices.Contains(t.ImageDigests, release) {
			continue
		}
		a, failed := checkTEE(t, s, ev, release, at)
		if failed == nil {
			return a, nil
		}
		last = failed
	}
	return nil, last
}

func checkTEE(t *authority.TEE, s *receipt.Statement, ev attest.Evidence, release string, at time.Time) (*Attested, *VerificationError) {
	if t.Kind != authority.KindConfidentialSpace {
		return nil, broken(CodeEvidenceRefused, nil, "TEE kind %q is unknown to this version", t.Kind)
	}
	pin, err := confspace.ParseFingerprint(t.PKIRoot)
	if err != nil {
		return nil, broken(CodeGenesis, err, "pki_root_sha256")
	}
	claims, err := confspace.Verify(ev.Token, confspace.Trust{PKIRoot: pin}, at)
	if err != nil {
		return nil, broken(CodeEvidenceInvalid, err, "")
	}
	err = confspace.Validate(claims, confspace.Expectation{
		Issuer: t.Issuer, Audience: receipt.EvidenceAudience, Hardware: t.Hardware,
		ProjectID: t.ProjectID, ServiceAccount: t.ServiceAccount, ImageDigests: []string{release},
		Nonce: s.Nonce(), At: at,
	}, at)
	if err != nil {
		return nil, broken(CodeEvidenceRefused, err, "")
	}
	return &Attested{
		Release: claims.ImageDigest, Hardware: claims.Hardware, ProjectID: claims.ProjectID, Zone: claims.Zone,
		Issuer: claims.Issuer, InstanceKey: fmt.Sprintf("%x", s.InstanceKey[:]), Issued: claims.IssuedAt, Expires: claims.Expires,
	}, nil
}

func micros(t uint64) time.Time { return time.UnixMicro(int64(min(t, 1<<62))).UTC() }

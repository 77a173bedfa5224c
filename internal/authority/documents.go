package authority

import (
	"encoding/hex"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/policy"
)

// Formats of the documents.
const (
	FormatGenesis    = "sigil.genesis.v1"
	FormatGrant      = "sigil.grant.v1"
	FormatGrant2     = "sigil.grant.v2"
	FormatRevocation = "sigil.revocation.v1"
)

// KindConfidentialSpace is the kind of a Google Confidential Space TEE.
const KindConfidentialSpace = "confidential-space"

// Genesis is an organisation's first authority document (FORMATS 3.1).
type Genesis struct {
	Format         string     `json:"format"`
	OrganizationID canon.UUID `json:"organization_id"`
	Name           string     `json:"name"`
	Created        int64      `json:"created"` // unix seconds
	Version        int        `json:"version"`
	Previous       string     `json:"previous"`
	Admins         []Admin    `json:"admins"`
	Quorum         int        `json:"quorum"`
	Freshness      Freshness  `json:"freshness"`
	TEEs           []TEE      `json:"tees"`
}

// Admin is one key of the owner.
type Admin struct {
	Name      string `json:"name"`
	PublicKey string `json:"public_key"` // Ed25519, hex
}

// Freshness is the mode in which state is protected (FRESHNESS).
type Freshness struct {
	Mode string `json:"mode"` // unwitnessed
}

// FreshnessUnwitnessed is the mode without witnesses: revocations and limits
// hold for the lifetime of an instance.
const FreshnessUnwitnessed = "unwitnessed"

// TEE lists the reference values of one accepted TEE. An empty list accepts
// nothing.
type TEE struct {
	Kind           string   `json:"kind"`
	Issuer         string   `json:"issuer"`          // of attestation tokens
	PKIRoot        string   `json:"pki_root_sha256"` // of the root certificate's DER, hex
	Hardware       []string `json:"hardware"`        // accepted hwmodel values
	ProjectID      string   `json:"project_id"`
	ServiceAccount string   `json:"service_account"`
	ImageDigests   []string `json:"image_digests"` // sha256:…
	TEEKEK         string   `json:"tee_kek"`       // KMS keys that may wrap shares
	ProviderKEK    string   `json:"provider_kek"`
}

// VerifiedGenesis is a genesis whose own admins signed it. Make it with
// VerifyGenesis only.
type VerifiedGenesis struct {
	Genesis
	Digest   [32]byte
	Envelope []byte

	admins map[string][32]byte // by key id
}

// VerifyGenesis reads an envelope and checks the document and its quorum.
// Whether it is the right genesis, the caller knows: by Pin or by an AAD.
func VerifyGenesis(envelope []byte) (*VerifiedGenesis, error) {
	g := &VerifiedGenesis{Envelope: envelope, admins: map[string][32]byte{}}
	o, err := openEnvelope(envelope, &g.Genesis, TypeGenesis)
	if err != nil {
		return nil, err
	}
	g.Digest = o.digest
	if err := g.check(); err != nil {
		return nil, err
	}
	for _, a := range g.Admins {
		pub, err := parseHex32(a.PublicKey)
		if err != nil {
			return nil, err
		}
		if err := checkName(a.Name); err != nil {
			return nil, err
		}
		g.admins[KeyID(pub)] = pub
	}
	if len(g.admins) != len(g.Admins) {
		return nil, refuse(CodeDocument, "an admin key stands twice")
	}
	if err := o.requireQuorum(g.admins, g.Quorum); err != nil {
		return nil, err
	}
	return g, nil
}

func (g *Genesis) check() error {
	switch {
	case g.Format != FormatGenesis || g.Version != 1 || g.Previous != "":
		return refuse(CodeDocument, "not a genesis document of this version")
	case g.OrganizationID.IsZero():
		return refuse(CodeDocument, "organization_id is zero")
	case g.Created <= 0:
		return refuse(CodeDocument, "created is not a time")
	case len(g.Admins) == 0 || len(g.Admins) > 16:
		return refuse(CodeDocument, "%d admins, 1 to 16 allowed", len(g.Admins))
	case g.Quorum < 1 || g.Quorum > len(g.Admins):
		return refuse(CodeDocument, "quorum of %d with %d admins", g.Quorum, len(g.Admins))
	case g.Freshness.Mode != FreshnessUnwitnessed:
		return refuse(CodeDocument, "freshness mode %q is not supported by this release", g.Freshness.Mode)
	case len(g.TEEs) == 0 || len(g.TEEs) > 4:
		return refuse(CodeDocument, "%d TEEs, 1 to 4 allowed", len(g.TEEs))
	}
	for i := range g.TEEs {
		if err := g.TEEs[i].check(); err != nil {
			return err
		}
	}
	return checkName(g.Name)
}

func (t *TEE) check() error {
	if _, err := parseHex32(t.PKIRoot); err != nil {
		return err
	}
	for _, d := range t.ImageDigests {
		digits, ok := strings.CutPrefix(d, "sha256:")
		if _, err := parseHex32(digits); !ok || err != nil {
			return refuse(CodeDocument, "%q is not an image digest", d)
		}
	}
	switch {
	case t.Kind != KindConfidentialSpace:
		return refuse(CodeDocument, "TEE kind %q is not supported by this release", t.Kind)
	case t.Issuer == "" || t.ProjectID == "" || t.ServiceAccount == "" || t.TEEKEK == "" || t.ProviderKEK == "":
		return refuse(CodeDocument, "a TEE lacks issuer, project_id, service_account, tee_kek or provider_kek")
	case t.TEEKEK == t.ProviderKEK:
		return refuse(CodeDocument, "both shares under one KMS key")
	}
	return nil
}

// Pin returns the first 16 bytes of the digest, as secret tokens carry it.
func (g *VerifiedGenesis) Pin() [16]byte { return [16]byte(g.Digest[:16]) }

// AdminKey returns the admin's public key for a key id.
func (g *VerifiedGenesis) AdminKey(keyID string) ([32]byte, bool) {
	pub, ok := g.admins[keyID]
	return pub, ok
}

// Accepts returns the TEE entry that accepts a release under its KMS keys.
func (g *Genesis) Accepts(imageDigest, teeKEK, providerKEK string) (*TEE, bool) {
	for i := range g.TEEs {
		t := &g.TEEs[i]
		if slices.Contains(t.ImageDigests, imageDigest) && t.TEEKEK == teeKEK && t.ProviderKEK == providerKEK {
			return t, true
		}
	}
	return nil, false
}

// Grant gives a credential its rights (FORMATS 3.2).
type Grant struct {
	Format         string        `json:"format"`
	OrganizationID canon.UUID    `json:"organization_id"`
	Genesis        string        `json:"genesis"`   // digest, hex
	StateKey       string        `json:"state_key"` // Ed25519, hex
	GrantID        canon.UUID    `json:"grant_id"`
	Name           string        `json:"name"`
	Credential     string        `json:"credential"` // Ed25519, hex
	Bearer         bool          `json:"bearer"`
	Delegate       bool          `json:"delegate"`
	NotBefore      int64         `json:"not_before"` // unix seconds
	Expires        int64         `json:"expires"`    // unix seconds
	Policy         policy.Policy `json:"policy"`

	// Of version 2 alone; a grant of version 1 is full and names no addresses.
	Scope    Scope    `json:"scope,omitzero"`
	AllowIPs []string `json:"allow_ips,omitempty"` // networks in CIDR notation, or "*"
}

// maxBearerLife bounds grants whose token itself may be presented, in seconds.
const maxBearerLife = 31 * 24 * 3600

// VerifiedGrant is a grant that a quorum of its genesis' admins signed.
type VerifiedGrant struct {
	Grant
	Digest     [32]byte
	Envelope   []byte
	Credential [32]byte
	StateKey   [32]byte
}

// VerifyGrant reads an envelope and checks the document under the genesis.
// Time and revocation are the caller's to check.
func VerifyGrant(envelope []byte, g *VerifiedGenesis) (*VerifiedGrant, error) {
	v := &VerifiedGrant{Envelope: envelope}
	o, err := openGrant(envelope, &v.Grant)
	if err != nil {
		return nil, err
	}
	v.Digest = o.digest
	if v.Credential, err = parseHex32(v.Grant.Credential); err != nil {
		return nil, err
	}
	if v.StateKey, err = parseHex32(v.Grant.StateKey); err != nil {
		return nil, err
	}
	if err := v.Grant.check(g); err != nil {
		return nil, err
	}
	if err := o.requireQuorum(g.admins, g.Quorum); err != nil {
		return nil, err
	}
	return v, nil
}

func (v *Grant) check(g *VerifiedGenesis) error {
	switch {
	case v.OrganizationID != g.OrganizationID || v.Genesis != hex.EncodeToString(g.Digest[:]):
		return refuse(CodeDocument, "grant of another organisation or genesis")
	case v.GrantID.IsZero():
		return refuse(CodeDocument, "grant_id is zero")
	case v.NotBefore < 0 || v.Expires <= v.NotBefore:
		return refuse(CodeDocument, "expires must be later than not_before")
	case v.Delegate:
		return refuse(CodeDocument, "delegation is not supported by this release")
	}
	if err := v.Policy.Check(); err != nil {
		return refuse(CodeDocument, "%v", err)
	}
	if err := v.checkScope(); err != nil {
		return err
	}
	if v.Bearer && (v.Expires-v.NotBefore > maxBearerLife || slices.Contains(v.Policy.Wallets, policy.Any) ||
		slices.Contains(v.Policy.Methods, policy.Any) || slices.Contains(v.Policy.Methods, policy.MethodCreateWallet)) {
		return refuse(CodeDocument, "a bearer grant lives at most 31 days, names its wallets and methods, and creates no wallets")
	}
	return checkName(v.Name)
}

// Revocation ends a grant (FORMATS 3.3).
type Revocation struct {
	Format         string     `json:"format"`
	OrganizationID canon.UUID `json:"organization_id"`
	Genesis        string     `json:"genesis"` // digest, hex
	Grant          string     `json:"grant"`   // digest, hex
	RevokedAt      int64      `json:"revoked_at"`
	Reason         string     `json:"reason"`
}

// VerifiedRevocation is a revocation that an admin of the genesis signed.
type VerifiedRevocation struct {
	Revocation
	Grant    [32]byte
	Envelope []byte
}

// VerifyRevocation reads an envelope; one admin suffices, since a revocation
// only tightens.
func VerifyRevocation(envelope []byte, g *VerifiedGenesis) (*VerifiedRevocation, error) {
	v := &VerifiedRevocation{Envelope: envelope}
	o, err := openEnvelope(envelope, &v.Revocation, TypeRevocation)
	if err != nil {
		return nil, err
	}
	if v.Grant, err = parseHex32(v.Revocation.Grant); err != nil {
		return nil, err
	}
	switch {
	case v.Format != FormatRevocation:
		return nil, refuse(CodeDocument, "format is %q, want %q", v.Format, FormatRevocation)
	case v.OrganizationID != g.OrganizationID || v.Genesis != hex.EncodeToString(g.Digest[:]):
		return nil, refuse(CodeDocument, "revocation of another organisation or genesis")
	case v.RevokedAt <= 0 || len(v.Reason) > 200:
		return nil, refuse(CodeDocument, "revoked_at is no time, or the reason is over 200 bytes")
	}
	if err := o.requireQuorum(g.admins, 1); err != nil {
		return nil, err
	}
	return v, nil
}

// checkName takes 1 to 100 bytes of UTF-8 without control characters.
func checkName(s string) error {
	if s == "" || len(s) > 100 || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return refuse(CodeDocument, "a name has 1 to 100 bytes and no control characters")
	}
	return nil
}

func parseHex32(s string) (d [32]byte, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 || hex.EncodeToString(b) != s {
		return d, refuse(CodeDocument, "want 32 bytes as 64 lower-case hex digits")
	}
	return [32]byte(b), nil
}

// GenesisOf returns the genesis digest that a grant or revocation names,
// before anything of it is verified: to find the genesis to verify it under.
func GenesisOf(envelope []byte) ([32]byte, error) {
	e, err := ParseEnvelope(envelope)
	if err != nil {
		return [32]byte{}, err
	}
	payload, err := decodeBase64(e.Payload)
	if err != nil {
		return [32]byte{}, err
	}
	var named string
	switch e.PayloadType {
	case TypeGrant, TypeGrant2:
		var v Grant
		err = canon.DecodeJSON(payload, &v)
		named = v.Genesis
	case TypeRevocation:
		var v Revocation
		err = canon.DecodeJSON(payload, &v)
		named = v.Genesis
	default:
		return [32]byte{}, refuse(CodeDocument, "payload type %q names no genesis", e.PayloadType)
	}
	if err != nil {
		return [32]byte{}, refuse(CodeDocument, "payload: %v", err)
	}
	return parseHex32(named)
}

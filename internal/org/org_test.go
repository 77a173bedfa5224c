package org_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/org"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/test/stack"
)

// maker makes documents, right ones and wrong ones.
type maker struct {
	t     *testing.T
	s     *stack.Stack
	owner *stack.Owner
}

func newMaker(t *testing.T) *maker {
	s := stack.Start(t, stack.Options{})
	return &maker{t: t, s: s, owner: s.NewOwner()}
}

func (m *maker) uuid() canon.UUID {
	u, err := canon.NewUUID(rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	return u
}

func (m *maker) key() ed25519.PrivateKey {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	return k
}

func (m *maker) sign(kind string, doc any, keys ...ed25519.PrivateKey) []byte {
	m.t.Helper()
	e, err := authority.SignEnvelope(kind, doc, keys...)
	if err != nil {
		m.t.Fatal(err)
	}
	return e
}

func (m *maker) genesis(admin ed25519.PrivateKey, edit func(*authority.Genesis)) []byte {
	g := authority.Genesis{Format: authority.FormatGenesis, OrganizationID: m.uuid(), Name: "Acme", Created: m.s.Now().Unix(), Version: 1,
		Admins: []authority.Admin{{Name: "root", PublicKey: hex.EncodeToString(admin[32:])}}, Quorum: 1,
		Freshness: authority.Freshness{Mode: authority.FreshnessUnwitnessed}, TEEs: []authority.TEE{m.s.TEEReference()}}
	if edit != nil {
		edit(&g)
	}
	return m.sign(authority.TypeGenesis, g, admin)
}

func (m *maker) grant(admin ed25519.PrivateKey, edit func(*authority.Grant)) []byte {
	g := authority.Grant{Format: authority.FormatGrant, OrganizationID: m.owner.Genesis.OrganizationID, Genesis: hex.EncodeToString(m.owner.Genesis.Digest[:]),
		StateKey: hex.EncodeToString(m.owner.State[:]), GrantID: m.uuid(), Name: "backend", Credential: hex.EncodeToString(m.key()[32:]),
		NotBefore: m.s.Now().Unix(), Expires: m.s.Now().Unix() + 3600, Policy: stack.AllowAll()}
	if edit != nil {
		edit(&g)
	}
	return m.sign(authority.TypeGrant, g, admin)
}

// post sends a document and returns status, data and code.
func (m *maker) post(path, member string, document []byte) (int, []byte, api.Code) {
	m.t.Helper()
	status, raw := m.send(m.s, nil, path, member, document)
	var env api.Envelope
	if err := json.Unmarshal(raw, &env); err != nil {
		m.t.Fatalf("%s: %v", raw, err)
	}
	if env.Error != nil {
		return status, nil, env.Error.Code
	}
	return status, env.Data, ""
}

func (m *maker) keys() string {
	return "/v1/orgs/" + m.owner.Genesis.OrganizationID.String() + "/api-keys"
}

func TestCreateOrganization(t *testing.T) {
	m := newMaker(t)
	admin, id := m.key(), m.uuid()
	first := m.genesis(admin, func(g *authority.Genesis) { g.OrganizationID = id })
	status, one, _ := m.post("/v1/orgs", "genesis", first)
	if status != 201 {
		t.Fatal(status)
	}
	if status, two, _ := m.post("/v1/orgs", "genesis", first); status != 201 || string(one) != string(two) {
		t.Errorf("the same again: %d\n%s\n%s", status, one, two)
	}
	for name, c := range map[string]struct {
		envelope []byte
		want     api.Code
	}{
		"another genesis, same id": {m.genesis(m.key(), func(g *authority.Genesis) { g.OrganizationID = id }), api.CodeOrganizationExists},
		"signed by a stranger":     {m.sign(authority.TypeGenesis, json.RawMessage(`{}`), m.key()), api.CodeDocumentInvalid},
		"quorum not met": {m.genesis(admin, func(g *authority.Genesis) {
			g.Admins = append(g.Admins, authority.Admin{Name: "b", PublicKey: hex.EncodeToString(m.key()[32:])})
			g.Quorum = 2
		}), api.CodeDocumentInvalid},
		"another image": {m.genesis(admin, func(g *authority.Genesis) {
			g.TEEs[0].ImageDigests = []string{stack.MadeUpDigest("other")}
		}), api.CodeReleaseNotAccepted},
		"another KEK": {m.genesis(admin, func(g *authority.Genesis) { g.TEEs[0].TEEKEK += "x" }), api.CodeReleaseNotAccepted},
		"a grant":     {m.grant(m.owner.Admin, nil), api.CodeDocumentInvalid},
		"altered":     {[]byte(strings.Replace(string(first), `"payload":"ey`, `"payload":"eX`, 1)), api.CodeDocumentInvalid},
		"spaced":      {[]byte(strings.Replace(string(first), `,`, `, `, 1)), api.CodeDocumentInvalid},
	} {
		if status, _, code := m.post("/v1/orgs", "genesis", c.envelope); code != c.want {
			t.Errorf("%s: %d %s, want %s", name, status, code, c.want)
		}
	}
}

func TestRegistrationIsClosedByDefault(t *testing.T) {
	m := newMaker(t)
	closed := &org.Service{Store: m.s.Store, Fleet: m.s.Fleet, Signing: m.s.Signing, Now: m.s.Now}
	_, err := closed.Create(t.Context(), m.genesis(m.key(), nil), func(canon.UUID) error { return nil })
	if e, ok := err.(*signing.Error); !ok || e.Code != api.CodeRegistrationClosed {
		t.Fatal(err)
	}
}

func TestCreateKey(t *testing.T) {
	m := newMaker(t)
	first := m.grant(m.owner.Admin, nil)
	status, one, _ := m.post(m.keys(), "grant", first)
	var k api.Key
	if err := json.Unmarshal(one, &k); status != 201 || err != nil || k.Status != "active" || k.KeyPrefix != "sk_live_"+k.KeyID[:4] {
		t.Fatalf("%d %s", status, one)
	}
	if status, two, _ := m.post(m.keys(), "grant", first); status != 201 || string(one) != string(two) {
		t.Errorf("the same again: %d\n%s\n%s", status, one, two)
	}
	other := m.s.NewOwner()
	v, err := authority.VerifyGrant(first, m.owner.Genesis)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(f func(*authority.Grant)) []byte { return m.grant(m.owner.Admin, f) }
	for name, c := range map[string]struct {
		envelope []byte
		want     api.Code
	}{
		"by a stranger":           {m.grant(m.key(), nil), api.CodeDocumentInvalid},
		"by another organisation": {m.grant(other.Admin, nil), api.CodeDocumentInvalid},
		"for another organisation": {edit(func(g *authority.Grant) { g.OrganizationID = other.Genesis.OrganizationID }),
			api.CodeDocumentInvalid},
		"another genesis": {edit(func(g *authority.Grant) { g.Genesis = hex.EncodeToString(other.Genesis.Digest[:]) }), api.CodeOrganizationNotFound},
		"expires first":   {edit(func(g *authority.Grant) { g.Expires = g.NotBefore }), api.CodeDocumentInvalid},
		"bearer for all":  {edit(func(g *authority.Grant) { g.Bearer = true }), api.CodeDocumentInvalid},
		"delegate":        {edit(func(g *authority.Grant) { g.Delegate = true }), api.CodeDocumentInvalid},
		"same credential": {edit(func(g *authority.Grant) { g.Credential = hex.EncodeToString(v.Credential[:]) }), api.CodeKeyExists},
		"same id":         {edit(func(g *authority.Grant) { g.GrantID = v.GrantID }), api.CodeKeyExists},
		"a foreign's key": {edit(func(g *authority.Grant) { g.StateKey = hex.EncodeToString(other.State[:]) }), api.CodeDocumentInvalid},
		"a genesis":       {m.owner.Genesis.Envelope, api.CodeDocumentInvalid},
		"signature doubled": {[]byte(strings.Replace(string(first), `"signatures":[`, `"signatures":[`+strings.TrimSuffix(string(first[strings.Index(string(first), `"signatures":[`)+14:]), `]}`)+`,`, 1)),
			api.CodeDocumentInvalid},
	} {
		if status, _, code := m.post(m.keys(), "grant", c.envelope); code != c.want {
			t.Errorf("%s: %d %s, want %s", name, status, code, c.want)
		}
	}
	if _, total, err := m.s.Store.Grants(t.Context(), m.owner.Genesis.OrganizationID, store.Page{Limit: 1}); err != nil || total != 1 {
		t.Errorf("%d grants are stored: %v", total, err)
	}
	if status, _, code := m.post("/v1/orgs/"+m.uuid().String()+"/api-keys", "grant", first); code != api.CodeOrganizationNotFound {
		t.Errorf("unknown organisation: %d %s", status, code)
	}
}

func TestRevoke(t *testing.T) {
	m := newMaker(t)
	first := m.grant(m.owner.Admin, nil)
	if status, _, _ := m.post(m.keys(), "grant", first); status != 201 {
		t.Fatal(status)
	}
	v, err := authority.VerifyGrant(first, m.owner.Genesis)
	if err != nil {
		t.Fatal(err)
	}
	other := m.s.NewOwner()
	path := "/v1/orgs/" + m.owner.Genesis.OrganizationID.String() + "/revocations"
	revocation := func(admin ed25519.PrivateKey, edit func(*authority.Revocation)) []byte {
		r := authority.Revocation{Format: authority.FormatRevocation, OrganizationID: m.owner.Genesis.OrganizationID, Genesis: hex.EncodeToString(m.owner.Genesis.Digest[:]),
			Grant: hex.EncodeToString(v.Digest[:]), RevokedAt: m.s.Now().Unix(), Reason: "rotated"}
		if edit != nil {
			edit(&r)
		}
		return m.sign(authority.TypeRevocation, r, admin)
	}
	for name, c := range map[string]struct {
		envelope []byte
		want     api.Code
	}{
		"by a stranger":           {revocation(m.key(), nil), api.CodeDocumentInvalid},
		"by another organisation": {revocation(other.Admin, nil), api.CodeDocumentInvalid},
		"of another genesis": {revocation(m.owner.Admin, func(r *authority.Revocation) { r.Genesis = hex.EncodeToString(other.Genesis.Digest[:]) }),
			api.CodeOrganizationNotFound},
		"of no grant": {revocation(m.owner.Admin, func(r *authority.Revocation) { r.Grant = strings.Repeat("0", 64) }), api.CodeGrantNotFound},
	} {
		if status, _, code := m.post(path, "revocation", c.envelope); code != c.want {
			t.Errorf("%s: %d %s, want %s", name, status, code, c.want)
		}
	}
	g, err := m.s.Store.GrantByKeyID(t.Context(), authority.KeyID(v.Credential))
	if err != nil || !g.Revoked.IsZero() {
		t.Fatalf("revoked by a document that doesn't verify: %v", err)
	}
	for range 2 { // again is no error
		if status, _, code := m.post(path, "revocation", revocation(m.owner.Admin, nil)); status != 201 {
			t.Fatal(status, code)
		}
	}
	// The grant handed in again doesn't bring the key back.
	status, data, _ := m.post(m.keys(), "grant", first)
	var k api.Key
	if err := json.Unmarshal(data, &k); status != 201 || err != nil || k.Status != "revoked" || k.RevokedAt == nil {
		t.Errorf("%d %s", status, data)
	}
}

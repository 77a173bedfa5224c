package signing_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/internal/workload"
	"github.com/sigilkeys/sigil/receipt"
)

func (s *scene) grant(t *testing.T) *store.Grant {
	t.Helper()
	g, err := s.Store.GrantByKeyID(t.Context(), authority.KeyID(s.token.PublicKey()))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// revoke revokes the scene's key through the API.
func (s *scene) revoke(t *testing.T) {
	t.Helper()
	d := s.grant(t).Digest
	doc := authority.Revocation{Format: authority.FormatRevocation, OrganizationID: s.owner.Genesis.OrganizationID, Genesis: hex.EncodeToString(s.owner.Genesis.Digest[:]),
		Grant: hex.EncodeToString(d[:]), RevokedAt: s.Now().Unix()}
	envelope, err := authority.SignEnvelope(authority.TypeRevocation, doc, s.owner.Admin)
	if err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"revocation":%s}`, envelope)
	res, err := http.Post(s.API.URL+"/v1/orgs/"+s.owner.Genesis.OrganizationID.String()+"/revocations", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 201 {
		t.Fatal(res.Status)
	}
}

// A revocation acknowledged while a link is being set up, after the instance
// was handed those that were stored before, reaches it before it serves.
func TestRevokedWhileConnecting(t *testing.T) {
	s := newScene(t)
	g, key := s.grant(t), s.mustKey(t)
	inside, resume := make(chan struct{}), make(chan struct{})
	s.store.set(func(f *faulty) { f.revocations = func() { close(inside); <-resume } })
	c, err := s.Link.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Close() // the link comes back by itself
	<-inside
	s.revoke(t)
	close(resume)
	if c, err = s.Link.Client(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.straight(t, c, g, key); !invalidKey(err) {
		t.Fatalf("the TEE decides for a revoked key: %v", err)
	}
}

func invalidKey(err error) bool {
	var refused *teelink.RemoteError
	return errors.As(err, &refused) && refused.Code == "invalid_key"
}

// straight asks a TEE to sign, as a control plane that has forgotten would.
func (s *scene) straight(t *testing.T, c *teelink.Client, g *store.Grant, key keyDigests) error {
	t.Helper()
	id, err := canon.ParseUUID(s.one.ID)
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Store.Wallet(t.Context(), g.Organization, id)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Put(t.Context(), []teelink.Object{{Kind: teelink.ObjectGenesis, Bytes: s.owner.Genesis.Envelope}, {Kind: teelink.ObjectGrant, Bytes: g.Envelope},
		{Kind: teelink.ObjectWalletRecord, Bytes: w.Record}}); err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"hi"}`, s.one.ID)
	h, err := authority.ParseSignatureHeaders(s.Request(s.token, "POST", workload.PathSign, body).Header)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Decide(t.Context(), &teelink.Decide{Genesis: key.genesis, Grant: g.Digest, Record: receipt.Digest(w.Record), Auth: teelink.AuthSignature,
		Method: "POST", Path: workload.PathSign, Created: h.Created, RequestID: h.ID, Proof: h.Signature, Body: []byte(body)})
	return err
}

type keyDigests struct{ genesis [32]byte }

func (s *scene) mustKey(t *testing.T) keyDigests {
	t.Helper()
	k, err := s.Signing.Key(t.Context(), authority.KeyID(s.token.PublicKey()))
	if err != nil {
		t.Fatal(err)
	}
	return keyDigests{genesis: k.Genesis.Digest}
}

// A grant that was read before its revocation doesn't stay cached after it.
func TestRevokedWhileLoading(t *testing.T) {
	s := newScene(t)
	s.Signing.ForgetGrant(s.grant(t).Digest)
	inside, resume := make(chan struct{}), make(chan struct{})
	read := s.Request(s.token, "GET", "/v1/s2s/wallets", "")
	done := make(chan struct{})
	s.store.set(func(f *faulty) { f.grant = func() { close(inside); <-resume } })
	go func() { defer close(done); answer(t, read) }()
	<-inside
	s.revoke(t)
	close(resume)
	<-done
	if status, body, e := answer(t, read); status != 401 || e == nil || e.Code != api.CodeInvalidKey {
		t.Fatalf("a revoked key reads: %d %s", status, body)
	}
}

package attack

import (
	"testing"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/internal/workload"
	"github.com/sigilkeys/sigil/test/stack"
)

// A control plane that lets a key to read through gets no decision for it from
// the TEE, not even a denial. The canary is the same grant with scope full.
func TestReadKeyGetsNoDecision(t *testing.T) {
	s := newScene(t, stack.Options{})
	for _, c := range []struct {
		scope authority.Scope
		want  api.Code
	}{{authority.ScopeRead, api.CodeKeyReadOnly}, {authority.ScopeFull, ""}} {
		token := s.NewKey(s.owner, func(g *authority.Grant) {
			g.Scope, g.Policy, g.AllowIPs = c.scope, policy.Policy{}, []string{"127.0.0.0/8"}
		})
		for path, body := range map[string]string{
			workload.PathSign:    `{"wallet_id":"` + s.one.ID + `","network":"base","message":"pay"}`,
			workload.PathWallets: `{}`,
		} {
			out, err := s.straight(t, token, path, body)
			if code(err) != string(c.want) || (out != nil) != (c.want == "") {
				t.Errorf("scope %s, %s: %v %v", c.scope, path, out, err)
			}
		}
	}
}

// straight sends a key's request to the TEE as whoever runs the control plane
// can, past all that the server looks at.
func (s *scene) straight(t *testing.T, token *authority.Token, path, body string) (*teelink.Outcome, error) {
	t.Helper()
	return s.straightWith(t, token, path, body, func(*teelink.Decide) {})
}

func (s *scene) straightWith(t *testing.T, token *authority.Token, path, body string, edit func(*teelink.Decide)) (*teelink.Outcome, error) {
	t.Helper()
	c, err := s.Link.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := s.prepare(t, c, token, path, body)
	edit(d)
	return c.Decide(t.Context(), d)
}

// prepare puts what a key's request refers to, and returns the request.
func (s *scene) prepare(t *testing.T, c *teelink.Client, token *authority.Token, path, body string) *teelink.Decide {
	t.Helper()
	key, err := s.Signing.Key(t.Context(), authority.KeyID(token.PublicKey()))
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Signing.Wallet(t.Context(), key.OrganizationID, uuidOf(t, s.one.ID))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Put(t.Context(), []teelink.Object{{Kind: teelink.ObjectGenesis, Bytes: key.Genesis.Envelope}, {Kind: teelink.ObjectGrant, Bytes: key.Envelope},
		{Kind: teelink.ObjectWalletRecord, Bytes: w.Record}, {Kind: teelink.ObjectStateRecord, Bytes: key.State}}); err != nil {
		t.Fatal(err)
	}
	h, err := authority.ParseSignatureHeaders(s.Request(token, "POST", path, body).Header)
	if err != nil {
		t.Fatal(err)
	}
	d := &teelink.Decide{Genesis: key.Genesis.Digest, Grant: key.Digest, Record: w.Digest, Auth: teelink.AuthSignature, Method: "POST", Path: path,
		Created: h.Created, RequestID: h.ID, Proof: h.Signature, Body: []byte(body)}
	if path == workload.PathWallets {
		d.Record = key.StateDigest
	}
	return d
}

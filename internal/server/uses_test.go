package server_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
)

// A key's last use is in the list once it is written; who doesn't prove to
// hold the key doesn't use it.
func TestLastUsed(t *testing.T) {
	s := newScene(t)
	reader, unused := s.NewKey(s.owner, toRead), s.NewKey(s.owner, nil)
	s.Do(s.Request(reader, "GET", "/v1/s2s/wallets", ""), 200, nil)
	for _, r := range []struct{ method, path, body string }{{"GET", "/v1/s2s/wallets", ""}, {"POST", "/v1/s2s/wallets", "{}"}} {
		forged, other := s.Request(unused, r.method, r.path, r.body), s.Request(s.stranger, r.method, r.path, r.body)
		forged.Header["Signature"] = other.Header["Signature"]
		s.refused(t, "forged", forged, api.CodeSignatureInvalid)
	}
	before := s.writes.n.Load()
	if err := s.Signing.FlushUses(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.writes.n.Load() != before {
		t.Error("written with the decisions")
	}
	used := map[string]*time.Time{}
	for _, k := range s.keys(t) {
		used[k.KeyID] = k.LastUsedAt
	}
	for name, c := range map[string]struct {
		token *authority.Token
		want  bool
	}{"decided": {s.token, true}, "read": {reader, true}, "forged": {unused, false}} {
		at, listed := used[authority.KeyID(c.token.PublicKey())]
		if !listed || (at != nil) != c.want || at != nil && s.Now().Sub(*at) > time.Minute {
			t.Errorf("%s: %v %v", name, at, listed)
		}
	}
}

// keys lists them as an admin does, which uses none.
func (s *scene) keys(t *testing.T) []api.Key {
	t.Helper()
	path := "/v1/orgs/" + s.owner.Genesis.OrganizationID.String() + "/api-keys"
	req := s.Request(s.token, "GET", path, "")
	h, err := authority.ParseSignatureHeaders(req.Header)
	if err != nil {
		t.Fatal(err)
	}
	r := authority.Request{Method: http.MethodGet, Path: path, Created: h.Created, ID: h.ID}
	if req.Header, err = r.Sign(s.owner.Admin); err != nil {
		t.Fatal(err)
	}
	var list api.List[api.Key]
	s.Do(req, 200, &list)
	return list.Items
}

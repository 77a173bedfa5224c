package server_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/ledger"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/internal/server"
	"github.com/sigilkeys/sigil/test/stack"
)

func toRead(g *authority.Grant) {
	g.Scope, g.Policy = authority.ScopeRead, policy.Policy{}
}

// A key to read is served by each route that reads, and refused by each that
// has something decided.
func TestReadScope(t *testing.T) {
	s := newScene(t)
	reader := s.NewKey(s.owner, toRead)
	if err := (&ledger.Sequencer{Store: s.Store, Signer: s.Fleet}).Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	query := map[string]string{"/v1/log/inclusion": "?receipt=" + s.wallet.Receipt.ID, "/v1/log/consistency": "?from=1"}
	decided := 0
	for _, r := range server.RoutesForTest() {
		switch {
		case r.Decision:
			decided++
			s.refused(t, r.Path, s.Request(reader, r.Method, s.path(r), "{}"), api.CodeKeyReadOnly)
		case r.Signed && r.Method == "GET":
			s.Do(s.Request(reader, r.Method, s.path(r)+query[r.Path], ""), 200, nil)
		}
	}
	if decided == 0 {
		t.Fatal("no route has anything decided")
	}
	var keys api.List[api.Key]
	s.Do(s.Request(reader, "GET", "/v1/orgs/"+s.owner.Genesis.OrganizationID.String()+"/api-keys", ""), 200, &keys)
	scopes := map[string]int{}
	for _, k := range keys.Items {
		scopes[k.Scope]++
	}
	if scopes["full"] != 1 || scopes["read"] != 1 || len(scopes) != 2 {
		t.Errorf("the list shows %v", scopes)
	}
}

// Requests come from the networks that the grant lists, by the connection's
// address or by what a trusted proxy says of it.
func TestAllowedAddresses(t *testing.T) {
	loopback, elsewhere := []string{"127.0.0.0/8", "::1/128"}, []string{"192.0.2.0/24"}
	for proxies, cases := range map[string]map[string]struct {
		allow     []string
		forwarded string
		ok        bool
	}{
		"": {
			"any":              {nil, "", true},
			"listed":           {loopback, "", true},
			"not listed":       {elsewhere, "", false},
			"said by a caller": {elsewhere, "192.0.2.7", false},
		},
		"127.0.0.0/8,::1/128,10.0.0.0/8": {
			"listed":                     {elsewhere, "192.0.2.7", true},
			"not listed":                 {elsewhere, "198.51.100.1", false},
			"written before the proxy's": {elsewhere, "192.0.2.7, 198.51.100.1", false},
			"through two proxies":        {elsewhere, "192.0.2.7, 10.1.2.3", true},
			"said wrongly":               {loopback, "localhost", false},
			"nothing said":               {loopback, "", false},
			"nothing but commas":         {loopback, ",, ,", false},
			"nothing said, any":          {nil, "", true},
			"said wrongly, any":          {nil, "localhost", true},
		},
	} {
		opt := stack.Options{}
		for _, p := range strings.FieldsFunc(proxies, func(r rune) bool { return r == ',' }) {
			opt.TrustedProxies = append(opt.TrustedProxies, netip.MustParsePrefix(p))
		}
		s := &scene{Stack: stack.Start(t, opt)}
		s.owner = s.NewOwner()
		for name, c := range cases {
			t.Run(proxies+" "+name, func(t *testing.T) { s.fromAddress(t, c.allow, c.forwarded, c.ok) })
		}
	}
}

func (s *scene) fromAddress(t *testing.T, allow []string, forwarded string, ok bool) {
	token := s.NewKey(s.owner, func(g *authority.Grant) { g.AllowIPs = allow })
	for _, req := range []*http.Request{
		s.Request(token, "GET", "/v1/s2s/wallets", ""), s.Request(token, "POST", "/v1/s2s/wallets", "{}"),
		s.Request(token, "GET", "/v1/orgs/"+s.owner.Genesis.OrganizationID.String(), ""),
	} {
		if forwarded != "" {
			req.Header.Set("X-Forwarded-For", forwarded)
		}
		if !ok {
			s.refused(t, req.Method, req, api.CodeAddressNotAllowed)
			continue
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil || res.StatusCode > 201 {
			t.Fatalf("%s %s: %v %v", req.Method, req.URL.Path, res, err)
		}
		res.Body.Close()
	}
}

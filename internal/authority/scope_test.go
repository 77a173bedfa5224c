package authority_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/policy"
)

// Members and version of a grant must fit; what is unknown is refused.
func TestGrantScopes(t *testing.T) {
	a := adminKey(1)
	g := verified(t, 1, a)
	full := func(v *authority.Grant) { v.Scope, v.AllowIPs = authority.ScopeFull, []string{"*"} }
	read := func(v *authority.Grant) { full(v); v.Scope, v.Policy = authority.ScopeRead, policy.Policy{} }
	from := func(list ...string) func(*authority.Grant) {
		return func(v *authority.Grant) { full(v); v.AllowIPs = list }
	}
	for name, c := range map[string]struct {
		typ, format string
		edit        func(*authority.Grant)
		ok, decides bool
	}{
		"version 1":             {authority.TypeGrant, authority.FormatGrant, func(*authority.Grant) {}, true, true},
		"version 1, full":       {authority.TypeGrant, authority.FormatGrant, func(v *authority.Grant) { v.Scope = authority.ScopeFull }, false, false},
		"version 1, read":       {authority.TypeGrant, authority.FormatGrant, read, false, false},
		"version 1, networks":   {authority.TypeGrant, authority.FormatGrant, func(v *authority.Grant) { v.AllowIPs = []string{"*"} }, false, false},
		"type 1 says format 2":  {authority.TypeGrant, authority.FormatGrant2, full, false, false},
		"type 2 says format 1":  {authority.TypeGrant2, authority.FormatGrant, full, false, false},
		"full":                  {authority.TypeGrant2, authority.FormatGrant2, full, true, true},
		"read":                  {authority.TypeGrant2, authority.FormatGrant2, read, true, false},
		"no scope":              {authority.TypeGrant2, authority.FormatGrant2, func(v *authority.Grant) { full(v); v.Scope = "" }, false, false},
		"another scope":         {authority.TypeGrant2, authority.FormatGrant2, func(v *authority.Grant) { read(v); v.Scope = "reader" }, false, false},
		"upper case":            {authority.TypeGrant2, authority.FormatGrant2, func(v *authority.Grant) { read(v); v.Scope = "Read" }, false, false},
		"read with a policy":    {authority.TypeGrant2, authority.FormatGrant2, func(v *authority.Grant) { full(v); v.Scope = authority.ScopeRead }, false, false},
		"no networks":           {authority.TypeGrant2, authority.FormatGrant2, from(), false, false},
		"networks":              {authority.TypeGrant2, authority.FormatGrant2, from("192.0.2.0/24", "::1/128", "0.0.0.0/0"), true, true},
		"an address":            {authority.TypeGrant2, authority.FormatGrant2, from("192.0.2.1"), false, false},
		"host bits":             {authority.TypeGrant2, authority.FormatGrant2, from("192.0.2.1/24"), false, false},
		"a long form":           {authority.TypeGrant2, authority.FormatGrant2, from("2001:0db8::/32"), false, false},
		"a zone":                {authority.TypeGrant2, authority.FormatGrant2, from("fe80::1%eth0/128"), false, false},
		"mapped":                {authority.TypeGrant2, authority.FormatGrant2, from("::ffff:192.0.2.0/120"), false, false},
		"twice":                 {authority.TypeGrant2, authority.FormatGrant2, from("192.0.2.0/24", "192.0.2.0/24"), false, false},
		"star in company":       {authority.TypeGrant2, authority.FormatGrant2, from("*", "192.0.2.0/24"), false, false},
		"too many":              {authority.TypeGrant2, authority.FormatGrant2, from(strings.Split(strings.Repeat("*,", 65), ",")...), false, false},
		"a name for a network":  {authority.TypeGrant2, authority.FormatGrant2, from("localhost/8"), false, false},
		"an empty network":      {authority.TypeGrant2, authority.FormatGrant2, from(""), false, false},
		"length out of bounds":  {authority.TypeGrant2, authority.FormatGrant2, from("192.0.2.0/33"), false, false},
		"another document type": {authority.TypeRevocation, authority.FormatGrant2, full, false, false},
	} {
		doc := grant(g)
		doc.Format = c.format
		c.edit(&doc)
		v, err := authority.VerifyGrant(envelope(t, c.typ, doc, a), g)
		if (err == nil) != c.ok || err == nil && v.MayDecide() != c.decides {
			t.Errorf("%s: %v", name, err)
		}
		if c.ok {
			if d, err := authority.GenesisOf(envelope(t, c.typ, doc, a)); err != nil || d != g.Digest {
				t.Errorf("%s: names no genesis: %v", name, err)
			}
		}
	}
}

func TestAllowsIP(t *testing.T) {
	v := authority.Grant{Format: authority.FormatGrant2, AllowIPs: []string{"192.0.2.0/24", "2001:db8::/32"}}
	for address, want := range map[string]bool{
		"192.0.2.7": true, "192.0.3.1": false, "2001:db8::1": true, "2001:db9::1": false, "::ffff:192.0.2.7": true, "2001:db8::1%eth0": true, "::": false,
	} {
		if got := v.AllowsIP(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
	if v.AllowsIP(netip.Addr{}) {
		t.Error("no address at all is allowed")
	}
	if v.AllowIPs = nil; v.AllowsIP(netip.MustParseAddr("192.0.2.7")) {
		t.Error("an empty list allows an address")
	}
	if v.AllowIPs = []string{authority.AnyIP}; !v.AllowsIP(netip.MustParseAddr("198.51.100.1")) {
		t.Error("* doesn't allow an address")
	}
}

// What version 1 can say, is said in version 1.
func TestSignGrantPicksTheVersion(t *testing.T) {
	a := adminKey(1)
	g := verified(t, 1, a)
	for name, c := range map[string]struct {
		edit func(*authority.Grant)
		want string
	}{
		"nothing":  {func(*authority.Grant) {}, authority.FormatGrant},
		"full":     {func(v *authority.Grant) { v.Scope, v.AllowIPs = authority.ScopeFull, []string{"*"} }, authority.FormatGrant},
		"read":     {func(v *authority.Grant) { v.Scope, v.Policy = authority.ScopeRead, policy.Policy{} }, authority.FormatGrant2},
		"networks": {func(v *authority.Grant) { v.AllowIPs = []string{"192.0.2.0/24"} }, authority.FormatGrant2},
	} {
		doc := grant(g)
		c.edit(&doc)
		b, err := authority.SignGrant(doc, a)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := authority.VerifyGrant(b, g); err != nil || v.Format != c.want {
			t.Errorf("%s: %+v %v", name, v, err)
		}
	}
	doc := grant(g)
	doc.Scope = authority.ScopeRead // and a policy
	b, err := authority.SignGrant(doc, a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authority.VerifyGrant(b, g); err == nil {
		t.Error("a policy was dropped without a word")
	}
}

package server

import (
	"slices"
	"testing"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/test/spec"
)

// Every route names its authenticator, a body limit that fits its method, and
// a timeout; openapi.yaml describes it with its query parameters; and none
// stands twice.
func TestRouteTable(t *testing.T) {
	described, err := spec.Load()
	if err != nil {
		t.Fatal(err)
	}
	left := described.Routes()
	seen := map[string]bool{}
	for _, r := range routes() {
		name := r.method + " " + r.path
		switch {
		case seen[name]:
			t.Errorf("%s stands twice", name)
		case r.auth < authProbe || r.auth > authWriter:
			t.Errorf("%s has no authenticator", name)
		case r.timeout <= 0 || r.handle == nil:
			t.Errorf("%s has no timeout or handler", name)
		case (r.method == "GET") != (r.body == 0) || r.body > MaxBody:
			t.Errorf("%s has a body limit of %d", name, r.body)
		case r.method == "POST" && r.auth <= authNone:
			t.Errorf("%s writes without an authenticator", name)
		case !slices.Contains(left, name):
			t.Errorf("%s isn't in openapi.yaml", name)
		case !slices.Equal(r.query, described.Query(r.method, r.path)):
			t.Errorf("%s takes the query parameters %v, openapi.yaml describes %v", name, r.query, described.Query(r.method, r.path))
		}
		seen[name] = true
		left = slices.DeleteFunc(left, func(s string) bool { return s == name })
	}
	if len(left) > 0 {
		t.Errorf("openapi.yaml describes %v, which isn't served", left)
	}
}

// Every code of api.Specs is one that some operation can answer, or that of a
// path or method that isn't there.
func TestCodesAreDescribed(t *testing.T) {
	described, err := spec.Load()
	if err != nil {
		t.Fatal(err)
	}
	used := map[api.Code]bool{api.CodeNotFound: true, api.CodeMethodNotAllowed: true}
	for _, r := range routes() {
		for code := range described.Codes(r.method, r.path) {
			used[code] = true
		}
	}
	for _, s := range api.Specs() {
		if !used[s.Code] {
			t.Errorf("no operation of openapi.yaml has %s", s.Code)
		}
	}
}

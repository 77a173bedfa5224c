package server

import (
	"os"
	"strings"
	"testing"
)

// Every route names its authenticator, a body limit that fits its method, and
// a timeout; openapi.yaml describes it; and none stands twice.
func TestRouteTable(t *testing.T) {
	spec, err := os.ReadFile("../../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	described := operations(string(spec))
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
		case !described[name]:
			t.Errorf("%s isn't in openapi.yaml", name)
		}
		seen[name] = true
		delete(described, name)
	}
	for name := range described {
		t.Errorf("openapi.yaml describes %s, which isn't served", name)
	}
}

// operations reads "METHOD /path" from the file's fixed indentation.
func operations(spec string) map[string]bool {
	out := map[string]bool{}
	path := ""
	for line := range strings.Lines(spec) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "  /"):
			path = strings.TrimSuffix(strings.TrimSpace(line), ":")
		case path != "" && (line == "    get:" || line == "    post:" || line == "    patch:"):
			out[strings.ToUpper(strings.Trim(line, " :"))+" "+path] = true
		case line != "" && line[0] != ' ' && line[0] != '#':
			path = ""
		}
	}
	return out
}

package api_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/api"
)

var update = flag.Bool("update", false, "write docs/ERRORS.md")

// errorsDoc is docs/ERRORS.md, made from the table.
func errorsDoc() string {
	var b strings.Builder
	b.WriteString("# Errors\n\nA refusal is `{\"data\":null,\"error\":{\"code\",\"message\",\"details\"}}`. Switch on `code`,\n" +
		"which is stable; `message` is for people and may change. Denials by the TEE carry\ntheir receipt in `details.receipt`. Every reply has a `Sigil-Request-Id`.\n\n" +
		"Made from `api.Specs` by `go test ./api -update`.\n\n| code | status | what to do |\n|---|---|---|\n")
	for _, s := range api.Specs() {
		fmt.Fprintf(&b, "| `%s` | %d | %s |\n", s.Code, s.Status, s.Help)
	}
	return b.String()
}

func TestErrorsDoc(t *testing.T) {
	const name = "../docs/ERRORS.md"
	want := errorsDoc()
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil || string(got) != want {
		t.Fatalf("docs/ERRORS.md is stale: run go test ./api -update (%v)", err)
	}
}

func TestSpecs(t *testing.T) {
	seen := map[api.Code]bool{}
	for _, s := range api.Specs() {
		if seen[s.Code] || s.Help == "" || !strings.HasSuffix(s.Help, ".") || http.StatusText(s.Status) == "" || s.Status < 400 {
			t.Errorf("%s is listed twice or incomplete", s.Code)
		}
		seen[s.Code] = true
	}
}

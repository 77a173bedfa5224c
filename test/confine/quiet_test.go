package confine

import (
	"os"
	"testing"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/test/secrets"
	"github.com/sigilkeys/sigil/test/stack"
)

// parties hold the secrets of a session that aren't the workload's.
type parties struct {
	owner *stack.Owner
	token *authority.Token
}

// said returns what of a session's secrets is in the workload's output and in
// the control plane's log. The workload's output is all that it printed: log
// lines, the error it ended with, what a crash shows.
func (p *placed) said(t *testing.T, s *stack.Stack, u *parties, output string) []string {
	t.Helper()
	x := &secrets.Set{}
	x.AddToken("secret key", u.token)
	x.AddKey("admin key", u.owner.Admin)
	if err := x.AddOrganization(t.Context(), p.sim, s.Store, u.owner.Genesis.OrganizationID, 100); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	found, err := x.Log(append(b, p.log.Bytes()...))
	if err != nil {
		t.Fatal(err)
	}
	if x.Len() < 20 || len(b) == 0 {
		t.Fatalf("blind: %d secrets, %d bytes printed", x.Len(), len(b))
	}
	t.Logf("searched %d bytes for %d secrets", len(b)+len(p.log.Bytes()), x.Len())
	return found
}

// quiet fails the test where said finds anything.
func (p *placed) quiet(t *testing.T, s *stack.Stack, u *parties, output string) {
	t.Helper()
	for _, name := range p.said(t, s, u, output) {
		t.Errorf("said: %s", name)
	}
}

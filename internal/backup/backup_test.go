package backup

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
	"github.com/sigilkeys/sigil/test/stack"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func options() Options { return Options{Program: "test", Now: time.Now} }

// engine makes empty databases.
type engine struct {
	name   string
	server *pgtest.Server // nil: SQLite
}

func engines(t *testing.T) []engine {
	t.Helper()
	return []engine{{name: "sqlite"}, {name: "postgresql", server: pgtest.Start(t, pgtest.Options{})}}
}

// empty returns a new place to restore into, and what opens it as the control
// plane does.
func (e engine) empty(t *testing.T) (Place, func(testing.TB) store.Store) {
	t.Helper()
	if e.server == nil {
		dir := filepath.Join(t.TempDir(), "data")
		return Place{Dir: dir}, func(t testing.TB) store.Store {
			s, err := sqlitestore.Open(t.Context(), dir)
			must(t, err)
			t.Cleanup(func() { _ = s.Close() })
			return s
		}
	}
	name := e.server.NewDatabase()
	e.server.Exec(name, pgstore.RolesSQL())
	owner := Place{DSN: e.server.DSN("sigil_owner", name)}
	_, err := pgstore.Migrate(t.Context(), owner.DSN)
	must(t, err)
	return owner, func(t testing.TB) store.Store {
		s, err := pgstore.Open(t.Context(), pgstore.Config{DSN: e.server.DSN("sigil_app", name)})
		must(t, err)
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
}

// scene is an organisation with a wallet, decisions and a revoked key.
type scene struct {
	*stack.Stack
	t      testing.TB
	owner  *stack.Owner
	token  *authority.Token
	wallet string
}

func newScene(t *testing.T, opt stack.Options) *scene {
	t.Helper()
	opt.Ledger = true
	s := &scene{Stack: stack.Start(t, opt), t: t}
	s.owner = s.NewOwner()
	s.token = s.NewKey(s.owner, nil)
	var w struct {
		ID string `json:"id"`
	}
	s.Do(s.Request(s.token, "POST", "/v1/s2s/wallets", `{"label":"treasury é"}`), 201, &w)
	s.wallet = w.ID
	for i := range 5 {
		s.sign(fmt.Sprint("message ", i))
	}
	revoked := s.NewKey(s.owner, nil)
	pub := revoked.PublicKey()
	g, err := s.Store.GrantByKeyID(t.Context(), authority.KeyID(pub))
	must(t, err)
	envelope, err := authority.SignEnvelope(authority.TypeRevocation, authority.Revocation{Format: authority.FormatRevocation, OrganizationID: s.owner.Genesis.OrganizationID,
		Genesis: hex.EncodeToString(s.owner.Genesis.Digest[:]), Grant: hex.EncodeToString(g.Digest[:]), RevokedAt: s.Now().Unix()}, s.owner.Admin)
	must(t, err)
	must(t, s.Store.Revoke(t.Context(), &store.Revocation{Organization: g.Organization, Grant: g.Digest, Envelope: envelope, At: s.Now()}))
	other := s.NewOwner() // has nothing but itself
	_ = other
	s.noted(6)
	return s
}

func (s *scene) sign(message string) string {
	s.t.Helper()
	var out struct {
		Signature string `json:"signature"`
	}
	s.Do(s.Request(s.token, "POST", "/v1/s2s/sign", fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":%q}`, s.wallet, message)), 200, &out)
	if out.Signature == "" {
		s.t.Fatal("no signature")
	}
	return out.Signature
}

// noted waits until a signed head covers so many decisions.
func (s *scene) noted(n uint64) {
	s.t.Helper()
	for range 2000 {
		if l, err := s.Store.Ledger(s.t.Context(), s.owner.Genesis.OrganizationID); err == nil && l.Noted >= n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("no head over %d decisions", n)
}

// audit exports and verifies the ledger as an auditor does, from nothing but
// the genesis digest.
func (s *scene) audit(want uint64) {
	s.t.Helper()
	c, err := client.New(client.Config{BaseURL: s.API.URL, SecretKey: s.token.Reveal()})
	must(s.t, err)
	var out bytes.Buffer
	_, err = c.ExportLedger(s.t.Context(), &out, func(uint64, uint64) {})
	must(s.t, err)
	a := client.NewAudit(s.owner.Genesis.Digest)
	for line := range bytes.Lines(out.Bytes()) {
		must(s.t, a.Line(line))
	}
	r, err := a.Finish()
	must(s.t, err)
	if r.Entries != want {
		s.t.Errorf("the ledger has %d entries, want %d", r.Entries, want)
	}
}

// A backup of either engine, taken while it serves, is restored into either;
// the restored stack signs, knows what was asked before, and its ledger goes
// on and verifies. Both engines make the very same rows of it.
func TestRestoreAcross(t *testing.T) {
	all := engines(t)
	for _, from := range all {
		t.Run("from "+from.name, func(t *testing.T) {
			place, open := from.empty(t)
			s := newScene(t, stack.Options{Store: open(t)})
			body := fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"again"}`, s.wallet)
			again := s.Request(s.token, "POST", "/v1/s2s/sign", body)
			var first map[string]any
			s.Do(again, 200, &first)
			s.noted(7)
			file := filepath.Join(t.TempDir(), "sigil.backup")
			m, err := Create(t.Context(), place, file, options())
			must(t, err)
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || uint64(info.Size()) != m.Bytes {
				t.Errorf("%v %v", info, err)
			}
			if m.Rows("organizations") != 2 || m.Rows("decisions") != 7 || m.Rows("wallets") != 1 || m.Rows("revocations") != 1 {
				t.Errorf("%+v", m)
			}
			_, r, err := Verify(t.Context(), file, options())
			must(t, err)
			if r.Decisions != 7 || len(r.Organizations) != 2 {
				t.Errorf("%+v", r)
			}
			for _, to := range all {
				t.Run("to "+to.name, func(t *testing.T) {
					place, open := to.empty(t)
					_, _, err := Restore(t.Context(), file, place, options())
					must(t, err)
					same := filepath.Join(t.TempDir(), "again.backup")
					m2, err := Create(t.Context(), place, same, options())
					must(t, err)
					if !slices.Equal(m.Tables, m2.Tables) {
						t.Errorf("other rows:\n%+v\n%+v", m.Tables, m2.Tables)
					}
					next := *s
					next.t, next.Stack = t, stack.Start(t, stack.Options{Store: open(t), Cloud: s.Cloud, Ledger: true})
					req := again.Clone(t.Context())
					req.URL.Host = strings.TrimPrefix(next.API.URL, "http://")
					req.Body, _ = again.GetBody()
					var second map[string]any
					next.Do(req, 200, &second)
					if a, b := asJSON(t, first), asJSON(t, second); a != b {
						t.Errorf("the repeated request gets another answer:\n%s\n%s", a, b)
					}
					next.sign("after the restore")
					next.noted(8)
					next.audit(8)
				})
			}
		})
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return string(b)
}

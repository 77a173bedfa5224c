package pgstore_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
)

// leak is something that might leave its scope on the connection.
type leak struct {
	do      func() error
	want    error // that it returns; nil for none, errAny for any
	renewed bool  // the connection is given up
	silent  bool  // it names nobody, or a rollback takes the scope back in any case
}

var errAny = errors.New("any")

// A scope ends with its statement or transaction, however that ends: whoever
// has the connection next sees nothing. The canary: scopes that last.
func scopesEnd(t *testing.T, server *pgtest.Server) {
	for _, lasting := range []bool{false, true} {
		name := migrated(t, server)
		s, err := pgstore.OpenUnsafe(t.Context(), pgstore.Config{DSN: server.DSN("sigil_app", name) + "&pool_max_conns=1"}, pgstore.Unsafe{Lasting: lasting})
		must(t, err)
		t.Cleanup(func() { _ = s.Close() })
		o := newTenant(t, s, 1, true)
		left := func() (string, int, int) {
			t.Helper()
			scope, wallets, pid, err := s.Left(t.Context())
			must(t, err)
			return scope, wallets, pid
		}
		for what, l := range leaks(t, server, name, s, o) {
			_, _, before := left()
			if err := l.do(); !errors.Is(err, l.want) && (l.want != errAny || err == nil) {
				t.Errorf("%s: %v", what, err)
			}
			scope, wallets, pid := left()
			if (pid != before) != l.renewed {
				t.Errorf("%s: connection given up: %v", what, pid != before)
			}
			if !lasting && (scope != "" || wallets != 0) {
				t.Errorf("%s leaves %q, and %d wallets to see", what, scope, wallets)
			}
			if lasting && !l.renewed && !l.silent && scope == "" {
				t.Errorf("%s: a scope that lasts isn't seen", what)
			}
		}
	}
}

func leaks(t *testing.T, server *pgtest.Server, name string, s *pgstore.Store, o tenant) map[string]leak {
	ctx := t.Context()
	page := store.Page{Limit: 10}
	return map[string]leak{
		"a read":               {do: func() error { _, err := s.Wallet(ctx, o.org, o.row); return err }},
		"a read of nothing":    {do: func() error { _, err := s.Wallet(ctx, o.org, canon.UUID{7}); return err }, want: store.ErrNotFound},
		"a read by key":        {do: func() error { _, err := s.GrantByKeyID(ctx, o.key); return err }},
		"a read of nobody's":   {do: func() error { _, err := s.Batch(ctx, 1); return err }, silent: true},
		"a list":               {do: func() error { _, _, err := s.Wallets(ctx, o.org, store.WalletFilter{}, page); return err }},
		"a list of everything": {do: func() error { _, err := s.Revocations(ctx); return err }},
		"a read that fails": {do: func() error {
			_, _, err := s.Wallets(ctx, o.org, store.WalletFilter{}, store.Page{Limit: -1})
			return err
		}, want: errAny},
		"a read that is called off": {do: func() error {
			off, cancel := context.WithCancel(ctx)
			cancel()
			_, err := s.Wallet(off, o.org, o.row)
			return err
		}, want: context.Canceled, silent: true},
		"a read that is called off while it waits": {do: func() error {
			return calledOff(t, server, name, func(ctx context.Context) error { _, err := s.Wallet(ctx, o.org, o.row); return err })
		},
			want: context.Canceled, renewed: true},
		"a write": {do: func() error { return s.SetWallet(ctx, o.org, o.row, store.WalletChange{}) }},
		"a write that is rolled back": {do: func() error {
			return s.CreateGrant(ctx, &store.Grant{Organization: o.org, ID: o.row, KeyID: o.key, Digest: o.digest, Envelope: []byte("e")})
		}, want: store.ErrExists, silent: true},
		"a write that is called off while it waits": {do: func() error {
			return calledOff(t, server, name, func(ctx context.Context) error {
				return s.SetWallet(ctx, o.org, o.row, store.WalletChange{Label: new(string)})
			})
		}, want: errAny, renewed: true},
		"a commit": {do: func() error {
			_, err := s.Commit(ctx, []store.CommitBatch{{Batch: store.Batch{Instance: [32]byte{8}, Signed: []byte("s")}}})
			return err
		}},
		"a commit that is rolled back": {do: func() error {
			_, err := s.Commit(ctx, []store.CommitBatch{{Batch: store.Batch{Instance: o.digest, Signed: []byte("s")}}})
			return err
		}, want: store.ErrExists, renewed: true},
	}
}

// calledOff has f wait for a lock and calls it off.
func calledOff(t *testing.T, server *pgtest.Server, name string, f func(context.Context) error) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.DSN(pgtest.Superuser, name))
	must(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), `BEGIN; LOCK TABLE sigil.wallets IN ACCESS EXCLUSIVE MODE`)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	until(t, "it waits", func() bool {
		return server.Value(pgtest.Superuser, `SELECT COUNT(*)::text FROM pg_stat_activity WHERE datname = '`+name+`' AND wait_event_type = 'Lock'`) == "1"
	})
	cancel()
	return <-ended
}

// Neither the DSN nor the role's or the database's settings open the fence.
func scopeOfOthers(t *testing.T, server *pgtest.Server) {
	name := migrated(t, server)
	newTenant(t, open(t, pgstore.Config{DSN: server.DSN("sigil_app", name)}), 1, true)
	server.Exec(name, `ALTER ROLE sigil_app IN DATABASE `+name+` SET sigil.organization = 'every'; ALTER DATABASE `+name+` SET sigil.organization = 'every'`)
	conn, err := pgx.Connect(t.Context(), server.DSN("sigil_app", name)+"&search_path=sigil")
	must(t, err)
	defer conn.Close(context.Background())
	if n := rowsOf(t, conn, nil, "wallets"); n != "1" {
		t.Fatalf("the settings do nothing: %s wallets", n)
	}
	for _, more := range []string{"", "&sigil.organization=every", "&options=-c%20sigil.organization%3Devery"} {
		s := open(t, pgstore.Config{DSN: server.DSN("sigil_app", name) + more})
		if scope, wallets, _, err := s.Left(t.Context()); err != nil || scope != "" || wallets != 0 {
			t.Errorf("%s: a connection begins with %q and %d wallets (%v)", more, scope, wallets, err)
		}
	}
	server.Exec(name, `ALTER ROLE sigil_app BYPASSRLS`)
	defer server.Exec(name, `ALTER ROLE sigil_app NOBYPASSRLS`)
	refused(t, pgstore.Config{DSN: server.DSN("sigil_app", name)}, "BYPASSRLS")
}

// Who works across organisations is listed here, with the reason why.
func TestWhoSeesEverything(t *testing.T) {
	want := map[string]string{
		"PutUses":          "uses of many keys, noted together",
		"Revocations":      "the feed that each workload is told",
		"CountRevocations": "the same",
		"Unfolded":         "batches cover decisions of many organisations",
		"DecisionsOf":      "the same",
		"Fold":             "the same",
		"Unnoted":          "finds ledgers that wait for their heads",
		"AuditOlder":       "a backfill",
		"Unaddressed":      "a backfill",
		"PutAddresses":     "the same",
		"insert":           "commits share one transaction",
		"committed":        "the same",
		"Migrate":          "rows that migrations derive",
		"single":           "backup and restore",
	}
	got := map[string]bool{}
	for _, dir := range []string{".", "../sqlrows", "../sqlitestore"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		must(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			must(t, err)
			for _, d := range parsed.Decls {
				if f, is := d.(*ast.FuncDecl); is {
					ast.Inspect(f, func(n ast.Node) bool {
						switch n := n.(type) {
						case *ast.Ident:
							got[f.Name.Name] = got[f.Name.Name] || n.Name == "Every"
						case *ast.BasicLit:
							got[f.Name.Name] = got[f.Name.Name] || n.Value == `"every"`
						}
						return true
					})
				}
			}
		}
	}
	var names []string
	for name, every := range got {
		if every {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if want[name] == "" {
			t.Errorf("%s works across organisations and isn't listed", name)
		}
	}
	for name := range want {
		if !got[name] {
			t.Errorf("%s is listed and works across none", name)
		}
	}
}

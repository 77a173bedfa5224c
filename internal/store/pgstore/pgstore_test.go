package pgstore_test

import (
	"testing"

	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
	"github.com/sigilkeys/sigil/internal/store/storetest"
)

// database makes a database with roles, without tables.
func database(s *pgtest.Server) string {
	name := s.NewDatabase()
	s.Exec(name, pgstore.RolesSQL())
	return name
}

// migrated makes one with tables.
func migrated(t testing.TB, s *pgtest.Server) string {
	t.Helper()
	name := database(s)
	if _, err := pgstore.Migrate(t.Context(), s.DSN("sigil_owner", name)); err != nil {
		t.Fatal(err)
	}
	return name
}

func open(t testing.TB, c pgstore.Config) *pgstore.Store {
	t.Helper()
	s, err := pgstore.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	// Commits that cross at Idempotency-Keys do wait in a circle, now and then.
	server := pgtest.Start(t, pgtest.Options{Settings: []string{"deadlock_timeout=20ms"}})
	names := map[store.Store]string{}
	storetest.Run(t, storetest.Engine{
		Open: func(t *testing.T) store.Store {
			name := migrated(t, server)
			s := open(t, pgstore.Config{DSN: server.DSN("sigil_app", name)})
			names[s] = name
			return s
		},
		// The server dies; the store finds its way back by itself.
		Reopen: func(t *testing.T, s store.Store) store.Store {
			server.Kill()
			server.Run()
			next := open(t, pgstore.Config{DSN: server.DSN("sigil_app", names[s])})
			names[next] = names[s]
			return next
		},
		Replica: func(t *testing.T, s store.Store) store.Store {
			return open(t, pgstore.Config{DSN: server.DSN("sigil_app", names[s])})
		},
	})
}

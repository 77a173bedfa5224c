package pgstore_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
	"github.com/sigilkeys/sigil/internal/store/storetest"
)

// Dumps of every version of the tables that was released, with rows, are
// migrated and opened by this program. A migration adds one:
//
//	SIGIL_WRITE_GOLDEN=1 go test -run Golden ./internal/store/pgstore
func TestGoldenDumps(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	migrations, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(migrations) == 0 {
		t.Fatal(migrations, err)
	}
	newest := filepath.Join("testdata", "golden", filepath.Base(migrations[len(migrations)-1])[:5]+".sql")
	if os.Getenv("SIGIL_WRITE_GOLDEN") != "" {
		name := migrated(t, server)
		storetest.Fill(t, open(t, pgstore.Config{DSN: server.DSN("sigil_app", name)}))
		must(t, os.MkdirAll(filepath.Dir(newest), 0o755))
		must(t, os.WriteFile(newest, []byte(server.Dump(name, "sigil")), 0o644))
	}
	if _, err := os.Stat(newest); err != nil {
		t.Fatalf("the newest version has no golden dump: %v", err)
	}
	files, err := filepath.Glob("testdata/golden/*.sql")
	must(t, err)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".sql"), func(t *testing.T) {
			name := database(server)
			dump, err := os.ReadFile(file)
			must(t, err)
			server.Exec(name, `DROP SCHEMA sigil`) // the dump makes it
			server.Exec(name, string(dump))
			if _, err := pgstore.Migrate(t.Context(), server.DSN("sigil_owner", name)); err != nil {
				t.Fatal(err)
			}
			storetest.CheckFilled(t, open(t, pgstore.Config{DSN: server.DSN("sigil_app", name)}))
		})
	}
}

package sqlitestore_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
	"github.com/sigilkeys/sigil/internal/store/storetest"
)

// Folders of versions of the tables, as the program of that time left them, are
// opened by this one. A release with a migration adds one:
//
//	SIGIL_WRITE_GOLDEN=1 go test -run Golden ./internal/store/sqlitestore
func TestGoldenFolders(t *testing.T) {
	migrations, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(migrations) == 0 {
		t.Fatal(migrations, err)
	}
	newest := filepath.Join("testdata", "golden", filepath.Base(migrations[len(migrations)-1])[:5], sqlitestore.FileName)
	if os.Getenv("SIGIL_WRITE_GOLDEN") != "" {
		dir := t.TempDir()
		s := open(t, dir)
		storetest.Fill(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		copyFile(t, filepath.Join(dir, sqlitestore.FileName), newest)
	}
	if _, err := os.Stat(newest); err != nil {
		t.Fatalf("the newest version has no golden folder: %v", err)
	}
	files, err := filepath.Glob("testdata/golden/*/" + sqlitestore.FileName)
	if err != nil || len(files) < 2 {
		t.Fatalf("%d golden folders (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			dir := t.TempDir()
			copyFile(t, file, filepath.Join(dir, sqlitestore.FileName))
			storetest.CheckFilled(t, open(t, dir))
		})
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

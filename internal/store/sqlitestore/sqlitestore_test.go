package sqlitestore_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
	"github.com/sigilkeys/sigil/internal/store/storetest"
)

func openBench(b *testing.B) *sqlitestore.Store {
	b.Helper()
	s, err := sqlitestore.Open(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

func open(t *testing.T, dir string) *sqlitestore.Store {
	t.Helper()
	s, err := sqlitestore.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // closing again is harmless
	return s
}

func TestConformance(t *testing.T) {
	dirs := map[store.Store]string{}
	storetest.Run(t, storetest.Engine{
		Open: func(t *testing.T) store.Store {
			// A path that needs escaping in a file: URL.
			dir := filepath.Join(t.TempDir(), "data #1 ?%20 folder")
			s := open(t, dir)
			dirs[s] = dir
			return s
		},
		Reopen: func(t *testing.T, s store.Store) store.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			next := open(t, dirs[s])
			dirs[next] = dirs[s]
			return next
		},
	})
}

func TestFolderIsLocked(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := sqlitestore.Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("second process: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

// The files are their owner's alone, in a folder that isn't, and with files that
// an earlier release made.
func TestFilesAreTheirOwners(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	look := func() {
		s := open(t, dir)
		if err := s.PutEvidence(t.Context(), &store.Evidence{Statement: []byte("s")}); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(dir, sqlitestore.FileName+"*"))
		if err != nil || len(files) != 3 {
			t.Fatalf("%v %v", files, err)
		}
		for _, f := range files {
			if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v %v", f, info.Mode(), err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	look()
	for _, name := range []string{sqlitestore.FileName, sqlitestore.FileName + "-wal"} {
		path := filepath.Join(dir, name)
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err == nil {
			err = errors.Join(f.Close(), os.Chmod(path, 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	look()
}

// A database that a newer program made is left alone.
func TestNewerDatabaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, sqlitestore.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlitestore.Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "version 99") {
		t.Fatalf("opened: %v", err)
	}
}

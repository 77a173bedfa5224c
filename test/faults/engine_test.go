package faults

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/sigilkeys/sigil/internal/backup"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
	"github.com/sigilkeys/sigil/test/stored"
)

// engine makes empty databases.
type engine struct {
	name  string
	empty func(t *testing.T) *place
}

// place is a database, and ways to it beside the control plane.
type place struct {
	at    backup.Place
	open  func(context.Context) (store.Store, error)
	db    *sql.DB
	one   sql.TxOptions // of a transaction that sees one moment
	scan  func(context.Context, stored.Querier) (*stored.Rows, error)
	alter func(t *testing.T, text string) // as an older program left it
	bytes func([]byte) string             // as SQL
}

func sqlite(*testing.T) engine {
	return engine{"SQLite", func(t *testing.T) *place {
		dir := t.TempDir()
		db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, sqlitestore.FileName)+"?_pragma=busy_timeout(10000)")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return &place{at: backup.Place{Dir: dir}, db: db, one: sql.TxOptions{ReadOnly: true}, scan: stored.ScanFile, bytes: func(b []byte) string { return fmt.Sprintf("x'%x'", b) },
			open: func(ctx context.Context) (store.Store, error) { return sqlitestore.Open(ctx, dir) },
			alter: func(t *testing.T, text string) {
				t.Helper()
				if _, err := db.Exec(text); err != nil {
					t.Fatal(err)
				}
			}}
	}}
}

func postgres(t *testing.T) engine {
	server := pgtest.Start(t, pgtest.Options{})
	template := server.NewDatabase()
	server.Exec(template, pgstore.RolesSQL())
	if _, err := pgstore.Migrate(t.Context(), server.DSN("sigil_owner", template)); err != nil {
		t.Fatal(err)
	}
	var made atomic.Int32
	return engine{"PostgreSQL", func(t *testing.T) *place {
		name := fmt.Sprint("faults", made.Add(1))
		server.Exec(pgtest.Superuser, "CREATE DATABASE "+name+" TEMPLATE "+template)
		dsn := server.DSN("sigil_app", name)
		db, err := sql.Open("pgx", dsn+"&search_path=sigil&sigil.organization=every")
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxOpenConns(2)
		t.Cleanup(func() { _ = db.Close() })
		return &place{at: backup.Place{DSN: dsn}, db: db, one: sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}, scan: stored.ScanRows, bytes: func(b []byte) string { return fmt.Sprintf(`'\x%x'::bytea`, b) },
			open: func(ctx context.Context) (store.Store, error) { return pgstore.Open(ctx, pgstore.Config{DSN: dsn}) },
			alter: func(t *testing.T, text string) {
				t.Helper()
				server.Exec(name, "SET search_path = sigil; SET sigil.organization = every; "+text)
			}}
	}}
}

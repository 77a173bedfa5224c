package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sigilkeys/sigil/internal/devstack"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
)

// Engines by their names in the report.
const (
	sqlite   = "SQLite"
	postgres = "PostgreSQL"
)

// program stands in for a test where package pgtest wants one.
type program struct{ undo []func() }

// failure is what a test would fail or be skipped with.
type failure string

func (f failure) Error() string { return string(f) }

func (p *program) Helper()                           {}
func (p *program) Fatal(args ...any)                 { panic(failure(fmt.Sprint(args...))) }
func (p *program) Fatalf(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }
func (p *program) Skip(args ...any)                  { p.Fatal(args...) }
func (p *program) Cleanup(f func())                  { p.undo = append(p.undo, f) }

// try runs what may fail as a test does.
func (p *program) try(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			err = r
		default:
			panic(r)
		}
	}()
	f()
	return nil
}

func (p *program) end() {
	for _, f := range slices.Backward(p.undo) {
		f()
	}
}

// server starts a PostgreSQL whose folder is in dir.
func (p *program) server(dir string, settings ...string) (s *pgtest.Server, err error) {
	err = p.try(func() { s = pgtest.Start(p, pgtest.Options{Dir: dir, Settings: settings}) })
	return s, err
}

// installation is a whole Sigil on one engine, each of its programs a process.
type installation struct {
	engine   string
	cfg      devstack.Config
	stack    *devstack.Stack // nil when it is down
	server   *pgtest.Server  // nil: SQLite
	database string          // its name on the server
}

// install lays one out in dir/name, with its database there, or in files if
// that isn't "", or on the server if that isn't nil.
func (p *program) install(ctx context.Context, bin, dir, name, files string, server *pgtest.Server) (*installation, error) {
	in := &installation{engine: sqlite, server: server, cfg: devstack.Config{Data: filepath.Join(dir, name),
		TEEBinary: filepath.Join(bin, "sigil-tee"), SigilBinary: filepath.Join(bin, "sigil"),
		ServeArgs: []string{"--rate-key", "off", "--rate-org", "off"}}} // counted, not refused
	if err := os.MkdirAll(in.cfg.Data, 0o700); err != nil {
		return nil, err
	}
	if server == nil {
		if files == "" {
			return in, nil
		}
		return in, os.Symlink(files, filepath.Join(in.cfg.Data, "db"))
	}
	in.engine = postgres
	if err := p.try(func() { in.database = server.NewDatabase(); server.Exec(in.database, pgstore.RolesSQL()) }); err != nil {
		return nil, err
	}
	if _, err := pgstore.Migrate(ctx, server.DSN("sigil_owner", in.database)); err != nil {
		return nil, err
	}
	in.cfg.DatabaseFile = filepath.Join(in.cfg.Data, "app.dsn")
	return in, os.WriteFile(in.cfg.DatabaseFile, []byte(server.DSN("sigil_app", in.database)+"\n"), 0o600)
}

func (in *installation) up(ctx context.Context) (err error) {
	in.stack, err = devstack.Up(ctx, in.cfg)
	return err
}

func (in *installation) down() (err error) {
	if in.stack != nil {
		err, in.stack = in.stack.Close(), nil
	}
	return err
}

// open opens the database as `sigil serve` does, which mustn't be up with SQLite.
func (in *installation) open(ctx context.Context) (store.Store, error) {
	if in.server == nil {
		return sqlitestore.Open(ctx, filepath.Join(in.cfg.Data, "db"))
	}
	return pgstore.Open(ctx, pgstore.Config{DSN: in.server.DSN("sigil_app", in.database)})
}

// tables opens the database for SQL of any kind.
func (in *installation) tables() (*sql.DB, error) {
	if in.server == nil {
		return sql.Open("sqlite", filepath.Join(in.cfg.Data, "db", sqlitestore.FileName))
	}
	return sql.Open("pgx", in.server.DSN(pgtest.Superuser, in.database)+"&search_path=sigil")
}

// usage is CPU time by who used it.
type usage struct{ server, tee, database time.Duration }

func (in *installation) usage() (s usage, err error) {
	pids := in.stack.Info().PIDs
	var errs [3]error
	s.server, errs[0] = cpuTime(pids["sigil-serve"])
	s.tee, errs[1] = cpuTime(pids["sigil-tee"])
	if in.server != nil {
		s.database, errs[2] = familyTime(in.server.PID())
	}
	return s, errors.Join(errs[:]...)
}

// settings says which server it is, and how it is set up.
func (p *program) settings(server *pgtest.Server, names ...string) (text string, err error) {
	err = p.try(func() {
		show := func(name string) string {
			return server.Value(pgtest.Superuser, fmt.Sprintf("SELECT current_setting('%s')", name))
		}
		text = "PostgreSQL " + show("server_version")
		for _, name := range names {
			text += fmt.Sprintf(", %s=%s", name, show(name))
		}
	})
	return text, err
}

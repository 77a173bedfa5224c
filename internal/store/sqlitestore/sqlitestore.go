// Package sqlitestore is the embedded store: one SQLite file in a data folder
// that one process uses at a time.
//
// Durability: WAL with synchronous=FULL, so a commit is flushed before it is
// acknowledged; all writes go through one connection and Commit shares one
// flush among everything that it is given. Trust: none (package store).
package sqlitestore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/pressly/goose/v3"
	sqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/sqlrows"
)

//go:embed migrations/*.sql
var migrations embed.FS

// FileName is the database's name inside the data folder.
const FileName = "sigil.db"

// Store implements store.Store.
type Store struct {
	*sqlrows.Rows

	lock *os.File
	w    *sql.DB // one connection
	r    *sql.DB // a pool of read-only connections
	stmt statements

	failures atomic.Uint64 // writes that failed, though nothing was wrong with them
	overcome atomic.Uint64 // as many had failed when a write that Ready made went well
}

// Open opens or creates the database in dir and migrates it. A folder that
// another process uses is refused.
func Open(ctx context.Context, dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{lock: lock}
	if err := s.open(ctx, filepath.Join(dir, FileName)); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, path string) error {
	if err := keep(path); err != nil {
		return err
	}
	var err error
	if s.w, err = sql.Open("sqlite", dsn(path, "_txlock=immediate", "_pragma=synchronous(FULL)", "_pragma=journal_mode(WAL)", "_pragma=foreign_keys(ON)")); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	s.w.SetMaxOpenConns(1)
	if err := migrate(ctx, s.w); err != nil {
		return err
	}
	if s.r, err = sql.Open("sqlite", dsn(path, "mode=ro", "_pragma=query_only(ON)")); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	s.r.SetMaxOpenConns(8)
	s.r.SetMaxIdleConns(8)
	if err := s.stmt.prepare(ctx, s.w); err != nil {
		return err
	}
	read, err := newPrepared(ctx, s.r)
	if err != nil {
		return err
	}
	all := sqlrows.Unscoped{SQL: read} // one fence: the conditions of the queries
	s.Rows = sqlrows.New(func(sqlrows.Scope) sqlrows.Reader { return all }, s.write, mapError, func(text string) any { return text })
	return nil
}

// keep makes the database's files their owner's alone, whoever made the folder.
// SQLite gives those that it makes beside the database the mode of it.
func keep(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	for _, name := range with(path) {
		if info, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().Perm()&0o077 == 0 {
			continue
		}
		if err := os.Chmod(name, 0o600); err != nil {
			return fmt.Errorf("keep the database from others: %w", err)
		}
	}
	return nil
}

// dsn makes a file: URL, so that any path works.
func dsn(path string, params ...string) string {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	u.RawQuery = "_pragma=busy_timeout(5000)"
	for _, p := range params {
		u.RawQuery += "&" + p
	}
	return u.String()
}

func provider(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		return nil, fmt.Errorf("migrate database: %w", err)
	}
	return p, nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	p, err := provider(db)
	if err != nil {
		return err
	}
	// A newer program's database may hold what this one would misread.
	newest := newest(p)
	switch has, err := p.GetDBVersion(ctx); {
	case err != nil:
		return fmt.Errorf("migrate database: %w", err)
	case has > newest:
		return fmt.Errorf("the database has version %d, made by a newer program; this one knows up to %d", has, newest)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	return nil
}

// Close closes the database and lets go of the folder.
func (s *Store) Close() error {
	var errs []error
	for _, db := range []*sql.DB{s.r, s.w} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	errs = append(errs, s.lock.Close())
	return errors.Join(errs...)
}

// Ready implements store.Store: a write transaction must begin. After a write
// that failed, another must be stored: a full disk lets them begin.
func (s *Store) Ready(ctx context.Context) error {
	if failures := s.failures.Load(); failures != s.overcome.Load() {
		if err := s.transact(ctx, probe); err != nil {
			return err
		}
		s.overcome.Store(failures)
		return nil
	}
	tx, err := s.w.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	return tx.Rollback()
}

// probe writes a page. SQLite writes none for a row that stays what it was, but
// always for this number, which nothing reads.
func probe(tx *sql.Tx) error {
	_, err := tx.Exec(`PRAGMA user_version = 0`)
	return err
}

// mapError translates driver errors to the store's.
func mapError(err error) error {
	var e *sqlite.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return store.ErrNotFound
	case errors.As(err, &e) && (e.Code() == 1555 || e.Code() == 2067): // SQLITE_CONSTRAINT_PRIMARYKEY and _UNIQUE
		return fmt.Errorf("%w: %w", store.ErrExists, err)
	}
	return err
}

// write runs w in one transaction. An error of the commit itself means that
// the outcome is unknown.
func (s *Store) write(ctx context.Context, w sqlrows.Write) error {
	return s.transact(ctx, func(tx *sql.Tx) error { return w.Do(ctx, sqlrows.Unscoped{SQL: tx}) })
}

func (s *Store) transact(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.w.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback() // the first error is the one to report
		var e *sqlite.Error
		if errors.As(err, &e) && e.Code()&0xff != sqlite3.SQLITE_CONSTRAINT {
			s.failures.Add(1)
		}
		return mapError(err)
	}
	if err := tx.Commit(); err != nil {
		s.failures.Add(1)
		return fmt.Errorf("%w: %w", store.ErrUnknown, err)
	}
	return nil
}

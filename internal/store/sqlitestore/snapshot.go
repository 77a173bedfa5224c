package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	sqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sigilkeys/sigil/internal/store"
)

// Snapshot gives f the database in dir as it is now, in one read transaction
// on a connection of its own, and the version of its tables. Another process
// may serve the folder meanwhile: readers and the writer don't wait for each
// other, but its write-ahead log grows until f is done.
func Snapshot(ctx context.Context, dir string, f func(tx *sql.Tx, version int64) error) (err error) {
	path := filepath.Join(dir, FileName)
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("there is no database: %w", err)
	}
	db, err := sql.Open("sqlite", dsn(path, "mode=ro", "_pragma=query_only(ON)"))
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	var has int64
	if err := tx.QueryRowContext(ctx, `SELECT MAX(version_id) FROM goose_db_version WHERE is_applied`).Scan(&has); err != nil {
		return fmt.Errorf("read the database's version: %w", err)
	}
	p, err := provider(db)
	if err != nil {
		return err
	}
	if newest := newest(p); has != newest {
		return fmt.Errorf("the database has version %d, this program %d: use the program that serves it", has, newest)
	}
	return f(tx, has)
}

// restoring is what a database is called until it is whole. No program opens it.
const restoring = FileName + ".restoring"

// Restore makes the database in dir. fill fills it, in one transaction; it is
// there when Restore returns nil, and otherwise nothing of it. A folder that
// has a database, or what is left of one, is refused.
func Restore(ctx context.Context, dir string, fill func(tx *sql.Tx) error) (err error) {
	_, statErr := os.Stat(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && errors.Is(statErr, fs.ErrNotExist) { // this call made the folder
			_, _ = os.Remove(lock.Name()), os.Remove(dir)
		}
		_ = lock.Close()
	}()
	// A log beside the new file would be taken for its own.
	for _, name := range with(FileName) {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fmt.Errorf("%s exists: only a folder without a database is restored into", filepath.Join(dir, name)), err)
		}
	}
	clear := func() {
		for _, name := range with(restoring) {
			_ = os.Remove(filepath.Join(dir, name))
		}
	}
	clear() // of an attempt that was interrupted
	defer clear()
	path := filepath.Join(dir, restoring)
	if err := build(ctx, path, fill); err != nil {
		return err
	}
	if err := os.Link(path, filepath.Join(dir, FileName)); err != nil {
		return err
	}
	return syncFolder(dir)
}

// with lists a database's files.
func with(name string) []string {
	return []string{name, name + "-wal", name + "-shm", name + "-journal"}
}

// build makes a database that is one file, flushed.
func build(ctx context.Context, path string, fill func(tx *sql.Tx) error) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Sync(), f.Close()) }()
	db, err := sql.Open("sqlite", dsn(path, "_txlock=immediate", "_pragma=synchronous(FULL)", "_pragma=journal_mode(DELETE)", "_pragma=foreign_keys(ON)"))
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if err := migrate(ctx, db); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	var e *sqlite.Error
	if err := fill(tx); errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_CONSTRAINT {
		return fmt.Errorf("%w: %w", store.ErrContradiction, err)
	} else if err != nil {
		return err
	}
	return tx.Commit()
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func newest(p *goose.Provider) int64 {
	list := p.ListSources()
	return list[len(list)-1].Version
}

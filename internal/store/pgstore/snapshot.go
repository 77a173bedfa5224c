package pgstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/sqlrows"
)

// single opens the database for one long transaction over all there is.
func single(dsn string) (*sql.DB, error) {
	cfg, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	c := cfg.ConnConfig
	c.RuntimeParams["statement_timeout"], c.RuntimeParams["idle_in_transaction_session_timeout"] = "0", "0"
	c.RuntimeParams[scopeSetting] = string(sqlrows.Every)
	db := stdlib.OpenDB(*c, stdlib.OptionAfterConnect(checkServer))
	db.SetMaxOpenConns(1)
	return db, nil
}

// tableVersion requires that the tables are just this program's.
func tableVersion(ctx context.Context, tx *sql.Tx, newest int64) error {
	var has int64
	err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&has)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.Code == "42P01": // no such table
		return errors.New("the database has no tables: run `sigil database migrate` as its owner")
	case err != nil:
		return fmt.Errorf("read the database's version: %w", err)
	case has != newest:
		return fmt.Errorf("the database has version %d, this program %d: use the program that serves it, or `sigil database migrate`", has, newest)
	}
	return nil
}

// Snapshot gives f the database as it is now, in one read-only transaction
// that sees one moment, and the version of its tables. Control planes go on
// meanwhile. sigil_app may do this.
func Snapshot(ctx context.Context, dsn string, f func(tx *sql.Tx, version int64) error) error {
	return transaction(ctx, dsn, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}, f)
}

func transaction(ctx context.Context, dsn string, options *sql.TxOptions, f func(tx *sql.Tx, version int64) error) (err error) {
	db, err := single(dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	p, err := provider(db)
	if err != nil {
		return err
	}
	version := newest(p)
	tx, err := db.BeginTx(ctx, options)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err = tableVersion(ctx, tx, version); err == nil {
		err = f(tx, version)
	}
	if err != nil {
		_ = tx.Rollback() // the first error is the one to report
		return err
	}
	if err := tx.Commit(); err != nil && !options.ReadOnly {
		return fmt.Errorf("%w: try again, which is refused if it has happened: %w", store.ErrUnknown, err)
	} else if err != nil {
		return err
	}
	return nil
}

// Restore has fill fill a database whose tables are there and empty, as the
// owner, in one transaction. Rows in any of them, and it is refused.
func Restore(ctx context.Context, dsn string, fill func(tx *sql.Tx) error) error {
	return transaction(ctx, dsn, &sql.TxOptions{Isolation: sql.LevelReadCommitted}, func(tx *sql.Tx, _ int64) error {
		if err := lockEmpty(ctx, tx); err != nil {
			return err
		}
		var pg *pgconn.PgError
		if err := fill(tx); errors.As(err, &pg) && strings.HasPrefix(pg.Code, "23") {
			return fmt.Errorf("%w: %w", store.ErrContradiction, err)
		} else if err != nil {
			return err
		}
		// Rows that come next follow those with their old numbers.
		if _, err := tx.ExecContext(ctx, `SELECT setval(pg_get_serial_sequence('sigil.batches', 'id'), MAX(id)) FROM batches HAVING MAX(id) IS NOT NULL`); err != nil {
			return fmt.Errorf("number of the next batch: %w", err)
		}
		return nil
	})
}

// lockEmpty keeps control planes from writing until the end of tx, and
// requires that none has written.
func lockEmpty(ctx context.Context, tx *sql.Tx) error {
	var list []string
	rows, err := tx.QueryContext(ctx, `SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = 'sigil'::regnamespace AND relkind = 'r' AND relname <> 'goose_db_version' ORDER BY 1`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		list = append(list, name)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, name := range list {
		var pg *pgconn.PgError
		_, err := tx.ExecContext(ctx, `LOCK TABLE `+name+` IN SHARE ROW EXCLUSIVE MODE`)
		if errors.As(err, &pg) && pg.Code == "42501" {
			return fmt.Errorf("a restore is the owner's to do: connect as sigil_owner: %w", err)
		}
		if err != nil {
			return fmt.Errorf("lock table %s: %w", name, err)
		}
		var has bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM `+name+`)`).Scan(&has); err != nil {
			return err
		}
		if has {
			return fmt.Errorf("table %s has rows: only an empty database is restored into", name)
		}
	}
	return nil
}

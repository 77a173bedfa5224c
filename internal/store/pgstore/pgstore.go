// Package pgstore is the store on a PostgreSQL server, which several control
// planes may share.
//
// Durability: synchronous_commit is on for each session, so a commit is
// flushed, and replicated where a standby is synchronous, before it is
// acknowledged; a server that doesn't flush is refused. A connection lost
// during COMMIT leaves the outcome unknown: the store looks it up before it
// answers, see retry. Trust: none (package store). The role can add rows; it
// can't change or delete what was stored, but for the tables and columns that
// mayUpdate, mayAlter and mayDelete list, which are nobody's evidence.
//
// Organisations: row security is a second fence behind the conditions of the
// queries. Each statement sees the rows of whom it names, see sqlrows.Scope,
// and of nobody where it names none.
//
// What it can't see: rows of a commit whose wait for the standby was cut short
// are visible to readers before they are replicated. Such a commit isn't
// acknowledged, but a fail-over may lose rows that somebody has read.
package pgstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/sigilkeys/sigil/internal/store/sqlrows"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed roles.sql
var roles string

// RolesSQL makes the roles and the schema, which have to be there before
// Migrate. A superuser runs it once for a database.
func RolesSQL() string { return roles }

// Store implements store.Store.
type Store struct {
	*sqlrows.Rows

	pool     *pgxpool.Pool
	patience time.Duration
	attempt  time.Duration
	careless bool // takes an unknown outcome for none: a canary of tests
	lasting  bool // leaves scopes on connections: another
}

// Open connects. The database must have been migrated to just this version,
// and the role must be one that can't change what is stored.
func Open(ctx context.Context, c Config) (*Store, error) {
	cfg, err := parse(c.DSN)
	if err != nil {
		return nil, err
	}
	cfg.AfterConnect = checkServer
	return open(ctx, c, cfg)
}

func open(ctx context.Context, c Config, cfg *pgxpool.Config) (*Store, error) {
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	s := &Store{pool: pool, patience: c.Patience, attempt: c.Attempt}
	if s.patience == 0 {
		s.patience = 15 * time.Second
	}
	if s.attempt == 0 {
		s.attempt = 10 * time.Second
	}
	s.Rows = sqlrows.New(s.reader, s.write, fault, func(text string) any { return []byte(text) })
	err = s.checkVersion(ctx)
	if err == nil {
		err = s.checkRole(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) checkVersion(ctx context.Context) error {
	db := stdlib.OpenDBFromPool(s.pool)
	defer db.Close()
	p, err := provider(db)
	if err != nil {
		return err
	}
	var has int64
	err = s.pool.QueryRow(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&has)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "42501") { // no such table, or not granted yet
		has, err = 0, nil
	}
	newest := newest(p)
	switch {
	case err != nil:
		return fmt.Errorf("read the database's version: %w", err)
	case has > newest:
		return newer(has, newest)
	case has < newest:
		return fmt.Errorf("the database has version %d, this program needs %d: run `sigil database migrate` as its owner", has, newest)
	}
	return nil
}

func newer(has, newest int64) error {
	return fmt.Errorf("the database has version %d, made by a newer program; this one knows up to %d", has, newest)
}

// What the role may do besides reading and adding rows. The ledgers' heads and
// tiles grow in place; they follow from the decisions and are signed besides.
// When keys were used last, how many events there are, how much somebody may
// ask, and repeated answers are nobody's evidence. What waits for something to
// be made of it goes when it is.
const (
	mayUpdate = `('ledgers', 'ledger_tiles', 'key_uses', 'audit_counts', 'rate_budgets', 'answers')`
	mayAlter  = `('grants.revoked', 'wallets.label', 'wallets.archived', 'wallets.state')`
	mayDelete = `('unfolded', 'unaddressed', 'unaudited', 'answers')`
)

// checkRole refuses a role that could rewrite history, by a grant on a table or
// on one of its columns, or whom row security doesn't hold.
func (s *Store) checkRole(ctx context.Context) error {
	var can, free bool
	err := s.pool.QueryRow(ctx, `SELECT has_schema_privilege('sigil', 'CREATE')
			OR bool_or(has_table_privilege(c.oid, CASE WHEN c.relname IN `+mayDelete+` THEN 'TRUNCATE' ELSE 'DELETE, TRUNCATE' END))
			OR bool_or(c.relname NOT IN `+mayUpdate+` AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
				AND c.relname || '.' || a.attname NOT IN `+mayAlter+` AND has_column_privilege(c.oid, a.attnum, 'UPDATE'))),
			bool_or(NOT row_security_active(c.oid) AND c.relname NOT IN `+unfenced+`)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'sigil' AND c.relkind IN ('r', 'p')`).Scan(&can, &free)
	switch {
	case err != nil:
		return fmt.Errorf("read the role's privileges: %w", err)
	case can:
		return errors.New("the database role may change or delete what is stored: connect as sigil_app, or a member of it (`sigil database roles`)")
	case free:
		return errors.New("row security doesn't hold the database role: it has BYPASSRLS, or a table's row security was disabled")
	}
	return nil
}

// Close closes all connections.
func (s *Store) Close() error { s.pool.Close(); return nil }

// Ready implements store.Store: a server answers, and takes writes.
func (s *Store) Ready(ctx context.Context) error {
	var readOnly string
	if err := s.pool.QueryRow(ctx, `SHOW transaction_read_only`).Scan(&readOnly); err != nil {
		return err
	}
	if readOnly != "off" {
		return errors.New("the database takes no writes")
	}
	return nil
}

func provider(db *sql.DB, options ...goose.ProviderOption) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, options...)
	if err != nil {
		return nil, fmt.Errorf("migrate database: %w", err)
	}
	return p, nil
}

func newest(p *goose.Provider) int64 {
	list := p.ListSources()
	return list[len(list)-1].Version
}

// Migrate brings the database to this program's version, as the owner of the
// schema; RolesSQL must have run. Two at once take turns. It returns the
// version. A database that a newer program made is left alone.
func Migrate(ctx context.Context, dsn string) (int64, error) {
	cfg, err := parse(dsn)
	if err != nil {
		return 0, err
	}
	// Rows that a migration adds follow from those of every organisation.
	cfg.ConnConfig.RuntimeParams[scopeSetting] = string(sqlrows.Every)
	// An index over a large table takes its time.
	if !strings.Contains(dsn, "statement_timeout") {
		cfg.ConnConfig.RuntimeParams["statement_timeout"] = "0"
	}
	db := stdlib.OpenDB(*cfg.ConnConfig, stdlib.OptionAfterConnect(checkServer))
	defer db.Close()
	var ready bool
	if err := db.QueryRowContext(ctx, `SELECT to_regnamespace('sigil') IS NOT NULL AND to_regrole('sigil_app') IS NOT NULL`).Scan(&ready); err != nil {
		return 0, fmt.Errorf("migrate database: %w", err)
	}
	if !ready {
		return 0, errors.New("schema sigil or role sigil_app is missing: have an administrator run the output of `sigil database roles`")
	}
	turns, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return 0, err
	}
	p, err := provider(db, goose.WithSessionLocker(turns))
	if err != nil {
		return 0, err
	}
	switch has, err := p.GetDBVersion(ctx); {
	case err != nil:
		return 0, fmt.Errorf("migrate database: %w", err)
	case has > newest(p):
		return 0, newer(has, newest(p))
	}
	if _, err := p.Up(ctx); err != nil {
		return 0, fmt.Errorf("migrate database: %w", err)
	}
	return newest(p), nil
}

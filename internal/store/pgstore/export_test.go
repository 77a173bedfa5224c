package pgstore

import (
	"context"
	"database/sql"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/sigilkeys/sigil/internal/store/sqlrows"
)

// Unsafe opens a store with defences taken away: canaries, which tests must
// catch.
type Unsafe struct {
	AsyncCommit bool // acknowledges before the flush
	Deaf        bool // doesn't hear warnings of the server
	Careless    bool // takes an unknown outcome for none
	Lasting     bool // leaves scopes on connections
	OneFence    bool // queries without their conditions on organisation and key
}

// OpenUnsafe is Open without what u names.
func OpenUnsafe(ctx context.Context, c Config, u Unsafe) (*Store, error) {
	cfg, err := parse(c.DSN)
	if err != nil {
		return nil, err
	}
	if u.AsyncCommit {
		cfg.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
	} else {
		cfg.AfterConnect = checkServer
	}
	if u.Deaf {
		cfg.ConnConfig.OnNotice = nil
	}
	s, err := open(ctx, c, cfg)
	if err == nil {
		s.careless, s.lasting = u.Careless, u.Lasting
		if u.OneFence {
			s.takeFirstFence()
		}
	}
	return s, err
}

// takeFirstFence leaves row security alone to tell organisations apart.
func (s *Store) takeFirstFence() {
	read := func(scope sqlrows.Scope) sqlrows.Reader { return openReader{s.reader(scope)} }
	write := func(ctx context.Context, w sqlrows.Write) error {
		do := w.Do
		w.Do = func(ctx context.Context, tx sqlrows.Tx) error { return do(ctx, openTx{openReader{tx}, tx}) }
		return s.write(ctx, w)
	}
	s.Rows = sqlrows.New(read, write, fault, func(text string) any { return []byte(text) })
}

// withoutConditions makes the conditions true of every row.
func withoutConditions(query string) string {
	query = strings.Replace(query, `FROM organizations WHERE id = $1`, `FROM organizations WHERE (id = $1 OR true)`, 1)
	return regexp.MustCompile(`(\w+\.)?(organization_id|key_id) = \$\d+`).ReplaceAllString(query, `($0 OR true)`)
}

type openReader struct{ sqlrows.Reader }

func (r openReader) QueryContext(ctx context.Context, query string, args ...any) (sqlrows.Cursor, error) {
	return r.Reader.QueryContext(ctx, withoutConditions(query), args...)
}

func (r openReader) QueryRowContext(ctx context.Context, query string, args ...any) sqlrows.Scanner {
	return r.Reader.QueryRowContext(ctx, withoutConditions(query), args...)
}

type openTx struct {
	openReader
	tx sqlrows.Tx
}

func (t openTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return t.tx.ExecContext(ctx, withoutConditions(query), args...)
}

// Left returns the scope that is left on a connection of the pool, how many
// wallets it shows, and the server's process behind it. Then it takes it away.
func (s *Store) Left(ctx context.Context) (scope string, wallets, pid int, err error) {
	err = s.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		row := conn.QueryRow(ctx, `SELECT COALESCE(current_setting('sigil.organization', true), ''), (SELECT COUNT(*) FROM wallets), pg_backend_pid()`)
		if err := row.Scan(&scope, &wallets, &pid); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, `RESET sigil.organization`)
		return err
	})
	return scope, wallets, pid, err
}

// MigrateTo migrates to an older version, as an earlier program did.
func MigrateTo(ctx context.Context, dsn string, version int64) error {
	cfg, err := parse(dsn)
	if err != nil {
		return err
	}
	cfg.ConnConfig.RuntimeParams[scopeSetting] = string(sqlrows.Every)
	db := stdlib.OpenDB(*cfg.ConnConfig)
	defer db.Close()
	p, err := provider(db)
	if err != nil {
		return err
	}
	_, err = p.UpTo(ctx, version)
	return err
}

// CheckDSN says what is wrong with a DSN.
func CheckDSN(dsn string) error {
	_, err := parse(dsn)
	return err
}

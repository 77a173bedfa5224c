package pgstore

import (
	"context"
	"database/sql"
	"database/sql/driver"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sigilkeys/sigil/internal/store/sqlrows"
)

// scopeSetting is what the policies of the tables ask: row security is the
// second fence between organisations. Connections begin as Nobody, and only a
// transaction names a scope, so that none is left on a connection in the pool.
const (
	scopeSetting = "sigil.organization"
	setScope     = `SELECT set_config('` + scopeSetting + `', $1, $2)`
)

// unfenced are the tables that hold no organisation's rows; budgets are named
// by digests.
const unfenced = `('goose_db_version', 'evidence', 'batches', 'rate_budgets')`

// queueScope has the statements after it see the scope's rows, until the end
// of their transaction.
func (s *Store) queueScope(b *pgx.Batch, scope sqlrows.Scope) {
	b.Queue(setScope, string(scope), !s.lasting)
}

// begin begins a transaction in one round trip.
func (s *Store) begin(ctx context.Context, conn *pgxpool.Conn, scope sqlrows.Scope) error {
	b := &pgx.Batch{}
	b.Queue(begin)
	s.queueScope(b, scope)
	return conn.SendBatch(ctx, b).Close()
}

// scoped is a sqlrows.Reader.
type scoped struct {
	store *Store
	scope sqlrows.Scope
}

func (s *Store) reader(scope sqlrows.Scope) sqlrows.Reader { return scoped{s, scope} }

// QueryContext implements sqlrows.Reader. What goes to the server together,
// without BEGIN, is one transaction: no round trip more than the query's.
func (r scoped) QueryContext(ctx context.Context, query string, args ...any) (sqlrows.Cursor, error) {
	for tries := 3; ; tries-- {
		c, err := r.once(ctx, query, args)
		if err == nil {
			return c, nil
		}
		// A connection that had gone: nothing was sent.
		if tries == 1 || ctx.Err() != nil || !pgconn.SafeToRetry(err) {
			return nil, err
		}
	}
}

func (r scoped) once(ctx context.Context, query string, args []any) (*cursor, error) {
	b := &pgx.Batch{}
	r.store.queueScope(b, r.scope)
	b.Queue(query, args...)
	results := r.store.pool.SendBatch(ctx, b)
	_, err := results.Exec()
	if err != nil {
		_ = results.Close() // the first error is the one to report
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		_ = results.Close()
		return nil, err
	}
	return &cursor{rows, results.Close}, nil
}

// QueryRowContext implements sqlrows.Reader.
func (r scoped) QueryRowContext(ctx context.Context, query string, args ...any) sqlrows.Scanner {
	c, err := r.QueryContext(ctx, query, args...)
	return row{c, err}
}

// cursor is a sqlrows.Cursor.
type cursor struct {
	pgx.Rows
	end func() error
}

// Close implements sqlrows.Cursor.
func (c *cursor) Close() error { c.Rows.Close(); return c.end() }

// row is a query's first row, once it is scanned.
type row struct {
	rows sqlrows.Cursor
	err  error
}

// Scan implements sqlrows.Scanner.
func (r row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return sql.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	return r.rows.Close()
}

// transacting is a sqlrows.Tx: a connection inside a transaction.
type transacting struct{ conn *pgxpool.Conn }

// QueryContext implements sqlrows.Reader.
func (t transacting) QueryContext(ctx context.Context, query string, args ...any) (sqlrows.Cursor, error) {
	rows, err := t.conn.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return &cursor{rows, func() error { return nil }}, nil
}

// QueryRowContext implements sqlrows.Reader.
func (t transacting) QueryRowContext(ctx context.Context, query string, args ...any) sqlrows.Scanner {
	c, err := t.QueryContext(ctx, query, args...)
	return row{c, err}
}

// ExecContext implements sqlrows.Tx.
func (t transacting) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	tag, err := t.conn.Exec(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return driver.RowsAffected(tag.RowsAffected()), nil
}

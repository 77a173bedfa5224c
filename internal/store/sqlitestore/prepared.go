package sqlitestore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/sigilkeys/sigil/internal/store/sqlrows"
)

// statements are those of Commit, prepared once on the write connection.
type statements struct {
	insertBatch, insertUnfolded, insertDecision, insertWallet *sql.Stmt
	txByRequest, txByIdempotency                              *sql.Stmt
}

func (s *statements) prepare(ctx context.Context, w *sql.DB) error {
	for _, p := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&s.insertBatch, `INSERT INTO batches (instance, number, signed, hashes) VALUES ($1, $2, $3, $4)`},
		{&s.insertUnfolded, `INSERT INTO unfolded (batch) VALUES ($1)`},
		{&s.insertDecision, `INSERT INTO decisions (` + sqlrows.DecisionColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING`},
		{&s.insertWallet, `INSERT INTO wallets (id, organization_id, record, label, receipt, created) VALUES ($1, $2, $3, $4, $5, $6)`},
		{&s.txByRequest, sqlrows.ByRequest},
		{&s.txByIdempotency, sqlrows.ByIdempotency},
	} {
		var err error
		if *p.stmt, err = w.PrepareContext(ctx, p.text); err != nil {
			return fmt.Errorf("prepare %q: %w", p.text, err)
		}
	}
	return nil
}

// prepared is a pool that has the hot queries prepared.
type prepared struct {
	*sql.DB
	stmt map[string]*sql.Stmt // not written after newPrepared
}

func newPrepared(ctx context.Context, db *sql.DB) (*prepared, error) {
	p := &prepared{DB: db, stmt: map[string]*sql.Stmt{}}
	for _, text := range sqlrows.Hot() {
		stmt, err := db.PrepareContext(ctx, text)
		if err != nil {
			return nil, fmt.Errorf("prepare %q: %w", text, err)
		}
		p.stmt[text] = stmt
	}
	return p, nil
}

// QueryRowContext implements sqlrows.SQL.
func (p *prepared) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if stmt := p.stmt[query]; stmt != nil {
		return stmt.QueryRowContext(ctx, args...)
	}
	return p.DB.QueryRowContext(ctx, query, args...)
}

package sqlrows

import (
	"context"
	"database/sql"
	"encoding/hex"

	"github.com/sigilkeys/sigil/internal/canon"
)

// Scope says whose rows a read or a write is about: a second fence between
// organisations, for an engine that can hold statements to it, behind the
// conditions of the queries. It guards against mistakes in these; whoever runs
// the program sets the scope.
type Scope string

const (
	// Nobody has no organisation's rows: evidence and batches are none's.
	Nobody Scope = ""
	// Every is work across organisations: commits and folds, what replicas tell
	// each other, and backfills. A test lists who may use it.
	Every Scope = "every"
)

// One has the rows of one organisation.
func One(org canon.UUID) Scope { return Scope(hex.EncodeToString(org[:])) }

// Key has an API key's grant, before it is known whose it is, and the
// decisions that were made for the key.
func Key(keyID string) Scope {
	if _, err := hex.DecodeString(keyID); err != nil {
		return Nobody
	}
	return Scope("key:" + keyID)
}

// SQL is what *sql.DB, *sql.Conn and *sql.Tx have.
type SQL interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Unscoped gives database/sql as a Tx, for engines and transactions that no
// scope narrows.
type Unscoped struct{ SQL }

// QueryContext implements Reader.
func (u Unscoped) QueryContext(ctx context.Context, query string, args ...any) (Cursor, error) {
	rows, err := u.SQL.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// QueryRowContext implements Reader.
func (u Unscoped) QueryRowContext(ctx context.Context, query string, args ...any) Scanner {
	return u.SQL.QueryRowContext(ctx, query, args...)
}

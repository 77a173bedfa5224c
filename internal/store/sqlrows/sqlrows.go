// Package sqlrows is the one set of queries that every SQL engine of the store
// runs: all of store.Store but Commit, which each engine has by hand, and what
// Commit shares.
//
// The text keeps to what SQLite and PostgreSQL both take and mean alike: BYTEA
// or BLOB, BIGINT of microseconds, TEXT, and $1, $2 … in the order of their
// first use, because SQLite counts names and PostgreSQL reads numbers.
package sqlrows

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

// Cursor goes through the rows that a query found.
type Cursor interface {
	Scanner
	Next() bool
	Err() error
	Close() error
}

// Reader reads committed rows.
type Reader interface {
	QueryContext(ctx context.Context, query string, args ...any) (Cursor, error)
	QueryRowContext(ctx context.Context, query string, args ...any) Scanner
}

// Tx is a transaction that writes.
type Tx interface {
	Reader
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Write is one transaction.
type Write struct {
	// Scope is whose rows it reads and writes.
	Scope Scope
	// Do writes. An engine may run it again where nothing came of it, or where
	// nobody knows what did.
	Do func(ctx context.Context, tx Tx) error
	// Stands reports whether the rows of Do are there, just as it would write
	// them. After an attempt of unknown outcome, it tells that attempt's rows
	// from somebody else's. Nil where doing it again is no error.
	Stands func(ctx context.Context) (bool, error)
}

// Rows implements the methods of store.Store that engines share.
type Rows struct {
	// PerInsert bounds the rows that one statement of a fold writes.
	PerInsert int

	read  func(Scope) Reader
	write func(context.Context, Write) error
	fault func(error) error
	text  func(string) any
}

// New returns the rows that readers find; read gives one for a scope. write
// runs one transaction as store.Store demands of writes; fault translates the
// driver's errors; text gives what callers wrote, such as labels, the type of
// its columns.
func New(read func(Scope) Reader, write func(context.Context, Write) error, fault func(error) error, text func(string) any) *Rows {
	return &Rows{read: read, write: write, fault: fault, text: text, PerInsert: maxRows}
}

// DecisionColumns are what ScanDecision scans.
const DecisionColumns = `id, organization_id, key_id, request_id, idempotency, leaf, result_kind, result, explanation, batch, idx`

// Queries that Commit needs too, and those worth preparing.
const (
	ByRequest     = `SELECT ` + DecisionColumns + ` FROM decisions WHERE request_id = $1 AND key_id = $2`
	ByIdempotency = `SELECT ` + DecisionColumns + ` FROM decisions WHERE idempotency = $1 AND key_id = $2`
	byID          = `SELECT ` + DecisionColumns + ` FROM decisions WHERE id = $1 AND organization_id = $2`
	batchByRow    = `SELECT instance, number, signed, hashes FROM batches WHERE id = $1`
	grantByKeyID  = `SELECT organization_id, id, key_id, digest, envelope, created, revoked, 0 FROM grants WHERE key_id = $1`
	walletByID    = `SELECT ` + walletColumns + ` FROM wallets WHERE id = $1 AND organization_id = $2`
)

// InsertAddress lists a wallet under an address.
const InsertAddress = `INSERT INTO wallet_addresses (organization_id, address, wallet) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`

// Hot lists the queries of the path of a signature.
func Hot() []string {
	return []string{ByRequest, ByIdempotency, byID, batchByRow, grantByKeyID, walletByID}
}

// Scanner is a row of either driver.
type Scanner interface{ Scan(dest ...any) error }

// ScanDecision reads DecisionColumns. Errors are the driver's.
func ScanDecision(row Scanner) (*store.Decision, error) {
	d := &store.Decision{}
	var id, org, key, request, idempotency, explanation []byte
	err := row.Scan(&id, &org, &key, &request, &idempotency, &d.Leaf, &d.ResultKind, &d.Result, &explanation, &d.Batch, &d.Index)
	if err != nil {
		return nil, err
	}
	d.ID, d.Organization, d.RequestID, d.KeyID = UUID(id), UUID(org), UUID(request), hex.EncodeToString(key)
	copy(d.Idempotency[:], idempotency)
	d.Explanation = string(explanation)
	return d, nil
}

// KeyColumn is a key id in 16 bytes: it stands in two indexes of every row.
// What isn't hex has no row.
func KeyColumn(keyID string) []byte {
	b, err := hex.DecodeString(keyID)
	if err != nil {
		return []byte(keyID)
	}
	return b
}

// IdempotencyColumn is NULL where there was no Idempotency-Key.
func IdempotencyColumn(digest [32]byte) []byte {
	if digest == [32]byte{} {
		return nil
	}
	return digest[:]
}

// JoinHashes is the hashes column of a batch.
func JoinHashes(list [][32]byte) []byte {
	out := make([]byte, 0, 32*len(list))
	for i := range list {
		out = append(out, list[i][:]...)
	}
	return out
}

// Micros is a time's column; 0 is no time.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(v int64) time.Time {
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMicro(v).UTC()
}

// UUID reads a column of 16 bytes.
func UUID(b []byte) (u canon.UUID) { copy(u[:], b); return u }

// failed translates what a read returned.
func (r *Rows) failed(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	return r.fault(err)
}

func (r *Rows) decision(row Scanner) (*store.Decision, error) {
	d, err := ScanDecision(row)
	if err != nil {
		return nil, r.failed(err)
	}
	return d, nil
}

// DecisionByRequest implements store.Store.
func (r *Rows) DecisionByRequest(ctx context.Context, keyID string, request canon.UUID) (*store.Decision, error) {
	return r.decision(r.read(Key(keyID)).QueryRowContext(ctx, ByRequest, request[:], KeyColumn(keyID)))
}

// DecisionByIdempotency implements store.Store.
func (r *Rows) DecisionByIdempotency(ctx context.Context, keyID string, digest [32]byte) (*store.Decision, error) {
	return r.decision(r.read(Key(keyID)).QueryRowContext(ctx, ByIdempotency, digest[:], KeyColumn(keyID)))
}

// Decision implements store.Store.
func (r *Rows) Decision(ctx context.Context, org, id canon.UUID) (*store.Decision, error) {
	return r.decision(r.read(One(org)).QueryRowContext(ctx, byID, id[:], org[:]))
}

// Batch implements store.Store.
func (r *Rows) Batch(ctx context.Context, row int64) (*store.Batch, error) {
	b := &store.Batch{}
	var instance, hashes []byte
	var number int64
	if err := r.read(Nobody).QueryRowContext(ctx, batchByRow, row).Scan(&instance, &number, &b.Signed, &hashes); err != nil {
		return nil, r.failed(err)
	}
	copy(b.Instance[:], instance)
	b.Number = uint64(number)
	for len(hashes) >= 32 {
		b.Hashes, hashes = append(b.Hashes, [32]byte(hashes[:32])), hashes[32:]
	}
	return b, nil
}

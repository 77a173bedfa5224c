package stored

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/receipt"
)

// Querier is a database or a transaction of it.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Rows is what was found in every row of a database, acknowledged or not, and
// what is half-made in it.
type Rows struct {
	db       Querier
	evidence map[[32]byte]bool
	batches  map[int64]*scannedBatch
	made     map[canon.UUID]canon.UUID // wallet by the receipt of its creation
	seen     map[[48]byte]bool         // key and request, of each decision

	// Wrong is what doesn't fit together.
	Wrong []error

	decisions, wallets int
}

type scannedBatch struct {
	batch  *receipt.Batch
	hashes [][32]byte
	seen   []bool // a decision stands at this place
}

func (s *Rows) fault(format string, args ...any) {
	s.Wrong = append(s.Wrong, fmt.Errorf(format, args...))
}

// ScanFile reads a whole SQLite database, the file besides its rows; the error
// is of the reading.
func ScanFile(ctx context.Context, db Querier) (*Rows, error) {
	s, err := ScanRows(ctx, db)
	return s, errors.Join(err, s.each(ctx, `SELECT integrity_check FROM pragma_integrity_check`, s.integrity))
}

// ScanRows reads the rows of either engine.
func ScanRows(ctx context.Context, db Querier) (*Rows, error) {
	s := &Rows{db: db, evidence: map[[32]byte]bool{}, batches: map[int64]*scannedBatch{}, made: map[canon.UUID]canon.UUID{}, seen: map[[48]byte]bool{}}
	err := errors.Join(
		s.each(ctx, `SELECT id, statement FROM evidence`, s.statement),
		s.each(ctx, `SELECT id, instance, number, signed, hashes FROM batches`, s.batch),
		s.each(ctx, `SELECT id, organization_id, key_id, request_id, leaf, result, batch, idx FROM decisions`, s.decision),
		s.each(ctx, `SELECT id, receipt FROM wallets`, s.wallet),
		s.unmade(),
	)
	// Row security would hide them from a reader that names no scope.
	if len(s.batches) > 0 && s.decisions == 0 {
		s.fault("%d batches, and not one decision", len(s.batches))
	}
	return s, err
}

func (s *Rows) each(ctx context.Context, query string, row func(*sql.Rows) error) error {
	rows, err := s.db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *Rows) integrity(rows *sql.Rows) error {
	var text string
	if err := rows.Scan(&text); err != nil {
		return err
	}
	if text != "ok" {
		s.fault("database file: %s", text)
	}
	return nil
}

func (s *Rows) statement(rows *sql.Rows) error {
	var id, statement []byte
	if err := rows.Scan(&id, &statement); err != nil {
		return err
	}
	digest := receipt.Digest(statement)
	if string(id) != string(digest[:]) {
		s.fault("evidence %x is another statement's", id)
		return nil
	}
	s.evidence[digest] = true
	return nil
}

// batch replays the stored leaf hashes to the root that was signed.
func (s *Rows) batch(rows *sql.Rows) error {
	var row, number int64
	var instance, signed, joined []byte
	if err := rows.Scan(&row, &instance, &number, &signed, &joined); err != nil {
		return err
	}
	b, err := receipt.OpenBatch(signed)
	if err != nil {
		s.fault("batch %d: %w", row, err)
		return nil
	}
	hashes := make([][32]byte, 0, len(joined)/32)
	for part := range slices.Chunk(joined, 32) {
		if len(part) != 32 {
			s.fault("batch %d: %d bytes of hashes", row, len(joined))
			return nil
		}
		hashes = append(hashes, [32]byte(part))
	}
	if string(instance) != string(b.InstanceKey[:]) || uint64(number) != b.Number || len(hashes) != int(b.Count) || receipt.NewTreeOfHashes(hashes).Root() != b.Root {
		s.fault("batch %d (%d leaves) doesn't replay to its root", row, len(hashes))
	}
	if !s.evidence[b.Statement] {
		s.fault("batch %d: no evidence %x", row, b.Statement[:6])
	}
	s.batches[row] = &scannedBatch{b, hashes, make([]bool, len(hashes))}
	return nil
}

// decision finds the leaf at its place in its batch, and what it released.
func (s *Rows) decision(rows *sql.Rows) error {
	var id, org, key, request, record, result []byte
	var row int64
	var index int
	if err := rows.Scan(&id, &org, &key, &request, &record, &result, &row, &index); err != nil {
		return err
	}
	s.decisions++
	leaf, err := receipt.DecodeLeaf(record)
	if err != nil {
		s.fault("decision %x: %w", id, err)
		return nil
	}
	if string(id) != string(leaf.ID[:]) || string(org) != string(leaf.Organization[:]) || string(request) != string(leaf.RequestID[:]) {
		s.fault("decision %x isn't that of its leaf", id)
	}
	var once [48]byte
	digest := sha256.Sum256(key)
	copy(once[copy(once[:], digest[:]):], request)
	if s.seen[once] {
		s.fault("request %x is decided twice", request)
	}
	s.seen[once] = true
	b := s.batches[row]
	if b == nil || index < 0 || index >= len(b.hashes) || b.hashes[index] != receipt.LeafHash(record) || b.seen[index] {
		s.fault("decision %x isn't in batch %d at %d, or not alone", id, row, index)
		return nil
	}
	b.seen[index] = true
	switch {
	case leaf.Decision != receipt.Allow:
	case leaf.Kind == receipt.KindCreateWallet:
		s.made[canon.UUID(leaf.ID)] = canon.UUID(leaf.Wallet)
	case leaf.Kind == receipt.KindSign && receipt.Digest(result) != leaf.OutputDigest:
		s.fault("decision %x isn't stored with its signature", id)
	}
	return nil
}

// wallet requires the decision that made it.
func (s *Rows) wallet(rows *sql.Rows) error {
	var id, by []byte
	if err := rows.Scan(&id, &by); err != nil {
		return err
	}
	s.wallets++
	if len(id) != 16 || len(by) != 16 {
		s.fault("wallet %x is malformed", id)
		return nil
	}
	if made, ok := s.made[canon.UUID(by)]; !ok || made != canon.UUID(id) {
		s.fault("wallet %x without its decision", id)
		return nil
	}
	delete(s.made, canon.UUID(by))
	return nil
}

// unmade are the decisions that made a wallet that isn't there.
func (s *Rows) unmade() error {
	for by, id := range s.made {
		s.fault("decision %s made the wallet %s, which has no row", by, id)
	}
	return nil
}

// String says how much was read.
func (s *Rows) String() string {
	return fmt.Sprintf("%d batches replayed, %d decisions, %d wallets, %d statements; %d faults", len(s.batches), s.decisions, s.wallets, len(s.evidence), len(s.Wrong))
}

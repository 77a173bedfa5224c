package chaos

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver, to read what the store doesn't list

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/stack"
)

// querier is a database or a transaction of it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// scan reads every row of a database, acknowledged or not, and returns what is
// half-made in it.
type scan struct {
	db       querier
	evidence map[[32]byte]bool
	batches  map[int64]*scannedBatch
	made     map[canon.UUID]canon.UUID // wallet by the receipt of its creation
	seen     map[[48]byte]bool         // key and request, of each decision
	wrong    []error

	decisions, wallets int
}

type scannedBatch struct {
	batch  *receipt.Batch
	hashes [][32]byte
	seen   []bool // a decision stands at this place
}

func (s *scan) fault(format string, args ...any) {
	s.wrong = append(s.wrong, fmt.Errorf(format, args...))
}

// scanDatabase reads a whole file; the error is of the reading.
func scanDatabase(ctx context.Context, db querier) (*scan, error) {
	s, err := scanRows(ctx, db)
	return s, errors.Join(err, s.each(ctx, `SELECT integrity_check FROM pragma_integrity_check`, s.integrity))
}

// scanRows reads the rows of either engine.
func scanRows(ctx context.Context, db querier) (*scan, error) {
	s := &scan{db: db, evidence: map[[32]byte]bool{}, batches: map[int64]*scannedBatch{}, made: map[canon.UUID]canon.UUID{}, seen: map[[48]byte]bool{}}
	return s, errors.Join(
		s.each(ctx, `SELECT id, statement FROM evidence`, s.statement),
		s.each(ctx, `SELECT id, instance, number, signed, hashes FROM batches`, s.batch),
		s.each(ctx, `SELECT id, organization_id, key_id, request_id, leaf, result, batch, idx FROM decisions`, s.decision),
		s.each(ctx, `SELECT id, receipt FROM wallets`, s.wallet),
		s.unmade(),
	)
}

func (s *scan) each(ctx context.Context, query string, row func(*sql.Rows) error) error {
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

func (s *scan) integrity(rows *sql.Rows) error {
	var text string
	if err := rows.Scan(&text); err != nil {
		return err
	}
	if text != "ok" {
		s.fault("database file: %s", text)
	}
	return nil
}

func (s *scan) statement(rows *sql.Rows) error {
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
func (s *scan) batch(rows *sql.Rows) error {
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
func (s *scan) decision(rows *sql.Rows) error {
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
func (s *scan) wallet(rows *sql.Rows) error {
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
func (s *scan) unmade() error {
	for by, id := range s.made {
		s.fault("decision %s made the wallet %s, which has no row", by, id)
	}
	return nil
}

// openDatabase opens the file beside the store; the caller closes it.
func openDatabase(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, sqlitestore.FileName)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// noneHalfMade scans a database that nobody uses any more.
func noneHalfMade(t *testing.T, dir string) {
	t.Helper()
	db := openDatabase(t, dir)
	defer db.Close()
	s, err := scanDatabase(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	s.report(t)
}

func (s *scan) report(t *testing.T) {
	t.Helper()
	for _, err := range s.wrong[:min(len(s.wrong), 10)] {
		t.Error(err)
	}
	t.Logf("all rows read: %d batches replayed, %d decisions, %d wallets, %d statements; %d faults", len(s.batches), s.decisions, s.wallets, len(s.evidence), len(s.wrong))
}

// The scan must see each kind of damage that a torn commit could leave.
func TestScanCatchesHalfMadeRecords(t *testing.T) {
	dir := t.TempDir()
	st := stack.Start(t, stack.Options{DataDir: dir})
	token := st.NewKey(st.NewOwner(), nil)
	var w struct {
		ID string `json:"id"`
	}
	st.Do(st.Request(token, "POST", "/v1/s2s/wallets", `{}`), 201, &w)
	body, err := json.Marshal(map[string]string{"wallet_id": w.ID, "network": "base", "message": "m"})
	if err != nil {
		t.Fatal(err)
	}
	st.Do(st.Request(token, "POST", "/v1/s2s/sign", string(body)), 200, nil)
	for range 2 {
		st.Do(st.Request(token, "POST", "/v1/s2s/sign", string(body)), 200, nil)
	}
	db := openDatabase(t, dir)
	defer db.Close()
	for name, damage := range map[string]string{
		"":                             ``,
		"wallet without decision":      `DELETE FROM decisions WHERE result IS NULL`,
		"decision without wallet":      `DELETE FROM wallets`,
		"decisions without batch":      `DELETE FROM batches WHERE id = (SELECT MAX(id) FROM batches)`,
		"batch with a hash too few":    `UPDATE batches SET hashes = substr(hashes, 33)`,
		"batch of another number":      `UPDATE batches SET number = number + 1000`,
		"batch without evidence":       `DELETE FROM evidence`,
		"another statement":            `UPDATE evidence SET statement = statement || x'00'`,
		"another leaf":                 `UPDATE decisions SET leaf = (SELECT leaf FROM decisions ORDER BY rowid DESC LIMIT 1)`,
		"another signature":            `UPDATE decisions SET result = CAST('0x00' AS BLOB) WHERE result IS NOT NULL`,
		"another place in the batch":   `UPDATE decisions SET idx = idx + 1`,
		"one request, decided twice":   `DROP INDEX decisions_by_request; INSERT INTO decisions SELECT randomblob(16), organization_id, key_id, request_id, NULL, leaf, result_kind, result, explanation, batch, idx FROM decisions LIMIT 1`,
		"wallet of another's decision": `UPDATE wallets SET receipt = randomblob(16)`,
	} {
		t.Run(name, func(t *testing.T) { scanDamaged(t, db, damage) })
	}
}

func scanDamaged(t *testing.T, db *sql.DB, damage string) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if damage != "" {
		if _, err := tx.ExecContext(ctx, damage); err != nil {
			t.Fatal(err)
		}
	}
	s, err := scanDatabase(ctx, tx)
	if err != nil {
		t.Fatal(err)
	}
	if (len(s.wrong) > 0) != (damage != "") {
		t.Errorf("faults found: %v", s.wrong)
	}
}

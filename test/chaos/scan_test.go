package chaos

import (
	"context"
	"database/sql"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver, to read what the store doesn't list

	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
	"github.com/sigilkeys/sigil/test/stack"
	"github.com/sigilkeys/sigil/test/stored"
)

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
	s, err := stored.ScanFile(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	report(t, s)
}

func report(t *testing.T, s *stored.Rows) {
	t.Helper()
	for _, err := range s.Wrong[:min(len(s.Wrong), 10)] {
		t.Error(err)
	}
	t.Log("all rows read:", s)
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
	s, err := stored.ScanFile(ctx, tx)
	if err != nil {
		t.Fatal(err)
	}
	if (len(s.Wrong) > 0) != (damage != "") {
		t.Errorf("faults found: %v", s.Wrong)
	}
}

package sqlitestore

import (
	"context"
	"database/sql"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/receipt"
)

// older makes a database as a release before version 3 left it: a wallet, a
// key that was revoked, and a decision that is in no ledger yet.
func older(t *testing.T, dir string, leaf *receipt.Leaf) {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(filepath.Join(dir, FileName)))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	record, err := leaf.Encode()
	if err != nil {
		t.Fatal(err)
	}
	org, key := leaf.Organization[:], "000102030405060708090a0b0c0d0e0f"
	for _, w := range []struct {
		text string
		args []any
	}{
		{`INSERT INTO organizations (id, genesis, digest, state, created) VALUES ($1, x'01', x'01', x'01', 1000000)`, []any{org}},
		{`INSERT INTO grants (digest, organization_id, id, key_id, envelope, created, revoked) VALUES (x'02', $1, $2, $3, x'01', 2000000, 3000000)`, []any{org, make([]byte, 16), key}},
		{`INSERT INTO wallets (id, organization_id, record, label, receipt, created) VALUES ($1, $2, x'05', 'old', $3, 4000000)`, []any{leaf.Wallet[:], org, leaf.ID[:]}},
		{`INSERT INTO batches (id, instance, number, signed, hashes) VALUES (1, x'01', 1, x'01', x'01')`, nil},
		{`INSERT INTO unfolded (batch) VALUES (1)`, nil},
		{`INSERT INTO decisions (id, organization_id, key_id, request_id, leaf, result_kind, explanation, batch, idx) VALUES ($1, $2, x'000102030405060708090a0b0c0d0e0f', $1, $3, 1, '', 1, 0)`,
			[]any{leaf.ID[:], org, record}},
	} {
		if _, err := db.ExecContext(t.Context(), w.text, w.args...); err != nil {
			t.Fatal(err)
		}
	}
}

// What an older release stored is found by what is new, once.
func TestUpgradeKeepsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	leaf := &receipt.Leaf{ID: canon.UUID{7}, Kind: receipt.KindSign, Decision: receipt.Allow, Auth: receipt.AuthSignature, Freshness: receipt.FreshnessNone,
		Organization: canon.UUID{1}, Wallet: canon.UUID{2}, Reason: receipt.ReasonAllowed, OutputDigest: [32]byte{1}, Network: "base", Time: 5000000}
	older(t, dir, leaf)
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := t.Context()
	list, total, err := s.Wallets(ctx, leaf.Organization, store.WalletFilter{Archived: store.Live}, store.Page{Limit: 5})
	if err != nil || total != 1 || len(list) != 1 || list[0].Label != "old" {
		t.Fatalf("%d %+v %v", total, list, err)
	}
	waiting, err := s.Unaddressed(ctx, 5)
	if err != nil || len(waiting) != 1 {
		t.Fatalf("%+v %v", waiting, err)
	}
	waiting[0].Addresses = []string{"0xab"}
	if err := s.PutAddresses(ctx, waiting); err != nil {
		t.Fatal(err)
	}
	if list, _, err := s.Wallets(ctx, leaf.Organization, store.WalletFilter{Address: "0xab"}, store.Page{Limit: 5}); err != nil || len(list) != 1 {
		t.Errorf("%+v %v", list, err)
	}
	if waiting, err := s.Unaddressed(ctx, 5); err != nil || len(waiting) != 0 {
		t.Errorf("%+v %v", waiting, err)
	}
	// Not folded yet: the fold takes the decision into the trail.
	if n, err := s.AuditOlder(ctx, 5); n != 0 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	if err := s.Fold(ctx, []int64{1}, []store.Growth{{Organization: leaf.Organization, Receipts: []canon.UUID{leaf.ID}}}); err != nil {
		t.Fatal(err)
	}
	trail(t, ctx, s, leaf)
}

// trail expects four events, of a second each.
func trail(t *testing.T, ctx context.Context, s *Store, leaf *receipt.Leaf) {
	t.Helper()
	events, total, err := s.Events(ctx, leaf.Organization, store.EventFilter{}, store.Page{Limit: 9})
	if err != nil || total != 4 || len(events) != 4 {
		t.Fatalf("%d %+v %v", total, events, err)
	}
	for i, want := range []struct {
		kind store.EventKind
		sec  int64
	}{{store.EventSigned, 5}, {store.EventKeyRevoked, 3}, {store.EventKeyCreated, 2}, {store.EventOrganizationCreated, 1}} {
		e := events[i]
		if e.Kind != want.kind || !e.At.Equal(time.Unix(want.sec, 0)) || !e.Success || (e.KeyID == "000102030405060708090a0b0c0d0e0f") != (want.sec > 1) {
			t.Errorf("%+v, want %+v", e, want)
		}
	}
}

// A batch that an older release folded is taken in by itself.
func TestUpgradeAuditsFoldedBatches(t *testing.T) {
	dir := t.TempDir()
	leaf := &receipt.Leaf{ID: canon.UUID{7}, Kind: receipt.KindSign, Decision: receipt.Allow, Auth: receipt.AuthSignature, Freshness: receipt.FreshnessNone,
		Organization: canon.UUID{1}, Wallet: canon.UUID{2}, Reason: receipt.ReasonAllowed, OutputDigest: [32]byte{1}, Time: 5000000}
	older(t, dir, leaf)
	db, err := sql.Open("sqlite", dsn(filepath.Join(dir, FileName)))
	if err != nil {
		t.Fatal(err)
	}
	// As a fold of version 2 does.
	if _, err := db.ExecContext(t.Context(), `INSERT INTO ledger_entries (organization_id, idx, receipt) VALUES ($1, 0, $2)`, leaf.Organization[:], leaf.ID[:]); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `DELETE FROM unfolded`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, want := range []int{1, 0} {
		if n, err := s.AuditOlder(t.Context(), 5); n != want || err != nil {
			t.Errorf("%d, want %d: %v", n, want, err)
		}
	}
	trail(t, t.Context(), s, leaf)
}

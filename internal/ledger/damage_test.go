package ledger_test

import (
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/ledger"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
	"github.com/sigilkeys/sigil/receipt"
)

// alter alters rows as no program of ours does.
func (w *world) alter(statement string) {
	w.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, sqlitestore.FileName)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(w.t.Context(), statement); err != nil {
		w.t.Fatal(err)
	}
}

// noted reports how much of a ledger is signed.
func (w *world) noted(id canon.UUID) uint64 {
	l, err := w.store.Ledger(w.t.Context(), id)
	if err != nil {
		return 0
	}
	return l.Noted
}

// until runs rounds until one goes well.
func (w *world) until(rounds int) {
	w.t.Helper()
	var err error
	for range rounds {
		if err = w.seq.Round(w.t.Context()); err == nil {
			return
		}
	}
	w.t.Fatalf("after %d rounds: %v", rounds, err)
}

// damage is what happens to the rows of the first organisation, and what mends
// it; nothing where the ledger heals by itself.
type damage struct {
	alter, repair string
	alone         bool // of this organisation alone even without the defence
}

func damages() map[string]damage {
	first := org(1)
	of := fmt.Sprintf(" WHERE organization_id = x'%x'", first[:])
	lost := of + " AND idx = 2"
	return map[string]damage{
		"a short tile":        {alter: "UPDATE ledger_tiles SET hashes = substr(hashes, 1, 64)" + of},
		"an odd tile":         {alter: "UPDATE ledger_tiles SET hashes = substr(hashes, 1, 65)" + of},
		"a wrong tile":        {alter: "UPDATE ledger_tiles SET hashes = zeroblob(length(hashes))" + of, alone: true},
		"no tile":             {alter: "DELETE FROM ledger_tiles" + of},
		"a state record":      {alter: fmt.Sprintf("CREATE TABLE kept AS SELECT state FROM organizations WHERE id = x'%x'; UPDATE organizations SET state = x'00' WHERE id = x'%x'", first[:], first[:]), repair: fmt.Sprintf("UPDATE organizations SET state = (SELECT state FROM kept) WHERE id = x'%x'", first[:])},
		"too small a size":    {alter: "UPDATE ledgers SET size = size - 1" + of, repair: "UPDATE ledgers SET size = size + 1" + of},
		"too large a size":    {alter: "UPDATE ledgers SET size = size + 300" + of, repair: "UPDATE ledgers SET size = size - 300" + of},
		"no entry and a tile": {alter: "CREATE TABLE kept AS SELECT * FROM ledger_entries" + lost + "; DELETE FROM ledger_entries" + lost + "; DELETE FROM ledger_tiles" + of, repair: "INSERT INTO ledger_entries SELECT * FROM kept"},
	}
}

// What is wrong with one organisation's rows keeps no other's ledger, not even
// where they share batches; damaged tiles heal, and what is mended goes on by
// itself. Without the defence, the other's ledger stays.
func TestDamage(t *testing.T) {
	damaged := func(t *testing.T, d damage) *world {
		w := newWorld(t, 1, 2)
		for range 5 {
			w.commit(1, 2)
		}
		w.round()
		w.alter(d.alter)
		w.commit(1, 2, 1)
		w.commit(1)
		w.commit(2)
		return w
	}
	for name, d := range damages() {
		t.Run(name, func(t *testing.T) {
			w := damaged(t, d)
			err := w.seq.Round(t.Context())
			if (err == nil) != (d.repair == "") {
				t.Errorf("the first round: %v", err)
			}
			w.check(2)
			for range 10 {
				w.commit(2, 1, 2)
				_ = w.seq.Round(t.Context()) // what is wrong stays so
				w.check(2)
			}
			if d.repair != "" {
				w.alter(d.repair)
				w.until(200)
			}
			w.check(1)
			w.check(2)
			w.round()
			w.commit(1, 2)
			w.round()
			w.check(1)
			w.check(2)
		})
		if d.alone {
			continue
		}
		t.Run(name+", canary", func(t *testing.T) {
			w := damaged(t, d)
			w.seq.Frail()
			for range 3 {
				_ = w.seq.Round(t.Context())
			}
			if w.noted(org(2)) == uint64(len(w.leaves[2])) {
				t.Error("without the defence, the other ledger goes on all the same")
			}
		})
	}
}

// Tiles heal too where more entries are unsigned than are compared.
func TestDamageUnsigned(t *testing.T) {
	w := newWorld(t, 1, 2)
	w.signer.hang = 1
	for range 6 {
		w.commit(slices.Repeat([]byte{1}, 250)...)
	}
	if err := w.seq.Round(t.Context()); err == nil {
		t.Fatal("it was signed")
	}
	w.alter("UPDATE ledger_tiles SET hashes = substr(hashes, 1, 64) WHERE idx = 5 OR level = 1")
	w.signer.hang = 0
	w.round()
	w.check(1)
	w.alter("DELETE FROM ledger_tiles WHERE level = 0")
	w.commit(1, 2)
	w.round()
	w.check(2)
	if n := w.noted(org(1)); n != 1501 {
		t.Errorf("%d are signed", n)
	}
}

// Who is set aside comes back where another control plane folded what waited.
func TestFoldedElsewhere(t *testing.T) {
	d := damages()["too large a size"]
	w := newWorld(t, 1, 2)
	w.commit(1, 2)
	w.round()
	w.alter(d.alter)
	w.commit(1, 2)
	for range 9 {
		if err := w.seq.Round(t.Context()); err == nil {
			t.Fatal("nothing is wrong")
		}
	}
	w.alter(d.repair)
	if err := (&ledger.Sequencer{Store: w.store, Signer: w.signer, Log: slog.New(slog.DiscardHandler)}).Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.check(1)
	w.until(3)
}

// However many ledgers are refused, another is signed. A sequencer that looks at
// the first ones alone is caught.
func TestManyRefused(t *testing.T) {
	w := newWorld(t)
	w.signer.refuse = 1
	const refused = 256 // as many as are listed at once
	for i := range refused {
		id := canon.UUID{1, byte(i), byte(i >> 8), 15: 1}
		w.add(id)
		leaf := id[:]
		w.n++
		b := store.CommitBatch{Batch: store.Batch{Instance: [32]byte{1}, Number: w.n, Signed: []byte{1}, Hashes: [][32]byte{receipt.LeafHash(leaf)}}, Wallets: make([]*store.Wallet, 1),
			Decisions: []store.Decision{{ID: id, Organization: id, KeyID: "00", RequestID: id, Leaf: leaf}}}
		if _, err := w.store.Commit(t.Context(), []store.CommitBatch{b}); err != nil {
			t.Fatal(err)
		}
	}
	w.add(org(2))
	w.commit(2)
	canary := &ledger.Sequencer{Store: w.store, Signer: w.signer, Log: slog.New(slog.DiscardHandler)}
	canary.Short()
	for range 3 {
		_ = canary.Round(t.Context())
	}
	if w.noted(org(2)) > 0 {
		t.Error("the canary signs too: nothing is tested")
	}
	if err := w.seq.Round(t.Context()); err == nil {
		t.Error("all refused ledgers are signed")
	}
	w.check(2)
}

// A ledger for which the workload gives no answer is tried after the others. A
// sequencer that begins with it each time is caught.
func TestNoAnswer(t *testing.T) {
	w := newWorld(t, 1, 2, 3)
	w.signer.hang = 1
	w.commit(1, 2, 3)
	canary := &ledger.Sequencer{Store: w.store, Signer: w.signer, Log: slog.New(slog.DiscardHandler)}
	canary.Frail()
	for range 3 {
		_ = canary.Round(t.Context())
	}
	if w.noted(org(2)) > 0 {
		t.Error("the canary signs too: nothing is tested")
	}
	for range 2 {
		if err := w.seq.Round(t.Context()); err == nil {
			t.Fatal("it has an answer")
		}
	}
	w.check(2)
	w.check(3)
	w.signer.hang = 0
	w.round()
	w.check(1)
}

// A backlog of which a fold has no time for all goes in smaller ones. A
// sequencer that tries as much as before is caught.
func TestSlowFolds(t *testing.T) {
	for _, stubborn := range []bool{false, true} {
		w := newWorld(t, 1, 2)
		for range 40 {
			w.commit(slices.Repeat([]byte{1, 2}, 60)...)
		}
		w.store.slow = 50 // less than one batch has
		if stubborn {
			w.seq.Stubborn()
		}
		for range 20 {
			if w.seq.Round(t.Context()) == nil {
				break
			}
		}
		if n := w.noted(org(1)); stubborn {
			if n > 0 {
				t.Errorf("the canary folds %d: nothing is tested", n)
			}
			continue
		}
		w.store.slow = 0
		w.round()
		w.check(1)
		w.check(2)
	}
}

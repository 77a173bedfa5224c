package storetest

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/receipt"
)

// growth adds the decisions to a ledger, with a tile that says how many.
func growth(org canon.UUID, from uint64, decisions ...byte) store.Growth {
	g := store.Growth{Organization: org, From: from, Tiles: []store.Tile{{Index: from, Hashes: []byte{byte(len(decisions))}}, {Level: 1, Hashes: []byte{byte(from)}}}}
	for _, d := range decisions {
		g.Receipts = append(g.Receipts, id(d))
	}
	return g
}

// ledgers: each batch is folded once, whole with its ledgers or not at all.
func ledgers(t *testing.T, e Engine) {
	s := e.Open(t)
	one, two := organization(t, s, 1).ID, organization(t, s, 2).ID
	first, second := batch(one, 1, 1, 2, 101), batch(two, 2, 3)
	_, err := s.Commit(t.Context(), []store.CommitBatch{first, second})
	must(t, err)
	rows := unfolded(t, s, 2)
	decisions, err := s.DecisionsOf(t.Context(), rows[0])
	must(t, err)
	if len(decisions) != 3 || decisions[2].ID != id(101) || decisions[0].Index != 0 {
		t.Fatalf("%+v", decisions)
	}

	must(t, s.Fold(t.Context(), rows[:1], []store.Growth{growth(one, 0, 1, 2, 101)}))
	for name, err := range map[string]error{
		"the batch again":       s.Fold(t.Context(), rows[:1], []store.Growth{growth(two, 0, 3)}),
		"a ledger from nothing": s.Fold(t.Context(), rows[1:], []store.Growth{growth(one, 0, 3)}),
		"a ledger's old size":   s.Fold(t.Context(), rows[1:], []store.Growth{growth(one, 2, 3)}),
		"a decision again":      s.Fold(t.Context(), rows[1:], []store.Growth{growth(two, 0, 2)}),
		"one good, one bad":     s.Fold(t.Context(), rows[1:], []store.Growth{growth(two, 0, 3), growth(one, 0, 4)}),
		"no such batch":         s.Fold(t.Context(), []int64{1 << 40}, []store.Growth{growth(two, 0, 3)}),
	} {
		if !errors.Is(err, store.ErrExists) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Ledger(t.Context(), two); !errors.Is(err, store.ErrNotFound) {
		t.Error("what was refused left a ledger:", err)
	}
	unfolded(t, s, 1)
	must(t, s.Fold(t.Context(), rows[1:], []store.Growth{growth(two, 0, 3)}))
	unfolded(t, s, 0)
	s = e.Reopen(t, s)
	checkLedger(t, s, one, two)
	notes(t, s, one, two)
}

func unfolded(t *testing.T, s store.Store, want int) []int64 {
	t.Helper()
	rows, err := s.Unfolded(t.Context(), 0, 10)
	must(t, err)
	if len(rows) != want {
		t.Fatalf("%v are in no ledger, want %d", rows, want)
	}
	return rows
}

func checkLedger(t *testing.T, s store.Store, one, two canon.UUID) {
	t.Helper()
	l, err := s.Ledger(t.Context(), one)
	must(t, err)
	entries, err := s.Entries(t.Context(), one, 1, 5)
	must(t, err)
	if l.Size != 3 || l.Noted != 0 || l.Note != "" || len(entries) != 2 || entries[0].ID != id(2) || entries[1].ID != id(101) {
		t.Fatalf("%+v %+v", l, entries)
	}
	if entries, err := s.Entries(t.Context(), one, 0, 1); err != nil || len(entries) != 1 || entries[0].ID != id(1) {
		t.Error(entries, err)
	}
	if index, err := s.EntryOf(t.Context(), one, id(101)); err != nil || index != 2 {
		t.Error(index, err)
	}
	if _, err := s.EntryOf(t.Context(), two, id(101)); !errors.Is(err, store.ErrNotFound) {
		t.Error("another organisation's entry:", err)
	}
	// A tile that grew is the longer one.
	batches := []store.CommitBatch{batch(one, 3, 7, 8)}
	_, err = s.Commit(t.Context(), batches)
	must(t, err)
	g := growth(one, 3, 7, 8)
	g.Tiles = []store.Tile{{Hashes: []byte{5, 5}}}
	must(t, s.Fold(t.Context(), unfolded(t, s, 1), []store.Growth{g}))
	tile, err := s.Tile(t.Context(), one, 0, 0)
	must(t, err)
	if !bytes.Equal(tile.Hashes, []byte{5, 5}) {
		t.Errorf("%+v", tile)
	}
	if _, err := s.Tile(t.Context(), one, 0, 3); !errors.Is(err, store.ErrNotFound) {
		t.Error("a tile that isn't there:", err)
	}
}

func notes(t *testing.T, s store.Store, one, two canon.UUID) {
	t.Helper()
	if list, err := s.Unnoted(t.Context(), canon.UUID{}, 10); err != nil || len(list) != 2 || list[0].Size != 5 {
		t.Fatalf("%+v %v", list, err)
	}
	if list, err := s.Unnoted(t.Context(), one, 10); err != nil || len(list) != 1 || list[0].Organization != two {
		t.Fatalf("after the first: %+v %v", list, err)
	}
	must(t, s.PutNote(t.Context(), one, 4, "four"))
	must(t, s.PutNote(t.Context(), one, 3, "three")) // older
	must(t, s.PutNote(t.Context(), one, 9, "nine"))  // of leaves that aren't there
	must(t, s.PutNote(t.Context(), two, 1, "one"))
	if list, err := s.Unnoted(t.Context(), canon.UUID{}, 10); err != nil || len(list) != 1 || list[0].Note != "four" || list[0].Noted != 4 {
		t.Fatalf("%+v %v", list, err)
	}
	must(t, s.PutNote(t.Context(), one, 5, "five"))
	if list, err := s.Unnoted(t.Context(), canon.UUID{}, 10); err != nil || len(list) != 0 {
		t.Fatalf("%+v %v", list, err)
	}
}

// partialFolds: a batch stays on the list while one of its decisions waits, and
// gives the others neither twice to a ledger nor to a trail.
func partialFolds(t *testing.T, e Engine) {
	s := e.Open(t)
	one, two := organization(t, s, 1), organization(t, s, 2)
	made := []store.Decision{decided(t, one.ID, 10, 1, id(50), receipt.KindSign, true), decided(t, two.ID, 11, 3, id(51), receipt.KindSign, true), decided(t, one.ID, 12, 1, id(50), receipt.KindSign, true)}
	b := store.CommitBatch{Batch: store.Batch{Instance: digest(202), Number: 1, Signed: []byte{1}}, Decisions: made, Wallets: make([]*store.Wallet, len(made))}
	_, err := s.Commit(t.Context(), []store.CommitBatch{b, batch(one.ID, 2, 3)})
	must(t, err)
	rows := unfolded(t, s, 2)
	left := func(want ...canon.UUID) {
		t.Helper()
		decisions, err := s.DecisionsOf(t.Context(), rows[0])
		must(t, err)
		var got []canon.UUID
		for i := range decisions {
			got = append(got, decisions[i].ID)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v wait, want %v", got, want)
		}
	}
	trail := func(org canon.UUID, want int) {
		t.Helper()
		list, n, err := s.Events(t.Context(), org, store.EventFilter{Kind: store.EventSigned}, store.Page{Limit: 10})
		if err != nil || n != want || len(list) != want {
			t.Fatalf("%d events, %d counted, want %d: %v", len(list), n, want, err)
		}
	}
	must(t, s.Fold(t.Context(), nil, []store.Growth{{Organization: two.ID, Receipts: []canon.UUID{made[1].ID}}}))
	left(made[0].ID, made[2].ID)
	trail(two.ID, 1)
	trail(one.ID, 0)
	if after, err := s.Unfolded(t.Context(), rows[0], 10); err != nil || !slices.Equal(after, rows[1:]) || len(unfolded(t, s, 2)) == 0 {
		t.Fatal(after, err)
	}
	if err := s.Fold(t.Context(), nil, []store.Growth{{Organization: two.ID, From: 1, Receipts: []canon.UUID{made[1].ID}}}); !errors.Is(err, store.ErrExists) {
		t.Error("a decision again:", err)
	}
	must(t, s.Fold(t.Context(), rows[:1], []store.Growth{{Organization: one.ID, Receipts: []canon.UUID{made[0].ID, made[2].ID}}}))
	left()
	trail(one.ID, 2)
	trail(two.ID, 1)
	// Tiles alone are mended; the ledger stays.
	must(t, s.Fold(t.Context(), nil, []store.Growth{{Organization: one.ID, From: 2, Tiles: []store.Tile{{Hashes: []byte{7}}}}}))
	if l, err := s.Ledger(t.Context(), one.ID); err != nil || l.Size != 2 {
		t.Error(l, err)
	}
	if tile, err := s.Tile(t.Context(), one.ID, 0, 0); err != nil || !bytes.Equal(tile.Hashes, []byte{7}) {
		t.Error(tile, err)
	}
	if err := s.Fold(t.Context(), rows[:1], nil); !errors.Is(err, store.ErrExists) {
		t.Error("the batch again:", err)
	}
}

// racingFolds: however many fold at once, each batch is in a ledger once.
func racingFolds(t *testing.T, e Engine) {
	s := e.Open(t)
	org := organization(t, s, 1).ID
	const many = 20
	for i := range byte(many) {
		_, err := s.Commit(t.Context(), []store.CommitBatch{batch(org, uint64(i)+1, i+1)})
		must(t, err)
	}
	var mu sync.Mutex // guards won and lost
	won, lost := 0, 0
	count := func(n *int) { mu.Lock(); *n++; mu.Unlock() }
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				rows, err := s.Unfolded(t.Context(), 0, 1)
				if err != nil || len(rows) == 0 {
					if err != nil {
						t.Error(err)
					}
					return
				}
				size := uint64(0)
				if l, err := s.Ledger(t.Context(), org); err == nil {
					size = l.Size
				}
				decisions, err := s.DecisionsOf(t.Context(), rows[0])
				if err != nil {
					t.Error(err)
					return
				}
				if len(decisions) == 0 { // somebody else was faster
					count(&lost)
					continue
				}
				g := store.Growth{Organization: org, From: size, Receipts: []canon.UUID{decisions[0].ID}}
				switch err := s.Fold(t.Context(), rows, []store.Growth{g}); {
				case err == nil:
					count(&won)
				case errors.Is(err, store.ErrExists):
					count(&lost)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	entries, err := s.Entries(t.Context(), org, 0, 2*many)
	must(t, err)
	if won != many || len(entries) != many {
		t.Errorf("%d folds of %d batches made %d entries", won, many, len(entries))
	}
	t.Logf("%d folds won, %d lost", won, lost)
}

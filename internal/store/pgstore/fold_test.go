package pgstore_test

import (
	"fmt"
	"testing"

	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
)

// A fold waits for the server a few times, not once for each decision: where a
// round trip takes a millisecond, a backlog wouldn't fit into an attempt.
// Without that, the test fails.
func TestFoldOfManyDecisions(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	const decisions, batches = 2000, 20
	asked := func(perInsert int) int {
		s := newScene(t, server, pgstore.Unsafe{})
		if perInsert > 0 {
			s.store.PerInsert = perInsert
		}
		rows, err := s.direct.Unfolded(t.Context(), 0, 10)
		must(t, err)
		must(t, s.direct.Fold(t.Context(), rows, nil)) // the scene's own
		g := store.Growth{Organization: s.org}
		var all []store.CommitBatch
		for i := range batches {
			b := store.CommitBatch{Batch: store.Batch{Instance: [32]byte{2}, Number: uint64(i), Signed: []byte{1}}, Wallets: make([]*store.Wallet, decisions/batches)}
			for j := range decisions / batches {
				d := store.Decision{ID: number(i*batches*10+j, 7), Organization: s.org, KeyID: keyOne, RequestID: number(i*batches*10+j, 8), Leaf: fmt.Append(nil, i, j)}
				b.Decisions, g.Receipts = append(b.Decisions, d), append(g.Receipts, d.ID)
			}
			all = append(all, b)
		}
		_, err = s.direct.Commit(t.Context(), all)
		must(t, err)
		if rows, err = s.direct.Unfolded(t.Context(), 0, 100); err != nil || len(rows) != batches {
			t.Fatal(rows, err)
		}
		for i := range 300 {
			g.Tiles = append(g.Tiles, store.Tile{Index: uint64(i), Hashes: []byte{1}})
		}
		before := s.proxy.count()
		must(t, s.store.Fold(t.Context(), rows, []store.Growth{g}))
		n := s.proxy.count() - before
		if last, err := s.direct.EntryOf(t.Context(), s.org, g.Receipts[decisions-1]); err != nil || last != decisions-1 {
			t.Fatal(last, err)
		}
		return n
	}
	n, canary := asked(0), asked(1)
	t.Logf("%d decisions of %d batches: the server is asked %d times, %d with a statement for each row", decisions, batches, n, canary)
	if n > 30 {
		t.Errorf("a fold of %d decisions asks the server %d times", decisions, n)
	}
	if canary < decisions {
		t.Errorf("the canary asks %d times: nothing is counted", canary)
	}
}

package pgstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/ratelimit"
	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
)

// counted is how often budgets were changed, by their state alone.
func counted(state []byte) uint64 {
	if len(state) == 0 {
		return 0
	}
	return binary.BigEndian.Uint64(state)
}

// Changes of a budget come one after the other, over all connections of two
// control planes, and their clock goes on; what change refuses is left as it
// was; a crash of the server empties budgets, and no more.
func budgets(t *testing.T, server *pgtest.Server) {
	name := migrated(t, server)
	open := func() *pgstore.Store { return open(t, pgstore.Config{DSN: server.DSN("sigil_app", name)}) }
	stores := []*pgstore.Store{open(), open()}
	ids := [][32]byte{{1}, {2}}
	var last [2]time.Time
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for n := range 24 {
				which := n % 2
				err := stores[i%2].ChangeBudget(t.Context(), ids[which], func(state []byte, now time.Time) ([]byte, error) {
					if now.Before(last[which]) { // no lock: the database has one
						t.Errorf("%v comes after %v", now, last[which])
					}
					last[which] = now
					return binary.BigEndian.AppendUint64(nil, counted(state)+1), nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	refusal := errors.New("no")
	for which, id := range ids {
		err := stores[0].ChangeBudget(t.Context(), id, func(state []byte, _ time.Time) ([]byte, error) {
			if counted(state) != 8*24/2 {
				t.Errorf("budget %d was changed %d times", which, counted(state))
			}
			return []byte{1}, refusal
		})
		if !errors.Is(err, refusal) {
			t.Errorf("refused: %v", err)
		}
	}
	server.Kill()
	server.Run()
	found := func() (n uint64) {
		err := stores[1].ChangeBudget(t.Context(), ids[0], func(state []byte, _ time.Time) ([]byte, error) {
			n = counted(state)
			return state, nil
		})
		must(t, err)
		return n
	}
	if n := found(); n != 0 {
		t.Errorf("after a crash: %d", n)
	}
}

var _ ratelimit.Shared = (*pgstore.Store)(nil)

// BenchmarkChangeBudget is what a block of tokens costs.
func BenchmarkChangeBudget(b *testing.B) {
	server := pgtest.Start(b, pgtest.Options{})
	s := open(b, pgstore.Config{DSN: server.DSN("sigil_app", migrated(b, server))})
	for b.Loop() {
		err := s.ChangeBudget(context.Background(), [32]byte{1}, func([]byte, time.Time) ([]byte, error) { return make([]byte, 34), nil })
		if err != nil {
			b.Fatal(err)
		}
	}
}

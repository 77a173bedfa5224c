package workload

import (
	"sync"
	"testing"

	"github.com/sigilkeys/sigil/receipt"
)

// State records that anybody can make up leave no ledger behind; those with a
// signature stay, and only they count.
func TestLedgersWithoutSignature(t *testing.T) {
	l := &ledgers{byKey: map[[32]byte]*ledger{}}
	key := func(i int) [32]byte { return [32]byte{byte(i), byte(i >> 8), byte(i >> 16)} }
	for i := range 2 * maxLedgers {
		_, done, err := l.use(key(i))
		if err != nil {
			t.Fatal(i, err)
		}
		done()
	}
	if len(l.byKey) != 0 {
		t.Errorf("%d ledgers without a signature are remembered", len(l.byKey))
	}

	signed, done, err := l.use(key(1))
	if err != nil {
		t.Fatal(err)
	}
	again, doneAgain, err := l.use(key(1))
	if err != nil || again != signed {
		t.Fatal("two users of one key have two ledgers", err)
	}
	doneAgain()
	if l.byKey[key(1)] != signed {
		t.Fatal("forgotten while it was in use")
	}
	signed.mu.Lock()
	signed.last, signed.note = &receipt.Checkpoint{Size: 1}, "note"
	signed.mu.Unlock()
	done()
	if got, done, err := l.use(key(1)); err != nil || got != signed {
		t.Error("a signed ledger was forgotten", err)
	} else {
		done()
	}

	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for range 200 {
				one, done, err := l.use(key(i % 4))
				if err != nil {
					t.Error(err)
					return
				}
				one.mu.Lock()
				had := one.note != ""
				one.mu.Unlock()
				if had != (i%4 == 1) {
					t.Error("a made-up ledger has a signature, or the signed one lost it")
				}
				done()
			}
		})
	}
	all.Wait()
	if len(l.byKey) != 1 {
		t.Errorf("%d ledgers", len(l.byKey))
	}
}

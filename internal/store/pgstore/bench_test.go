package pgstore_test

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
)

// BenchmarkCommit reports time per decision, flush included, by how many
// decisions share a batch. The server runs beside it.
func BenchmarkCommit(b *testing.B) {
	server := pgtest.Start(b, pgtest.Options{})
	s := open(b, pgstore.Config{DSN: server.DSN("sigil_app", migrated(b, server))})
	number := uint64(0)
	for _, size := range []int{1, 8, 64, 512} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			leaf := make([]byte, 600)
			for b.Loop() {
				number++
				c := store.CommitBatch{Batch: store.Batch{Instance: [32]byte{1}, Number: number, Signed: leaf[:300], Hashes: make([][32]byte, size)}, Wallets: make([]*store.Wallet, size)}
				for range size {
					id, err := canon.NewOrderedUUID(time.Now(), rand.Reader)
					if err != nil {
						b.Fatal(err)
					}
					c.Decisions = append(c.Decisions, store.Decision{ID: id, KeyID: keyOne, RequestID: id, Leaf: leaf, Result: leaf[:132]})
				}
				if _, err := s.Commit(b.Context(), []store.CommitBatch{c}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*size), "us/decision")
		})
	}
}

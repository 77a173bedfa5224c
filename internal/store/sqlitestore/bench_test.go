package sqlitestore_test

import (
	"crypto/rand"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCommit reports CPU per decision, flush included, by how many
// decisions share a batch.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := openBench(b)
			leaf, proof := make([]byte, 600), make([]byte, 300)
			number := uint64(0)
			batch := func() store.CommitBatch {
				number++
				c := store.CommitBatch{Batch: store.Batch{Instance: [32]byte{1}, Number: number, Signed: proof, Hashes: make([][32]byte, size)}, Wallets: make([]*store.Wallet, size)}
				for range size {
					id, err := canon.NewOrderedUUID(time.Now(), rand.Reader)
					if err != nil {
						b.Fatal(err)
					}
					request, err := canon.NewOrderedUUID(time.Now(), rand.Reader)
					if err != nil {
						b.Fatal(err)
					}
					c.Decisions = append(c.Decisions, store.Decision{ID: id, KeyID: "000102030405060708090a0b0c0d0e0f", RequestID: request, Leaf: leaf, Result: leaf[:132]})
				}
				return c
			}
			before := cpu(b)
			for b.Loop() {
				if _, err := s.Commit(b.Context(), []store.CommitBatch{batch()}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N*size), "cpu-us/decision")
		})
	}
}

package pgstore_test

import (
	"crypto/rand"
	"fmt"
	"sync/atomic"
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

// BenchmarkRead reads what the path of a signature reads, alone and by several
// goroutines for many organisations.
func BenchmarkRead(b *testing.B) {
	server := pgtest.Start(b, pgtest.Options{})
	s := open(b, pgstore.Config{DSN: server.DSN("sigil_app", migrated(b, server))})
	const orgs, each = 50, 20
	var wallets []*store.Wallet
	for n := range orgs {
		org := canon.UUID{byte(n), 15: 1}
		if err := s.CreateOrganization(b.Context(), &store.Organization{ID: org, Genesis: []byte{1}, Digest: [32]byte{byte(n)}, State: []byte{1}, Created: time.Unix(1, 0)}); err != nil {
			b.Fatal(err)
		}
		c := store.CommitBatch{Batch: store.Batch{Instance: [32]byte{1}, Number: uint64(n), Signed: []byte{1}}}
		for i := range each {
			w := &store.Wallet{Organization: org, ID: canon.UUID{byte(n), byte(i), 15: 1}, Record: make([]byte, 1800), Created: time.Unix(int64(i), 0)}
			c.Decisions = append(c.Decisions, store.Decision{ID: w.ID, Organization: org, KeyID: keyOne, RequestID: w.ID, Leaf: make([]byte, 600)})
			c.Wallets = append(c.Wallets, w)
		}
		if _, err := s.Commit(b.Context(), []store.CommitBatch{c}); err != nil {
			b.Fatal(err)
		}
		wallets = append(wallets, c.Wallets...)
	}
	reads := map[string]func(w *store.Wallet) error{
		"wallet":   func(w *store.Wallet) error { _, err := s.Wallet(b.Context(), w.Organization, w.ID); return err },
		"decision": func(w *store.Wallet) error { _, err := s.DecisionByRequest(b.Context(), keyOne, w.ID); return err },
		"wallets": func(w *store.Wallet) error {
			_, _, err := s.Wallets(b.Context(), w.Organization, store.WalletFilter{Archived: store.Live}, store.Page{Limit: 10})
			return err
		},
	}
	for name, read := range reads {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if err := read(wallets[i*7%len(wallets)]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+", many", func(b *testing.B) {
			b.SetParallelism(8)
			var next atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := read(wallets[int(next.Add(7))%len(wallets)]); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

package sqlitestore_test

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

// BenchmarkWallets lists one page of few and of many wallets, by each filter.
func BenchmarkWallets(b *testing.B) {
	for _, size := range []int{1_000, 100_000} {
		s := openBench(b)
		org := canon.UUID{1}
		if err := s.CreateOrganization(b.Context(), &store.Organization{ID: org, Genesis: []byte{1}, State: []byte{1}, Created: time.Unix(1, 0)}); err != nil {
			b.Fatal(err)
		}
		fill(b, s, org, size)
		for _, c := range []struct {
			name string
			f    store.WalletFilter
			p    store.Page
		}{
			{"live", store.WalletFilter{Archived: store.Live}, store.Page{Limit: 50}},
			{"live, far page", store.WalletFilter{Archived: store.Live}, store.Page{Limit: 50, Offset: size / 2}},
			{"archived", store.WalletFilter{Archived: store.Archived}, store.Page{Limit: 50}},
			{"label", store.WalletFilter{Archived: store.Live, LabelPrefix: "wallet-00000"}, store.Page{Limit: 50}},
			{"address", store.WalletFilter{Archived: store.Live, Address: "0x000077"}, store.Page{Limit: 50}},
			{"created", store.WalletFilter{Archived: store.Live, After: time.Unix(100, 0), Before: time.Unix(200, 0)}, store.Page{Limit: 50}},
		} {
			b.Run(fmt.Sprintf("%d/%s", size, c.name), func(b *testing.B) {
				for b.Loop() {
					list, total, err := s.Wallets(b.Context(), org, c.f, c.p)
					if err != nil || len(list) == 0 || total < len(list) {
						b.Fatal(len(list), total, err)
					}
				}
			})
		}
	}
}

// fill makes wallets a second apart; every thousandth is archived.
func fill(b *testing.B, s store.Store, org canon.UUID, size int) {
	record := make([]byte, 1800)
	now := time.Unix(5, 0)
	for i := 0; i < size; i += 500 {
		c := store.CommitBatch{Batch: store.Batch{Instance: [32]byte{2}, Number: uint64(i), Signed: record[:1]}}
		for j := i; j < i+500; j++ {
			id, err := canon.NewUUID(rand.Reader)
			if err != nil {
				b.Fatal(err)
			}
			c.Decisions = append(c.Decisions, store.Decision{ID: id, Organization: org, KeyID: "00", RequestID: id, Leaf: record[:1]})
			c.Wallets = append(c.Wallets, &store.Wallet{Organization: org, ID: id, Record: record, Label: fmt.Sprintf("wallet-%06d", j), Created: time.Unix(int64(j), 0),
				Addresses: []string{fmt.Sprintf("0x%06d", j), fmt.Sprintf("S%d", j)}})
		}
		if _, err := s.Commit(b.Context(), []store.CommitBatch{c}); err != nil {
			b.Fatal(err)
		}
		if err := s.SetWallet(b.Context(), org, c.Wallets[0].ID, store.WalletChange{Archived: &now}); err != nil {
			b.Fatal(err)
		}
	}
}

package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

// labelled stores wallets with labels and addresses, a second apart.
func labelled(t *testing.T, s store.Store, org canon.UUID, number uint64, labels ...string) []canon.UUID {
	t.Helper()
	b := store.CommitBatch{Batch: store.Batch{Instance: digest(201), Number: number, Signed: []byte{byte(number)}}}
	var ids []canon.UUID
	for i, label := range labels {
		w := canon.UUID{byte(number), byte(i), 15: 9}
		ids = append(ids, w)
		b.Batch.Hashes = append(b.Batch.Hashes, digest(byte(i)))
		b.Decisions = append(b.Decisions, store.Decision{ID: w, Organization: org, KeyID: keyID(1), RequestID: w, Leaf: []byte{1}, ResultKind: 2})
		b.Wallets = append(b.Wallets, &store.Wallet{Organization: org, ID: w, Record: []byte{byte(i)}, Label: label, Receipt: w, Created: at(int64(i)),
			Addresses: []string{fmt.Sprintf("0x%d", i), fmt.Sprintf("S%d", i)}})
	}
	_, err := s.Commit(t.Context(), []store.CommitBatch{b})
	must(t, err)
	return ids
}

// Filters leave what they say, in order of creation, with the count of all.
func findWallets(t *testing.T, e Engine) {
	s := e.Open(t)
	one, two := organization(t, s, 1), organization(t, s, 2)
	ids := labelled(t, s, one.ID, 1, "deposit-1", "deposit-2", "", "dep", "de\xff", "deq", "Deposit", "deposit-\x00", "\xff\xff", "de%")
	labelled(t, s, two.ID, 2, "deposit-1")
	now := at(100)
	must(t, s.SetWallet(t.Context(), one.ID, ids[1], store.WalletChange{Archived: &now}))
	s = e.Reopen(t, s)
	for name, c := range map[string]struct {
		f     store.WalletFilter
		p     store.Page
		want  []int
		total int
	}{
		"all":               {store.WalletFilter{}, store.Page{Limit: 20}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 10},
		"live":              {store.WalletFilter{Archived: store.Live}, store.Page{Limit: 20}, []int{0, 2, 3, 4, 5, 6, 7, 8, 9}, 9},
		"archived":          {store.WalletFilter{Archived: store.Archived}, store.Page{Limit: 20}, []int{1}, 1},
		"a page":            {store.WalletFilter{Archived: store.Live}, store.Page{Limit: 2, Offset: 1}, []int{2, 3}, 9},
		"beyond":            {store.WalletFilter{}, store.Page{Limit: 2, Offset: 10}, nil, 10},
		"prefix":            {store.WalletFilter{LabelPrefix: "deposit-"}, store.Page{Limit: 20}, []int{0, 1, 7}, 3},
		"prefix, live":      {store.WalletFilter{LabelPrefix: "dep", Archived: store.Live}, store.Page{Limit: 20}, []int{0, 3, 7}, 3},
		"a byte":            {store.WalletFilter{LabelPrefix: "de\xff"}, store.Page{Limit: 20}, []int{4}, 1},
		"the last bytes":    {store.WalletFilter{LabelPrefix: "\xff"}, store.Page{Limit: 20}, []int{8}, 1},
		"no pattern":        {store.WalletFilter{LabelPrefix: "de%"}, store.Page{Limit: 20}, []int{9}, 1},
		"address":           {store.WalletFilter{Address: "0x3"}, store.Page{Limit: 20}, []int{3}, 1},
		"another's":         {store.WalletFilter{Address: "0x99"}, store.Page{Limit: 20}, nil, 0},
		"archived, address": {store.WalletFilter{Address: "S1", Archived: store.Live}, store.Page{Limit: 20}, nil, 0},
		"after":             {store.WalletFilter{After: at(7)}, store.Page{Limit: 20}, []int{8, 9}, 2},
		"before":            {store.WalletFilter{Before: at(2)}, store.Page{Limit: 20}, []int{0, 1}, 2},
		"between":           {store.WalletFilter{After: at(1), Before: at(4), LabelPrefix: "d"}, store.Page{Limit: 20}, []int{3}, 1},
	} {
		list, total, err := s.Wallets(t.Context(), one.ID, c.f, c.p)
		must(t, err)
		var got []int
		for _, w := range list {
			got = append(got, slices.Index(ids, w.ID))
		}
		if !slices.Equal(got, c.want) || total != c.total {
			t.Errorf("%s: %v of %d, want %v of %d", name, got, total, c.want, c.total)
		}
	}
}

func changeWallets(t *testing.T, e Engine) {
	s := e.Open(t)
	one, two := organization(t, s, 1), organization(t, s, 2)
	w := labelled(t, s, one.ID, 1, "old")[0]
	label, when, never := "new \x00\xff", at(50), time.Time{}
	must(t, s.SetWallet(t.Context(), one.ID, w, store.WalletChange{Label: &label, Archived: &when}))
	if err := s.SetWallet(t.Context(), two.ID, w, store.WalletChange{Label: &label}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("wallet of another organisation: %v", err)
	}
	if err := s.SetWallet(t.Context(), one.ID, id(9), store.WalletChange{Archived: &when}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no such wallet: %v", err)
	}
	s = e.Reopen(t, s)
	got, err := s.Wallet(t.Context(), one.ID, w)
	must(t, err)
	if got.Label != label || !got.Archived.Equal(when) || string(got.Record) != "\x00" {
		t.Errorf("%+v", got)
	}
	must(t, s.SetWallet(t.Context(), one.ID, w, store.WalletChange{Archived: &never}))
	if got, err = s.Wallet(t.Context(), one.ID, w); err != nil || !got.Archived.IsZero() || got.Label != label {
		t.Errorf("%+v %v", got, err)
	}
	// Nothing waits for its addresses; putting them again is no error.
	if list, err := s.Unaddressed(t.Context(), 10); err != nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
	got.Addresses = []string{"0x0", "later"}
	must(t, s.PutAddresses(t.Context(), []store.Wallet{*got}))
	if list, _, err := s.Wallets(t.Context(), one.ID, store.WalletFilter{Address: "later"}, store.Page{Limit: 1}); err != nil || len(list) != 1 {
		t.Errorf("%+v %v", list, err)
	}
}

package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/receipt"
)

// decided is a decision with a leaf of its own: at a second, by a key, on a
// wallet.
func decided(t *testing.T, org canon.UUID, sec int64, key byte, wallet canon.UUID, kind receipt.Kind, allowed bool) store.Decision {
	t.Helper()
	l := receipt.Leaf{ID: canon.UUID{byte(sec), key, 15: 7}, Kind: kind, Decision: receipt.Allow, Auth: receipt.AuthSignature, Freshness: receipt.FreshnessNone,
		Organization: org, Wallet: wallet, Reason: receipt.ReasonAllowed, OutputDigest: digest(1), Network: "base", Time: uint64(at(sec).UnixMicro())}
	if !allowed {
		l.Decision, l.Reason, l.OutputDigest = receipt.Deny, "policy_network", [32]byte{}
	}
	record, err := l.Encode()
	must(t, err)
	return store.Decision{ID: l.ID, Organization: org, KeyID: keyID(key), RequestID: l.ID, Leaf: record, ResultKind: 1}
}

// fold commits decisions as a batch and folds it.
func fold(t *testing.T, s store.Store, number, from uint64, decisions ...store.Decision) {
	t.Helper()
	b := store.CommitBatch{Batch: store.Batch{Instance: digest(202), Number: number, Signed: []byte{1}}, Decisions: decisions, Wallets: make([]*store.Wallet, len(decisions))}
	_, err := s.Commit(t.Context(), []store.CommitBatch{b})
	must(t, err)
	rows, err := s.Unfolded(t.Context(), 0, 10)
	must(t, err)
	byOrg := map[canon.UUID]*store.Growth{}
	for _, d := range decisions {
		g := byOrg[d.Organization]
		if g == nil {
			g = &store.Growth{Organization: d.Organization, From: from}
			byOrg[d.Organization] = g
		}
		g.Receipts = append(g.Receipts, d.ID)
	}
	var list []store.Growth
	for _, g := range byOrg {
		list = append(list, *g)
	}
	must(t, s.Fold(t.Context(), rows, list))
}

// Events are there once, with what was committed or folded, newest first.
func audit(t *testing.T, e Engine) {
	s := e.Open(t)
	one, two := organization(t, s, 1), organization(t, s, 2)
	must(t, s.CreateGrant(t.Context(), grant(one, 1)))
	must(t, s.CreateGrant(t.Context(), grant(one, 2)))
	for range 2 { // again is no event
		must(t, s.Revoke(t.Context(), &store.Revocation{Organization: one.ID, Grant: digest(2), Envelope: []byte("r"), At: at(30)}))
	}
	fold(t, s, 1, 0, decided(t, one.ID, 10, 1, id(50), receipt.KindSign, true), decided(t, two.ID, 11, 3, id(51), receipt.KindSign, true),
		decided(t, one.ID, 12, 2, id(50), receipt.KindSign, false), decided(t, one.ID, 13, 1, id(52), receipt.KindCreateWallet, true))
	s = e.Reopen(t, s)
	yes, no := true, false
	all := []int64{30, 13, 12, 10, 2, 1, 0}
	for name, c := range map[string]struct {
		f     store.EventFilter
		p     store.Page
		want  []int64 // seconds
		total int
	}{
		"all":               {store.EventFilter{}, store.Page{Limit: 20}, all, 7},
		"a page":            {store.EventFilter{}, store.Page{Limit: 2, Offset: 1}, all[1:3], 7},
		"signed":            {store.EventFilter{Kind: store.EventSigned}, store.Page{Limit: 20}, []int64{12, 10}, 2},
		"denied":            {store.EventFilter{Success: &no}, store.Page{Limit: 20}, []int64{12}, 1},
		"done":              {store.EventFilter{Success: &yes, Kind: store.EventSigned}, store.Page{Limit: 20}, []int64{10}, 1},
		"wallets":           {store.EventFilter{Kind: store.EventWalletCreated}, store.Page{Limit: 20}, []int64{13}, 1},
		"keys":              {store.EventFilter{Kind: store.EventKeyCreated}, store.Page{Limit: 20}, []int64{2, 1}, 2},
		"revoked":           {store.EventFilter{Kind: store.EventKeyRevoked}, store.Page{Limit: 20}, []int64{30}, 1},
		"organisation":      {store.EventFilter{Kind: store.EventOrganizationCreated}, store.Page{Limit: 20}, []int64{0}, 1},
		"by wallet":         {store.EventFilter{Wallet: id(50)}, store.Page{Limit: 20}, []int64{12, 10}, 2},
		"by key":            {store.EventFilter{KeyID: keyID(2)}, store.Page{Limit: 20}, []int64{30, 12, 2}, 3},
		"by key and wallet": {store.EventFilter{KeyID: keyID(1), Wallet: id(50)}, store.Page{Limit: 20}, []int64{10}, 1},
		"since":             {store.EventFilter{Since: at(12)}, store.Page{Limit: 20}, []int64{30, 13, 12}, 3},
		"until":             {store.EventFilter{Until: at(2)}, store.Page{Limit: 1}, []int64{1}, 2},
		"another's wallet":  {store.EventFilter{Wallet: id(51)}, store.Page{Limit: 20}, nil, 0},
	} {
		list, total, err := s.Events(t.Context(), one.ID, c.f, c.p)
		must(t, err)
		var got []int64
		for _, ev := range list {
			got = append(got, int64(ev.At.Sub(at(0))/time.Second))
		}
		if !slices.Equal(got, c.want) || total != c.total {
			t.Errorf("%s: %v of %d, want %v of %d", name, got, total, c.want, c.total)
		}
	}
	list, _, err := s.Events(t.Context(), one.ID, store.EventFilter{Success: &no}, store.Page{Limit: 1})
	must(t, err)
	if ev := list[0]; ev.ID != (canon.UUID{12, 2, 15: 7}) || ev.KeyID != keyID(2) || ev.Wallet != id(50) || ev.Network != "base" || ev.Code != "policy_network" || ev.Organization != one.ID {
		t.Errorf("%+v", ev)
	}
	if n, err := s.AuditOlder(t.Context(), 10); n != 0 || err != nil {
		t.Errorf("%d batches wait: %v", n, err)
	}
}

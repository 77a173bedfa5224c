package stack_test

import (
	"fmt"
	"testing"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/stack"
)

// The main job: an organisation, a key, a wallet, a signature on each curve.
func TestMainJob(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	owner := s.NewOwner()
	token := s.NewKey(owner, nil)
	var w api.Wallet
	s.Do(s.Request(token, "POST", "/v1/s2s/wallets", `{"label":"treasury"}`), 201, &w)
	if w.Label != "treasury" || len(w.Addresses) < 20 || w.Addresses["linea"] != "" || w.Addresses["bitcoin"] == "" {
		t.Fatalf("%+v", w)
	}
	for _, network := range []string{"base", "solana"} {
		var sig api.Signature
		s.Do(s.Request(token, "POST", "/v1/s2s/sign", fmt.Sprintf(`{"wallet_id":%q,"network":%q,"message":"audit-log-2026-06"}`, w.ID, network)), 200, &sig)
		r, err := receipt.DecodeReceipt(sig.Receipt.Proof)
		if err != nil {
			t.Fatal(err)
		}
		leaf, _, err := r.Open()
		if err != nil || leaf.Network != network {
			t.Fatal(err)
		}
		var stored api.Receipt
		s.Do(s.Request(token, "GET", "/v1/receipts/"+sig.Receipt.ID, ""), 200, &stored)
		t.Log(sig.Signature, string(stored.Leaf))
	}
	var list api.List[api.Wallet]
	s.Do(s.Request(token, "GET", "/v1/s2s/wallets?limit=10", ""), 200, &list)
	if list.Total != 1 || list.Items[0].ID != w.ID {
		t.Fatalf("%+v", list)
	}
}

// The first batch under renewed evidence comes with that evidence archived.
func TestRenewedEvidence(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	token := s.NewKey(s.NewOwner(), nil)
	var w api.Wallet
	s.Do(s.Request(token, "POST", "/v1/s2s/wallets", `{}`), 201, &w)
	seen := map[string]bool{}
	for range 3 {
		var sig api.Signature
		s.Do(s.Request(token, "POST", "/v1/s2s/sign", fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"m"}`, w.ID)), 200, &sig)
		var e api.Attestation
		s.Do(s.Request(token, "GET", "/v1/attestation/"+sig.Receipt.Evidence, ""), 200, &e)
		if e.Evidence.ID != sig.Receipt.Evidence || seen[e.Evidence.ID] {
			t.Fatal("evidence isn't the renewed one")
		}
		seen[e.Evidence.ID] = true
		if err := s.Workload.RenewEvidence(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

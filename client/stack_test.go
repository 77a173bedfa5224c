package client_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/clienttest"
	teststack "github.com/sigilkeys/sigil/test/stack"
)

// TestWholeStack runs the SDK against the real control plane and workload,
// then patches the control plane on the wire.
func TestWholeStack(t *testing.T) {
	var alter atomic.Pointer[func(path string, data map[string]any)]
	st := teststack.Start(t, teststack.Options{WrapHandler: func(next http.Handler) http.Handler {
		return clienttest.Rewrite(next, func(path string, data map[string]any) {
			if f := alter.Load(); f != nil {
				(*f)(path, data)
			}
		})
	}})
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tee := st.TEEReference()
	tee.Issuer = st.Cloud.Info().IssuerURL
	admin := must(client.NewAdmin(client.AdminConfig{BaseURL: st.API.URL, Keys: []ed25519.PrivateKey{key}}))(t)
	org := must(admin.CreateOrganization(t.Context(), client.NewOrganization{Name: "Acme", Quorum: 1, TEEs: []client.TEE{tee},
		Admins: []client.AdminKey{{Name: "root", PublicKey: hex.EncodeToString(key[32:])}}}))(t)
	expires := time.Now().Add(time.Hour)
	k := must(admin.CreateKey(t.Context(), org.Genesis, org.StateKey, client.NewKey{Name: "backend", Wallets: all(), Networks: []string{"base", "solana"}, Methods: all(), Expires: expires}, nil))(t)
	c := must(client.New(client.Config{BaseURL: st.API.URL, SecretKey: k.Reveal()}))(t)
	wallet := must(c.Wallets().Create(t.Context(), client.NewWallet{Label: "treasury"}))(t)
	second := must(c.Wallets().Create(t.Context(), client.NewWallet{IdempotencyKey: "w-2"}))(t)
	request := client.SignRequest{WalletID: wallet.ID, Network: "base", Message: "audit-log-2026-06"}

	first := must(c.Sign(t.Context(), request))(t)
	sol := request
	sol.Network, sol.Format = "solana", "solana-offchain-v0"
	must(c.Sign(t.Context(), sol))(t)
	must(c.Receipt(t.Context(), first.Receipt.ID))(t)
	must(c.Attestation(t.Context()))(t)
	if page := must(c.Wallets().List(t.Context(), 1, 1))(t); page.Total != 2 || len(page.Items) != 1 {
		t.Errorf("%+v", page)
	}
	if keys := must(admin.Keys(t.Context(), org.Genesis))(t); len(keys) != 1 {
		t.Error(keys)
	}
	if _, err := must(c.Bundle(t.Context(), first))(t).Verify(org.GenesisDigest); err != nil {
		t.Error(err)
	}
	again := must(c.Wallets().Create(t.Context(), client.NewWallet{IdempotencyKey: "w-2"}))
	if w := again(t); w.ID != second.ID || !w.Verified.Replayed {
		t.Errorf("%+v", w)
	}
	denied := request
	denied.Network = "polygon"
	var e *client.APIError
	if _, err := c.Sign(t.Context(), denied); !errors.As(err, &e) || e.Code != "policy_network" || e.Receipt == nil {
		t.Error(err)
	}
	patched := map[client.Code]func(path string, d map[string]any){
		client.CodeSignature:        func(_ string, d map[string]any) { d["signature"] = "0x" + hex.EncodeToString(make([]byte, 65)) },
		client.CodeResponseMismatch: func(_ string, d map[string]any) { d["network"] = "ethereum" },
		client.CodeReceiptMismatch:  func(_ string, d map[string]any) { d["receipt"] = ref(first) },
	}
	for code, f := range patched {
		g := func(path string, d map[string]any) {
			if path == "/v1/s2s/sign" {
				f(path, d)
			}
		}
		alter.Store(&g)
		var v *client.VerificationError
		if _, err := c.Sign(t.Context(), request); !errors.As(err, &v) || v.Code != code {
			t.Errorf("%s: %v", code, err)
		}
	}
	alter.Store(nil)
	if err := admin.Revoke(t.Context(), org.Genesis, k.GrantDigest, "test"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sign(t.Context(), request); !errors.As(err, &e) || e.Code != "invalid_key" {
		t.Error(err)
	}
}

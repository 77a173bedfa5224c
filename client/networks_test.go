package client_test

import (
	"testing"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/networks"
	teststack "github.com/sigilkeys/sigil/test/stack"
)

// TestEveryNetwork signs a message on each network that there is, through the
// whole stack, and verifies it.
func TestEveryNetwork(t *testing.T) {
	st := teststack.Start(t, teststack.Options{})
	c := must(client.New(client.Config{BaseURL: st.API.URL, SecretKey: st.NewKey(st.NewOwner(), nil).Reveal(), Now: st.Now}))(t)
	w := must(c.Wallets().Create(t.Context(), client.NewWallet{}))(t)
	registry := must(networks.New())(t)
	for _, n := range registry.List() {
		signed, err := c.Sign(t.Context(), client.SignRequest{WalletID: w.ID, Network: n.Slug, Message: "audit-log-2026-06"})
		if err != nil || signed.Address != w.Addresses[n.Listed()] || signed.Address == "" {
			t.Errorf("%s: %+v, %v", n.Slug, signed, err)
		}
	}
	if n := len(registry.List()); n < 90 {
		t.Errorf("%d networks", n)
	}
}

package client_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/authority"
	teststack "github.com/sigilkeys/sigil/test/stack"
)

// Batches, labels and the archive through the SDK, against the whole stack.
func TestBatchesAndWallets(t *testing.T) {
	st := teststack.Start(t, teststack.Options{})
	token := st.NewKey(st.NewOwner(), func(g *authority.Grant) { g.Policy.Networks = []string{"base"} })
	c := must(client.New(client.Config{BaseURL: st.API.URL, SecretKey: token.Reveal()}))(t)
	var list []client.NewWallet
	for i := range 12 {
		list = append(list, client.NewWallet{Label: fmt.Sprintf("deposit-%d", i)})
	}
	list[3].Label = "a\nb"
	made := must(c.Wallets().CreateMany(t.Context(), list, "w-1"))(t)
	again := must(c.Wallets().CreateMany(t.Context(), list, "w-1"))(t)
	for i := range made {
		switch {
		case i == 3:
			var e *client.APIError
			if !errors.As(made[i].Err, &e) || e.Code != "invalid_argument" || made[i].Wallet != nil {
				t.Errorf("item 3: %+v", made[i])
			}
		case made[i].Err != nil || again[i].Err != nil:
			t.Errorf("item %d: %v %v", i, made[i].Err, again[i].Err)
		case made[i].Wallet.ID != again[i].Wallet.ID || !again[i].Wallet.Verified.Replayed || made[i].Wallet.Verified.Replayed:
			t.Errorf("item %d: %+v, again %+v", i, made[i].Wallet.Verified, again[i].Wallet.Verified)
		}
	}
	one, two := made[0].Wallet.ID, made[1].Wallet.ID
	items := []client.SignRequest{{WalletID: one, Network: "base", Message: "a"}, {WalletID: two, Network: "solana", Message: "b"}, {WalletID: two, Network: "base", MessageBytes: []byte{1, 2}}}
	out := must(c.SignBatch(t.Context(), items, ""))(t)
	var denied *client.APIError
	if out[0].Err != nil || out[2].Err != nil || !errors.As(out[1].Err, &denied) || denied.Code != "policy_network" || denied.Receipt == nil {
		t.Errorf("%v %v %v", out[0].Err, out[1].Err, out[2].Err)
	}
	must(c.Bundle(t.Context(), out[0].Result))(t)
	for name, call := range map[string]func() error{
		"no items": func() error { _, err := c.SignBatch(t.Context(), nil, ""); return err },
		"too many": func() error {
			_, err := c.Wallets().CreateMany(t.Context(), make([]client.NewWallet, 1001), "")
			return err
		},
		"an item's own key": func() error {
			_, err := c.SignBatch(t.Context(), []client.SignRequest{{WalletID: one, IdempotencyKey: "x"}}, "")
			return err
		},
		"too large": func() error {
			_, err := c.SignBatch(t.Context(), []client.SignRequest{{WalletID: one, Network: "base", Message: strings.Repeat("x", 64<<10)}}, "")
			return err
		},
	} {
		var bad *client.ArgumentError
		if err := call(); !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
	}

	if w := must(c.Wallets().Label(t.Context(), one, "treasury & co"))(t); w.Label != "treasury & co" {
		t.Errorf("%+v", w)
	}
	if w := must(c.Wallets().Archive(t.Context(), two, true))(t); w.Status != "archived" {
		t.Errorf("%+v", w)
	}
	for f, want := range map[client.WalletFilter]int{
		{}: 10, {LabelPrefix: "treasury &"}: 1, {Archived: "true"}: 1, {Archived: "all"}: 11, {Address: made[4].Wallet.Addresses["base"]}: 1,
		{After: made[4].Wallet.CreatedAt, Before: made[4].Wallet.CreatedAt}: 0,
	} {
		if page := must(c.Wallets().Find(t.Context(), f, 200, 0))(t); page.Total != want || len(page.Items) != want {
			t.Errorf("%+v finds %d", f, page.Total)
		}
	}
	var refused *client.APIError
	if _, err := c.Sign(t.Context(), client.SignRequest{WalletID: two, Network: "base", Message: "a"}); !errors.As(err, &refused) || refused.Code != "wallet_archived" {
		t.Errorf("signed with an archived wallet: %v", err)
	}
}

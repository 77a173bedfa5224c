package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/client"
)

func TestForward(t *testing.T) {
	s := newStack(t)
	c := s.client(t, s.secret)
	sign := fmt.Sprintf(`{ "network":"base", "message":"hi", "wallet_id":%q }`, s.wallet.ID)
	res := must(c.Sign(t.Context(), s.request()))(t)
	for _, r := range []struct {
		method, path, query, body string
		verified                  bool
	}{
		{"POST", "/v1/s2s/sign", "", sign, true},
		{"POST", "/v1/s2s/wallets", "", `{"label":"x"}`, true},
		{"GET", "/v1/s2s/wallets", "limit=2", "", true},
		{"GET", "/v1/s2s/wallets/" + s.wallet.ID, "", "", true},
		{"GET", "/v1/receipts/" + res.Receipt.ID, "", "", true},
		{"GET", "/v1/s2s/credential", "", "", false},
	} {
		f, err := c.Forward(t.Context(), r.method, r.path, r.query, []byte(r.body), "")
		if err != nil || f.Verified != r.verified || !json.Valid(f.Data) {
			t.Errorf("%s %s: %v", r.method, r.path, err)
		}
	}
	var e *client.APIError
	if _, err := c.Forward(t.Context(), "POST", "/v1/s2s/sign", "", []byte(`{"wallet_id"`), ""); !errors.As(err, &e) || e.Status != 400 {
		t.Error(err)
	}
	digest := fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"%s","message_encoding":"hex"}`, s.wallet.ID, strings.Repeat("00", 32))
	if _, err := c.Forward(t.Context(), "POST", "/v1/s2s/sign", "", []byte(digest), ""); !errors.As(err, &e) || e.Receipt == nil {
		t.Error(err)
	}
	var bad *client.ArgumentError
	for _, path := range []string{"", "/healthz", "/v1/a b", "/v1/%41", "/v1/x\n"} {
		if _, err := c.Forward(t.Context(), "GET", path, "", nil, ""); !errors.As(err, &bad) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestForwardAttacks(t *testing.T) {
	s := newStack(t)
	c := s.client(t, s.secret)
	first := must(c.Sign(t.Context(), s.request()))(t)
	other := must(c.Wallets().Create(t.Context(), client.NewWallet{}))(t)
	sign := fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"hi"}`, s.wallet.ID)
	for _, a := range []struct {
		method, path, body string
		edit               func(d map[string]any)
		code               client.Code
	}{
		{"POST", "/v1/s2s/sign", sign, func(d map[string]any) { d["signature"] = first.Signature }, client.CodeSignature},
		{"POST", "/v1/s2s/sign", sign, func(d map[string]any) { d["receipt"] = ref(first) }, client.CodeReceiptMismatch},
		{"POST", "/v1/s2s/wallets", `{}`, func(d map[string]any) { d["receipt"] = ref(first) }, client.CodeReceiptMismatch},
		{"GET", "/v1/s2s/wallets/" + s.wallet.ID, "", func(d map[string]any) {
			d["id"], d["certificate"] = other.ID, other.Certificate
			delete(d, "addresses")
			delete(d, "public_keys")
		}, client.CodeResponseMismatch},
		{"GET", "/v1/receipts/" + first.Receipt.ID, "", func(d map[string]any) { d["proof"] = "AAAA" }, client.CodeReceiptInvalid},
		{"GET", "/v1/s2s/wallets", "", func(d map[string]any) {
			d["items"].([]any)[0].(map[string]any)["addresses"] = map[string]any{"base": "0x00"}
		}, client.CodeResponseMismatch},
	} {
		s.rewrite(a.path, a.edit)
		_, err := c.Forward(t.Context(), a.method, a.path, "", []byte(a.body), "")
		var v *client.VerificationError
		if !errors.As(err, &v) || v.Code != a.code {
			t.Errorf("%s %s: %v, want %s", a.method, a.path, err, a.code)
		}
	}
}

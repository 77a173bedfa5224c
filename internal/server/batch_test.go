package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/policy"
)

const signBatch, bulk = "/v1/s2s/sign/batch", "/v1/s2s/wallets/bulk"

// keyed is a signed request with an Idempotency-Key.
func (s *scene) keyed(t *testing.T, token *authority.Token, path, key, body string) *http.Request {
	t.Helper()
	req := s.Request(token, "POST", path, body)
	h, err := authority.ParseSignatureHeaders(req.Header)
	if err != nil {
		t.Fatal(err)
	}
	r := authority.Request{Method: "POST", Path: path, Body: []byte(body), Created: h.Created, ID: h.ID, IdempotencyKey: key}
	if req.Header, err = r.Sign(token.RequestKey()); err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	return req
}

func outline(b *api.Batch) string {
	var out []string
	for _, it := range b.Items {
		s := fmt.Sprint(it.Status)
		if it.Error != nil {
			s += " " + string(it.Error.Code)
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

// What is wrong with one item is that item's alone.
func TestSignBatch(t *testing.T) {
	s := newScene(t)
	item := func(wallet, network, message string) string {
		return fmt.Sprintf(`{"wallet_id":%q,"network":%q,"message":%q}`, wallet, network, message)
	}
	other, err := canon.ParseUUID("7f0c1c52-0a53-4b0e-8c49-6d6f3f7e0a11")
	if err != nil {
		t.Fatal(err)
	}
	body := `{"items":[` + strings.Join([]string{
		item(s.wallet.ID, "base", "one"), item(s.wallet.ID, "dogecoin", "two"), item(other.String(), "base", "three"), `{"wallet_id":7}`, `null`,
		strings.Replace(item(s.wallet.ID, "base", strings.Repeat("ab", 32)), "}", `,"message_encoding":"hex"}`, 1), item(s.wallet.ID, "solana", "seven"), `{"wallet_id":"` + s.wallet.ID + `","network":"base","message":"x","memo":1}`,
	}, ",") + `]}`
	const want = "200, 400 unknown_network, 404 wallet_not_found, 400 invalid_argument, 400 invalid_argument, 403 message_is_digest, 200, 400 unknown_field"
	var first, again api.Batch
	s.Do(s.keyed(t, s.token, signBatch, "order-1", body), 200, &first)
	if got := outline(&first); got != want {
		t.Errorf("%s\n%s", got, want)
	}
	if string(first.Items[5].Error.Details) == "" {
		t.Error("a denial without its receipt")
	}
	// The same Idempotency-Key in a fresh request: the same answers, and
	// another message in a place is refused there.
	s.Do(s.keyed(t, s.token, signBatch, "order-1", strings.Replace(body, `"seven"`, `"eight"`, 1)), 200, &again)
	if string(again.Items[0].Data) != string(first.Items[0].Data) || string(again.Items[5].Error.Details) != string(first.Items[5].Error.Details) ||
		again.Items[6].Error == nil || again.Items[6].Error.Code != api.CodeIdempotencyConflict {
		t.Errorf("%s", outline(&again))
	}
	// One of all that a single request has signed before isn't in the way.
	s.Do(s.keyed(t, s.token, "/v1/s2s/sign", "order-1", item(s.wallet.ID, "base", "another")), 200, nil)

	for name, c := range map[string]struct {
		req  *http.Request
		want api.Code
	}{
		"no items":       {s.Request(s.token, "POST", signBatch, `{"items":[]}`), api.CodeInvalidArgument},
		"too many":       {s.Request(s.token, "POST", signBatch, `{"items":[`+strings.Repeat("1,", 100)+`1]}`), api.CodeInvalidArgument},
		"an item alone":  {s.Request(s.token, "POST", signBatch, item(s.wallet.ID, "base", "one")), api.CodeUnknownField},
		"query":          {s.Request(s.token, "POST", signBatch+"?x=1", body), api.CodeInvalidArgument},
		"another's key":  {s.forged(t, body), api.CodeSignatureInvalid},
		"expired":        {s.Request(s.NewKey(s.owner, func(g *authority.Grant) { g.NotBefore, g.Expires = 1, s.Now().Unix()-1 }), "POST", signBatch, body), api.CodeKeyExpired},
		"duplicate name": {s.Request(s.token, "POST", signBatch, `{"items":[{"network":"a","network":"b"}]}`), api.CodeDuplicateField},
	} {
		s.refused(t, name, c.req, c.want)
	}
	narrow := s.NewKey(s.owner, func(g *authority.Grant) {
		g.Policy = policy.Policy{Wallets: []string{"*"}, Networks: []string{"solana"}, Methods: []string{"signMessage"}}
	})
	var b api.Batch
	s.Do(s.Request(narrow, "POST", signBatch, `{"items":[`+item(s.wallet.ID, "base", "one")+","+item(s.wallet.ID, "solana", "two")+`]}`), 200, &b)
	if got := outline(&b); got != "403 policy_network, 200" {
		t.Error(got)
	}
}

// forged is a batch with a signature by another key.
func (s *scene) forged(t *testing.T, body string) *http.Request {
	req, other := s.Request(s.token, "POST", signBatch, body), s.Request(s.stranger, "POST", signBatch, body)
	req.Header["Signature"] = other.Header["Signature"]
	return req
}

func TestBulkWallets(t *testing.T) {
	s := newScene(t)
	var items []string
	for i := range 20 {
		items = append(items, fmt.Sprintf(`{"label":"deposit-%02d"}`, i))
	}
	items[7] = `{"label":"` + strings.Repeat("x", 101) + `"}`
	body := `{"items":[` + strings.Join(items, ",") + `]}`
	req := s.Request(s.token, "POST", bulk, body)
	made := func(req *http.Request) []api.Wallet {
		t.Helper()
		var b api.Batch
		s.Do(req, 200, &b)
		out := make([]api.Wallet, len(b.Items))
		for i, it := range b.Items {
			if i == 7 {
				if it.Error == nil || it.Error.Code != api.CodeInvalidArgument {
					t.Errorf("item 7: %s", outline(&b))
				}
				continue
			}
			if it.Status != 201 || json.Unmarshal(it.Data, &out[i]) != nil || out[i].Label != fmt.Sprintf("deposit-%02d", i) {
				t.Errorf("item %d: %d %s %v", i, it.Status, it.Data, it.Error)
			}
		}
		return out
	}
	first := made(req)
	again := made(copied(req, body))
	ids := map[string]bool{}
	for i := range first {
		ids[first[i].ID] = true
		if first[i].ID != again[i].ID || i != 7 && first[i].Receipt.ID != again[i].Receipt.ID {
			t.Errorf("item %d: another wallet for the same request", i)
		}
	}
	var list api.List[api.Wallet]
	s.Do(s.Request(s.token, "GET", "/v1/s2s/wallets", ""), 200, &list)
	if len(ids) != 20 || list.Total != 19+1 {
		t.Errorf("%d ids, %d wallets", len(ids), list.Total)
	}
	keyed := made(s.keyed(t, s.token, bulk, "batch-1", body))
	for i, w := range made(s.keyed(t, s.token, bulk, "batch-1", body)) {
		if w.ID != keyed[i].ID {
			t.Errorf("item %d: another wallet for the same Idempotency-Key", i)
		}
	}
}

func copied(r *http.Request, body string) *http.Request {
	again := r.Clone(r.Context())
	again.Body, again.ContentLength = http.NoBody, int64(len(body))
	again.Body, _ = r.GetBody()
	return again
}

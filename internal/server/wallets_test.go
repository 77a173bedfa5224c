package server_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/policy"
)

// Labels and the archive are kept by the control plane: the list follows, and
// an archived wallet isn't signed with.
func TestLabelAndArchive(t *testing.T) {
	s := newScene(t)
	at := "/v1/s2s/wallets/" + s.wallet.ID
	sign := fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"hi"}`, s.wallet.ID)
	s.Do(s.Request(s.token, "POST", "/v1/s2s/sign", sign), 200, nil)
	var w api.Wallet
	s.Do(s.Request(s.token, "PATCH", at, `{"label":"treasury"}`), 200, &w)
	if w.Label != "treasury" || w.Status != "active" || w.ArchivedAt != nil {
		t.Errorf("%+v", w)
	}
	s.Do(s.Request(s.token, "PATCH", at, `{"archived":true}`), 200, &w)
	if w.Label != "treasury" || w.Status != "archived" || w.ArchivedAt == nil {
		t.Errorf("%+v", w)
	}
	s.refused(t, "signing with it", s.Request(s.token, "POST", "/v1/s2s/sign", sign), api.CodeWalletArchived)
	var b api.Batch
	s.Do(s.Request(s.token, "POST", signBatch, `{"items":[`+sign+`]}`), 200, &b)
	if outline(&b) != "409 wallet_archived" {
		t.Error(outline(&b))
	}
	for query, want := range map[string]int{"": 0, "?archived=false": 0, "?archived=true": 1, "?archived=all": 1} {
		if got := s.find(query); len(got) != want {
			t.Errorf("%q finds %d", query, len(got))
		}
	}
	s.Do(s.Request(s.token, "PATCH", at, `{"archived":false,"label":""}`), 200, &w)
	if w.Label != "" || w.Status != "active" {
		t.Errorf("%+v", w)
	}
	s.Do(s.Request(s.token, "POST", "/v1/s2s/sign", sign), 200, nil)

	reader := s.NewKey(s.owner, toRead)
	narrow := s.NewKey(s.owner, func(g *authority.Grant) {
		g.Policy = policy.Policy{Wallets: []string{s.owner.Genesis.OrganizationID.String()}, Networks: []string{"*"}, Methods: []string{"*"}}
	})
	s.refused(t, "by a key to read", s.Request(reader, "PATCH", at, `{"archived":true}`), api.CodeKeyReadOnly)
	s.refused(t, "by a key for another wallet", s.Request(narrow, "PATCH", at, `{"archived":true}`), api.CodePolicyWallet)
	s.refused(t, "by another organisation", s.Request(s.stranger, "PATCH", at, `{"archived":true}`), api.CodeWalletNotFound)
	s.refused(t, "nothing", s.Request(s.token, "PATCH", at, `{}`), api.CodeInvalidArgument)
	s.refused(t, "a long label", s.Request(s.token, "PATCH", at, `{"label":"`+strings.Repeat("x", 101)+`"}`), api.CodeInvalidArgument)
	s.refused(t, "a control character", s.Request(s.token, "PATCH", at, `{"label":"a\u0000"}`), api.CodeInvalidArgument)
	if got := s.find(""); len(got) != 1 || got[0].Status != "active" {
		t.Errorf("%+v", got)
	}
}

// What was signed before a wallet was archived is answered as it was, and
// nothing else is signed on the strength of it.
func TestArchivedWalletRepeats(t *testing.T) {
	s := newScene(t)
	body := func(message string) string {
		return fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":%q}`, s.wallet.ID, message)
	}
	items := func(messages ...string) string {
		var all []string
		for _, m := range messages {
			all = append(all, body(m))
		}
		return `{"items":[` + strings.Join(all, ",") + `]}`
	}
	const sign = "/v1/s2s/sign"
	first := s.keyed(t, s.token, sign, "S", body("hi"))
	again := s.Request(s.token, "POST", sign, body("unkeyed"))
	var before, after, unkeyed api.Signature
	var batch api.Batch
	s.Do(first, 200, &before)
	s.Do(again, 200, &unkeyed)
	s.Do(s.keyed(t, s.token, signBatch, "B", items("one")), 200, &batch)
	one := string(batch.Items[0].Data)
	s.Do(s.Request(s.token, "PATCH", "/v1/s2s/wallets/"+s.wallet.ID, `{"archived":true}`), 200, nil)

	s.Do(s.keyed(t, s.token, sign, "S", body("hi")), 200, &after)
	if after.Signature != before.Signature || after.Receipt.ID != before.Receipt.ID {
		t.Errorf("under the same key: %+v, before %+v", after, before)
	}
	again.Body, _ = again.GetBody()
	if s.Do(again, 200, &after); after.Receipt.ID != unkeyed.Receipt.ID {
		t.Errorf("the very same request: %+v, before %+v", after, unkeyed)
	}
	s.Do(s.keyed(t, s.token, signBatch, "B", items("one", "two")), 200, &batch)
	if outline(&batch) != "200, 409 wallet_archived" || string(batch.Items[0].Data) != one {
		t.Errorf("a batch with one more item: %s", outline(&batch))
	}
	s.refused(t, "another body under the key", s.keyed(t, s.token, sign, "S", body("ho")), api.CodeIdempotencyConflict)
	s.refused(t, "another key", s.keyed(t, s.token, sign, "T", body("hi")), api.CodeWalletArchived)
	s.refused(t, "no key", s.Request(s.token, "POST", sign, body("hi")), api.CodeWalletArchived)
	s.refused(t, "another caller's key", s.keyed(t, s.NewKey(s.owner, nil), sign, "S", body("hi")), api.CodeWalletArchived)
}

func (s *scene) find(query string) []api.Wallet {
	var list api.List[api.Wallet]
	s.Do(s.Request(s.token, "GET", "/v1/s2s/wallets"+query, ""), 200, &list)
	return list.Items
}

func TestFindWallets(t *testing.T) {
	s := newScene(t)
	var deposit api.Wallet
	s.Do(s.Request(s.token, "POST", "/v1/s2s/wallets", `{"label":"deposit-1"}`), 201, &deposit)
	then := url.QueryEscape(deposit.CreatedAt.Format(time.RFC3339Nano))
	for query, want := range map[string][]string{
		"?label_prefix=dep":                                      {deposit.ID},
		"?label_prefix=Dep":                                      {},
		"?address=" + deposit.Addresses["base"]:                  {deposit.ID},
		"?address=" + strings.ToLower(deposit.Addresses["base"]): {deposit.ID},
		"?address=" + deposit.Addresses["solana"]:                {deposit.ID},
		"?address=" + s.wallet.Addresses["solana"] + "&limit=1":  {s.wallet.ID},
		"?address=0x00":                                          {},
		"?created_before=" + then:                                {s.wallet.ID},
		"?created_after=" + url.QueryEscape("2026-01-01T00:00:00Z") + "&label_prefix=d": {deposit.ID},
		"?created_after=" + then: {},
	} {
		var got []string
		for _, w := range s.find(query) {
			got = append(got, w.ID)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	for _, query := range []string{"?archived=yes", "?archived=", "?label=x", "?created_after=yesterday", "?created_before=1", "?label_prefix=%ff", "?label_prefix=%00",
		"?address=a%20b", "?address=" + strings.Repeat("x", 129), "?limit=0", "?limit=1&limit=2", "?archived=true&archived=false"} {
		s.refused(t, query, s.Request(s.token, "GET", "/v1/s2s/wallets"+query, ""), api.CodeInvalidArgument)
	}
}

package server_test

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/ledger"
	"github.com/sigilkeys/sigil/internal/policy"
)

// What happened is found again, with the receipt of each decision.
func TestAudit(t *testing.T) {
	s := newScene(t)
	sign := fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"hi"}`, s.wallet.ID)
	var signed api.Signature
	s.Do(s.Request(s.token, "POST", "/v1/s2s/sign", sign), 200, &signed)
	s.Do(s.Request(s.token, "POST", "/v1/s2s/sign", fmt.Sprintf(`{"wallet_id":%q,"network":"base","transaction":%q}`, s.wallet.ID,
		"0x02ef82210507830f42408405f5e100825208945aaeb6053f3e94c9b9a09f33669435e7ef1beaed872386f26fc1000080c0")), 200, nil)
	narrow := s.NewKey(s.owner, func(g *authority.Grant) {
		g.Policy = policy.Policy{Wallets: []string{"*"}, Networks: []string{"solana"}, Methods: []string{"signMessage"}}
	})
	s.refused(t, "denied", s.Request(narrow, "POST", "/v1/s2s/sign", sign), api.CodePolicyNetwork)
	s.Do(s.Request(s.stranger, "POST", "/v1/s2s/wallets", `{}`), 201, nil)
	if err := (&ledger.Sequencer{Store: s.Store, Signer: s.Fleet, Log: slog.New(slog.DiscardHandler)}).Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := "/v1/orgs/" + s.owner.Genesis.OrganizationID.String() + "/audit"
	list := func(query string) []api.AuditEvent {
		t.Helper()
		var l api.List[api.AuditEvent]
		s.Do(s.Request(s.token, "GET", path+query, ""), 200, &l)
		if l.Total != len(l.Items) {
			t.Errorf("%s: %d of %d", query, len(l.Items), l.Total)
		}
		return l.Items
	}
	key := authority.KeyID(narrow.PublicKey())
	const kinds = "message.signed transaction.signed wallet.created api_key.created org.created"
	for query, want := range map[string]string{
		"?event_type=message.signed":              "message.signed, message.signed",
		"?success=false":                          "message.signed",
		"?success=true&event_type=message.signed": "message.signed",
		"?event_type=transaction.signed":          "transaction.signed",
		"?event_type=wallet.created":              "wallet.created",
		"?event_type=org.created":                 "org.created",
		"?event_type=api_key.revoked":             "",
		"?wallet_id=" + s.wallet.ID:               "message.signed, transaction.signed, message.signed, wallet.created",
		"?key_id=" + key:                          "message.signed, api_key.created",
		"?until=2020-01-01T00:00:00Z":             "",
		"?since=" + url.QueryEscape(s.Now().Add(time.Hour).Format(time.RFC3339)): "",
	} {
		var got []string
		ids := map[string]bool{}
		for _, e := range list(query) {
			got = append(got, e.EventType)
			ids[e.ID] = true
			if !strings.Contains(kinds, e.EventType) || e.OrganizationID != s.owner.Genesis.OrganizationID.String() || s.Now().Sub(e.Timestamp) > time.Minute {
				t.Errorf("%+v", e)
			}
			if decision := e.ActorType == "api_key"; decision != (e.ReceiptID != "") || decision != (e.WalletID != "") || e.Success != (e.ErrorCode == "") {
				t.Errorf("%+v", e)
			}
		}
		if strings.Join(got, ", ") != want || len(ids) != len(got) {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
	denied := list("?success=false")[0]
	if denied.ErrorCode != "policy_network" || denied.KeyID != key || denied.ActorID != key || denied.Network != "base" {
		t.Errorf("%+v", denied)
	}
	var r api.Receipt
	s.Do(s.Request(s.token, "GET", "/v1/receipts/"+denied.ReceiptID, ""), 200, &r)
	if e := list("?success=true&event_type=message.signed")[0]; e.ReceiptID != signed.Receipt.ID {
		t.Errorf("%+v", e)
	}
	s.refused(t, "another organisation's", s.Request(s.stranger, "GET", path, ""), api.CodeOrganizationNotFound)
	for _, query := range []string{"?event_type=x", "?success=1", "?wallet_id=x", "?key_id=" + strings.ToUpper(key), "?key_id=ab", "?since=x", "?actor=x", "?limit=201"} {
		s.refused(t, query, s.Request(s.token, "GET", path+query, ""), api.CodeInvalidArgument)
	}
}

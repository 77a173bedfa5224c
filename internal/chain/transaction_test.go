package chain_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
)

// TestIntentJSON: receipts name intents by their digest, so the text of one
// can't change.
func TestIntentJSON(t *testing.T) {
	n := &chain.Network{Slug: "base"}
	const sha256 = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"
	e := &chain.Effects{Nonce: "7", FeeMax: "0", Actions: []chain.Action{{Kind: chain.ActionTransfer, Asset: chain.AssetNative, To: "0x01", Amount: "5"}}, Flags: []string{"b", "a", "b"}}
	for want, intent := range map[string]chain.Intent{
		`{"kind":"message","network":"base","format":"eip191","length":2,"sha256":"` + sha256 + `"}`: chain.MessageIntent(n, "eip191", []byte("hi")),
		`{"kind":"transaction","network":"base","format":"evm-eip1559","length":2,"sha256":"` + sha256 + `","effects":{"nonce":"7","fee_max":"0",` +
			`"actions":[{"kind":"transfer","asset":"native","to":"0x01","amount":"5"}],"flags":["a","b"]}}`: chain.TransactionIntent(n, "evm-eip1559", []byte("hi"), e),
		`{"kind":"transaction","network":"base","format":"x","length":2,"sha256":"` + sha256 + `","effects":{"nonce":"","fee_max":"","actions":[],"flags":[]}}`: chain.TransactionIntent(n, "x", []byte("hi"), &chain.Effects{}),
	} {
		if got, err := canon.EncodeJSON(&intent); err != nil || string(got) != want {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
}

// TestUnruled: what isn't known to be ruled isn't.
func TestUnruled(t *testing.T) {
	for kinds, want := range map[string]string{
		"": chain.ActionOpaque, "transfer": "", "transfer token_transfer approve revoke wrap unwrap": "", "transfer opaque": chain.ActionOpaque,
		"authorize burn close create_account freeze memo mint setup stake unstake": "", "memo unresolved": chain.ActionUnresolved,
		"deploy": chain.ActionDeploy, "transfer delegate opaque": chain.ActionDelegate, "transfer call": "call", "Transfer": "Transfer",
	} {
		e := &chain.Effects{}
		for kind := range strings.FieldsSeq(kinds) {
			e.Actions = append(e.Actions, chain.Action{Kind: kind})
		}
		a, unruled := e.Unruled()
		if unruled != (want != "") || unruled && a.Kind != want {
			t.Errorf("%q: %q, %v", kinds, a.Kind, unruled)
		}
	}
}

type withTransactions struct{ chain.Codec }

func (withTransactions) Transaction(*chain.Network, []byte, string) (*chain.Prepared, error) {
	return nil, chain.Refuse(chain.CodeInvalid, "none")
}

func TestPayloads(t *testing.T) {
	n := &chain.Network{Codec: struct{ chain.Codec }{}}
	if _, ok := n.Transactor(); ok || !slices.Equal(n.Payloads(), []string{"message"}) {
		t.Errorf("without transactions: %q", n.Payloads())
	}
	n.Codec = withTransactions{}
	if _, ok := n.Transactor(); !ok || !slices.Equal(n.Payloads(), []string{"message", "transaction"}) {
		t.Errorf("with transactions: %q", n.Payloads())
	}
}

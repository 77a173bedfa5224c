package attack

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/base58"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/internal/workload"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/stack"
)

const transferOnBase = "0x02ef82210507830f42408405f5e100825208945aaeb6053f3e94c9b9a09f33669435e7ef1beaed872386f26fc1000080c0"

// TestTransactionsAreDecidedInTheTEE plays a host that hands requests straight
// to the workload, signed by a credential that its owner has given all there
// is: what isn't understood yields a denial, and what isn't a transaction of
// the network nothing at all. "*" of an older grant isn't enough for any.
func TestTransactionsAreDecidedInTheTEE(t *testing.T) {
	s := newScene(t, stack.Options{})
	body := func(network, transaction string) string {
		return fmt.Sprintf(`{"wallet_id":%q,"network":%q,"transaction":%q}`, s.one.ID, network, transaction)
	}
	whole := s.NewKey(s.owner, nil)
	star := s.NewKey(s.owner, func(g *authority.Grant) { g.Policy.Methods = []string{"*"} })
	messages := s.NewKey(s.owner, func(g *authority.Grant) { g.Policy.Methods = []string{"signMessage"} })
	ask := func(token *authority.Token, body string) string { return s.askTransaction(t, token, body) }
	if got := ask(whole, body("base", transferOnBase)); got != receipt.ReasonAllowed {
		t.Fatal("canary: a transfer under a grant that names the method:", got)
	}
	for name, c := range map[string]struct {
		token      *authority.Token
		body, want string
	}{
		"star":             {star, body("base", transferOnBase), "policy_method"},
		"messages alone":   {messages, body("base", transferOnBase), "policy_method"},
		"another network":  {whole, body("ethereum", transferOnBase), "transaction_other_network"},
		"its test network": {whole, body("base-sepolia", transferOnBase), "transaction_other_network"},
		"another family":   {whole, body("solana", transferOnBase), "transaction_invalid"},
		"continued":        {whole, body("base", transferOnBase+"00"), "transaction_invalid"},
		"cut":              {whole, body("base", transferOnBase[:len(transferOnBase)-2]), "transaction_invalid"},
		"a digest":         {whole, body("base", "0x"+strings.Repeat("ab", 32)), "transaction_invalid"},
		"and a message":    {whole, strings.Replace(body("base", transferOnBase), "}", `,"message":"hi"}`, 1), "invalid_argument"},
		"neither":          {whole, strings.Replace(body("base", transferOnBase), "transaction", "typed", 1), "malformed_json"},
	} {
		if got := ask(c.token, c.body); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	data, err := os.ReadFile("../../internal/chain/evm/testdata/transactions.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Name, Network string
		Unsigned      string `json:"unsigned_tx"`
		Actions       []struct{ Kind string }
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	denied := map[string]int{}
	for _, e := range list {
		for _, a := range e.Actions {
			if e.Network != "evm:1" || a.Kind != "opaque" && a.Kind != "deploy" && a.Kind != "delegate" {
				continue
			}
			if got := ask(whole, body("ethereum", e.Unsigned)); got != "transaction_opaque" {
				t.Errorf("%s: %q", e.Name, got)
			}
			denied[a.Kind]++
		}
	}
	if denied["opaque"] < 10 || denied["deploy"] == 0 || denied["delegate"] == 0 {
		t.Errorf("denied %v", denied)
	}
}

// TestTradesNeedTheOwnersWord hands the workload every recorded call of a
// router: it signs permits, and no trade that the owner hasn't accepted by the
// function that is called, a router's calls of itself as a whole.
func TestTradesNeedTheOwnersWord(t *testing.T) {
	s := newScene(t, stack.Options{})
	data, err := os.ReadFile("../../internal/chain/evm/testdata/routers.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Name, Calldata string
		Unsigned       string `json:"unsigned_tx"`
		Actions        []chain.Action
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	accept := func(function string) func(*authority.Grant) {
		return func(g *authority.Grant) {
			g.Policy.Accept = []policy.Acceptance{{Kind: policy.AcceptCall, Network: "ethereum", Contract: "0xc1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1", Function: function}}
		}
	}
	const single = "exactInputSingle((address,address,uint24,address,uint256,uint256,uint160))"
	whole, pool, many := s.NewKey(s.owner, nil), s.NewKey(s.owner, accept(single)), s.NewKey(s.owner, accept("multicall(bytes[])"))
	reasons := map[*authority.Token]map[string]int{whole: {}, pool: {}, many: {}}
	for _, e := range list {
		unruled, refused := (&chain.Effects{Actions: e.Actions}).Unruled()
		for key, selector := range map[*authority.Token]string{whole: "none", pool: "0x04e45aaf", many: "0xac9650d8"} {
			want := receipt.ReasonAllowed
			if refused && !strings.HasPrefix(e.Calldata, selector) {
				want = "transaction_opaque"
			}
			got := s.askTransaction(t, key, fmt.Sprintf(`{"wallet_id":%q,"network":"ethereum","transaction":%q}`, s.one.ID, e.Unsigned))
			if got != want && (unruled.Kind != chain.ActionOpaque || got != "transaction_opaque") { // which a word for well-formed calls may not cover
				t.Errorf("%s: %q, want %q", e.Name, got, want)
			}
			reasons[key][got]++
		}
	}
	if reasons[whole][receipt.ReasonAllowed] < 10 || reasons[pool][receipt.ReasonAllowed] < 14 || reasons[many][receipt.ReasonAllowed] < 25 || reasons[whole]["transaction_opaque"] < 90 {
		t.Errorf("%v", reasons)
	}
}

// askTransaction hands a request straight to the workload and returns the
// reason of its decision, or the code of its refusal. A denial tells what was
// decoded, and signs nothing.
func (s *scene) askTransaction(t *testing.T, token *authority.Token, body string) string {
	t.Helper()
	return s.askFor(t, token, body, "signTransaction")
}

// askFor has the workload decide by the method, and returns the code of its
// refusal or the reason in the receipt.
func (s *scene) askFor(t *testing.T, token *authority.Token, body, method string) string {
	t.Helper()
	out, err := s.straight(t, token, workload.PathSign, body)
	if err != nil {
		return code(err)
	}
	l, err := receipt.DecodeLeaf(out.Item().Leaf)
	if err != nil {
		t.Fatal(err)
	}
	if signed := out.Item().ResultKind != teelink.ResultNone; signed != (l.Decision == receipt.Allow) || l.Method != method || l.IntentDigest == [32]byte{} {
		t.Errorf("%s: %+v", body, l)
	}
	return l.Reason
}

// TestSolanaTransactionsAreDecidedInTheTEE hands the workload every recorded
// instruction with the wallet as its signer: it signs those that it
// understands, and none that names an account of a lookup table, gives the
// wallet's address away or isn't understood.
func TestSolanaTransactionsAreDecidedInTheTEE(t *testing.T) {
	s := newScene(t, stack.Options{})
	whole := s.NewKey(s.owner, nil)
	own, err := base58.Decode(s.one.Addresses["solana"], 32)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("../../internal/chain/solana/testdata/instructions.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Name        string        `json:"name"`
		Transaction []byte        `json:"transaction"`
		Effects     chain.Effects `json:"effects"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	recorded := []byte("me" + strings.Repeat(".", 30)) // who signs there
	decided := map[string]int{}
	for _, e := range list {
		want := receipt.ReasonAllowed
		kind := "understood"
		if a, unruled := e.Effects.Unruled(); unruled {
			want, kind = "transaction_opaque", a.Kind
		}
		text := base64.StdEncoding.EncodeToString(bytes.ReplaceAll(e.Transaction, recorded, own))
		if got := s.askTransaction(t, whole, fmt.Sprintf(`{"wallet_id":%q,"network":"solana","transaction":%q}`, s.one.ID, text)); got != want {
			t.Errorf("%s: %q, want %q", e.Name, got, want)
		}
		decided[kind]++
	}
	if decided["understood"] < 60 || decided[chain.ActionOpaque] < 20 || decided[chain.ActionUnresolved] < 50 || decided[chain.ActionDelegate] < 2 {
		t.Errorf("decided %v", decided)
	}
	for name, bad := range map[string][]byte{
		"another signs": list[0].Transaction, "cut": bytes.ReplaceAll(list[0].Transaction, recorded, own)[:100],
		"continued": append(bytes.ReplaceAll(list[0].Transaction, recorded, own), 0),
	} {
		if got := s.askTransaction(t, whole, fmt.Sprintf(`{"wallet_id":%q,"network":"solana","transaction":%q}`, s.one.ID, base64.StdEncoding.EncodeToString(bad))); got != "transaction_invalid" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestLongTypes: a denial that has much to quote is a denial with a receipt,
// and the link lives on.
func TestLongTypes(t *testing.T) {
	s := newScene(t, stack.Options{})
	token := s.NewKey(s.owner, func(g *authority.Grant) { g.Policy.Methods = []string{"signTypedData"} })
	var members, values []string
	for i := range 100 {
		name := fmt.Sprint(strings.Repeat("m", 80), i)
		members, values = append(members, fmt.Sprintf(`{"name":%q,"type":"uint8"}`, name)), append(values, fmt.Sprintf(`%q:1`, name))
	}
	body := fmt.Sprintf(`{"wallet_id":%q,"network":"base","typed_data":{"types":{"EIP712Domain":[{"name":"chainId","type":"uint256"}],"Mail":[%s]},"primaryType":"Mail","domain":{"chainId":8453},"message":{%s}}}`,
		s.one.ID, strings.Join(members, ","), strings.Join(values, ","))
	for range 2 {
		if got := s.askFor(t, token, body, "signTypedData"); got != "transaction_opaque" {
			t.Fatal(got)
		}
	}
}

package evm_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/internal/typeddata"
)

// preset is a network as builds know it.
func preset(t *testing.T, slug string) *chain.Network {
	t.Helper()
	list := evm.Networks()
	i := slices.IndexFunc(list, func(n chain.Network) bool { return n.Slug == slug })
	if i < 0 {
		t.Fatalf("there is no %s", slug)
	}
	return &list[i]
}

// evaluate decides by a policy that allows the networks and all else.
func evaluate(t *testing.T, n *chain.Network, p *chain.Prepared, networks []string, accepted ...policy.Acceptance) string {
	t.Helper()
	rules := &policy.Policy{Wallets: []string{policy.Any}, Networks: networks, Accept: accepted,
		Methods: []string{policy.MethodSignMessage, policy.MethodSignTransaction, policy.MethodSignTypedData, policy.MethodSignUserOperation}}
	if err := rules.Check(); err != nil {
		t.Fatal(err)
	}
	r := p.Request(n)
	r.Wallet = canon.UUID{1}
	return policy.Evaluate(rules, r).Reason
}

// TestUnbound: what names no network is good on others, and the policy must
// say so: for messages on a test network the main one, for documents all.
func TestUnbound(t *testing.T) {
	const contract = "0x00000000000000000000000000000000000000aa"
	document := func(domain, values, kind, members, message string) string {
		return fmt.Sprintf(`{"types":{"EIP712Domain":[%s],%q:[%s]},"primaryType":%[2]q,"domain":{%[4]s},"message":{%[5]s}}`, domain, kind, members, values, message)
	}
	const (
		named   = `{"name":"chainId","type":"uint256"},{"name":"verifyingContract","type":"address"}`
		unnamed = `{"name":"verifyingContract","type":"address"}`
		member  = `{"name":"text","type":"string"}`
	)
	at := `"verifyingContract":"` + contract + `"`
	bound := document(named, `"chainId":11155111,`+at, "Mail", member, `"text":"hi"`)
	anywhere := document(unnamed, at, "Mail", member, `"text":"hi"`)
	var safeMembers, safeValues string
	for i, m := range [][2]string{{"to", "address"}, {"value", "uint256"}, {"data", "bytes"}, {"operation", "uint8"}, {"safeTxGas", "uint256"}, {"baseGas", "uint256"}, {"gasPrice", "uint256"},
		{"gasToken", "address"}, {"refundReceiver", "address"}, {"nonce", "uint256"}} {
		comma := ","[:min(i, 1)]
		safeMembers += fmt.Sprintf(`%s{"name":%q,"type":%q}`, comma, m[0], m[1])
		safeValues += fmt.Sprintf(`%s%q:%s`, comma, m[0], map[string]string{"address": `"` + contract + `"`, "uint256": "1", "uint8": "1", "bytes": `"0x"`}[m[1]])
	}
	safe := document(unnamed, at, "SafeTx", safeMembers, safeValues)
	rule := func(network, kind string) policy.Acceptance {
		return policy.Acceptance{Kind: policy.AcceptTypedData, Network: network, Contract: contract, Type: kind}
	}
	const mail = "Mail(string text)"
	all := []string{policy.Any}
	for _, c := range []struct {
		name, network, doc string // "" is a message
		networks           []string
		accepted           []policy.Acceptance
		want               string
	}{
		{"message, a test network alone", "sepolia", "", []string{"sepolia"}, nil, policy.ReasonNetwork},
		{"message, the main one as well", "sepolia", "", []string{"sepolia", "ethereum"}, nil, policy.ReasonAllowed},
		{"message, a main network", "base", "", []string{"base"}, nil, policy.ReasonAllowed},
		{"canary: a document for its chain", "sepolia", bound, []string{"sepolia"}, []policy.Acceptance{rule("sepolia", mail)}, policy.ReasonAllowed},
		{"for any, one network", "sepolia", anywhere, []string{"sepolia"}, []policy.Acceptance{rule("sepolia", mail), rule("ethereum", mail)}, policy.ReasonNetwork},
		{"for any, two networks", "sepolia", anywhere, []string{"sepolia", "ethereum"}, []policy.Acceptance{rule("sepolia", mail), rule("ethereum", mail)}, policy.ReasonNetwork},
		{"for any, accepted for one", "sepolia", anywhere, all, []policy.Acceptance{rule("sepolia", mail)}, policy.ReasonOpaque},
		{"for any, accepted for both", "sepolia", anywhere, all, []policy.Acceptance{rule("sepolia", mail), rule("ethereum", mail)}, policy.ReasonAllowed},
		{"an old Safe's delegatecall", "ethereum", safe, all, []policy.Acceptance{rule("ethereum", encodedType(t, safe))}, policy.ReasonOpaque},
	} {
		n := preset(t, c.network)
		text := "hi"
		payload := &chain.Payload{Text: &text}
		if c.doc != "" {
			payload = &chain.Payload{TypedData: []byte(c.doc)}
		}
		p, err := payload.Prepare(n, owner(t))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := evaluate(t, n, p, c.networks, c.accepted...); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func encodedType(t *testing.T, doc string) string {
	t.Helper()
	d, err := typeddata.Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return d.EncodedType
}

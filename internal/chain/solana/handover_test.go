package solana

import (
	"encoding/base64"
	"reflect"
	"testing"

	"github.com/sigilkeys/sigil/internal/base58"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/policy"
)

func decide(t *testing.T, m *message, accepted ...policy.Acceptance) policy.Decision {
	t.Helper()
	n, me := Networks()[0], known("me")
	p, err := Codec{}.Transaction(&n, me[:], base64.StdEncoding.EncodeToString(m.encode()))
	if err != nil {
		t.Fatal(err)
	}
	rules := &policy.Policy{Wallets: []string{policy.Any}, Networks: []string{"solana"}, Methods: []string{policy.MethodSignTransaction}, Accept: accepted}
	if err := rules.Check(); err != nil {
		t.Fatal(err)
	}
	r := p.Request(&n)
	r.Wallet = canon.UUID{1}
	return policy.Evaluate(rules, r)
}

// TestHandingOver: the wallet's own address goes to the program that an owner
// accepted and to no other, however it is asked for; the canaries are
// instructions after which it is a wallet's as before.
func TestHandingOver(t *testing.T) {
	to := func(program string) policy.Acceptance {
		k := known(program)
		return policy.Acceptance{Kind: policy.AcceptDelegate, Network: "solana", Contract: base58.Encode(k[:])}
	}
	for name, c := range map[string]struct {
		call     call
		accepted []policy.Acceptance
		want     policy.Outcome
	}{
		"assigned":                    {call{"system", "me:sw", data(u(1), "good")}, nil, policy.Deny},
		"assigned, accepted":          {call{"system", "me:sw", data(u(1), "good")}, []policy.Acceptance{to("good")}, policy.Allow},
		"assigned to another":         {call{"system", "me:sw", data(u(1), "evil")}, []policy.Acceptance{to("good")}, policy.Deny},
		"by the System program":       {call{"system", "me:sw", data(u(1), "evil")}, []policy.Acceptance{to("system")}, policy.Deny},
		"made for a program":          {call{"system", "payer:sw me:sw", data(u(0), 5, 0, "evil")}, nil, policy.Deny},
		"made for the accepted":       {call{"system", "payer:sw me:sw", data(u(0), 5, 80, "good")}, []policy.Acceptance{to("good")}, policy.Allow},
		"made for another":            {call{"system", "payer:sw me:sw", data(u(0), 5, 80, "evil")}, []policy.Acceptance{to("good")}, policy.Deny},
		"made for a nonce":            {call{"system", "payer:sw me:sw", data(u(0), 5, 80, "system")}, nil, policy.Deny},
		"allocated, which none names": {call{"system", "me:sw", data(u(8), 80)}, []policy.Acceptance{to("system"), to("good")}, policy.Deny},
		"canary: only paid":           {call{"system", "payer:sw me:sw", data(u(0), 5, 0, "system")}, nil, policy.Allow},
		"canary: another account":     {call{"system", "me:sw new:sw", data(u(0), 5, 80, "evil")}, nil, policy.Allow},
	} {
		if d := decide(t, compile(legacy, c.call), c.accepted...); d.Outcome != c.want {
			t.Errorf("%s: %+v", name, d)
		}
	}
	for _, c := range []call{{"system", "me:sw", data(u(1), "good")}, {"system", "payer:sw me:sw", data(u(0), 5, 80, "good")}} {
		if x := explained(t, compile(legacy, c)); len(x.Accept) != 1 || !reflect.DeepEqual(x.Accept[0], to("good")) {
			t.Errorf("%+v", x.Accept)
		}
	}
}

func explained(t *testing.T, m *message) *chain.Explanation {
	t.Helper()
	n, me := Networks()[0], known("me")
	p, err := Codec{}.Transaction(&n, me[:], base64.StdEncoding.EncodeToString(m.encode()))
	if err != nil {
		t.Fatal(err)
	}
	x, err := p.Explain(&n)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

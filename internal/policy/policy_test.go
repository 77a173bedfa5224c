package policy_test

import (
	"testing"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/policy"
)

const wallet = "3f1f1f1e-0000-4000-8000-000000000001"

func TestEvaluate(t *testing.T) {
	id, err := canon.ParseUUID(wallet)
	if err != nil {
		t.Fatal(err)
	}
	sign := policy.Request{Method: policy.MethodSignMessage, Network: "base", Wallet: id}
	transaction := policy.Request{Method: policy.MethodSignTransaction, Network: "base", Wallet: id}
	all := []string{policy.Any}
	for name, c := range map[string]struct {
		p    policy.Policy
		r    policy.Request
		want string
	}{
		"zero policy":              {policy.Policy{}, sign, policy.ReasonMethod},
		"all":                      {policy.Policy{Wallets: all, Networks: all, Methods: all}, sign, policy.ReasonAllowed},
		"named":                    {policy.Policy{Wallets: []string{wallet}, Networks: []string{"base"}, Methods: []string{"signMessage"}}, sign, policy.ReasonAllowed},
		"other network":            {policy.Policy{Wallets: all, Networks: []string{"polygon"}, Methods: all}, sign, policy.ReasonNetwork},
		"no networks":              {policy.Policy{Wallets: all, Methods: all}, sign, policy.ReasonNetwork},
		"other wallet":             {policy.Policy{Wallets: []string{"3f1f1f1e-0000-4000-8000-000000000002"}, Networks: all, Methods: all}, sign, policy.ReasonWallet},
		"no wallets":               {policy.Policy{Networks: all, Methods: all}, sign, policy.ReasonWallet},
		"zero wallet":              {policy.Policy{Wallets: all, Networks: all, Methods: all}, policy.Request{Method: "signMessage", Network: "base"}, policy.ReasonWallet},
		"no network named":         {policy.Policy{Wallets: all, Networks: all, Methods: all}, policy.Request{Method: "signMessage", Wallet: id}, policy.ReasonNetwork},
		"create":                   {policy.Policy{Methods: []string{"createWallet"}}, policy.Request{Method: "createWallet"}, policy.ReasonAllowed},
		"unknown method":           {policy.Policy{Wallets: all, Networks: all, Methods: all}, policy.Request{Method: "signDigest", Network: "base", Wallet: id}, policy.ReasonMethod},
		"no method":                {policy.Policy{Wallets: all, Networks: all, Methods: all}, policy.Request{Network: "base", Wallet: id}, policy.ReasonMethod},
		"transaction":              {policy.Policy{Wallets: all, Networks: all, Methods: []string{"signTransaction"}}, transaction, policy.ReasonAllowed},
		"transaction not named":    {policy.Policy{Wallets: all, Networks: all, Methods: []string{"signMessage", "createWallet"}}, transaction, policy.ReasonMethod},
		"transaction under star":   {policy.Policy{Wallets: all, Networks: all, Methods: all}, transaction, policy.ReasonMethod},
		"message not named":        {policy.Policy{Wallets: all, Networks: all, Methods: []string{"signTransaction"}}, sign, policy.ReasonMethod},
		"transaction elsewhere":    {policy.Policy{Wallets: all, Networks: []string{"polygon"}, Methods: []string{"signTransaction"}}, transaction, policy.ReasonNetwork},
		"transaction of no wallet": {policy.Policy{Wallets: all, Networks: all, Methods: []string{"signTransaction"}}, policy.Request{Method: "signTransaction", Network: "base"}, policy.ReasonWallet},
		"transaction unruled": {policy.Policy{Wallets: all, Networks: all, Methods: []string{"signTransaction"}},
			policy.Request{Method: "signTransaction", Network: "base", Wallet: id, Unexplained: []policy.Unexplained{{Says: "it deploys"}}}, policy.ReasonOpaque},
		"create not named": {policy.Policy{Wallets: all, Networks: all, Methods: []string{"signMessage"}}, policy.Request{Method: "createWallet"}, policy.ReasonMethod},
	} {
		d := policy.Evaluate(&c.p, c.r)
		if d.Reason != c.want || (d.Outcome == policy.Allow) != (c.want == policy.ReasonAllowed) || d.Outcome == policy.Undecided {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestCheck(t *testing.T) {
	for name, p := range map[string]policy.Policy{
		"star in company": {Networks: []string{"*", "base"}},
		"twice":           {Networks: []string{"base", "base"}},
		"empty member":    {Networks: []string{""}},
		"bad wallet":      {Wallets: []string{"x"}},
		"unknown method":  {Methods: []string{"signDigest"}},
	} {
		if p.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	good := policy.Policy{Wallets: []string{wallet}, Networks: []string{"base"}, Methods: []string{"*"}}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
}

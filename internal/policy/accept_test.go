package policy_test

import (
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/policy"
)

const (
	contract = "0x00000000000000000000000000000000000000aa"
	program  = "Prog1111111111111111111111111111111111111111"
	table    = "Tab11111111111111111111111111111111111111111"
)

// TestAccept: an owner's word covers what it names, on its network, and
// nothing beside it.
func TestAccept(t *testing.T) {
	code := strings.Repeat("ab", 32)
	accept := []policy.Acceptance{
		{Kind: policy.AcceptTypedData, Network: "base", Contract: contract, Type: "Mail(string text)"},
		{Kind: policy.AcceptTypedData, Network: "base", Type: "Login(string text)"},
		{Kind: policy.AcceptDelegate, Network: "base", Contract: contract},
		{Kind: policy.AcceptCall, Network: "base", Contract: contract, Function: "deposit()"},
		{Kind: policy.AcceptCall, Network: "base", Contract: contract, Function: "supply(address,bool)"},
		{Kind: policy.AcceptCalldata, Network: "base", Contract: contract, Code: "9f64a747e1b97f131fabb6b447296c9b6f0201e79fb3c5356e6c77e89b6a806a"}, // 01020304
		{Kind: policy.AcceptDeploy, Network: "base", Code: code},
		{Kind: policy.AcceptInstruction, Network: "solana", Contract: program, Begins: "0102"},
		{Kind: policy.AcceptAccounts, Network: "solana", Contract: program},
		{Kind: policy.AcceptTable, Network: "solana", Contract: table, Accounts: []string{program, table}},
	}
	all := []string{policy.Any}
	p := &policy.Policy{Wallets: all, Networks: all, Methods: []string{policy.MethodSignTransaction}, Accept: accept}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	id, err := canon.ParseUUID(wallet)
	if err != nil {
		t.Fatal(err)
	}
	lookups := func(table string, index ...int) (out []policy.Lookup) {
		for _, i := range index {
			out = append(out, policy.Lookup{Table: table, Index: i})
		}
		return out
	}
	for name, c := range map[string]struct {
		network string
		u       policy.Unexplained
		want    bool
	}{
		"nothing named":           {"base", policy.Unexplained{}, false},
		"no kind":                 {"base", policy.Unexplained{Contract: contract}, false},
		"type":                    {"base", policy.Unexplained{Kind: policy.AcceptTypedData, Contract: contract, Type: "Mail(string text)"}, true},
		"type elsewhere":          {"polygon", policy.Unexplained{Kind: policy.AcceptTypedData, Contract: contract, Type: "Mail(string text)"}, false},
		"type of no contract":     {"base", policy.Unexplained{Kind: policy.AcceptTypedData, Type: "Mail(string text)"}, false},
		"type without contract":   {"base", policy.Unexplained{Kind: policy.AcceptTypedData, Type: "Login(string text)"}, true},
		"that type at a contract": {"base", policy.Unexplained{Kind: policy.AcceptTypedData, Contract: contract, Type: "Login(string text)"}, false},
		"other type":              {"base", policy.Unexplained{Kind: policy.AcceptTypedData, Contract: contract, Type: "Mail(string text,uint256 x)"}, false},
		"delegate":                {"base", policy.Unexplained{Kind: policy.AcceptDelegate, Contract: contract}, true},
		"delegate to another":     {"base", policy.Unexplained{Kind: policy.AcceptDelegate, Contract: contract[:41] + "b"}, false},
		"delegate to nobody":      {"base", policy.Unexplained{Kind: policy.AcceptDelegate}, false},
		"deploy":                  {"base", policy.Unexplained{Kind: policy.AcceptDeploy, Code: code}, true},
		"deploy other code":       {"base", policy.Unexplained{Kind: policy.AcceptDeploy, Code: strings.Repeat("ac", 32)}, false},
		"function":                {"base", policy.Unexplained{Kind: policy.AcceptCall, Contract: contract, Data: []byte{0xd0, 0xe3, 0x0d, 0xb0}}, true},
		"function, and more":      {"base", policy.Unexplained{Kind: policy.AcceptCall, Contract: contract, Data: []byte{0xd0, 0xe3, 0x0d, 0xb0, 0}}, false},
		"function, elsewhere":     {"base", policy.Unexplained{Kind: policy.AcceptCall, Contract: contract[:41] + "b", Data: []byte{0xd0, 0xe3, 0x0d, 0xb0}}, false},
		"arguments":               {"base", policy.Unexplained{Kind: policy.AcceptCall, Contract: contract, Data: append([]byte{0x0b, 0xa9, 0x0b, 0x3e}, make([]byte, 64)...)}, false},
		"exact call":              {"base", policy.Unexplained{Kind: policy.AcceptCall, Contract: contract, Data: []byte{1, 2, 3, 4}}, true},
		"other call":              {"base", policy.Unexplained{Kind: policy.AcceptCall, Contract: contract, Data: []byte{1, 2, 3, 4, 0}}, false},
		"exact call, elsewhere":   {"base", policy.Unexplained{Kind: policy.AcceptCall, Contract: contract[:41] + "b", Data: []byte{1, 2, 3, 4}}, false},
		"instruction":             {"solana", policy.Unexplained{Kind: policy.AcceptInstruction, Contract: program, Data: []byte{1, 2, 3}}, true},
		"instruction, just that":  {"solana", policy.Unexplained{Kind: policy.AcceptInstruction, Contract: program, Data: []byte{1, 2}}, true},
		"instruction, shorter":    {"solana", policy.Unexplained{Kind: policy.AcceptInstruction, Contract: program, Data: []byte{1}}, false},
		"another instruction":     {"solana", policy.Unexplained{Kind: policy.AcceptInstruction, Contract: program, Data: []byte{1, 3}}, false},
		"of another program":      {"solana", policy.Unexplained{Kind: policy.AcceptInstruction, Contract: table, Data: []byte{1, 2}}, false},
		"accounts":                {"solana", policy.Unexplained{Kind: policy.AcceptAccounts, Contract: program, Lookups: lookups("x", 7)}, true},
		"for another program":     {"solana", policy.Unexplained{Kind: policy.AcceptAccounts, Contract: "y", Lookups: lookups("x", 7)}, false},
		"known table":             {"solana", policy.Unexplained{Kind: policy.AcceptAccounts, Contract: "y", Lookups: lookups(table, 0, 1)}, true},
		"behind its end":          {"solana", policy.Unexplained{Kind: policy.AcceptAccounts, Contract: "y", Lookups: lookups(table, 1, 2)}, false},
		"two tables":              {"solana", policy.Unexplained{Kind: policy.AcceptAccounts, Contract: "y", Lookups: append(lookups(table, 1), lookups("x", 0)...)}, false},
		"no lookups":              {"solana", policy.Unexplained{Kind: policy.AcceptAccounts, Contract: "y"}, false},
		"table elsewhere":         {"solana-devnet", policy.Unexplained{Kind: policy.AcceptAccounts, Contract: "y", Lookups: lookups(table, 0)}, false},
	} {
		r := policy.Request{Method: policy.MethodSignTransaction, Network: c.network, Wallet: id, Unexplained: []policy.Unexplained{c.u}}
		if d := policy.Evaluate(p, r); (d.Outcome == policy.Allow) != c.want || !c.want && d.Reason != policy.ReasonOpaque {
			t.Errorf("%s: %+v", name, d)
		}
		r.Unexplained = append(r.Unexplained, policy.Unexplained{Says: "more"})
		if d := policy.Evaluate(p, r); d.Reason != policy.ReasonOpaque {
			t.Errorf("%s, and more: %+v", name, d)
		}
	}
}

// TestAcceptCheck: what names too little, or more than its kind has, is
// refused when it is stored.
func TestAcceptCheck(t *testing.T) {
	for name, a := range map[string]policy.Acceptance{
		"zero":                 {},
		"unknown kind":         {Kind: "anything", Network: "base", Contract: contract},
		"no network":           {Kind: policy.AcceptDelegate, Contract: contract},
		"every network":        {Kind: policy.AcceptDelegate, Network: "*", Contract: contract},
		"no function":          {Kind: policy.AcceptCall, Network: "base", Contract: contract},
		"an alias":             {Kind: policy.AcceptCall, Network: "base", Contract: contract, Function: "f(uint)"},
		"names":                {Kind: policy.AcceptCall, Network: "base", Contract: contract, Function: "f(uint256 amount)"},
		"no contract":          {Kind: policy.AcceptDelegate, Network: "base"},
		"no type":              {Kind: policy.AcceptTypedData, Network: "base", Contract: contract},
		"upper case":           {Kind: policy.AcceptDelegate, Network: "base", Contract: strings.ToUpper(contract)},
		"checksum":             {Kind: policy.AcceptDelegate, Network: "base", Contract: "0x00000000000000000000000000000000000000aA"},
		"short address":        {Kind: policy.AcceptDelegate, Network: "base", Contract: "0xaa"},
		"code of no digest":    {Kind: policy.AcceptDeploy, Network: "base", Code: "ab"},
		"begins with nothing":  {Kind: policy.AcceptInstruction, Network: "solana", Contract: program},
		"begins with too much": {Kind: policy.AcceptInstruction, Network: "solana", Contract: program, Begins: "000000000000000000"},
		"begins with text":     {Kind: policy.AcceptInstruction, Network: "solana", Contract: program, Begins: "xy"},
		"more than it has":     {Kind: policy.AcceptDelegate, Network: "base", Contract: contract, Begins: "01"},
		"an empty account":     {Kind: policy.AcceptTable, Network: "solana", Contract: table, Accounts: []string{""}},
		"a table of nothing":   {Kind: policy.AcceptTable, Network: "solana", Contract: table},
	} {
		p := policy.Policy{Accept: []policy.Acceptance{a}}
		if p.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestAlsoValidOn: a signature that is good elsewhere needs leave for there.
func TestAlsoValidOn(t *testing.T) {
	id, err := canon.ParseUUID(wallet)
	if err != nil {
		t.Fatal(err)
	}
	for list, want := range map[string]string{"solana-devnet": policy.ReasonNetwork, "solana": policy.ReasonNetwork, "solana-devnet solana": policy.ReasonAllowed, "*": policy.ReasonAllowed} {
		p := &policy.Policy{Wallets: []string{policy.Any}, Networks: strings.Fields(list), Methods: []string{policy.MethodSignMessage}}
		r := policy.Request{Method: policy.MethodSignMessage, Network: "solana-devnet", Wallet: id, AlsoValidOn: "solana"}
		if d := policy.Evaluate(p, r); d.Reason != want {
			t.Errorf("%s: %+v", list, d)
		}
		r.AlsoValidOn = "" // canary: without it, a test network's leave is enough
		if d := policy.Evaluate(p, r); strings.Contains(list, "devnet") && d.Outcome != policy.Allow {
			t.Errorf("%s: canary: %+v", list, d)
		}
	}
}

// TestAcceptOnBoth: what is good on two networks is named for both.
func TestAcceptOnBoth(t *testing.T) {
	id, err := canon.ParseUUID(wallet)
	if err != nil {
		t.Fatal(err)
	}
	for list, want := range map[string]string{"solana-devnet": policy.ReasonOpaque, "solana": policy.ReasonOpaque, "solana solana-devnet": policy.ReasonAllowed} {
		p := &policy.Policy{Wallets: []string{policy.Any}, Networks: []string{policy.Any}, Methods: []string{policy.MethodSignTransaction}}
		for _, n := range strings.Fields(list) {
			p.Accept = append(p.Accept, policy.Acceptance{Kind: policy.AcceptInstruction, Network: n, Contract: program, Begins: "01"})
		}
		r := policy.Request{Method: policy.MethodSignTransaction, Network: "solana-devnet", Wallet: id, AlsoValidOn: "solana",
			Unexplained: []policy.Unexplained{{Kind: policy.AcceptInstruction, Contract: program, Data: []byte{1}}}}
		if d := policy.Evaluate(p, r); d.Reason != want {
			t.Errorf("%s: %+v", list, d)
		}
	}
}

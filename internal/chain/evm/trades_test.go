package evm_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/test/memory"
)

// recordedCall is the transaction of that name in routers.json, the calldata
// in it, and the key of its wallet.
func recordedCall(t *testing.T, name string) (text, data string, pub []byte) {
	t.Helper()
	raw, err := os.ReadFile("testdata/routers.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Name       string `json:"name"`
		PrivateKey string `json:"private_key_hex"`
		UnsignedTx string `json:"unsigned_tx"`
		Calldata   string `json:"calldata"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		if v.Name == name {
			_, pub := key(t, v.PrivateKey)
			return v.UnsignedTx, string(unhex(t, v.Calldata)), pub
		}
	}
	t.Fatalf("there is no %s", name)
	return "", "", nil
}

const aRouter = "0xc1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1"

// by accepts a function of the router.
func by(function string) policy.Acceptance {
	return policy.Acceptance{Kind: policy.AcceptCall, Network: "ethereum", Contract: aRouter, Function: function}
}

// decided is the reason that a policy with those acceptances has.
func decided(t *testing.T, p *chain.Prepared, accept ...policy.Acceptance) string {
	t.Helper()
	id, err := canon.ParseUUID("018f0000-0000-7000-8000-000000000001")
	if err != nil {
		t.Fatal(err)
	}
	r := p.Request(registered(t, 1))
	r.Wallet = id
	return policy.Evaluate(&policy.Policy{Wallets: []string{"*"}, Networks: []string{"*"}, Methods: []string{policy.MethodSignTransaction}, Accept: accept}, r).Reason
}

// TestTradesAreAcceptedAsCalls: a policy that names what a trade was called
// before anybody explained it accepts it as ever, and no other does.
func TestTradesAreAcceptedAsCalls(t *testing.T) {
	const (
		single = "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))"
		newer  = "exactInputSingle((address,address,uint24,address,uint256,uint256,uint160))"
		many   = "multicall(bytes[])"
		back   = "unwrapWETH9(uint256,address)"
	)
	elsewhere := by(single)
	elsewhere.Contract = "0xc2" + aRouter[4:]
	for _, c := range []struct {
		call   string
		accept []policy.Acceptance
		want   string
	}{
		{"exactInputSingle", nil, policy.ReasonOpaque},
		{"exactInputSingle", []policy.Acceptance{by(newer), by(many), elsewhere}, policy.ReasonOpaque},
		{"exactInputSingle", []policy.Acceptance{by(single)}, policy.ReasonAllowed},
		{"exactInputSingle, to a stranger", []policy.Acceptance{by(single)}, policy.ReasonAllowed},
		{"a trade unwrapped", nil, policy.ReasonOpaque},
		{"a trade unwrapped", []policy.Acceptance{by(newer), by(back), by(single)}, policy.ReasonOpaque},
		{"a trade unwrapped", []policy.Acceptance{by(many)}, policy.ReasonAllowed},
		{"calls of itself within such", []policy.Acceptance{by(newer), by("sweepToken(address,uint256)")}, policy.ReasonOpaque},
		{"calls of itself within such", []policy.Acceptance{by(many)}, policy.ReasonAllowed},
		{"a trade until a time", []policy.Acceptance{by(many)}, policy.ReasonOpaque},
		{"a trade until a time", []policy.Acceptance{by("multicall(uint256,bytes[])")}, policy.ReasonAllowed},
		{"swapExactETHForTokens", nil, policy.ReasonOpaque},
		{"sweepToken alone", nil, policy.ReasonOpaque},
		{"plan: pools", nil, policy.ReasonOpaque},
		{"plan: pools", []policy.Acceptance{by("execute(bytes,bytes[])")}, policy.ReasonOpaque},
		{"plan: unwrapped", []policy.Acceptance{by("execute(bytes,bytes[],uint256)")}, policy.ReasonAllowed},
		{"selfPermit", nil, policy.ReasonAllowed},
		{"Dai permit", nil, policy.ReasonAllowed},
	} {
		text, data, pub := recordedCall(t, c.call)
		p, err := evm.Codec{}.Transaction(registered(t, 1), pub, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := decided(t, p, c.accept...); got != c.want {
			t.Errorf("%s, accepting %v: %s", c.call, c.accept, got)
		}
		u := p.Request(registered(t, 1)).Unexplained
		if len(u) > 1 || len(u) == 1 && (u[0].Kind != policy.AcceptCall || u[0].Contract != aRouter || string(u[0].Data) != data) {
			t.Errorf("%s: %+v", c.call, u)
		}
		x, err := p.Explain(registered(t, 1))
		if err != nil || len(x.Accept) != len(u) || len(x.Refused) != 0 {
			t.Errorf("%s: %v, %+v", c.call, err, x)
		}
	}
}

// TestTradeOfAnotherWithin: what a Safe trades within calls of its own is the
// router's call, and accepting calls of the one isn't accepting those of the
// other.
func TestTradeOfAnotherWithin(t *testing.T) {
	_, trade, _ := recordedCall(t, "exactInputSingle")
	safe := strings.Repeat("\x5a", 20)
	exec := "\x6a\x76\x12\x02" + strings.Repeat("\x00", 12) + string(unhex(t, aRouter)) + abiWord(0) + abiWord(320) + strings.Repeat(abiWord(0), 6) + abiWord(320+32+(len(trade)+31)/32*32) + padded(trade) + padded("")
	p := calling(t, safe, exec)
	e := p.Intent.Effects
	if len(e.Actions) != 2 || e.Actions[0].Kind != chain.ActionTokenTransfer || e.Actions[0].From != hexed(safe) || e.Actions[1].Kind != chain.ActionProceeds ||
		strings.Join(e.Flags, " ") != "proceeds_elsewhere" || string(p.Request(on(1)).Unexplained[0].Data) != trade {
		t.Fatalf("%+v", e)
	}
	p = calling(t, safe, "\xac\x96\x50\xd8"+abiWord(32)+abiWord(1)+abiWord(32)+padded(exec))
	if a := p.Intent.Effects.Actions; len(a) != 1 || a[0].Kind != chain.ActionOpaque || a[0].Contract != hexed(safe) {
		t.Errorf("%+v", a)
	}
	p = calling(t, multicall3, aggregate(string(unhex(t, aRouter)), trade))
	if got := strings.Join(p.Intent.Effects.Flags, " "); got != "proceeds_elsewhere" {
		t.Errorf("by Multicall3: %s", got)
	}
	// What Multicall3 has is anyone's, though it is who trades.
	at := strings.Index(trade, strings.Repeat("\x00", 12)+string(unhex(t, walletOf(t, "exactInputSingle"))))
	p = calling(t, multicall3, aggregate(string(unhex(t, aRouter)), trade[:at+12]+multicall3+trade[at+32:]))
	if got := strings.Join(p.Intent.Effects.Flags, " "); got != "proceeds_elsewhere" {
		t.Errorf("for Multicall3: %s", got)
	}
}

// TestValueOfASafesCall: a Safe's function takes no value, so a call with some
// isn't understood.
func TestValueOfASafesCall(t *testing.T) {
	exec := "\x6a\x76\x12\x02" + strings.Repeat("\x00", 12) + string(unhex(t, someone)) + abiWord(1) + abiWord(320) + strings.Repeat(abiWord(0), 6) + abiWord(352) + padded("") + padded("")
	f := fields(2)
	f[7], f[8] = str(exec), list()
	for value, want := range map[string]string{"": "transfer", "\x05": "transfer opaque"} {
		f[6] = str(value)
		p, err := evm.Codec{}.Transaction(on(1), owner(t), typed(2, f))
		if err != nil {
			t.Fatal(err)
		}
		kinds := ""
		for _, a := range p.Intent.Effects.Actions {
			kinds += " " + a.Kind
		}
		if kinds != " "+want {
			t.Errorf("with value %x:%s", value, kinds)
		}
	}
}

// TestEachTradeIsAccepted: trades of several calls are accepted one by one,
// whether it is the router that differs or the call.
func TestEachTradeIsAccepted(t *testing.T) {
	_, one, _ := recordedCall(t, "exactInputSingle")
	_, two, _ := recordedCall(t, "exactInput")
	router, another := string(unhex(t, aRouter)), strings.Repeat("\xc2", 20)
	for _, c := range []struct {
		name string
		data string
		want int
	}{
		{"the same twice", aggregate(router, one, one), 1},
		{"another call", aggregate(router, one, two), 2},
		{"another router", aggregate(multicall3, aggregate(router, one), aggregate(another, one)), 2},
	} {
		if u := calling(t, multicall3, c.data).Request(on(1)).Unexplained; len(u) != c.want {
			t.Errorf("%s: %+v", c.name, u)
		}
	}
}

// TestAccountTrades: what a smart account trades is its own, and what comes
// back to the wallet that signs for it comes to another. The canary is the
// account as recipient.
func TestAccountTrades(t *testing.T) {
	_, trade, _ := recordedCall(t, "exactInputSingle")
	mine := unhex(t, walletOf(t, "exactInputSingle"))
	for _, v := range madeOperations(t) {
		if v.ID != "own-userop-0.7-paymaster" {
			continue
		}
		_, pub := key(t, v.PrivateKey)
		wallet, err := evm.Codec{}.Address(pub)
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]any
		if err := json.Unmarshal(v.Operation, &members); err != nil {
			t.Fatal(err)
		}
		account := strings.ToLower(members["sender"].(string))
		for recipient, want := range map[string]string{account: "paymaster", strings.ToLower(wallet): "paymaster proceeds_elsewhere"} {
			inner := strings.Replace(trade, string(mine), string(unhex(t, recipient)), 1)
			members["callData"] = hexed("\xb6\x1d\x27\xf6" + strings.Repeat("\x00", 12) + string(unhex(t, aRouter)) + abiWord(0) + abiWord(96) + padded(inner))
			if v.Operation, err = json.Marshal(members); err != nil {
				t.Fatal(err)
			}
			p, err := evm.Codec{}.Document(on(v.ChainID), pub, chain.KindUserOperation, v.document(""))
			if err != nil {
				t.Fatal(err)
			}
			e := p.Intent.Effects
			if len(e.Actions) != 2 || e.Actions[0].From != account || e.Actions[1].To != recipient || strings.Join(e.Flags, " ") != want {
				t.Errorf("to %s: %+v", recipient, e)
			}
		}
		return
	}
	t.Error("the operation isn't there")
}

func walletOf(t *testing.T, name string) string {
	t.Helper()
	_, _, pub := recordedCall(t, name)
	text, err := evm.Codec{}.Address(pub)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ToLower(text)
}

// TestTradesHaveOneEncoding changes every byte of routers' calls: what is
// still explained is explained as something else, but for as many bytes as the
// arguments have that move nothing: pools' fees, prices, signatures.
func TestTradesHaveOneEncoding(t *testing.T) {
	n := registered(t, 1)
	for name, free := range map[string]int{
		"swapExactTokensForTokens": 20, // the token between
		"swapExactETHForTokens":    20, // what the router wraps into
		"swapTokensForExactETH":    20, "pairs of SwapRouter02, exact output": 0,
		"exactInputSingle": 3 + 20, "exactOutputSingle of SwapRouter02": 3,
		"exactInput": 3 + 20 + 3, "exactOutput of SwapRouter02": 3, "exactInputSingle for value": 3,
		"selfPermit": 1 + 32 + 32, "selfPermitAllowed": 32 + 1 + 32 + 32, "Dai permit": 32 + 1 + 32 + 32,
		"a trade unwrapped": 3 + 20, "a trade swept": 3 + 20, "value for two trades": 3 + 3, // a limit would leave value
		"a trade until a time": 32 + 3 + 20,
		"plan: pools":          3, "plan: pairs": 20, "plan: a permit and pools": 6 + 32 + 3 + 3, "plan: unwrapped": 3,
		"plan: several taken, and traded": 3, "plan: pools and a fee": 3,
		"plan: value for an output": 3 + 20 + 32, // what the router may pay of what it holds, and of which
	} {
		text, data, pub := recordedCall(t, name)
		raw := unhex(t, text)
		p, err := evm.Codec{}.Transaction(n, pub, text)
		if err != nil {
			t.Fatal(err)
		}
		same := 0
		for i := len(raw) - 1 - len(data); i < len(raw)-1; i++ {
			unseen := false
			for _, flip := range []byte{0x01, 0x80} {
				b := slices.Clone(raw)
				b[i] ^= flip
				q, err := evm.Codec{}.Transaction(n, pub, hexed(string(b)))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				was, is := p.Intent.Effects, q.Intent.Effects
				unseen = unseen || visible(t, was.Actions) == visible(t, is.Actions) && slices.Equal(was.Flags, is.Flags)
			}
			if unseen {
				same++
			}
		}
		if same != free {
			t.Errorf("%s: %d bytes don't matter, not %d", name, same, free)
		}
	}
}

// TestTradesSayWhatMatters changes one argument of an honest trade, which has
// no flags: each change is flagged.
func TestTradesSayWhatMatters(t *testing.T) {
	flags := func(name string, edit func(string) string) string {
		t.Helper()
		text, data, pub := recordedCall(t, name)
		raw := string(unhex(t, text))
		raw = raw[:len(raw)-1-len(data)] + edit(data) + raw[len(raw)-1:]
		p, err := evm.Codec{}.Transaction(registered(t, 1), pub, hexed(raw))
		if err != nil {
			t.Fatal(err)
		}
		if p.Intent.Effects.Actions[0].Kind == chain.ActionOpaque {
			t.Errorf("%s is opaque", name)
		}
		return strings.Join(p.Intent.Effects.Flags, " ")
	}
	mine := string(unhex(t, walletOf(t, "exactInputSingle")))
	thief := strings.Repeat("\x77", 20)
	replaced := func(old, new string) func(string) string {
		return func(data string) string { return strings.Replace(data, old, new, 1) }
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"exactInputSingle", mine, thief, "proceeds_elsewhere"},
		{"swapExactTokensForTokens", mine, thief, "proceeds_elsewhere"},
		{"a trade unwrapped", mine, thief, "proceeds_elsewhere"},
		{"a trade swept", mine, thief, "proceeds_elsewhere"},
		{"exactInputSingle", abiWord(90), abiWord(0), "no_minimum_output"},
		{"swapExactTokensForTokens", abiWord(90), abiWord(0), "no_minimum_output"},
		{"trades whose sum has the minimum", abiWord(90), abiWord(0), "no_minimum_output"},
		{"exactInputSingle", mine, strings.Repeat("\x00", 20), "left_with_contract"},
		{"a trade swept", "\xe9\x0a\x18\x2f", "\xe9\x0a\x18\x2f", ""},
		{"trades of half each", abiWord(45) + abiWord(0), abiWord(0) + abiWord(0), "no_minimum_output"},
		{"plan: pools", abiWord(1) + abiWord(100), strings.Repeat("\x00", 12) + thief + abiWord(100), "proceeds_elsewhere"},
		{"plan: unwrapped", abiWord(1) + abiWord(90), strings.Repeat("\x00", 12) + thief + abiWord(90), "proceeds_elsewhere"},
		{"plan: unwrapped", abiWord(1) + abiWord(90), abiWord(1) + abiWord(0), "no_minimum_output"},
		{"plan: pools", abiWord(1) + abiWord(100), abiWord(2) + abiWord(100), "left_with_contract"},
		{"plan: value wrapped and traded", abiWord(2) + abiWord(7), abiWord(2) + abiWord(6), "left_with_contract value_with_call"},
		{"a permit and a trade", mine, strings.Repeat("\x00", 19) + "\x02", "left_with_contract unlimited_approval"},
	} {
		honest := flags(c.name, func(s string) string { return s })
		if canary := strings.NewReplacer("unlimited_approval", "", "value_with_call", "").Replace(honest); canary != "" {
			t.Errorf("canary: %s has %s", c.name, canary)
		}
		if got := flags(c.name, replaced(c.old, c.new)); got != c.want {
			t.Errorf("%s, changed: %q, want %q", c.name, got, c.want)
		}
	}
}

// wrapping is a plan that wraps so many times.
func wrapping(n int) string {
	heads := ""
	for i := range n {
		heads += abiWord(32*n + 96*i)
	}
	commands := padded(strings.Repeat("\x0b", n))
	return "\x24\x85\x6b\xc3" + abiWord(64) + abiWord(64+len(commands)) + commands + abiWord(n) + heads + strings.Repeat(padded(abiWord(2)+abiWord(1)), n)
}

// TestTooManyCommands: a plan of more than anyone reads is opaque. The canary
// is one command less.
func TestTooManyCommands(t *testing.T) {
	for n, want := range map[int]string{64: chain.ActionProceeds, 65: chain.ActionOpaque} {
		if a := calling(t, string(unhex(t, aRouter)), wrapping(n)).Intent.Effects.Actions; a[len(a)-1].Kind != want {
			t.Errorf("%d commands: %s", n, a[len(a)-1].Kind)
		}
	}
}

// TestTradesCost: as many calls of itself as are looked into, of which each
// takes most for its size, take memory in proportion.
func TestTradesCost(t *testing.T) {
	_, single, _ := recordedCall(t, "exactInputSingle of SwapRouter02, left there")
	_, pairs, _ := recordedCall(t, "pairs of SwapRouter02, left there")
	n, pub := on(1), owner(t)
	_, plan, _ := recordedCall(t, "plan: unwrapped")
	for name, data := range map[string]string{"plan": plan, "wraps": wrapping(64)} {
		f := fields(2)
		f[5], f[7], f[8] = str(string(unhex(t, aRouter))), str(data), list()
		text := typed(2, f)
		memory.Bounded(t, name, len(text)/2, func() {
			p, err := evm.Codec{}.Transaction(n, pub, text)
			if err != nil || p.Intent.Effects.Actions[1].Kind == chain.ActionOpaque {
				t.Errorf("%s: %v, or opaque", name, err)
			}
		})
	}
	for name, part := range map[string]string{"refunds": "\x12\x21\x0e\x8a", "unwraps": "\x49\x61\x69\x97" + abiWord(0), "pools": single, "pairs": pairs} {
		heads, tails := "", ""
		count := min(64, 16000/(32+len(padded(part))))
		for i := range count {
			heads += abiWord(32*count + i*len(padded(part)))
			tails += padded(part)
		}
		f := fields(2)
		f[5], f[6], f[7], f[8] = str(string(unhex(t, aRouter))), str("\x07"), str("\xac\x96\x50\xd8"+abiWord(32)+abiWord(count)+heads+tails), list()
		text := typed(2, f)
		memory.Bounded(t, name, len(text)/2, func() {
			p, err := evm.Codec{}.Transaction(n, pub, text)
			if err != nil || p.Intent.Effects.Actions[1].Kind == chain.ActionOpaque {
				t.Errorf("%s: %v, or opaque", name, err)
			}
		})
	}
}

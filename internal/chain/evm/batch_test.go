package evm_test

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/abi"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/test/memory"
)

const multicall3 = "\xca\x11\xbd\xe0\x59\x77\xb3\x63\x11\x67\x02\x88\x62\xbe\x2a\x17\x39\x76\xca\x11"

func abiWord(v int) string {
	return strings.Repeat("\x00", 24) + string(binary.BigEndian.AppendUint64(nil, uint64(v)))
}

func padded(b string) string {
	return abiWord(len(b)) + b + strings.Repeat("\x00", (32-len(b)%32)%32)
}

// aggregate encodes aggregate((address,bytes)[]) of calls to one address.
func aggregate(to string, data ...string) string {
	heads, tails := "", ""
	for _, d := range data {
		heads += abiWord(32*len(data) + len(tails))
		tails += strings.Repeat("\x00", 12) + to + abiWord(64) + padded(d)
	}
	return "\x25\x2d\xba\x42" + abiWord(32) + abiWord(len(data)) + heads + tails
}

func calling(t *testing.T, to, data string) *chain.Prepared {
	t.Helper()
	f := fields(2)
	f[5], f[6], f[7], f[8] = str(to), str(""), str(data), list()
	p, err := evm.Codec{}.Transaction(on(1), owner(t), typed(2, f))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestTooManyCalls: what is more than anyone reads is opaque as a whole, at
// whichever depth it is too much. The canary is one call less.
func TestTooManyCalls(t *testing.T) {
	transfer := "\xa9\x05\x9c\xbb" + strings.Repeat("\x00", 12) + strings.Repeat("\x11", 20) + abiWord(5)
	calls := func(n int) []string { return slices.Repeat([]string{transfer}, n) }
	token := strings.Repeat("\x33", 20)
	for _, c := range []struct {
		name, data string
		want       int
	}{
		{"64 calls", aggregate(token, calls(64)...), 64}, {"65 calls", aggregate(token, calls(65)...), 0},
		{"62 calls beside and below", aggregate(multicall3, aggregate(token, calls(31)...), aggregate(token, calls(31)...)), 62},
		{"63 calls beside and below", aggregate(multicall3, aggregate(token, calls(31)...), aggregate(token, calls(32)...)), 0},
	} {
		p := calling(t, multicall3, c.data)
		e := p.Intent.Effects
		if c.want > 0 && (len(e.Actions) != c.want || len(p.Request(on(1)).Unexplained) != 0) {
			t.Errorf("%s: %d actions, %v", c.name, len(e.Actions), e.Flags)
		}
		if u := p.Request(on(1)).Unexplained; c.want == 0 && (len(e.Actions) != 1 || e.Actions[0].Kind != chain.ActionOpaque || len(e.Flags) != 0 || len(u) != 1 || string(u[0].Data) != c.data) {
			t.Errorf("%s: %+v %v", c.name, e.Actions, e.Flags)
		}
	}
}

// TestCallsWithinCost: nested calls that nobody knows take no more memory
// than any.
func TestCallsWithinCost(t *testing.T) {
	data := strings.Repeat("\xff", 100)
	for range 20 {
		data = aggregate(multicall3, data, data)
		if len(data) > 7000 {
			break
		}
	}
	f := fields(2)
	f[5], f[7], f[8] = str(multicall3), str(data), list()
	text, pub, n := typed(2, f), owner(t), on(1)
	memory.Bounded(t, "batch", len(text)/2, func() {
		if _, err := (evm.Codec{}).Transaction(n, pub, text); err != nil {
			t.Error(err)
		}
	})
}

// TestOwnerAcceptsCallsWithin: a policy names what is unexplained within a
// batch as it names it alone, and that nothing accepts a delegatecall.
func TestOwnerAcceptsCallsWithin(t *testing.T) {
	unknown := "\xde\xad\xbe\xef" + abiWord(1)
	stranger := strings.Repeat("\x44", 20)
	p := calling(t, multicall3, aggregate(stranger, unknown))
	u := p.Request(on(1)).Unexplained
	if len(u) != 1 || u[0].Kind != policy.AcceptCall || u[0].Contract != hexed(stranger) || string(u[0].Data) != unknown {
		t.Fatalf("%+v", u)
	}
	self := string(unhex(t, me))
	p = calling(t, self, "\xe9\xae\x5c\x53\xff"+strings.Repeat("\x00", 31)+abiWord(64)+padded(stranger))
	u = p.Request(on(1)).Unexplained
	if len(u) != 1 || u[0].Kind != "" || strings.Join(p.Intent.Effects.Flags, " ") != "delegatecall" {
		t.Fatalf("%+v %+v", u, p.Intent.Effects)
	}
}

// TestDangersStay: a delegatecall is refused however it is wrapped, also where
// the rest isn't understood: behind bytes that contracts don't read, after too
// many calls, in a multicall. The canary is a call that an owner may accept.
func TestDangersStay(t *testing.T) {
	self, contract := string(unhex(t, me)), strings.Repeat("\x44", 20)
	left := strings.Repeat("\x00", 12)
	safe := "\x6a\x76\x12\x02" + left + contract + abiWord(0) + abiWord(320) + abiWord(1) + strings.Repeat(abiWord(0), 5) + abiWord(352) + abiWord(0) + abiWord(0)
	own := "\xe9\xae\x5c\x53\xff" + strings.Repeat("\x00", 31) + abiWord(64) + padded(contract)
	var tuples []string
	for range 70 {
		tuples = append(tuples, left+contract+abiWord(0)+abiWord(96)+abiWord(4)+"\xde\xad\xbe\xef"+strings.Repeat("\x00", 28))
	}
	heads := ""
	for i := range tuples {
		heads += abiWord(32*len(tuples) + i*len(tuples[0]))
	}
	many := "\x34\xfc\xd5\xbe" + abiWord(32) + abiWord(len(tuples)) + heads + strings.Join(tuples, "")
	multicall := "\xac\x96\x50\xd8" + abiWord(32) + abiWord(1) + abiWord(32) + padded(safe)
	for _, c := range []struct {
		name, to, data, flags, kind string
	}{
		{"canary", contract, "\xde\xad\xbe\xef" + abiWord(1), "", policy.AcceptCall},
		{"a Safe's", contract, safe, "delegatecall", ""},
		{"a Safe's, a byte behind it", contract, safe + "\x00", "", ""},
		{"a Safe's, in a multicall", contract, multicall, "delegatecall", ""},
		{"the account's", self, own, "delegatecall", ""},
		{"the account's, a byte behind it", self, own + "\x00", "", ""},
		{"the account's, with 70 calls", self, many, "", ""},
	} {
		p := calling(t, c.to, c.data)
		u := p.Request(on(1)).Unexplained
		if len(u) != 1 || u[0].Kind != c.kind || strings.Join(p.Intent.Effects.Flags, " ") != c.flags {
			t.Errorf("%s: %+v, flags %v", c.name, u, p.Intent.Effects.Flags)
		}
	}
}

// TestAcceptancesNameWhoCalls: a rule for the wallet's own calls of a function
// isn't one for the calls of others that its signature makes, nor the other way
// round.
func TestAcceptancesNameWhoCalls(t *testing.T) {
	const function = "withdrawAll(address)"
	f, err := abi.Parse(function)
	if err != nil {
		t.Fatal(err)
	}
	contract, safe := strings.Repeat("\x44", 20), strings.Repeat("\x55", 20)
	left := strings.Repeat("\x00", 12)
	inner := string(f.Selector[:]) + left + safe
	padding := strings.Repeat("\x00", 28)
	bySafe := "\x6a\x76\x12\x02" + left + contract + abiWord(0) + abiWord(320) + abiWord(0) + strings.Repeat(abiWord(0), 5) + abiWord(320+32+64) + abiWord(len(inner)) + inner + padding + abiWord(0)
	n := on(1)
	rule := policy.Acceptance{Kind: policy.AcceptCall, Network: n.Slug, Contract: hexed(contract), Function: function}
	of := func(from string) policy.Acceptance {
		a := rule
		a.From = from
		return a
	}
	for _, c := range []struct {
		name, to, data string
		accepted       policy.Acceptance
		want           string
	}{
		{"canary: the wallet's own", contract, inner, rule, policy.ReasonAllowed},
		{"a Safe's", safe, bySafe, rule, policy.ReasonOpaque},
		{"a Safe's, named", safe, bySafe, of(hexed(safe)), policy.ReasonAllowed},
		{"another Safe's, named", safe, bySafe, of(hexed(contract)), policy.ReasonOpaque},
		{"the wallet's own, another named", contract, inner, of(hexed(safe)), policy.ReasonOpaque},
		{"Multicall3's", multicall3, aggregate(contract, inner), rule, policy.ReasonOpaque},
		{"Multicall3's, named", multicall3, aggregate(contract, inner), of(hexed(multicall3)), policy.ReasonAllowed},
	} {
		if got := evaluate(t, n, calling(t, c.to, c.data), []string{n.Slug}, c.accepted); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

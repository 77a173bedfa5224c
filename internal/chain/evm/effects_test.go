package evm_test

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
)

// registered returns the network of a chain id.
func registered(t *testing.T, chainID uint64) *chain.Network {
	t.Helper()
	for _, n := range evm.Networks() {
		if n.ChainID == chainID {
			return &n
		}
	}
	t.Fatalf("there is no network with chain id %d", chainID)
	return nil
}

// TestEffects: what a transaction does, as whoever encoded it says.
func TestEffects(t *testing.T) {
	kinds := map[string]int{}
	for _, v := range vectors(t, "testdata/transactions.json") {
		id, err := strconv.ParseUint(strings.TrimPrefix(v.Network, "evm:"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		n := registered(t, id)
		_, pub := key(t, v.PrivateKey)
		p, err := evm.Codec{}.Transaction(n, pub, v.UnsignedTx)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		// Receipts name the intent by it, and the SDKs compute it.
		if d, err := p.Intent.Digest(); err != nil || hex.EncodeToString(d[:]) != v.Intent {
			t.Errorf("%s: the intent's digest is %x, %v; want %s", v.Name, d, err, v.Intent)
		}
		var want []chain.Action
		if err := json.Unmarshal(v.Actions, &want); err != nil {
			t.Fatal(err)
		}
		e := p.Intent.Effects
		if visible(t, e.Actions) != visible(t, want) || !slices.Equal(e.Flags, v.Flags) {
			t.Errorf("%s: %+v %v\nwant %+v %v", v.Name, e.Actions, e.Flags, want, v.Flags)
		}
		if p.Intent.Kind != chain.KindTransaction || p.Intent.Network != n.Slug || p.Intent.Length != len(v.UnsignedTx)/2-1 {
			t.Errorf("%s: %+v", v.Name, p.Intent)
		}
		for _, a := range e.Actions {
			kinds[a.Kind]++
		}
	}
	t.Logf("%v", kinds)
	for _, kind := range []string{chain.ActionTransfer, chain.ActionTokenTransfer, chain.ActionApprove, chain.ActionRevoke, chain.ActionWrap,
		chain.ActionUnwrap, chain.ActionDeploy, chain.ActionDelegate, chain.ActionOpaque} {
		if kinds[kind] == 0 {
			t.Errorf("no action of kind %s", kind)
		}
	}
}

// TestUnequalListsAreOpaque: two identifiers and one amount, encoded as well as
// can be. The canary is the same with two amounts.
func TestUnequalListsAreOpaque(t *testing.T) {
	word := func(v ...byte) (out string) {
		for _, b := range v {
			out += strings.Repeat("\x00", 31) + string([]byte{b})
		}
		return out
	}
	call := func(amounts ...byte) []chain.Action {
		f := fields(2)
		head := word(1, 2, 5*32) + strings.Repeat("\x00", 30) + "\x01\x00" + strings.Repeat("\x00", 30) + string([]byte{1, byte(32 * (len(amounts) + 1))})
		f[6] = str("")
		f[7] = str("\x2e\xb2\xc2\xd6" + head + word(2, 7, 8) + word(byte(len(amounts))) + word(amounts...) + word(0))
		p, err := transaction(on(1), typed(2, f))
		if err != nil {
			t.Fatal(err)
		}
		return p.Intent.Effects.Actions
	}
	if got := call(3, 4); len(got) != 2 || got[1].TokenID != "8" || got[1].Amount != "4" {
		t.Fatalf("canary: %+v", got)
	}
	for _, amounts := range [][]byte{{3}, {3, 4, 5}, {}} {
		if got := call(amounts...); len(got) != 1 || got[0].Kind != chain.ActionOpaque {
			t.Errorf("%d amounts: %+v", len(amounts), got)
		}
	}
}

// TestCallsHaveOneEncoding changes every byte of a known call's arguments:
// whatever is still understood moves something else than before.
func TestCallsHaveOneEncoding(t *testing.T) {
	known := 0
	for _, v := range vectors(t, "testdata/transactions.json") {
		n := on(1)
		_, pub := key(t, v.PrivateKey)
		p, err := evm.Codec{}.Transaction(n, pub, v.UnsignedTx)
		if err != nil || p.Intent.Effects.Actions[0].Selector == "" || movesNothing(v.Name) {
			continue
		}
		a := p.Intent.Effects.Actions[0]
		if a.Kind == chain.ActionOpaque || a.Expiry != "" || slices.Contains(p.Intent.Effects.Flags, "recipient_data") {
			continue // signature and data are no part of what moves
		}
		known++
		raw := unhex(t, v.UnsignedTx)
		start := strings.Index(string(raw), string(unhex(t, a.Selector)))
		for i := start; i < len(raw)-1; i++ { // the empty access list ends it
			for _, flip := range []byte{0x01, 0x80} {
				b := slices.Clone(raw)
				b[i] ^= flip
				q, err := evm.Codec{}.Transaction(n, pub, hexed(string(b)))
				if err != nil {
					t.Fatalf("%s: %v", v.Name, err)
				}
				got := q.Intent.Effects
				if _, unruled := got.Unruled(); !unruled && visible(t, got.Actions) == visible(t, p.Intent.Effects.Actions) {
					t.Errorf("%s: byte %d of the call doesn't matter", v.Name, i-start)
				}
			}
		}
	}
	if known < 35 {
		t.Errorf("only %d calls", known)
	}
}

// movesNothing names calls with arguments that aren't part of what moves:
// others' signatures, nonces, whether a call may fail.
func movesNothing(name string) bool {
	return slices.Contains([]string{"Multicall3 aggregate3", "Multicall3 in Multicall3", "Permit2 invalidateNonces"}, name) ||
		strings.HasPrefix(name, "Safe transaction") || strings.HasPrefix(name, "cancelAuthorization")
}

// visible writes actions as they stand in an intent.
func visible(t *testing.T, list []chain.Action) string {
	t.Helper()
	b, err := canon.EncodeJSON(list)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

package evm_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
)

// TestRouters: what calls of routers move and expose, as whoever encoded them
// says.
func TestRouters(t *testing.T) {
	n, ran := registered(t, 1), map[string]int{}
	for _, v := range vectors(t, "testdata/routers.json") {
		_, pub := key(t, v.PrivateKey)
		p, err := evm.Codec{}.Transaction(n, pub, v.UnsignedTx)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		var want []chain.Action
		if err := json.Unmarshal(v.Actions, &want); err != nil {
			t.Fatal(err)
		}
		e := p.Intent.Effects
		if visible(t, e.Actions) != visible(t, want) || !slices.Equal(e.Flags, v.Flags) {
			t.Errorf("%s: %s %v\nwant %s %v", v.Name, visible(t, e.Actions), e.Flags, visible(t, want), v.Flags)
		}
		for _, a := range e.Actions {
			ran[a.Kind]++
		}
	}
	t.Logf("%v", ran)
	if ran[chain.ActionApprove] < 9 || ran[chain.ActionOpaque] < 10 {
		t.Error("too few")
	}
}

package vectors

import (
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/tee"
)

// decideAccepted is Decide, and where the workload refuses what nobody can
// explain, Decide once more under a grant that names exactly that: the way an
// owner has such a payload signed. accepted says that it took this.
func (f *fixture) decideAccepted(t *testing.T, w tee.Wallet, n *chain.Network, p chain.Payload) (item teelink.Item, leaf *receipt.Leaf, accepted bool, err error) {
	t.Helper()
	item, leaf, err = f.Decide(t.Context(), w, n.Slug, p)
	if refusal(leaf, err) != policy.ReasonOpaque {
		return item, leaf, false, err
	}
	prepared, err := p.Prepare(n, w.Public)
	if err != nil {
		return item, leaf, false, err
	}
	if leaf.PayloadDigest != sha256.Sum256(prepared.SignBytes) {
		return item, leaf, false, errors.New("the denial's receipt names other bytes")
	}
	accept := acceptances(n, prepared)
	if accept == nil {
		return item, leaf, false, nil
	}
	item, leaf, err = f.Accepting(t, accept).Decide(t.Context(), w, n.Slug, p)
	return item, leaf, true, err
}

// acceptances name what nobody can explain of a payload; nil where something
// can't be named.
func acceptances(n *chain.Network, p *chain.Prepared) (out []policy.Acceptance) {
	for _, u := range p.Request(n).Unexplained {
		a, ok := u.Acceptance(n.Slug)
		if !ok {
			return nil
		}
		out = append(out, a)
	}
	return out
}

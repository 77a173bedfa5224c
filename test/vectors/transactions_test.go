package vectors

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/test/tee"
)

// transaction has the workload sign an entry's transaction on its network.
// What no policy can allow yet it must refuse; an entry of a network that
// isn't registered, it must refuse for another one.
func (f *fixture) transaction(t *testing.T, y *tally, e *entry, name, slug string, registered bool) {
	if !registered {
		slug = "ethereum"
	}
	text := textOf(e.UnsignedTx)
	if text == "" { // an entry to refuse
		text = textOf(e.Input)
	}
	private, err := unhex(e.Private)
	if err != nil || len(private) != 32 {
		private = bytes.Repeat([]byte{7}, 32)
	}
	n, _ := f.Networks.Lookup(slug)
	w, err := f.Wallet(t.Context(), n.Curve, private)
	if err != nil {
		f.report(t, y, e, name, err)
		return
	}
	item, leaf, accepted, err := f.decideAccepted(t, w, n, chain.Payload{Transaction: &text})
	if accepted {
		name += ", accepted by policy"
	}
	switch code := refusal(leaf, err); {
	case !registered && code == chain.CodeNetwork:
		y.left[name+": network isn't registered, so refused on another"]++
	case code == policy.ReasonOpaque && e.Expect == "":
		// Decoded all the same: the denial's receipt names the published digest.
		if hash, err := unhex(e.SignHash); err != nil || leaf.PayloadDigest != sha256.Sum256(hash) {
			f.report(t, y, e, name, fmt.Errorf("refused another digest than published: %v", err))
			return
		}
		y.refused[name+": "+code+" (no policy can name it)"]++
	case code != "" && e.Expect == "reject":
		y.refused[name+": "+code]++
	case code != "" || e.Expect == "reject" || !registered:
		f.report(t, y, e, name, fmt.Errorf("signed or refused wrongly: %q, %v", code, err))
	default:
		f.report(t, y, e, name, f.signed(n, w, e, text, string(item.Result), leaf.PayloadDigest))
	}
}

func textOf(raw flexible) string {
	if len(raw) < 2 || raw[0] != '"' {
		return ""
	}
	return string(raw[1 : len(raw)-1])
}

// signed requires the published transaction, put together from what the
// workload released.
func (f *fixture) signed(n *chain.Network, w tee.Wallet, e *entry, text, signature string, payload [32]byte) error {
	p, err := (&chain.Payload{Transaction: &text}).Prepare(n, w.Public)
	if err != nil {
		return err
	}
	raw, err := n.Codec.DecodeSignature(signature)
	if err != nil {
		return err
	}
	s, err := p.Assemble(raw)
	if err != nil {
		return err
	}
	hash, err := unhex(e.SignHash)
	switch {
	case err != nil:
		return err
	case s.Text != textOf(e.SignedTx) || e.TxHash != nil && s.ID != textOf(e.TxHash):
		return fmt.Errorf("signed %s, want %s", s.Text, textOf(e.SignedTx))
	case payload != sha256.Sum256(hash):
		return errors.New("signed another digest than published")
	case !keys.Verify(n.Curve, w.Public, hash, raw):
		return errors.New("the signature doesn't verify")
	}
	return nil
}

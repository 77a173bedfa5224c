package nodes

import (
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/tee"
)

// wallet is one that a workload holds, and the policy of who may use it.
type wallet struct {
	t      *testing.T
	tee    *tee.Workload
	in     tee.Wallet
	n      *chain.Network
	pub    []byte
	accept []policy.Acceptance
}

// newWallet starts a workload that knows the configured networks as well, and
// gives it a new key for one of its networks.
func newWallet(t *testing.T, slug string, configured ...evm.Configured) *wallet {
	t.Helper()
	w := &wallet{t: t, tee: tee.New(t, configured...)}
	var ok bool
	if w.n, ok = w.tee.Networks.Lookup(slug); !ok {
		t.Fatalf("%s isn't there", slug)
	}
	var private [32]byte
	if err := keys.Generate(w.n.Curve, rand.Reader, &private, make([]byte, w.n.Curve.PublicKeySize())); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.in, err = w.tee.Wallet(t.Context(), w.n.Curve, private[:]); err != nil {
		t.Fatal(err)
	}
	w.pub = w.in.Public
	return w
}

func (w *wallet) address() string {
	w.t.Helper()
	a, err := w.n.Codec.Address(w.pub)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// sign has the workload sign, and does what the control plane does with the
// signature: it puts it into the transaction.
func (w *wallet) sign(p *chain.Payload) (signature string, signed *chain.Signed) {
	w.t.Helper()
	item, leaf, err := w.tee.Accepting(w.t, w.accept).Decide(w.t.Context(), w.in, w.n.Slug, *p)
	if err != nil {
		w.t.Fatal(err)
	}
	if leaf.Decision != receipt.Allow {
		w.t.Fatalf("%s: %s", leaf.Reason, item.Explanation)
	}
	signature = string(item.Result)
	prepared, err := p.Prepare(w.n, w.pub)
	if err != nil {
		w.t.Fatal(err)
	}
	if leaf.PayloadDigest != sha256.Sum256(prepared.SignBytes) || !w.n.Verify(w.pub, prepared, signature) {
		w.t.Fatal("the workload signed something else")
	}
	if signed, err = w.n.Assemble(prepared, signature); err != nil {
		w.t.Fatal(err)
	}
	return signature, signed
}

func (w *wallet) transaction(text string) *chain.Signed {
	w.t.Helper()
	_, signed := w.sign(&chain.Payload{Transaction: &text})
	return signed
}

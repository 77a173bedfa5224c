package nodes

import (
	"crypto/rand"
	"testing"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/policy"
)

// wallet is a key as the workload has it, and the policy of who may use it.
type wallet struct {
	t      *testing.T
	n      *chain.Network
	priv   [32]byte
	pub    []byte
	accept []policy.Acceptance
}

func newWallet(t *testing.T, n *chain.Network) *wallet {
	t.Helper()
	w := &wallet{t: t, n: n, pub: make([]byte, n.Curve.PublicKeySize())}
	if err := keys.Generate(n.Curve, rand.Reader, &w.priv, w.pub); err != nil {
		t.Fatal(err)
	}
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

// sign does what the workload does with a payload: it decodes it, has the
// policy decide, signs, verifies, and writes the signature; and what the
// control plane does: put it into the transaction.
func (w *wallet) sign(p *chain.Payload) (signature string, signed *chain.Signed) {
	w.t.Helper()
	prepared, err := p.Prepare(w.n, w.pub)
	if err != nil {
		w.t.Fatal(err)
	}
	r := prepared.Request(w.n)
	if r.Wallet, err = canon.NewUUID(rand.Reader); err != nil {
		w.t.Fatal(err)
	}
	any := []string{policy.Any}
	rules := &policy.Policy{Wallets: any, Networks: any, Accept: w.accept,
		Methods: []string{policy.MethodSignMessage, policy.MethodSignTransaction, policy.MethodSignTypedData, policy.MethodSignAuthorization, policy.MethodSignUserOperation}}
	if err := rules.Check(); err != nil {
		w.t.Fatal(err)
	}
	if d := policy.Evaluate(rules, r); d.Outcome != policy.Allow {
		w.t.Fatalf("%s: %s", d.Reason, d.Explanation)
	}
	var raw []byte
	for _, part := range prepared.Signatures() {
		sig := make([]byte, part.Scheme.SignatureSize(w.n.Curve))
		if err := keys.SignScheme(w.n.Curve, part.Scheme, &w.priv, w.pub, part.Bytes, sig, rand.Reader); err != nil {
			w.t.Fatal(err)
		}
		raw = append(raw, sig...)
	}
	if signature, err = w.n.EncodeSignature(prepared, raw); err != nil {
		w.t.Fatal(err)
	}
	if !w.n.Verify(w.pub, prepared, signature) {
		w.t.Fatal("the signature doesn't verify")
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

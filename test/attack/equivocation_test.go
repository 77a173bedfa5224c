package attack

import (
	"bytes"
	"sync"
	"testing"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/internal/workload"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/stack"
)

// A host that sends one request for a wallet again and again, at once and
// later, gets one wallet: two certified ones of an id would let it show one
// address and sign with the other.
func TestOneRequestOneWallet(t *testing.T) {
	s := newScene(t, stack.Options{})
	c, err := s.Link.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.Signing.Key(t.Context(), keyIDOf(s))
	if err != nil {
		t.Fatal(err)
	}
	req := s.Request(s.token, "POST", workload.PathWallets, `{}`)
	h, err := authority.ParseSignatureHeaders(req.Header)
	if err != nil {
		t.Fatal(err)
	}
	d := &teelink.Decide{Genesis: key.Genesis.Digest, Grant: key.Digest, Record: key.StateDigest, Auth: teelink.AuthSignature, Method: "POST", Path: workload.PathWallets,
		Created: h.Created, RequestID: h.ID, Proof: h.Signature, Body: []byte(`{}`)}
	records := make([][]byte, 12)
	var group sync.WaitGroup
	for i := range records {
		ask := func() {
			out, err := c.Decide(t.Context(), d)
			if err != nil || out.Item().ResultKind != teelink.ResultWallet {
				t.Errorf("%d: %v", i, err)
				return
			}
			records[i] = out.Item().Result
		}
		if i < 8 {
			group.Go(ask)
		} else {
			group.Wait()
			ask()
		}
	}
	for i, r := range records {
		if !bytes.Equal(r, records[0]) {
			t.Errorf("answer %d is another wallet", i)
		}
	}
	w, err := receipt.DecodeWalletRecord(records[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := receipt.OpenWalletCertificate(w.Certificate); err != nil {
		t.Fatal(err)
	}
}

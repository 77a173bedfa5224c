package vectors

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/receipt"
)

// signer is one of the keys that an entry's transaction is signed by.
type signer struct {
	Index   int    `json:"index"`
	Private string `json:"private_key_hex"`
}

// solanaTransaction has the workload sign an entry's transaction by each of
// its keys in turn, each signature going into the transaction that the next
// one is asked for. What no policy can allow yet it must refuse.
func (f *fixture) solanaTransaction(t *testing.T, y *tally, e *entry, name string) {
	text := textOf(e.UnsignedBase64)
	if raw, err := unhex(textOf(e.Input)); text == "" && err == nil { // an entry to refuse
		text = base64.StdEncoding.EncodeToString(raw)
	}
	var signers []signer
	if json.Unmarshal(e.Signatures, &signers) != nil || len(signers) == 0 {
		signers = []signer{{Private: e.Private}}
	}
	var err error
	if e.Expect == "" {
		text, err = withOthers(text, textOf(e.SignedTx), signers)
	}
	for i := 0; i < len(signers) && err == nil; i++ {
		var code string
		if text, code, err = f.signSolana(t, e, text, signers[i].Private); code != "" && err == nil {
			y.refused[name+": "+code]++
			return
		}
	}
	if err == nil && text != textOf(e.SignedTx) {
		err = fmt.Errorf("signed %s, want %s", text, textOf(e.SignedTx))
	}
	f.report(t, y, e, name, err)
}

// withOthers puts those of the published signatures into the unsigned
// transaction whose keys weren't published.
func withOthers(unsigned, signed string, signers []signer) (string, error) {
	u, err := base64.StdEncoding.DecodeString(unsigned)
	s, err2 := base64.StdEncoding.DecodeString(signed)
	if err := errors.Join(err, err2); err != nil || len(u) != len(s) || len(u) == 0 {
		return "", fmt.Errorf("unsigned and signed transaction don't fit: %v", err)
	}
	own := map[int]bool{}
	for _, k := range signers {
		own[k.Index] = true
	}
	for i := range int(u[0]) {
		if at := 1 + 64*i; !own[i] {
			copy(u[at:at+64], s[at:])
		}
	}
	return base64.StdEncoding.EncodeToString(u), nil
}

// signSolana returns the transaction with one more signature, or the code of
// a refusal that is right.
func (f *fixture) signSolana(t *testing.T, e *entry, text, privateHex string) (signed, code string, err error) {
	private, err := unhex(privateHex)
	if err != nil || len(private) != 32 {
		private = bytes.Repeat([]byte{7}, 32)
	}
	n, _ := f.Networks.Lookup("solana")
	w, err := f.Wallet(t.Context(), n.Curve, private)
	if err != nil {
		return "", "", err
	}
	item, leaf, _, err := f.decideAccepted(t, w, n, chain.Payload{Transaction: &text})
	if code = refusal(leaf, err); code != "" || err != nil {
		return "", code, f.rightly(e, code, leaf, err)
	}
	if e.Expect != "" {
		return "", "", errors.New("signed, but must be refused")
	}
	p, err := (&chain.Payload{Transaction: &text}).Prepare(n, w.Public)
	if err != nil {
		return "", "", err
	}
	want, err := unhex(e.SignBytes)
	if err != nil || !bytes.Equal(p.SignBytes, want) || leaf.PayloadDigest != sha256.Sum256(want) || !n.Verify(w.Public, p, string(item.Result)) {
		return "", "", fmt.Errorf("signed other bytes than published: %v", err)
	}
	raw, err := n.Codec.DecodeSignature(string(item.Result))
	if err != nil {
		return "", "", err
	}
	s, err := p.Assemble(raw)
	if err != nil {
		return "", "", err
	}
	return s.Text, "", nil
}

// rightly says whether a refusal is: of an entry that demands it, or of a
// transaction that was decoded but does what no policy can allow yet; then the
// receipt names the published bytes.
func (f *fixture) rightly(e *entry, code string, leaf *receipt.Leaf, err error) error {
	if e.Expect == "reject" && code != "" {
		return nil
	}
	want, err2 := unhex(e.SignBytes)
	if code == policy.ReasonOpaque && err2 == nil && leaf != nil && leaf.PayloadDigest == sha256.Sum256(want) {
		return nil
	}
	return fmt.Errorf("refused: %q, %v", code, err)
}

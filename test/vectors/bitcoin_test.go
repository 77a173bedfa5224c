package vectors

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/bitcoin"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/test/tee"
)

// bitcoinEntry is what entries of the family have besides.
type bitcoinEntry struct {
	PSBT       string          `json:"unsigned_psbt_base64"`
	SignedPSBT string          `json:"signed_psbt_base64"`
	SignedTx   string          `json:"signed_tx"`
	TxID       string          `json:"txid"`
	Fee        json.RawMessage `json:"fee"`
	Label      string          `json:"label"`
	Unsigned   string          `json:"unsigned_tx_hex"`
	Inputs     []bitcoinInput  `json:"inputs"`
}

type bitcoinInput struct {
	Type    string  `json:"type"`
	Amount  *uint64 `json:"amount"`
	Script  string  `json:"script_pubkey"`
	Private string  `json:"private_key_hex"`
	Sighash string  `json:"sighash"`
}

// bitcoin runs an entry of the family.
func (f *fixture) bitcoin(t *testing.T, y *tally, e *entry, name, slug string) {
	var b bitcoinEntry
	err := json.Unmarshal(e.raw, &b)
	w, err2 := f.bitcoinWallet(t, e)
	err = errors.Join(err, err2)
	if err != nil {
		f.report(t, y, e, name, err)
		return
	}
	n, _ := f.Networks.Lookup(slug)
	switch {
	case strings.HasPrefix(e.Kind, "psbt-"):
		text := b.PSBT
		if text == "" {
			text = textOf(e.Input)
		}
		f.psbt(t, y, e, name, n, w, &b, text)
	case strings.HasPrefix(e.Kind, "message-"):
		f.bitcoinMessage(t, y, e, name, n, w, b.Label)
	case e.Kind != "transaction":
		y.left[name+": kind isn't registered"]++
	case len(b.Inputs) == 0 || slices.ContainsFunc(b.Inputs, func(in bitcoinInput) bool {
		return in.Private == e.Private && in.Type != "p2tr-keypath" || in.Amount == nil
	}):
		y.left[name+": its previous transactions weren't published; the family's own tests sign it below the PSBT"]++
	default:
		text, err := psbtOf(&b)
		if err != nil {
			f.report(t, y, e, name, err)
			return
		}
		f.psbt(t, y, e, name+" through a PSBT", n, w, &b, text)
	}
}

func (f *fixture) bitcoinWallet(t *testing.T, e *entry) (tee.Wallet, error) {
	private, err := unhex(e.Private)
	if err != nil || len(private) != 32 {
		private = slices.Repeat([]byte{7}, 32)
	}
	return f.Wallet(t.Context(), keys.Secp256k1, private)
}

// psbt has the workload sign a PSBT, and compares what is put together of it.
// What has a Taproot signature is verified: its randomness wasn't published.
func (f *fixture) psbt(t *testing.T, y *tally, e *entry, name string, n *chain.Network, w tee.Wallet, b *bitcoinEntry, text string) {
	item, leaf, err := f.Decide(t.Context(), w, n.Slug, chain.Payload{Transaction: &text})
	code := refusal(leaf, err)
	switch {
	case code != "" && e.Expect == "reject":
		y.refused[name+": "+code]++
		return
	case code != "" || err != nil || e.Expect == "reject":
		f.report(t, y, e, name, fmt.Errorf("signed or refused wrongly: %q, %v", code, err))
		return
	}
	p, err := (&chain.Payload{Transaction: &text}).Prepare(n, w.Public)
	if err != nil {
		f.report(t, y, e, name, err)
		return
	}
	signed, err := n.Assemble(p, string(item.Result))
	switch {
	case err != nil:
	case leaf.PayloadDigest != sha256.Sum256(p.SignBytes) || !n.Verify(w.Public, p, string(item.Result)):
		err = errors.New("the signatures don't verify")
	default:
		err = b.compare(p, signed)
	}
	f.report(t, y, e, name, err)
}

// compare holds what was signed against what was published.
func (b *bitcoinEntry) compare(p *chain.Prepared, signed *chain.Signed) error {
	taproot := slices.ContainsFunc(p.Parts, func(part chain.Part) bool { return part.Scheme == keys.SchemeTaproot })
	fee := strings.Trim(string(b.Fee), `"`)
	switch {
	case fee != "" && fee != "null" && fee != p.Intent.Effects.FeeMax:
		return fmt.Errorf("fee %s, want %s", p.Intent.Effects.FeeMax, fee)
	case signed.ID != "" && b.TxID != "" && signed.ID != b.TxID:
		return fmt.Errorf("id %s, want %s", signed.ID, b.TxID)
	case !taproot && b.SignedTx != "" && signed.Text != b.SignedTx:
		return fmt.Errorf("signed %s, want %s", signed.Text, b.SignedTx)
	case !taproot && b.SignedTx == "" && b.SignedPSBT != "" && signed.PSBT != b.SignedPSBT:
		return fmt.Errorf("signed %s, want %s", signed.PSBT, b.SignedPSBT)
	}
	for _, in := range b.Inputs { // one part alone: the others are strangers'
		if len(p.Parts) == 1 && in.Type == "p2tr-keypath" && in.Sighash != "" && in.Sighash != fmt.Sprintf("%x", p.SignBytes) {
			return fmt.Errorf("digest %x, want %s", p.SignBytes, in.Sighash)
		}
	}
	return nil
}

// bitcoinMessage signs in the format that the kind and the address's type say.
func (f *fixture) bitcoinMessage(t *testing.T, y *tally, e *entry, name string, n *chain.Network, w tee.Wallet, label string) {
	m, err := message(e)
	if err != nil {
		f.report(t, y, e, name, err)
		return
	}
	kind := typeOf(n, w.Public, e.Address, label)
	m.Format = strings.TrimSuffix(strings.TrimPrefix(e.Kind, "message-"), "-simple") + "-" + kind
	p := chain.Payload{Message: m, Text: &m.Message}
	item, leaf, err := f.Decide(t.Context(), w, n.Slug, p)
	code := refusal(leaf, err)
	prepared, err2 := p.Prepare(n, w.Public)
	want := strings.TrimPrefix(textOf(e.Signature), "smp")
	switch {
	case e.Expect == "reject" && code != "":
		y.refused[name+": "+code]++
		return
	case code == chain.CodeFormat:
		y.left[name+": format "+m.Format+" isn't offered"]++
		return
	case code != "" || err != nil || err2 != nil || e.Expect == "reject":
		err = fmt.Errorf("signed or refused wrongly: %q, %v, %v", code, err, err2)
	case !n.Verify(w.Public, prepared, string(item.Result)):
		err = errors.New("the signature doesn't verify")
	case kind != bitcoin.TypeP2TR && string(item.Result) != want:
		err = fmt.Errorf("signature %s, want %s", item.Result, want)
	}
	f.report(t, y, e, name, err)
}

// typeOf returns the type of an entry's address, by the address or its label.
func typeOf(n *chain.Network, pub []byte, address, label string) string {
	types, _ := n.Codec.(bitcoin.Codec).AddressTypes(pub)
	for kind, own := range types {
		if own == address {
			return kind
		}
	}
	for _, kind := range []string{bitcoin.TypeP2SHP2WPKH, bitcoin.TypeP2WPKH, bitcoin.TypeP2TR, bitcoin.TypeP2PKH} {
		if strings.Contains(strings.ToLower(label), kind) {
			return kind
		}
	}
	return bitcoin.TypeP2WPKH
}

// psbtOf builds a PSBT of a published transaction whose wallet's inputs are
// Taproot: what inputs spend needn't be proved then.
func psbtOf(b *bitcoinEntry) (string, error) {
	u, err := unhex(b.Unsigned)
	if err != nil || len(u) > 0xffff {
		return "", fmt.Errorf("unsigned_tx_hex of %d bytes: %v", len(u), err)
	}
	out := append([]byte("psbt\xff\x01\x00\xfd"), byte(len(u)), byte(len(u)>>8))
	if len(u) < 0xfd {
		out = append([]byte("psbt\xff\x01\x00"), byte(len(u)))
	}
	out = append(append(out, u...), 0)
	for _, in := range b.Inputs {
		script, err := unhex(in.Script)
		if err != nil || len(script) > 100 {
			return "", fmt.Errorf("script_pubkey of %d bytes: %v", len(script), err)
		}
		out = append(out, 1, 1, byte(8+1+len(script)))
		out = append(append(binary.LittleEndian.AppendUint64(out, *in.Amount), byte(len(script))), script...)
		out = append(out, 0)
	}
	at := 4 + 1 + 41*len(b.Inputs) // inputs without scripts
	if len(b.Inputs) >= 0xfd || len(u) <= at {
		return "", errors.New("unsigned_tx_hex is too short")
	}
	return base64.StdEncoding.EncodeToString(append(out, make([]byte, u[at])...)), nil
}

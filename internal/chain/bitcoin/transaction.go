package bitcoin

import (
	"encoding/base64"
	"fmt"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
)

// maxPSBT is the size of the largest PSBT that is read, in bytes: its base64
// fits into a request's body of 64 KiB beside the rest.
const maxPSBT = 40 << 10

// Transaction implements chain.Transactor: text is a PSBT of version 0 or 2 in
// base64. One part is signed for each input that the wallet's key spends;
// others' inputs stay as they are.
func (c Codec) Transaction(n *chain.Network, pub []byte, text string) (*chain.Prepared, error) {
	if len(text) > base64.StdEncoding.EncodedLen(maxPSBT) {
		return nil, chain.Refuse(chain.CodeInvalid, "the PSBT has over %d bytes", maxPSBT)
	}
	raw, err := chain.Base64(text)
	if err != nil {
		return nil, chain.Refuse(chain.CodeInvalid, "the transaction isn't a PSBT in base64")
	}
	p, err := parsePSBT(raw)
	if err != nil {
		return nil, chain.Refuse(chain.CodeInvalid, "not a PSBT: %v", err)
	}
	w, err := newWallet(pub)
	if err != nil {
		return nil, chain.Refuse(chain.CodeInvalid, "the wallet's key: %v", err)
	}
	prepared, err := c.prepare(n, p, w)
	if err != nil {
		return nil, chain.Refuse(chain.CodeInvalid, "the PSBT isn't signed: %v", err)
	}
	return prepared, nil
}

func (c Codec) prepare(n *chain.Network, p *psbt, w *wallet) (*chain.Prepared, error) {
	if p.v2.modifiable != 0 {
		return nil, fmt.Errorf("its inputs or outputs may still be changed (flags %#02x); finish it first", p.v2.modifiable)
	}
	prev, own, err := p.prevouts(w)
	if err != nil {
		return nil, err
	}
	in, fee, err := p.sums(prev)
	if err != nil {
		return nil, err
	}
	if err := capFee(in, fee, p.vsize(prev)); err != nil {
		return nil, err
	}
	signBytes := digests(p.tx, prev, own, w)
	parts := make([]chain.Part, len(own))
	for i := range own {
		parts[i] = chain.Part{Scheme: own[i].scheme(), Bytes: signBytes[32*i : 32*i+32 : 32*i+32]}
	}
	s := &signer{wallet: w, own: own}
	return &chain.Prepared{
		Intent:    chain.TransactionIntent(n, fmt.Sprintf("bitcoin-psbt-v%d", p.version), p.tx.unsigned(), p.effects(c, w, own, in, fee)),
		SignBytes: signBytes,
		Parts:     parts,
		Text:      s,
		Assemble:  func(raw []byte) (*chain.Signed, error) { return s.assemble(p, raw) },
	}, nil
}

// signer knows which signatures a transaction gets. It implements
// chain.TextForm: base64 of the raw signatures one after another, in the order
// of the inputs.
type signer struct {
	wallet *wallet
	own    []spend
}

// EncodeSignature implements chain.TextForm.
func (s *signer) EncodeSignature(raw []byte) (string, error) {
	if _, err := s.split(raw); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(raw), nil
}

// DecodeSignature implements chain.TextForm.
func (s *signer) DecodeSignature(text string) ([]byte, error) {
	raw, err := chain.Base64(text)
	if err != nil {
		return nil, fmt.Errorf("%w: signatures that aren't base64", keys.ErrInput)
	}
	if _, err := s.split(raw); err != nil {
		return nil, err
	}
	return raw, nil
}

// split cuts the raw signatures apart.
func (s *signer) split(raw []byte) ([][]byte, error) {
	out, rest := make([][]byte, 0, len(s.own)), raw
	for i := range s.own {
		size := s.own[i].size()
		if len(rest) < size || size == sizeECDSA && rest[64] > 1 {
			return nil, fmt.Errorf("%w: signatures of %d bytes for %d inputs", keys.ErrInput, len(raw), len(s.own))
		}
		out, rest = append(out, rest[:size]), rest[size:]
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: signatures of %d bytes for %d inputs", keys.ErrInput, len(raw), len(s.own))
	}
	return out, nil
}

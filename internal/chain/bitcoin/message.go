package bitcoin

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
)

// Message prepares a message for one of the wallet's addresses, as the format
// says: BIP-322 "simple" for P2WPKH, which "" is as well, and P2TR; BIP-137 for
// P2PKH, P2SH-P2WPKH and P2WPKH.
func (Codec) Message(n *chain.Network, pub []byte, m *chain.Message) (*chain.Prepared, error) {
	if m.ApplicationDomain != "" || m.ContentFormat != "" || len(m.RequiredSignatories) > 0 {
		return nil, chain.Refuse(chain.CodeFormat, "%s has no off-chain messages: application_domain, content_format and required_signatories are for Solana", n.Slug)
	}
	format := m.Format
	if format == "" {
		format = chain.FormatBIP322P2WPKH
	}
	header := bip137Header(format)
	if header == 0 && format != chain.FormatBIP322P2WPKH && format != chain.FormatBIP322P2TR {
		return nil, chain.Refuse(chain.CodeFormat, "message_format is %.40q; on %s use %s, %s, %s, %s, %s or none", m.Format, n.Slug,
			chain.FormatBIP322P2WPKH, chain.FormatBIP322P2TR, chain.FormatBIP137P2PKH, chain.FormatBIP137P2SH, chain.FormatBIP137P2WPKH)
	}
	b, err := m.Bytes()
	if err != nil {
		return nil, err
	}
	if err := refuseBlind(b); err != nil {
		return nil, err
	}
	p := &chain.Prepared{Intent: chain.MessageIntent(n, format, b)}
	if header != 0 {
		digest := bip137Digest(b)
		p.SignBytes, p.Text = digest[:], bip137(header)
		return p, nil
	}
	w, err := newWallet(pub)
	if err != nil {
		return nil, chain.Refuse(chain.CodeArgument, "the wallet's key: %v", err)
	}
	own := spend{kind: scriptP2WPKH, sighash: sighashAll}
	script := w.p2wpkh
	if format == chain.FormatBIP322P2TR {
		own, script = spend{kind: scriptP2TR, sighash: sighashDefault}, w.p2tr
	}
	p.SignBytes = digests(toSign(b, script), []txOut{{script: script}}, []spend{own}, w)
	p.Parts = []chain.Part{{Scheme: own.scheme(), Bytes: p.SignBytes}}
	p.Text = &bip322{wallet: w, own: own, digest: p.SignBytes}
	return p, nil
}

// toSign is BIP-322's transaction to_sign: it spends the one output of
// to_spend, which pays nothing to the script and names the message by its hash.
func toSign(message, script []byte) *tx {
	hash := tagged("BIP0322-signed-message", message)
	toSpend := &tx{in: []txIn{{txid: make([]byte, 32), vout: 0xffffffff}}, out: []txOut{{script: script}}}
	b := toSpend.appendTo(nil, func(int) []byte { return append([]byte{op0, opPush32}, hash[:]...) })
	id := sha256d(b)
	return &tx{in: []txIn{{txid: id[:]}}, out: []txOut{{script: []byte{opReturn}}}}
}

// bip322 is the text form of a "simple" signature: base64 of the witness that
// to_sign would carry.
type bip322 struct {
	wallet *wallet
	own    spend
	digest []byte
}

// EncodeSignature implements chain.TextForm.
func (f *bip322) EncodeSignature(raw []byte) (string, error) {
	if len(raw) != f.own.size() || len(raw) == sizeECDSA && raw[64] > 1 {
		return "", fmt.Errorf("%w: signature of %d bytes", keys.ErrInput, len(raw))
	}
	u, _ := f.own.unlock(f.wallet, raw)
	return base64.StdEncoding.EncodeToString(u.witness), nil
}

// DecodeSignature implements chain.TextForm. The recovery id of an ECDSA
// signature isn't in the text: it is the one that verifies.
func (f *bip322) DecodeSignature(text string) ([]byte, error) {
	witness, err := chain.Base64(text)
	c := &cursor{b: witness}
	items, signature := c.compact(), c.bytes()
	if err == nil && !c.failed && items == 1 && f.own.kind == scriptP2TR && len(signature) == keys.SchemeTaproot.SignatureSize(keys.Secp256k1) && c.done() {
		return signature, nil
	}
	if err == nil && !c.failed && items == 2 && f.own.kind != scriptP2TR {
		if raw, ok := rawOf(signature); ok {
			for raw[64] = range byte(2) {
				again, err := f.EncodeSignature(raw)
				if err == nil && again == text && keys.Verify(keys.Secp256k1, f.wallet.pub, f.digest, raw) {
					return raw, nil
				}
			}
		}
	}
	return nil, fmt.Errorf("%w: not a BIP-322 signature of the wallet's", keys.ErrInput)
}

// rawOf reads r and s of a DER signature; whether it is the one encoding of
// them, the caller checks by encoding again.
func rawOf(signature []byte) (raw []byte, ok bool) {
	if !isDER(signature) {
		return nil, false
	}
	raw = make([]byte, sizeECDSA)
	c := &cursor{b: signature[2 : len(signature)-1]}
	for _, half := range [][]byte{raw[:32], raw[32:64]} {
		tag, v := c.take(1), c.bytes()
		if c.failed || tag[0] != 0x02 || len(v) == 0 {
			return nil, false
		}
		if v[0] == 0 {
			v = v[1:]
		}
		if len(v) > 32 {
			return nil, false
		}
		copy(half[32-len(v):], v)
	}
	return raw, c.done()
}

// bip137Header returns the first byte of BIP-137's signatures for recovery id
// 0: it names the address type. 0 is no format of BIP-137.
func bip137Header(format string) byte {
	switch format {
	case chain.FormatBIP137P2PKH:
		return 31
	case chain.FormatBIP137P2SH:
		return 35
	case chain.FormatBIP137P2WPKH:
		return 39
	}
	return 0
}

// bip137Digest is SHA-256 twice over the length-prefixed magic and message.
func bip137Digest(message []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte("\x18Bitcoin Signed Message:\n"))
	h.Write(appendCompact(make([]byte, 0, 9), uint64(len(message))))
	h.Write(message)
	var sum [32]byte
	h.Sum(sum[:0])
	return sha256.Sum256(sum[:])
}

// bip137 is the text form of BIP-137: base64 of header ‖ r ‖ s, where the
// header is that of the address type and the recovery id.
type bip137 byte

// EncodeSignature implements chain.TextForm.
func (header bip137) EncodeSignature(raw []byte) (string, error) {
	if len(raw) != sizeECDSA || raw[64] > 1 {
		return "", fmt.Errorf("%w: signature of %d bytes", keys.ErrInput, len(raw))
	}
	b := append([]byte{byte(header) + raw[64]}, raw[:64]...)
	return base64.StdEncoding.EncodeToString(b), nil
}

// DecodeSignature implements chain.TextForm.
func (header bip137) DecodeSignature(text string) ([]byte, error) {
	b, err := chain.Base64(text)
	if err != nil || len(b) != sizeECDSA || b[0]-byte(header) > 1 {
		return nil, fmt.Errorf("%w: not a BIP-137 signature for the address type", keys.ErrInput)
	}
	return append(b[1:], b[0]-byte(header)), nil
}

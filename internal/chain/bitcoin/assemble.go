package bitcoin

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"

	"github.com/sigilkeys/sigil/internal/chain"
)

// der writes an ECDSA signature as scripts take it: DER of r and s, and the
// hash type (BIP-66).
func der(raw []byte, sighash byte) []byte {
	integer := func(b, v []byte) []byte {
		for len(v) > 1 && v[0] == 0 {
			v = v[1:]
		}
		if v[0] >= 0x80 {
			return append(append(b, 0x02, byte(len(v)+1), 0), v...)
		}
		return append(append(b, 0x02, byte(len(v))), v...)
	}
	b := integer(integer(append(make([]byte, 0, 73), 0x30, 0), raw[:32]), raw[32:64])
	b[1] = byte(len(b) - 2)
	return append(b, sighash)
}

// unlock is what makes an input valid: the script and the witness of a signed
// input. Either may be empty.
type unlock struct{ script, witness []byte }

// unlock returns the final form of one of the wallet's own inputs, and the
// signature as it stands in it.
func (s *spend) unlock(w *wallet, raw []byte) (u unlock, signature []byte) {
	if s.kind == scriptP2TR {
		signature = raw[:len(raw):len(raw)]
		if s.sighash != sighashDefault {
			signature = append(signature, s.sighash)
		}
		return unlock{witness: appendBytes([]byte{1}, signature)}, signature
	}
	signature = der(raw, s.sighash)
	pair := appendBytes(appendBytes(nil, signature), w.pub) // both are pushed by their length
	switch s.kind {
	case scriptP2PKH:
		u.script = pair
	case scriptP2SH:
		u.script = appendBytes(nil, w.p2wpkh)
		fallthrough
	default:
		u.witness = append([]byte{2}, pair...)
	}
	return u, signature
}

// field returns the PSBT's record of the wallet's signature of an input.
func (s *spend) field(w *wallet, signature []byte) []byte {
	key := []byte{inTapKeySig}
	if s.kind != scriptP2TR {
		key = append([]byte{inPartialSig}, w.pub...)
	}
	return appendBytes(appendBytes(nil, key), signature)
}

// assemble puts the wallet's signatures into the PSBT. Where every other input
// is final, it makes the transaction as well.
func (s *signer) assemble(p *psbt, raw []byte) (*chain.Signed, error) {
	signatures, err := s.split(raw)
	if err != nil {
		return nil, err
	}
	unlocks, added, size := make([]unlock, len(p.inputs)), make([][]byte, len(p.inputs)), len(p.global)
	for i := range p.inputs {
		unlocks[i] = unlock{script: p.inputs[i].finalScript, witness: p.inputs[i].finalWitness}
		size += len(p.inputs[i].raw)
	}
	for i := range p.outputs {
		size += len(p.outputs[i].raw)
	}
	for i := range s.own {
		own := &s.own[i]
		var signature []byte
		unlocks[own.index], signature = own.unlock(s.wallet, signatures[i])
		added[own.index] = own.field(s.wallet, signature)
		size += len(added[own.index])
	}
	signed := &chain.Signed{PSBT: base64.StdEncoding.EncodeToString(p.encode(size, func(i int) []byte { return added[i] }))}
	signed.Text = signed.PSBT
	for i := range unlocks {
		if len(unlocks[i].script)+len(unlocks[i].witness) == 0 {
			return signed, nil // another's signature is missing
		}
	}
	signed.Text, signed.ID = finish(p.tx, unlocks)
	return signed, nil
}

// finish returns the signed transaction as nodes take it, in hex, and its id.
func finish(t *tx, unlocks []unlock) (text, id string) {
	script := func(i int) []byte { return unlocks[i].script }
	size, witnesses := t.size()+2, false
	for i := range unlocks {
		size += sizeBytes(len(unlocks[i].script)) + 1 + len(unlocks[i].witness)
		witnesses = witnesses || len(unlocks[i].witness) > 0
	}
	b := t.appendTo(make([]byte, 0, size), script)
	hash := sha256d(b)
	if witnesses { // marker, flag (BIP-144)
		b = append(binary.LittleEndian.AppendUint32(b[:0], t.version), 0, 1)
		b = t.appendInputs(b, script)
		for i := range unlocks {
			if len(unlocks[i].witness) == 0 {
				b = append(b, 0)
			}
			b = append(b, unlocks[i].witness...)
		}
		b = t.appendEnd(b)
	}
	return hex.EncodeToString(b), txidText(hash[:])
}

package bitcoin

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sigilkeys/sigil/internal/keys"
)

// maxOwn bounds the signatures of one transaction.
const maxOwn = 256

// spend is an input of the wallet's own: a signature that it takes.
type spend struct {
	index   int
	kind    scriptKind
	sighash byte
}

func (s *spend) scheme() keys.Scheme {
	if s.kind == scriptP2TR {
		return keys.SchemeTaproot
	}
	return keys.SchemeDefault
}

// size is that of the raw signature.
func (s *spend) size() int {
	return s.scheme().SignatureSize(keys.Secp256k1)
}

// prevouts returns what each input spends, and which of them are the wallet's.
//
// Who could lie about an amount. The fee is what inputs have more than
// outputs, so whoever makes an input look smaller than it is has the wallet
// sign away the rest. What an input spends is proved by the whole previous
// transaction, whose hash the outpoint names. An output alone
// (PSBT_IN_WITNESS_UTXO) is the host's word, and worth what the signature
// makes of it:
//
//   - A Taproot signature covers the amounts and scripts of all inputs
//     (BIP-341). Where one of them is a lie, it is no signature of the
//     transaction.
//   - An ECDSA signature of segwit version 0 covers the amount of its own
//     input (BIP-143), and one from before segwit none. Two requests, each with
//     the truth about one input and a lie about another, would give two
//     signatures that are valid together, for a fee that neither request
//     showed.
//
// So an output alone is enough where every signature that the request asks for
// is a Taproot one: any lie then makes all of them worthless. If one of them is
// an ECDSA signature, every input needs its previous transaction: those of
// others, whose amounts are part of the fee, and the wallet's Taproot inputs,
// for what is said to be one may be a P2WPKH output, whose signature a second
// request gets.
func (p *psbt) prevouts(w *wallet) ([]txOut, []spend, error) {
	prev, own := make([]txOut, len(p.inputs)), []spend(nil)
	unproved, ecdsa := -1, false
	for i := range p.inputs {
		in := &p.inputs[i]
		proved, err := in.spends(&p.tx.in[i], &prev[i])
		if err == nil {
			err = in.consistent(prev[i].script)
		}
		if err == nil && w.owns(prev[i].script) {
			var s spend
			s, err = in.own(w, prev[i].script)
			s.index = i
			own, ecdsa = append(own, s), ecdsa || s.kind != scriptP2TR
		}
		if err != nil {
			return nil, nil, fmt.Errorf("input %d: %w", i, err)
		}
		if !proved {
			unproved = i
		}
	}
	switch {
	case len(own) == 0:
		return nil, nil, errors.New("no input is the wallet's")
	case len(own) > maxOwn:
		return nil, nil, fmt.Errorf("%d inputs are the wallet's, more than %d", len(own), maxOwn)
	case ecdsa && unproved >= 0:
		return nil, nil, fmt.Errorf("input %d: its previous transaction is missing (non_witness_utxo); only where all of the wallet's own inputs are Taproot, what they spend needn't be proved", unproved)
	}
	return prev, own, nil
}

// spends fills in what an input spends, and says whether that is proved.
func (in *input) spends(outpoint *txIn, out *txOut) (proved bool, err error) {
	if in.previous == nil && in.spent == nil {
		return false, errors.New("it doesn't say what it spends: non_witness_utxo is missing")
	}
	if in.spent != nil {
		*out, _ = parseOutput(in.spent)
	}
	if in.previous != nil {
		whole, _ := scanTx(in.previous)
		if id := whole.txid(); !bytes.Equal(id[:], outpoint.txid) {
			return false, errors.New("non_witness_utxo isn't the transaction that it spends from")
		}
		real, ok := whole.output(outpoint.vout)
		switch {
		case !ok:
			return false, errors.New("the previous transaction has no such output")
		case in.spent != nil && (out.value != real.value || !bytes.Equal(out.script, real.script)):
			return false, errors.New("witness_utxo isn't what the previous transaction says")
		}
		*out = real
	}
	if out.value > maxMoney {
		return false, errors.New("it spends more than there is")
	}
	return in.previous != nil, nil
}

// consistent checks the scripts that stand beside an input against the one
// that it spends, whoever's it is.
func (in *input) consistent(script []byte) error {
	kind := kindOf(script)
	if in.spent != nil && !kind.segwit() && kind != scriptP2SH {
		return errors.New("it has a witness_utxo and spends an output from before segwit")
	}
	if in.redeemScript != nil {
		if !bytes.Equal(script, p2sh(hash160(in.redeemScript))) {
			return errors.New("the redeem script isn't that of the output")
		}
		script = in.redeemScript
		if in.spent != nil && !kindOf(script).segwit() {
			return errors.New("it has a witness_utxo and a redeem script from before segwit")
		}
	}
	if in.witnessScript != nil {
		sum := sha256.Sum256(in.witnessScript)
		if kindOf(script) != scriptP2WSH || !bytes.Equal(script[2:], sum[:]) {
			return errors.New("the witness script isn't that of the output")
		}
	}
	return nil
}

// own checks an input that the wallet's key spends.
func (in *input) own(w *wallet, script []byte) (spend, error) {
	s := spend{kind: kindOf(script), sighash: sighashAll}
	switch {
	case in.signed || in.finalScript != nil || in.finalWitness != nil:
		return s, errors.New("the wallet's own input has a signature already")
	case in.witnessScript != nil || in.tapScript:
		return s, errors.New("the wallet's own input has a script that isn't the wallet's")
	case s.kind == scriptP2SH && in.redeemScript == nil:
		return s, errors.New("the wallet's own P2SH input has no redeem script")
	case in.tapRoot != nil || in.tapKey != nil && (s.kind != scriptP2TR || !bytes.Equal(in.tapKey, w.pub[1:])):
		return s, errors.New("the wallet's own input claims another Taproot key or a script tree")
	}
	if s.kind == scriptP2TR {
		s.sighash = sighashDefault
	}
	if in.sighash != nil {
		asked := binary.LittleEndian.Uint32(in.sighash)
		if asked != sighashAll && (asked != sighashDefault || s.kind != scriptP2TR) {
			return s, fmt.Errorf("signatures of hash type %#x aren't made: they leave parts of the transaction open; use SIGHASH_ALL", asked)
		}
		s.sighash = byte(asked)
	}
	return s, nil
}

// digests returns what is signed for each of the wallet's own inputs, 32 bytes
// one after another.
func digests(t *tx, prev []txOut, own []spend, w *wallet) []byte {
	all := newSighashes(t, prev)
	out := make([]byte, 0, 32*len(own))
	for _, s := range own {
		var d [32]byte
		switch s.kind {
		case scriptP2TR:
			d = all.taproot(s.index, s.sighash)
		case scriptP2PKH:
			d = all.legacy(s.index)
		default:
			d = all.segwit(s.index, w.p2wpkh[2:])
		}
		out = append(out, d[:]...)
	}
	return out
}

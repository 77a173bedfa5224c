package evm

import (
	"math/big"

	"github.com/sigilkeys/sigil/internal/chain"
)

// safe explains a Safe's transaction, as of execTransaction. What isn't
// explained of it has nothing behind it, which no policy accepts.
func (t *typed) safe() bool {
	to, ok := t.bytes("to")
	data, ok2 := t.bytes("data")
	value, ok3 := integerBytes(t.integer("value"))
	operation, ok4 := integerBytes(t.integer("operation"))
	gasPrice, ok5 := integerBytes(t.integer("gasPrice"))
	if !ok || !ok2 || !ok3 || !ok4 || !ok5 || len(to) != addressSize {
		return false
	}
	t.e.Nonce = t.integer("nonce")
	d := &describer{n: t.n, e: t.e}
	outer := &call{d: d, contract: t.doc.Domain.VerifyingContract}
	flags := len(t.e.Flags)
	understood := outer.safe(call{to: to, value: value, data: data}, operation, gasPrice)
	if d.full {
		t.e.Flags = t.e.Flags[:flags]
	}
	if !understood || d.full {
		t.e.Actions = []chain.Action{{Kind: chain.ActionTypedData, Contract: t.doc.Domain.VerifyingContract, Text: t.doc.EncodedType}}
		return true
	}
	t.e.Behind = chain.BehindData(d.behind)
	return true
}

// integerBytes is a decimal integer as a word.
func integerBytes(s string) ([]byte, bool) {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok || n.Sign() < 0 {
		return nil, false
	}
	return n.Bytes(), true
}

// unlimitedText is unlimited for an amount in decimal.
func unlimitedText(amount string) bool {
	n, ok := new(big.Int).SetString(amount, 10)
	return !ok || unlimited(n.Bytes())
}

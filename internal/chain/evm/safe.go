package evm

import (
	"encoding/hex"
	"math/big"
	"strings"

	"github.com/sigilkeys/sigil/internal/chain"
)

// safe explains a Safe's transaction, as of execTransaction. What isn't
// explained of it has nothing behind it, which no policy accepts.
func (t *typed) safe() bool {
	data, err := hex.DecodeString(strings.TrimPrefix(t.text("data"), "0x"))
	to, err2 := hex.DecodeString(strings.TrimPrefix(t.text("to"), "0x"))
	value, ok := integerBytes(t.integer("value"))
	operation, ok2 := integerBytes(t.integer("operation"))
	gasPrice, ok3 := integerBytes(t.integer("gasPrice"))
	if err != nil || err2 != nil || !ok || !ok2 || !ok3 {
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

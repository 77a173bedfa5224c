package evm

import (
	"encoding/hex"
	"math/big"
	"strings"

	"github.com/sigilkeys/sigil/internal/chain"
)

// safe explains a Safe's transaction: a call that the Safe makes once enough
// owners have signed. With a delegatecall another contract's code runs as the
// Safe, and with a gas price the Safe pays whoever sends it: neither is
// explained.
func (t *typed) safe() bool {
	if t.integer("operation") != "0" || t.integer("gasPrice") != "0" {
		if t.integer("operation") != "0" {
			t.e.Flags = append(t.e.Flags, flagDelegateCall)
		}
		if t.integer("gasPrice") != "0" {
			t.e.Flags = append(t.e.Flags, flagSafeRefund)
		}
		t.e.Nonce = t.integer("nonce")
		t.e.Actions = []chain.Action{{Kind: chain.ActionTypedData, Contract: t.doc.Domain.VerifyingContract, Text: t.doc.EncodedType}}
		return true // without anything behind it, which no policy accepts
	}
	data, err := hex.DecodeString(strings.TrimPrefix(t.text("data"), "0x"))
	to, err2 := hex.DecodeString(strings.TrimPrefix(t.text("to"), "0x"))
	value, ok := new(big.Int).SetString(t.integer("value"), 10)
	if err != nil || err2 != nil || !ok {
		return false
	}
	inner := (&transaction{chainID: t.n.ChainID, to: to, value: value.Bytes(), data: data}).effects(t.n, "0")
	for i := range inner.Actions {
		if inner.Actions[i].From == "" {
			inner.Actions[i].From = t.doc.Domain.VerifyingContract
		}
	}
	t.e.Nonce, t.e.Actions, t.e.Behind = t.integer("nonce"), inner.Actions, inner.Behind
	t.e.Flags = append(t.e.Flags, inner.Flags...)
	return true
}

// unlimitedText is unlimited for an amount in decimal.
func unlimitedText(amount string) bool {
	n, ok := new(big.Int).SetString(amount, 10)
	return !ok || unlimited(n.Bytes())
}

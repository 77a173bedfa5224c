package evm

import (
	"math/big"
	"slices"

	"github.com/sigilkeys/sigil/internal/abi"
	"github.com/sigilkeys/sigil/internal/chain"
)

// maxCalls is how many calls one user operation may make and be explained.
const maxCalls = 64

// effects describes what the account does. All of it is the account's: the
// wallet is its owner.
func (o *operation) effects(n *chain.Network, wallet string) *chain.Effects {
	e := &chain.Effects{Nonce: decimal(o.nonce), FeeMax: o.feeMax(), FeePayer: hexText(o.sender)}
	behind := map[int][]byte{}
	if len(o.factory) > 0 {
		e.Flags = append(e.Flags, flagDeploysAccount)
		behind[len(e.Actions)] = o.factoryData
		e.Actions = append(e.Actions, chain.Action{Kind: chain.ActionOpaque, Contract: hexText(o.factory), Selector: hexText(o.factoryData[:min(selectorSize, len(o.factoryData))])})
	}
	if len(o.paymaster) > 0 {
		e.FeePayer, e.Flags = hexText(o.paymaster), append(e.Flags, flagPaymaster)
	}
	calls, ok := accountCalls(o.callData)
	if !ok && len(o.callData) > 0 {
		behind[len(e.Actions)] = o.callData
		e.Actions = append(e.Actions, chain.Action{Kind: chain.ActionOpaque, Contract: hexText(o.sender), Selector: hexText(o.callData[:min(selectorSize, len(o.callData))])})
	}
	for _, c := range calls {
		inner := (&transaction{chainID: n.ChainID, to: c.to, value: trimZeros(c.value), data: c.data}).effects(n, "0")
		for i, a := range inner.Actions {
			if data, _, ok := inner.Behind(i); ok {
				behind[len(e.Actions)] = data
			}
			e.Actions = append(e.Actions, a)
		}
		e.Flags = append(e.Flags, inner.Flags...)
	}
	if sender := hexText(o.sender); sender != wallet {
		for i := range e.Actions {
			if e.Actions[i].From == "" {
				e.Actions[i].From = sender
			}
		}
	}
	e.Behind = chain.BehindData(behind)
	return e
}

// accountCall is one call that an account is told to make.
type accountCall struct{ to, value, data []byte }

// accountCalls reads the functions by which accounts take their orders:
// SimpleAccount's, LightAccount's and those of their kin. The operation's
// sender is the account, so the names mean what they mean there.
func accountCalls(data []byte) (out []accountCall, ok bool) {
	for signature, read := range map[string]func([]byte) []accountCall{
		"execute(address,uint256,bytes)":            readExecute,
		"executeBatch((address,uint256,bytes)[])":   readBatch,
		"executeBatch(address[],uint256[],bytes[])": func(b []byte) []accountCall { return readLists(b, true) },
		"executeBatch(address[],bytes[])":           func(b []byte) []accountCall { return readLists(b, false) },
	} {
		f, err := abi.Parse(signature)
		if err == nil && f.Encodes(data) {
			out = read(data[selectorSize:])
			break
		}
	}
	return out, len(out) > 0 && len(out) <= maxCalls && !slices.ContainsFunc(out, func(c accountCall) bool { return c.to == nil })
}

// The readers below take what Encodes found to be in the one encoding, so that
// every offset is in range.

func offset(b []byte, word int) int {
	return int(new(big.Int).SetBytes(b[word*wordSize : (word+1)*wordSize]).Int64())
}

func textAt(b []byte) []byte { return b[wordSize : wordSize+offset(b, 0)] }

func addressAt(b []byte, word int) []byte {
	return b[word*wordSize+wordSize-addressSize : (word+1)*wordSize]
}

func readExecute(b []byte) []accountCall {
	return []accountCall{{addressAt(b, 0), b[wordSize : 2*wordSize], textAt(b[offset(b, 2):])}}
}

func readBatch(b []byte) (out []accountCall) {
	list := b[offset(b, 0):]
	items := list[wordSize:]
	for i := range min(offset(list, 0), maxCalls+1) {
		out = append(out, readExecute(items[offset(items, i):])...)
	}
	return out
}

func readLists(b []byte, values bool) (out []accountCall) {
	last := 1
	if values {
		last = 2
	}
	to, data := b[offset(b, 0):], b[offset(b, last):]
	n := offset(to, 0)
	if offset(data, 0) != n || values && offset(b[offset(b, 1):], 0) != n && offset(b[offset(b, 1):], 0) != 0 {
		return nil
	}
	for i := range min(n, maxCalls+1) {
		items := data[wordSize:]
		c := accountCall{to: addressAt(to, 1+i), value: make([]byte, wordSize), data: textAt(items[offset(items, i):])}
		if list := b[offset(b, 1):]; values && offset(list, 0) == n {
			c.value = list[(1+i)*wordSize : (2+i)*wordSize]
		}
		out = append(out, c)
	}
	return out
}

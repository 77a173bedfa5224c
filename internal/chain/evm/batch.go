package evm

import (
	"encoding/binary"
	"slices"

	"github.com/sigilkeys/sigil/internal/abi"
	"github.com/sigilkeys/sigil/internal/chain"
)

// multicall3 makes calls for anyone, on every chain at this address. They are
// its calls: what a token moves there is not the wallet's.
const multicall3 = "0xca11bde05977b3631167028862be2a173976ca11"

// multiSendCallOnly reports whether the address is one of those contracts of
// Safe 1.3.0 (two), 1.4.1 and 1.5.0 that a Safe borrows code from to make
// several calls, and nothing but calls.
func multiSendCallOnly(address string) bool {
	switch address {
	case "0x40a2accbd92bca938b02010e17a5b8929b49130d", "0xa1dabef33b3b82c7814b6d82a79e50f4ac44102b",
		"0x9641d764fc13c8b624c04430c7356c1c7c8102e2", "0xa83c336b20401af773b6219ba5027174338d1836":
		return true
	}
	return false
}

// arguments decodes the call as one of the function.
func (c *call) arguments(signature string) ([]abi.Value, bool) {
	f, err := abi.Parse(signature)
	if err != nil {
		return nil, false
	}
	return f.Decode(c.data)
}

// makes describes the calls that this one makes, as from; none is nothing that
// is known.
func (c *call) makes(from string, own bool, list []call) bool {
	if c.depth == maxDepth || len(list) == 0 {
		return false
	}
	for i := range list {
		if c.d.calls++; c.d.calls > maxCalls {
			c.d.full = true
			return false
		}
		list[i].from, list[i].own, list[i].depth = from, own, c.depth+1
		c.d.describe(&list[i])
	}
	return true
}

// address is the last 20 bytes of an address's word.
func address(v abi.Value) []byte { return v.Bytes[wordSize-addressSize:] }

func addressText(v abi.Value) string { return hexText(address(v)) }

// called are calls as tuples of an address first, data last and perhaps a
// value before that; a third member is a flag between.
func called(list []abi.Value) []call {
	out := make([]call, 0, len(list))
	for _, v := range list {
		c := call{to: address(v.Parts[0]), data: v.Parts[len(v.Parts)-1].Bytes}
		if len(v.Parts) == 4 {
			c.value = trimZeros(v.Parts[2].Bytes)
		}
		out = append(out, c)
	}
	return out
}

// aggregating is the function of Multicall3 with that selector, or "".
func aggregating(selector string) string {
	switch selector {
	case "\x25\x2d\xba\x42":
		return "aggregate((address,bytes)[])"
	case "\xc3\x07\x7f\xa9":
		return "blockAndAggregate((address,bytes)[])"
	case "\xbc\xe3\x8b\xd7":
		return "tryAggregate(bool,(address,bytes)[])"
	case "\x39\x95\x42\xe9":
		return "tryBlockAndAggregate(bool,(address,bytes)[])"
	case "\x82\xad\x56\xcb":
		return "aggregate3((address,bool,bytes)[])"
	case "\x17\x4d\xea\x71":
		return "aggregate3Value((address,bool,uint256,bytes)[])"
	}
	return ""
}

// aggregate explains what Multicall3 is asked to call. Value that isn't passed
// on stays there, for anyone.
func (c *call) aggregate(selector string) bool {
	arguments, ok := c.arguments(aggregating(selector))
	if !ok {
		return false
	}
	c.attach()
	return c.makes(c.contract, false, called(arguments[len(arguments)-1].Parts))
}

// executes reports whether smart accounts have a function of that selector
// which makes calls.
func executes(selector string) bool {
	switch selector {
	case "\xb6\x1d\x27\xf6", "\x18\xdf\xb3\xc7", "\x47\xe1\xda\x2a", "\x34\xfc\xd5\xbe", "\xe9\xae\x5c\x53":
		return true
	}
	return false
}

// execTransaction is the selector of a Safe's function.
const execTransaction = "\x6a\x76\x12\x02"

// execute explains the calls that the account is asked to make by its own
// function. Of any other contract such a name is a claim.
func (c *call) execute(selector string) bool {
	if len(c.value) != 0 {
		return false
	}
	switch selector {
	case "\xb6\x1d\x27\xf6":
		a, ok := c.arguments("execute(address,uint256,bytes)")
		return ok && c.makes(c.from, true, []call{{to: address(a[0]), value: trimZeros(a[1].Bytes), data: a[2].Bytes}})
	case "\x18\xdf\xb3\xc7":
		a, ok := c.arguments("executeBatch(address[],bytes[])")
		return ok && c.executeLists(a[0].Parts, nil, a[1].Parts)
	case "\x47\xe1\xda\x2a":
		a, ok := c.arguments("executeBatch(address[],uint256[],bytes[])")
		return ok && c.executeLists(a[0].Parts, a[1].Parts, a[2].Parts)
	case "\x34\xfc\xd5\xbe":
		a, ok := c.arguments("executeBatch((address,uint256,bytes)[])")
		return ok && c.makes(c.from, true, executions(a[0].Parts))
	case "\xe9\xae\x5c\x53":
		a, ok := c.arguments("execute(bytes32,bytes)")
		return ok && c.executeMode(a[0].Bytes, a[1].Bytes)
	}
	return false
}

// executeLists are calls as lists of one length; without values, they have
// none.
func (c *call) executeLists(to, values, data []abi.Value) bool {
	if len(data) != len(to) || len(values) != 0 && len(values) != len(to) {
		return false
	}
	list := make([]call, len(to))
	for i := range to {
		list[i] = call{to: address(to[i]), data: data[i].Bytes}
		if len(values) > 0 {
			list[i].value = trimZeros(values[i].Bytes)
		}
	}
	return c.makes(c.from, true, list)
}

// executions are calls as tuples of address, value and data.
func executions(list []abi.Value) []call {
	out := make([]call, 0, len(list))
	for _, v := range list {
		out = append(out, call{to: address(v.Parts[0]), value: trimZeros(v.Parts[1].Bytes), data: v.Parts[2].Bytes})
	}
	return out
}

// executeMode reads the execution modes of ERC-7579 and ERC-7821: type of
// call, what happens on failure, four bytes unused, a selector and 22 bytes
// for it. Where ERC-7821 reads nobody as the account itself, nothing is
// known.
func (c *call) executeMode(mode, data []byte) bool {
	const (
		single, several, delegate = 0x00, 0x01, 0xff
		stop, try                 = 0x00, 0x01
		opData                    = "\x78\x21\x00\x01" // data for the account's checks may follow
	)
	if mode[0] == delegate {
		c.d.e.Flags = append(c.d.e.Flags, flagDelegateCall)
		c.opaque() // without anything behind it, which no policy accepts
		return true
	}
	selector := string(mode[6:10])
	if mode[1] != stop && mode[1] != try || !isZero(mode[2:6]) || !isZero(mode[10:]) || selector != "\x00\x00\x00\x00" && (selector != opData || mode[0] != several) {
		return false
	}
	var list []call
	switch mode[0] {
	case single:
		if len(data) < addressSize+wordSize {
			return false
		}
		list = []call{{to: data[:addressSize], value: trimZeros(data[addressSize : addressSize+wordSize]), data: data[addressSize+wordSize:]}}
	case several:
		f, err := abi.Parse("calls((address,uint256,bytes)[])")
		if err != nil {
			return false
		}
		arguments, ok := f.Arguments(data)
		if !ok {
			return false
		}
		list = executions(arguments[0].Parts)
	default:
		return false
	}
	if slices.ContainsFunc(list, func(c call) bool { return isZero(c.to) }) {
		return false
	}
	return c.makes(c.from, true, list)
}

// others knows functions that contracts of many kinds have.
func (c *call) others(selector string) bool {
	switch selector {
	case "\xac\x96\x50\xd8":
		a, ok := c.arguments("multicall(bytes[])")
		return ok && c.multicall(a[0].Parts)
	case "\x5a\xe4\x01\xdc": // until a time
		a, ok := c.arguments("multicall(uint256,bytes[])")
		return ok && c.multicall(a[1].Parts)
	case execTransaction:
		a, ok := c.arguments("execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)")
		if !ok || len(c.value) > 0 {
			return false
		}
		inner := call{to: address(a[0]), value: trimZeros(a[1].Bytes), data: a[2].Bytes}
		if !c.safe(inner, a[3].Bytes, a[6].Bytes) {
			c.opaque() // without anything behind it, which no policy accepts
		}
		return true
	}
	return false
}

// multicall explains a contract's calls of itself, in which the caller stays
// who it is: all of them or none, since what one does may hang on another. An
// owner who accepts trades in it accepts the call as a whole, as ever, since
// who accepts one of its functions alone hasn't said what may follow.
func (c *call) multicall(list []abi.Value) bool {
	plan := c.plan
	if plan == nil {
		plan = &[]trade{}
		c.attach()
	}
	calls := make([]call, 0, len(list))
	for _, v := range list {
		if len(v.Bytes) < selectorSize {
			return false
		}
		calls = append(calls, call{to: c.to, data: v.Bytes, plan: plan})
	}
	before := len(c.d.e.Actions)
	if !c.makes(c.from, false, calls) {
		return false
	}
	trades := false
	for i, a := range c.d.e.Actions[before:] {
		switch {
		case a.Kind == chain.ActionProceeds && a.Contract == c.contract:
			trades, c.d.behind[before+i] = true, c.data
		case !chain.Ruled(a.Kind):
			return false
		}
	}
	if c.plan == nil && trades {
		c.settle(*plan)
	}
	return trades || len(c.value) == 0
}

// safe explains what a Safe does, which is the contract of this call, once
// enough owners have signed. With a delegatecall another contract's code runs
// as the Safe, and with a gas price the Safe pays whoever sends it: neither is
// explained, other than the code that makes several calls.
func (c *call) safe(inner call, operation, gasPrice []byte) bool {
	delegates := !isZero(operation)
	if !isZero(gasPrice) {
		c.d.e.Flags = append(c.d.e.Flags, flagSafeRefund)
	}
	list := []call{inner}
	if delegates {
		list = nil
		if isWord(operation, 1) && len(inner.value) == 0 && multiSendCallOnly(hexText(inner.to)) {
			list = sent(&inner)
		}
	}
	if delegates && list == nil {
		c.d.e.Flags = append(c.d.e.Flags, flagDelegateCall)
	}
	return isZero(gasPrice) && list != nil && c.makes(c.contract, false, list)
}

// sent are the calls of multiSend(bytes), each an operation, an address, a
// value, a length and data without padding; nil is not understood. Safe 1.5.0
// reads nobody as the Safe itself.
func sent(c *call) []call {
	const head = 1 + addressSize + wordSize + wordSize
	a, ok := c.arguments("multiSend(bytes)")
	if !ok {
		return nil
	}
	var list []call
	for b := a[0].Bytes; len(b) > 0; {
		if len(b) < head || b[0] != 0 {
			return nil
		}
		to, value, length := b[1:1+addressSize], b[1+addressSize:head-wordSize], b[head-wordSize:head]
		b = b[head:]
		if isZero(to) || !isZero(length[:wordSize-4]) || uint64(binary.BigEndian.Uint32(length[wordSize-4:])) > uint64(len(b)) {
			return nil
		}
		n := int(binary.BigEndian.Uint32(length[wordSize-4:]))
		list = append(list, call{to: to, value: trimZeros(value), data: b[:n]})
		b = b[n:]
	}
	return list
}

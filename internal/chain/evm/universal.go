package evm

import (
	"github.com/sigilkeys/sigil/internal/abi"
	"github.com/sigilkeys/sigil/internal/chain"
)

// Commands of Uniswap's Universal Router, by its names for them. Every other
// is unknown, and so is one of these that may fail (the highest bit).
const (
	v3SwapExactIn            = 0x00
	v3SwapExactOut           = 0x01
	permit2TransferFrom      = 0x02
	permit2PermitBatch       = 0x03
	sweep                    = 0x04
	transfer                 = 0x05
	payPortion               = 0x06
	v2SwapExactIn            = 0x08
	v2SwapExactOut           = 0x09
	permit2Permit            = 0x0a
	wrapETH                  = 0x0b
	unwrapWETH               = 0x0c
	permit2TransferFromBatch = 0x0d
)

// commanding is a function with the types of a command's input, or "".
// Routers cut the least that is swept to 160 bits, so more than that isn't
// what it says.
func commanding(command byte) string {
	switch command {
	case v3SwapExactIn, v3SwapExactOut:
		return "input(address,uint256,uint256,bytes,bool)"
	case v2SwapExactIn, v2SwapExactOut:
		return "input(address,uint256,uint256,address[],bool)"
	case permit2TransferFrom, sweep:
		return "input(address,address,uint160)"
	case transfer, payPortion:
		return "input(address,address,uint256)"
	case permit2PermitBatch:
		return "input(((address,uint160,uint48,uint48)[],address,uint256),bytes)"
	case permit2Permit:
		return "input(((address,uint160,uint48,uint48),address,uint256),bytes)"
	case wrapETH, unwrapWETH:
		return "input(address,uint256)"
	case permit2TransferFromBatch:
		return "input((address,address,uint160,address)[])"
	}
	return ""
}

// universal explains a plan for the Universal Router: every command of it, or
// nothing. A plan without a trade isn't what such a router is called for.
func (c *call) universal(selector string) bool {
	signature := ""
	switch selector {
	case "\x35\x93\x56\x4c":
		signature = "execute(bytes,bytes[],uint256)"
	case "\x24\x85\x6b\xc3":
		signature = "execute(bytes,bytes[])"
	default:
		return false
	}
	a, ok := c.arguments(signature)
	if !ok || c.plan != nil || len(a[0].Bytes) != len(a[1].Parts) {
		return false
	}
	c.attach()
	c.plan = &[]trade{}
	before := len(c.d.e.Actions)
	for i, command := range a[0].Bytes {
		if c.d.calls++; c.d.calls > maxCalls {
			c.d.full = true
			return false
		}
		if !c.command(command, a[1].Parts[i].Bytes) {
			return false
		}
	}
	c.settle(*c.plan)
	trades := false
	for i := range c.d.e.Actions[before:] {
		if p := &c.d.e.Actions[before+i]; p.Kind == chain.ActionProceeds {
			if trades = true; len(a) == 3 {
				p.Expiry = decimal(a[2].Bytes)
			}
		}
	}
	return trades
}

// command explains one command of a plan.
func (c *call) command(command byte, input []byte) bool {
	signature := commanding(command)
	if signature == "" {
		return false
	}
	f, err := abi.Parse(signature)
	if err != nil {
		return false
	}
	a, ok := f.Arguments(input)
	if !ok {
		return false
	}
	switch command {
	case v3SwapExactIn, v3SwapExactOut, v2SwapExactIn, v2SwapExactOut:
		return c.swap(command, a)
	case permit2TransferFrom:
		return c.pulled(addressText(a[0]), c.recipient(a[1], true), a[2])
	case permit2TransferFromBatch:
		return c.pulledBatch(a[0].Parts)
	case permit2Permit:
		details := a[0].Parts[0].Parts
		return c.permit("", a[0].Parts[1], details[0], details[1], details[2])
	case permit2PermitBatch:
		for _, v := range a[0].Parts[0].Parts {
			c.permit("", a[0].Parts[1], v.Parts[0], v.Parts[1], v.Parts[2])
		}
		return len(a[0].Parts[0].Parts) > 0
	case wrapETH, unwrapWETH:
		return c.wraps(command, a)
	}
	return c.gives(command, a)
}

// isAll reports whether an amount stands for all that the router holds.
func isAll(amount []byte) bool {
	return amount[0] == 0x80 && isZero(amount[1:])
}

// swap explains a trade that the caller pays by Permit2, or the router of what
// it holds. A caller can't pay what only the chain's state says, nor more than
// Permit2 moves, and what was paid before isn't followed.
func (c *call) swap(command byte, a []abi.Value) bool {
	t := trade{to: c.recipient(a[0], true), exact: command == v3SwapExactIn || command == v2SwapExactIn, held: isZero(a[4].Bytes), pulls: true}
	if t.most, t.least = a[1].Bytes, a[2].Bytes; !t.exact {
		t.most, t.least = a[2].Bytes, a[1].Bytes
	}
	ok := true
	switch command {
	case v3SwapExactIn:
		t.pays, t.gets, ok = pools(a[3].Bytes)
	case v3SwapExactOut:
		t.gets, t.pays, ok = pools(a[3].Bytes)
	default:
		path := a[3].Parts
		if len(path) < 2 {
			return false
		}
		t.pays, t.gets = addressText(path[0]), addressText(path[len(path)-1])
	}
	switch {
	case !ok || t.exact && isZero(t.most):
		return false
	case t.exact && t.held && isAll(t.most):
		t.most = nil
	case t.exact && !isZero(t.most[:wordSize-addressSize]):
		return false
	}
	return c.traded(t)
}

// pulled notes what Permit2 takes of the caller's.
func (c *call) pulled(token, to string, amount abi.Value) bool {
	c.add(chain.Action{Kind: chain.ActionTokenTransfer, Asset: token, To: to, Amount: decimal(amount.Bytes)})
	if to == c.contract {
		*c.plan = append(*c.plan, trade{pays: token, most: amount.Bytes, exact: true, pulls: true, same: true, gets: token, least: amount.Bytes, to: to, pending: true})
	}
	return true
}

// pulledBatch is pulled of several, which must be the caller's; their
// recipients are who they are.
func (c *call) pulledBatch(list []abi.Value) bool {
	caller := c.caller()
	for _, v := range list {
		if caller == "" || addressText(v.Parts[0]) != caller {
			return false
		}
		c.pulled(addressText(v.Parts[3]), addressText(v.Parts[1]), v.Parts[2])
	}
	return len(list) > 0
}

// wraps explains what the router wraps of the value that it has, and unwraps.
func (c *call) wraps(command byte, a []abi.Value) bool {
	t := trade{pays: wrapper(c.d.n.ChainID), gets: chain.AssetNative, held: true, same: true, to: c.recipient(a[0], true), least: a[1].Bytes}
	switch {
	case t.pays == "":
		return false
	case command == unwrapWETH:
		return c.traded(t)
	case isZero(a[1].Bytes):
		return false
	}
	if t.pays, t.gets = t.gets, t.pays; isAll(a[1].Bytes) {
		t.least = nil
	} else {
		t.most, t.exact = a[1].Bytes, true
	}
	return c.traded(t)
}

// gives explains what the router gives away of what it holds: all of it, an
// amount, or a share in hundredths of a percent.
func (c *call) gives(command byte, a []abi.Value) bool {
	t := trade{pays: addressText(a[0]), held: true, same: true, to: c.recipient(a[1], true), least: a[2].Bytes}
	if isZero(a[0].Bytes) {
		t.pays = chain.AssetNative
	}
	t.gets = t.pays
	switch bips := trimZeros(a[2].Bytes); {
	case command == sweep:
	case len(bips) == 0:
		return false
	case command == payPortion:
		if len(bips) > 2 || toUint64(bips) > 10000 {
			return false
		}
		t.share, t.least, t.most = decimal(bips)+"/10000", nil, []byte{}
	case !isAll(a[2].Bytes):
		t.most, t.exact = a[2].Bytes, true
	case t.pays == chain.AssetNative:
		return false // of which it would be an amount
	default:
		t.least = nil
	}
	return c.traded(t)
}

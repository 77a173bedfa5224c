package evm

import (
	"github.com/sigilkeys/sigil/internal/abi"
	"github.com/sigilkeys/sigil/internal/chain"
)

// permit2 knows the functions of Permit2.
func (c *call) permit2(selector string) bool {
	switch selector {
	case "\x87\x51\x7c\x45":
		a, ok := c.arguments("approve(address,address,uint160,uint48)")
		return ok && c.permit("", a[1], a[0], a[2], a[3])
	case "\x2b\x67\xb5\x70": // by a signature, until a deadline
		a, ok := c.arguments("permit(address,((address,uint160,uint48,uint48),address,uint256),bytes)")
		if !ok {
			return false
		}
		details, spender := a[1].Parts[0].Parts, a[1].Parts[1]
		return c.permit(addressText(a[0]), spender, details[0], details[1], details[2])
	case "\x2a\x2d\x80\xd1":
		a, ok := c.arguments("permit(address,((address,uint160,uint48,uint48)[],address,uint256),bytes)")
		if !ok {
			return false
		}
		for _, v := range a[1].Parts[0].Parts {
			c.permit(addressText(a[0]), a[1].Parts[1], v.Parts[0], v.Parts[1], v.Parts[2])
		}
		return len(a[1].Parts[0].Parts) > 0
	case "\x36\xc7\x85\x16":
		a, ok := c.arguments("transferFrom(address,address,uint160,address)")
		return ok && c.moves([]abi.Value{{Parts: a}})
	case "\x0d\x58\xb1\xdb":
		a, ok := c.arguments("transferFrom((address,address,uint160,address)[])")
		return ok && c.moves(a[0].Parts)
	case "\xcc\x53\x28\x7f":
		a, ok := c.arguments("lockdown((address,address)[])")
		if !ok {
			return false
		}
		for _, v := range a[0].Parts {
			c.add(chain.Action{Kind: chain.ActionRevoke, Asset: addressText(v.Parts[0]), Spender: addressText(v.Parts[1])})
		}
		return len(a[0].Parts) > 0
	case "\x65\xd9\x72\x3c": // permits that were signed and not used
		a, ok := c.arguments("invalidateNonces(address,address,uint48)")
		return ok && c.add(chain.Action{Kind: chain.ActionRevoke, Asset: addressText(a[0]), Spender: addressText(a[1])})
	}
	return false
}

// permit notes what a spender may take of a token until an expiry.
func (c *call) permit(owner string, spender, token, amount, expiry abi.Value) bool {
	return c.approve(chain.Action{From: owner, Asset: addressText(token), Spender: addressText(spender), Amount: decimal(amount.Bytes), Expiry: decimal(expiry.Bytes)}, amount.Bytes)
}

// moves notes transfers by Permit2, of an owner who approved the caller.
func (c *call) moves(list []abi.Value) bool {
	for _, v := range list {
		p := v.Parts
		c.add(chain.Action{Kind: chain.ActionTokenTransfer, From: addressText(p[0]), To: addressText(p[1]), Amount: decimal(p[2].Bytes), Asset: addressText(p[3])})
	}
	return len(list) > 0
}

// authorizing is the function of EIP-3009 with that selector, or "".
func authorizing(selector string) string {
	const moved = "WithAuthorization(address,address,uint256,uint256,uint256,bytes32,"
	switch selector {
	case "\xe3\xee\x16\x0e":
		return "transfer" + moved + "uint8,bytes32,bytes32)"
	case "\xcf\x09\x29\x95":
		return "transfer" + moved + "bytes)"
	case "\xef\x55\xbe\xc6":
		return "receive" + moved + "uint8,bytes32,bytes32)"
	case "\x88\xb7\xab\x63":
		return "receive" + moved + "bytes)"
	case "\x5a\x04\x9a\x70":
		return "cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)"
	case "\xb7\xb7\x28\x99":
		return "cancelAuthorization(address,bytes32,bytes)"
	}
	return ""
}

// authorized knows the functions of EIP-3009, by which a signature moves
// tokens: as v, r and s, or as bytes.
func (c *call) authorized(selector string) bool {
	a, ok := c.arguments(authorizing(selector))
	switch {
	case !ok:
		return false
	case selector == "\x5a\x04\x9a\x70" || selector == "\xb7\xb7\x28\x99":
		return c.add(chain.Action{Kind: chain.ActionRevoke, From: addressText(a[0])})
	}
	return c.add(chain.Action{Kind: chain.ActionTokenTransfer, From: addressText(a[0]), To: addressText(a[1]), Amount: decimal(a[2].Bytes), Expiry: decimal(a[4].Bytes)})
}

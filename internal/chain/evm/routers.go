package evm

import (
	"strings"

	"github.com/sigilkeys/sigil/internal/abi"
	"github.com/sigilkeys/sigil/internal/chain"
)

// selfPermitting is the function of Uniswap's periphery with that selector, by
// which a router hands in what its caller has signed for it, or "".
func selfPermitting(selector string) string {
	switch selector {
	case "\xf3\x99\x5c\x67":
		return "selfPermit(address,uint256,uint256,uint8,bytes32,bytes32)"
	case "\xc2\xe3\x14\x0a":
		return "selfPermitIfNecessary(address,uint256,uint256,uint8,bytes32,bytes32)"
	case "\x46\x59\xa4\x94":
		return "selfPermitAllowed(address,uint256,uint256,uint8,bytes32,bytes32)"
	case "\xa4\xa7\x8f\x0c":
		return "selfPermitAllowedIfNecessary(address,uint256,uint256,uint8,bytes32,bytes32)"
	}
	return ""
}

// selfPermit notes what the contract that is called may take of its caller's
// tokens from then on: an amount until a deadline, or with Dai's permit all.
// Whether it is necessary, the chain's state says.
func (c *call) selfPermit(selector string) bool {
	signature := selfPermitting(selector)
	if signature == "" {
		return false
	}
	a, ok := c.arguments(signature)
	switch {
	case !ok:
		return false
	case strings.HasPrefix(signature, "selfPermitAllowed"):
		return c.allow(chain.Action{Asset: addressText(a[0]), Spender: c.contract}, a[2])
	}
	return c.approve(chain.Action{Asset: addressText(a[0]), Spender: c.contract, Amount: decimal(a[1].Bytes), Expiry: decimal(a[2].Bytes)}, a[1].Bytes)
}

// daiPermit is Dai's permit, of everything or nothing.
func (c *call) daiPermit() bool {
	a, ok := c.arguments("permit(address,address,uint256,uint256,bool,uint8,bytes32,bytes32)")
	if !ok {
		return false
	}
	permit := chain.Action{From: addressText(a[0]), Spender: addressText(a[1])}
	if isZero(a[4].Bytes) {
		permit.Kind = chain.ActionRevoke
		return c.add(permit)
	}
	return c.allow(permit, a[3])
}

// allow approves all that there is and will be; an expiry of zero is never.
func (c *call) allow(a chain.Action, expiry abi.Value) bool {
	a.Kind = chain.ActionApprove
	if !isZero(expiry.Bytes) {
		a.Expiry = decimal(expiry.Bytes)
	}
	return c.add(a, flagUnlimited)
}

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

// routed knows what routers of Uniswap's are called for: trades, and what goes
// with them.
func (c *call) routed(selector string) bool {
	if signature := pairing(selector); signature != "" {
		return c.pair(signature)
	}
	if signature := pooling(selector); signature != "" {
		return c.pool(signature)
	}
	return c.collect(collecting(selector))
}

// pairing is the function with that selector of the routers of Uniswap V2, or
// of its pairs in SwapRouter02 (those without a deadline), or "".
func pairing(selector string) string {
	switch selector {
	case "\x38\xed\x17\x39":
		return "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)"
	case "\x88\x03\xdb\xee":
		return "swapTokensForExactTokens(uint256,uint256,address[],address,uint256)"
	case "\x7f\xf3\x6a\xb5":
		return "swapExactETHForTokens(uint256,address[],address,uint256)"
	case "\x4a\x25\xd9\x4a":
		return "swapTokensForExactETH(uint256,uint256,address[],address,uint256)"
	case "\x18\xcb\xaf\xe5":
		return "swapExactTokensForETH(uint256,uint256,address[],address,uint256)"
	case "\xfb\x3b\xdb\x41":
		return "swapETHForExactTokens(uint256,address[],address,uint256)"
	case "\x5c\x11\xd7\x95":
		return "swapExactTokensForTokensSupportingFeeOnTransferTokens(uint256,uint256,address[],address,uint256)"
	case "\xb6\xf9\xde\x95":
		return "swapExactETHForTokensSupportingFeeOnTransferTokens(uint256,address[],address,uint256)"
	case "\x79\x1a\xc9\x47":
		return "swapExactTokensForETHSupportingFeeOnTransferTokens(uint256,uint256,address[],address,uint256)"
	case "\x47\x2b\x43\xf3":
		return "swapExactTokensForTokens(uint256,uint256,address[],address)"
	case "\x42\x71\x2a\x67":
		return "swapTokensForExactTokens(uint256,uint256,address[],address)"
	}
	return ""
}

// pair explains a trade along pairs of Uniswap V2. The routers give what they
// don't use of a value back.
func (c *call) pair(signature string) bool {
	a, ok := c.arguments(signature)
	if !ok {
		return false
	}
	exact, sends := strings.HasPrefix(signature, "swapExact"), strings.Contains(signature, "ETHFor")
	last := len(a) - 1
	newer := strings.HasSuffix(signature, "address)") // SwapRouter02
	t := trade{exact: exact}
	if !newer {
		t.expiry = decimal(a[last].Bytes)
		last--
	}
	path := a[last-1].Parts
	if len(path) < 2 || !newer && sends != (len(c.value) > 0) {
		return false
	}
	t.pays, t.gets, t.to = addressText(path[0]), addressText(path[len(path)-1]), c.recipient(a[last], newer)
	switch {
	case sends:
		t.pays, t.least = chain.AssetNative, a[0].Bytes
	case exact:
		t.most, t.least = a[0].Bytes, a[1].Bytes
		t.held = newer && isZero(t.most)
	default:
		t.least, t.most = a[0].Bytes, a[1].Bytes
	}
	if strings.Contains(signature, "ForETH") || strings.Contains(signature, "ForExactETH") {
		t.gets = chain.AssetNative
	}
	return c.spend(t)
}

// spend is traded where SwapRouter02 may pay of what it holds, which it is
// asked for by an amount of nothing.
func (c *call) spend(t trade) bool {
	if t.held {
		t.most = nil
	}
	return c.traded(t)
}

// recipient is who is meant by an argument: in newer routers 1 is the caller
// and 2 the router itself.
func (c *call) recipient(v abi.Value, newer bool) string {
	switch {
	case newer && isWord(v.Bytes, 1):
		return c.caller()
	case newer && isWord(v.Bytes, 2):
		return c.contract
	}
	return addressText(v)
}

// pooling is the function with that selector of Uniswap's routers for V3, or
// "": SwapRouter's have a deadline, SwapRouter02's don't.
func pooling(selector string) string {
	switch selector {
	case "\x41\x4b\xf3\x89":
		return "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))"
	case "\xc0\x4b\x8d\x59":
		return "exactInput((bytes,address,uint256,uint256,uint256))"
	case "\xdb\x3e\x21\x98":
		return "exactOutputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))"
	case "\xf2\x8c\x04\x98":
		return "exactOutput((bytes,address,uint256,uint256,uint256))"
	case "\x04\xe4\x5a\xaf":
		return "exactInputSingle((address,address,uint24,address,uint256,uint256,uint160))"
	case "\xb8\x58\x18\x3f":
		return "exactInput((bytes,address,uint256,uint256))"
	case "\x50\x23\xb4\xdf":
		return "exactOutputSingle((address,address,uint24,address,uint256,uint256,uint160))"
	case "\x09\xb8\x13\x46":
		return "exactOutput((bytes,address,uint256,uint256))"
	}
	return ""
}

// pool explains a trade along pools of Uniswap V3. At a limit of the price it
// stops, with less than it was to take or to give.
func (c *call) pool(signature string) bool {
	a, ok := c.arguments(signature)
	if !ok {
		return false
	}
	p, t, limited, ends := a[0].Parts, trade{}, false, false
	if strings.Contains(signature, "Single(") {
		t.pays, t.gets = addressText(p[0]), addressText(p[1])
		limited = !isZero(p[len(p)-1].Bytes)
		p, ends = p[3:len(p)-1], true
	} else {
		t.pays, t.gets, ends = pools(p[0].Bytes)
		p = p[1:]
	}
	if !ends {
		return false
	}
	newer := len(p) == 3 // recipient and two amounts
	if t.to = c.recipient(p[0], newer); !newer {
		t.expiry = decimal(p[1].Bytes)
		if isZero(p[0].Bytes) {
			t.to = c.contract
		}
	}
	first, second := p[len(p)-2].Bytes, p[len(p)-1].Bytes
	if strings.HasPrefix(signature, "exactInput") {
		t.exact, t.most, t.least, t.held = !limited, first, second, newer && isZero(first)
		return c.spend(t)
	}
	if strings.HasPrefix(signature, "exactOutput(") { // its path begins with what comes out
		t.pays, t.gets = t.gets, t.pays
	}
	if t.most = second; !limited {
		t.least = first
	}
	return c.spend(t)
}

// pools are the first and the last token of a path: addresses with a fee of
// three bytes between each two.
func pools(path []byte) (first, last string, ok bool) {
	const hop = 3 + addressSize
	if len(path) < addressSize+hop || (len(path)-addressSize)%hop != 0 {
		return "", "", false
	}
	return hexText(path[:addressSize]), hexText(path[len(path)-addressSize:]), true
}

// collecting is the function with that selector by which Uniswap's routers
// give away what they hold, or "".
func collecting(selector string) string {
	switch selector {
	case "\x49\x40\x4b\x7c":
		return "unwrapWETH9(uint256,address)"
	case "\x49\x61\x69\x97":
		return "unwrapWETH9(uint256)"
	case "\xdf\x2a\xb5\xbb":
		return "sweepToken(address,uint256,address)"
	case "\xe9\x0a\x18\x2f":
		return "sweepToken(address,uint256)"
	case "\x12\x21\x0e\x8a":
		return "refundETH()"
	}
	return ""
}

// collect explains what a router gives away; whom it doesn't name is the
// caller.
func (c *call) collect(signature string) bool {
	if signature == "" {
		return false
	}
	a, ok := c.arguments(signature)
	if !ok {
		return false
	}
	t := trade{pays: chain.AssetNative, gets: chain.AssetNative, held: true, same: true, to: c.caller()}
	switch signature {
	case "unwrapWETH9(uint256,address)", "unwrapWETH9(uint256)":
		t.pays, t.least, a = wrapper(c.d.n.ChainID), a[0].Bytes, a[1:]
	case "sweepToken(address,uint256,address)", "sweepToken(address,uint256)":
		t.pays, t.gets, t.least, a = addressText(a[0]), addressText(a[0]), a[1].Bytes, a[2:]
	}
	if len(a) > 0 {
		t.to = addressText(a[0])
	}
	return c.traded(t)
}

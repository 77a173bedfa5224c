package evm

import (
	"math/big"
	"slices"

	"github.com/sigilkeys/sigil/internal/chain"
)

// Flags of trades (docs/FORMATS.md).
const (
	flagElsewhere = "proceeds_elsewhere" // what comes back goes to another than who pays
	flagLeft      = "left_with_contract" // what is left in the router is anyone's
	flagNoMinimum = "no_minimum_output"  // whatever comes back is enough
)

// trade is one thing that a router is asked for: it takes an asset of its
// caller, or some that it holds, and gives another, or the same.
//
// A trade is explained and yet not ruled. Whoever may call a router that holds
// an approval of the wallet's can have all that was approved go anywhere, and
// that is said by the recipient and the minimum alone, which no policy looks
// at; and a contract that only has a router's functions does as it likes. So
// what an owner accepts is what it would be if nobody understood the call.
type trade struct {
	pays    string // asset that it takes
	most    []byte // of it; nil is all that the router holds
	exact   bool   // neither less than that
	held    bool   // the router pays, of what it holds
	pulls   bool   // the caller's tokens alone, whatever value there is
	share   string // of what there is, "" is no share
	same    bool   // what it pays it gives, as its own wrapper if need be
	gets    string // asset that it gives
	least   []byte // of it; nil is what the chain's state says
	to      string // who gets it; "" is the caller, where that isn't known
	expiry  string
	pending bool // to is the router, for what follows to find
}

// traded notes a trade, and what it comes to unless more of them follow.
func (c *call) traded(t trade) bool {
	if c.plan == nil {
		c.attach()
	}
	t.pending = t.to == c.contract
	if !t.held && t.pays != chain.AssetNative {
		c.add(chain.Action{Kind: chain.ActionTokenTransfer, Asset: t.pays, To: c.contract, Amount: decimal(t.most)})
	}
	proceeds := chain.Action{Kind: chain.ActionProceeds, Asset: t.gets, To: t.to, Expiry: t.expiry, Text: t.share}
	if t.least != nil {
		proceeds.Amount = decimal(t.least)
	}
	c.d.accept(c.data)
	c.add(proceeds)
	if c.plan != nil {
		*c.plan = append(*c.plan, t)
		return true
	}
	c.settle([]trade{t})
	return true
}

// attach notes the value that goes with the call.
func (c *call) attach() {
	if len(c.value) > 0 {
		c.transfer()
		c.d.e.Flags = append(c.d.e.Flags, flagValueWithCall)
	}
}

// caller is whose call it is; "" isn't known.
func (c *call) caller() string {
	if c.from != "" {
		return c.from
	}
	return c.d.self()
}

// settle flags what the trades of one call come to.
func (c *call) settle(list []trade) {
	h := holdings{}
	if len(c.value) > 0 {
		h.put(chain.AssetNative, new(big.Int).SetBytes(c.value), true)
	}
	home := c.caller()
	if home == multicall3 {
		home = "" // what it has is anyone's
	}
	flags := &c.d.e.Flags
	for i := range list {
		t := &list[i]
		amount, bounded := c.pay(&h, t)
		switch {
		case t.pending:
			h.put(t.gets, amount, bounded)
		case t.to != "" && (t.to != home || home == ""):
			*flags = append(*flags, flagElsewhere)
		}
		if !t.pending && !bounded {
			*flags = append(*flags, flagNoMinimum)
		}
	}
	if len(h) > 0 {
		*flags = append(*flags, flagLeft)
	}
}

// pay takes out of the router what a trade pays of it, and returns how much it
// gives, if that is known, and whether that has a bound.
func (c *call) pay(h *holdings, t *trade) (amount *big.Int, bounded bool) {
	bounded = !isZero(t.least)
	if t.same && !t.held {
		return new(big.Int).SetBytes(t.most), true
	}
	from, ok := c.source(*h, t)
	if !ok {
		return nil, bounded
	}
	had, ok := h.take(from, t)
	switch {
	case !t.same:
		return nil, bounded
	case t.share != "": // whose least is nobody's concern
		return nil, true
	case t.most != nil:
		return new(big.Int).SetBytes(t.most), bounded || !ok || had.bounded
	}
	return had.amount, bounded || !ok || had.bounded
}

// source is the asset in the router that a trade surely pays with. Where a
// router is asked for its own wrapper it rather wraps value that it has, if
// that is enough.
func (c *call) source(h holdings, t *trade) (asset string, ok bool) {
	wraps := !t.pulls && !t.same && t.pays == wrapper(c.d.n.ChainID) && h.find(chain.AssetNative) >= 0
	switch {
	case wraps && t.held:
		return "", false // one or the other
	case wraps && t.exact:
		return chain.AssetNative, h.covers(chain.AssetNative, t.most)
	case wraps:
		return chain.AssetNative, true
	}
	return t.pays, t.held || t.pays == chain.AssetNative
}

// holding is an asset that trades have left in the router for those that
// follow.
type holding struct {
	asset   string
	amount  *big.Int // nil isn't known
	bounded bool     // it is no less than some minimum
}

// holdings are what a router holds amid a call.
type holdings []holding

func (h holdings) find(asset string) int {
	return slices.IndexFunc(h, func(v holding) bool { return v.asset == asset })
}

func (h holdings) covers(asset string, amount []byte) bool {
	i := h.find(asset)
	return i >= 0 && h[i].amount != nil && h[i].amount.Cmp(new(big.Int).SetBytes(amount)) >= 0
}

func (h *holdings) put(asset string, amount *big.Int, bounded bool) {
	i := h.find(asset)
	if i < 0 {
		*h = append(*h, holding{asset, amount, bounded})
		return
	}
	v := &(*h)[i]
	if v.amount != nil && amount != nil {
		amount = new(big.Int).Add(v.amount, amount)
	} else {
		amount = nil
	}
	v.amount, v.bounded = amount, v.bounded && bounded
}

// take takes out what the trade surely takes, and returns what there was.
func (h *holdings) take(asset string, t *trade) (had holding, ok bool) {
	i := h.find(asset)
	if i < 0 {
		return holding{}, false
	}
	had = (*h)[i]
	rest := &(*h)[i]
	switch {
	case t.most == nil:
		*h = slices.Delete(*h, i, i+1)
		return had, true
	case t.exact && had.amount != nil:
		if rest.amount = new(big.Int).Sub(had.amount, new(big.Int).SetBytes(t.most)); rest.amount.Sign() <= 0 {
			*h = slices.Delete(*h, i, i+1)
			return had, true
		}
	}
	if !t.exact {
		rest.amount = nil
	}
	// Where something is given away before the rest is collected, a minimum of
	// the whole is none of the rest.
	rest.bounded = rest.bounded && (!t.same || rest.amount != nil)
	return had, true
}

package evm

import (
	"bytes"
	"math/big"
	"strconv"

	"github.com/sigilkeys/sigil/internal/chain"
)

// Flags of effects (docs/FORMATS.md).
const (
	flagAmountOrID    = "amount_or_token_id"   // ERC-20 and ERC-721 share the function
	flagAnyChain      = "any_chain_delegation" // the authorisation holds on every chain
	flagIncrease      = "adds_to_allowance"    // the amount comes on top of what was approved
	flagRecipientData = "recipient_data"       // bytes that the recipient's code is given
	flagToToken       = "to_token_contract"    // tokens sent to their own contract
	flagUnlimited     = "unlimited_approval"
	flagValueWithCall = "value_with_call" // native value goes along with a call
	flagZeroAddress   = "zero_address"    // recipient or spender is nobody
)

const (
	selectorSize = 4
	zeroAddress  = "0x0000000000000000000000000000000000000000"
)

// effects describes what the transaction does.
func (t *transaction) effects(n *chain.Network, fee string) *chain.Effects {
	e := &chain.Effects{Nonce: strconv.FormatUint(t.nonce, 10), FeeMax: fee}
	e.Actions = make([]chain.Action, 0, len(t.delegations)+1)
	behind := map[int][]byte{}
	for _, d := range t.delegations {
		if len(d.chainID) == 0 { // what holds on every chain nothing accepts
			e.Flags = append(e.Flags, flagAnyChain)
		} else {
			behind[len(e.Actions)] = nil
		}
		e.Actions = append(e.Actions, chain.Action{Kind: chain.ActionDelegate, Contract: hexText(d.address)})
	}
	switch {
	case len(t.to) == 0:
		behind[len(e.Actions)] = t.data
		e.Actions = append(e.Actions, chain.Action{Kind: chain.ActionDeploy, Asset: chain.AssetNative, Amount: decimal(t.value)})
	case len(t.data) == 0:
		t.transfer(e)
	default:
		c := &call{t: t, contract: hexText(t.to)}
		if !c.decode(n) {
			c.opaque()
			behind[len(e.Actions)+len(c.actions)-1] = t.data
		}
		e.Actions, e.Flags = append(e.Actions, c.actions...), append(e.Flags, c.flags...)
	}
	e.Behind = chain.BehindData(behind)
	return e
}

func (t *transaction) transfer(e *chain.Effects) {
	e.Actions = append(e.Actions, chain.Action{Kind: chain.ActionTransfer, Asset: chain.AssetNative, To: hexText(t.to), Amount: decimal(t.value)})
	if isZero(t.to) {
		e.Flags = append(e.Flags, flagZeroAddress)
	}
}

// call is the call of a contract's function on its way to actions.
type call struct {
	t        *transaction
	contract string
	actions  []chain.Action
	flags    []string
	words    []byte // the arguments
}

// opaque says that nobody here knows what the call does. Its value certainly
// leaves.
func (c *call) opaque() {
	c.actions, c.flags = nil, nil
	if len(c.t.value) > 0 {
		c.actions = []chain.Action{{Kind: chain.ActionTransfer, Asset: chain.AssetNative, To: c.contract, Amount: decimal(c.t.value)}}
		c.flags = []string{flagValueWithCall}
	}
	c.actions = append(c.actions, chain.Action{Kind: chain.ActionOpaque, Contract: c.contract, Selector: c.selector()})
}

func (c *call) selector() string { return hexText(c.t.data[:min(selectorSize, len(c.t.data))]) }

// decode knows the functions of tokens by selector, and takes arguments only
// in the one encoding that the ABI prescribes. The contract may be anything:
// it is asset and contract of each action, for policy to name.
func (c *call) decode(n *chain.Network) bool {
	if len(c.t.data) < selectorSize {
		return false
	}
	c.words = c.t.data[selectorSize:]
	selector := string(c.t.data[:selectorSize])
	if c.contract == wrapper(n.ChainID) {
		switch selector {
		case "\xd0\xe3\x0d\xb0": // deposit()
			return len(c.words) == 0 && c.add(chain.Action{Kind: chain.ActionWrap, Amount: decimal(c.t.value)})
		case "\x2e\x1a\x7d\x4d": // withdraw(uint256)
			return c.holds(1, 0) && len(c.t.value) == 0 && c.add(chain.Action{Kind: chain.ActionUnwrap, Amount: c.amount(0)})
		}
	}
	if len(c.t.value) != 0 { // none of the following takes any
		return false
	}
	switch selector {
	case "\xa9\x05\x9c\xbb": // transfer(address,uint256)
		return c.holds(2, 1) && c.add(chain.Action{Kind: chain.ActionTokenTransfer, To: c.address(0), Amount: c.amount(1)})
	case "\x23\xb8\x72\xdd": // transferFrom(address,address,uint256)
		return c.holds(3, 2) && c.add(chain.Action{Kind: chain.ActionTokenTransfer, From: c.address(0), To: c.address(1), Amount: c.amount(2)}, flagAmountOrID)
	case "\x09\x5e\xa7\xb3": // approve(address,uint256)
		return c.holds(2, 1) && c.approve(chain.Action{Spender: c.address(0), Amount: c.amount(1)}, c.word(1), flagAmountOrID)
	case "\x39\x50\x93\x51": // increaseAllowance(address,uint256)
		return c.holds(2, 1) && c.approve(chain.Action{Spender: c.address(0), Amount: c.amount(1)}, c.word(1), flagIncrease)
	case "\xa4\x57\xc2\xd7": // decreaseAllowance(address,uint256)
		return c.holds(2, 1) && c.add(chain.Action{Kind: chain.ActionRevoke, Spender: c.address(0), Amount: c.amount(1)})
	case "\xa2\x2c\xb4\x65": // setApprovalForAll(address,bool)
		return c.holds(2, 1) && c.approveAll()
	case "\xd5\x05\xac\xcf": // permit(address,address,uint256,uint256,uint8,bytes32,bytes32)
		return c.holds(7, 2) && isZero(c.word(4)[:wordSize-1]) &&
			c.approve(chain.Action{From: c.address(0), Spender: c.address(1), Amount: c.amount(2), Expiry: c.amount(3)}, c.word(2))
	case "\x42\x84\x2e\x0e": // safeTransferFrom(address,address,uint256)
		return c.holds(3, 2) && c.add(chain.Action{Kind: chain.ActionTokenTransfer, From: c.address(0), To: c.address(1), TokenID: c.amount(2), Amount: "1"})
	case "\xb8\x8d\x4f\xde": // safeTransferFrom(address,address,uint256,bytes)
		return c.startsWith(4, 2) && c.hook(3, 4*wordSize) &&
			c.add(chain.Action{Kind: chain.ActionTokenTransfer, From: c.address(0), To: c.address(1), TokenID: c.amount(2), Amount: "1"})
	case "\xf2\x42\x43\x2a": // safeTransferFrom(address,address,uint256,uint256,bytes)
		return c.startsWith(5, 2) && c.hook(4, 5*wordSize) &&
			c.add(chain.Action{Kind: chain.ActionTokenTransfer, From: c.address(0), To: c.address(1), TokenID: c.amount(2), Amount: c.amount(3)})
	case "\x2e\xb2\xc2\xd6": // safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)
		return c.startsWith(5, 2) && c.batch()
	}
	return false
}

// add notes an action on the contract's token.
func (c *call) add(a chain.Action, flags ...string) bool {
	a.Asset, a.Contract, a.Selector = c.contract, c.contract, c.selector()
	c.actions, c.flags = append(c.actions, a), append(c.flags, flags...)
	if a.To == c.contract {
		c.flags = append(c.flags, flagToToken)
	}
	if a.To == zeroAddress || a.Spender == zeroAddress {
		c.flags = append(c.flags, flagZeroAddress)
	}
	return true
}

func (c *call) approve(a chain.Action, amount []byte, flags ...string) bool {
	a.Kind = chain.ActionApprove
	if unlimited(amount) {
		flags = append(flags, flagUnlimited)
	}
	return c.add(a, flags...)
}

// approveAll is about all tokens of the contract, those to come included.
func (c *call) approveAll() bool {
	w := c.word(1)
	switch {
	case !isZero(w[:wordSize-1]) || w[wordSize-1] > 1:
		return false
	case w[wordSize-1] == 0:
		return c.add(chain.Action{Kind: chain.ActionRevoke, Spender: c.address(0)})
	}
	return c.add(chain.Action{Kind: chain.ActionApprove, Spender: c.address(0)}, flagUnlimited)
}

// batch is the transfer of several ERC-1155 tokens: two lists of one length
// and bytes, one behind the other as every encoder lays them out.
func (c *call) batch() bool {
	ids, n, ok := c.array(2, 5*wordSize)
	if !ok || n == 0 {
		return false
	}
	amounts, m, ok := c.array(3, ids+n*wordSize)
	if !ok || m != n || !c.hook(4, amounts+m*wordSize) {
		return false
	}
	from, to := c.address(0), c.address(1)
	c.actions = make([]chain.Action, 0, n)
	for i := range n {
		c.add(chain.Action{Kind: chain.ActionTokenTransfer, From: from, To: to, TokenID: c.amount(ids/wordSize + i), Amount: c.amount(amounts/wordSize + i)})
	}
	return true
}

// holds reports whether the arguments are exactly n words, of which the first
// are addresses.
func (c *call) holds(n, addresses int) bool {
	return len(c.words) == n*wordSize && c.startsWith(n, addresses)
}

// startsWith is holds where more may follow.
func (c *call) startsWith(n, addresses int) bool {
	if len(c.words) < n*wordSize {
		return false
	}
	for i := range addresses {
		if !isZero(c.word(i)[:wordSize-addressSize]) {
			return false
		}
	}
	return true
}

func (c *call) word(i int) []byte { return c.words[i*wordSize : (i+1)*wordSize] }

func (c *call) address(i int) string { return hexText(c.word(i)[wordSize-addressSize:]) }

func (c *call) amount(i int) string { return decimal(c.word(i)) }

// array finds the list that argument i points to, which must be at offset at,
// and returns where its items begin and how many there are.
func (c *call) array(i, at int) (items, n int, ok bool) {
	if !isWord(c.word(i), at) || len(c.words) < at+wordSize {
		return 0, 0, false
	}
	items = at + wordSize
	length := trimZeros(c.words[at:items])
	if len(length) > 4 {
		return 0, 0, false
	}
	n = int(toUint64(length))
	return items, n, n <= (len(c.words)-items)/wordSize
}

// hook reads the bytes that argument i points to, at offset at, with which
// the arguments end: the code of the recipient is called with them.
func (c *call) hook(i, at int) bool {
	if !isWord(c.word(i), at) || len(c.words) < at+wordSize {
		return false
	}
	length := trimZeros(c.words[at : at+wordSize])
	rest := c.words[at+wordSize:]
	if len(length) > 4 || toUint64(length) > uint64(len(rest)) {
		return false
	}
	n := int(toUint64(length))
	if len(rest) != (n+wordSize-1)/wordSize*wordSize || !isZero(rest[n:]) {
		return false
	}
	if n > 0 {
		c.flags = append(c.flags, flagRecipientData)
	}
	return true
}

// isWord reports whether an ABI word is the number v.
func isWord(w []byte, v int) bool {
	w = trimZeros(w)
	return len(w) <= 8 && toUint64(w) == uint64(v)
}

func isZero(b []byte) bool { return len(trimZeros(b)) == 0 }

// unlimited reports whether an amount is one that spenders ask for to never
// ask again.
func unlimited(amount []byte) bool {
	const size = 96 / 8 // several tokens count in 96 bits; no amount is that high
	amount = trimZeros(amount)
	return len(amount) > size || len(amount) == size && bytes.Count(amount, []byte{0xff}) == size
}

// decimal writes an unsigned big-endian integer.
func decimal(b []byte) string {
	if b = trimZeros(b); len(b) <= 8 {
		return strconv.FormatUint(toUint64(b), 10)
	}
	return new(big.Int).SetBytes(b).String()
}

// wrapper returns the one contract on a chain whose deposit and withdraw are
// known to wrap the native asset; on others those names may mean anything, and
// most test networks have several.
func wrapper(chainID uint64) string {
	switch chainID {
	case 1:
		return "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
	case 10, 8453, 84532, 11155420: // OP Mainnet, Base and their test networks
		return "0x4200000000000000000000000000000000000006"
	case 56:
		return "0xbb4cdb9cbd36b01bd1cbaebf2de08d9173bc095c"
	case 137:
		return "0x0d500b1d8e8ef31e21c99d1db9a6444d3adf1270"
	case 42161:
		return "0x82af49447d8a07e3bd95bd0d56f35241523fbab1"
	case 43114:
		return "0xb31f66aa3c1e785363f0875a1b74e27b85fd66c7"
	}
	return ""
}

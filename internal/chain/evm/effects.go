package evm

import (
	"bytes"
	"math/big"
	"slices"
	"strconv"
	"strings"

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
func (t *transaction) effects(n *chain.Network, pub []byte, fee string) *chain.Effects {
	e := &chain.Effects{Nonce: strconv.FormatUint(t.nonce, 10), FeeMax: fee}
	e.Actions = make([]chain.Action, 0, len(t.delegations)+1)
	d := &describer{n: n, e: e, pub: pub}
	for i := range t.delegations {
		switch id := new(big.Int).SetBytes(t.delegations[i].chainID); {
		case id.Sign() == 0: // what holds on every chain nothing accepts
			e.Flags = append(e.Flags, flagAnyChain)
		case id.IsUint64() && id.Uint64() == n.ChainID: // nor what holds on another
			d.accept(nil)
		}
		e.Actions = append(e.Actions, chain.Action{Kind: chain.ActionDelegate, Contract: hexText(t.delegations[i].address)})
	}
	if len(t.to) == 0 {
		d.accept(t.data)
		e.Actions = append(e.Actions, chain.Action{Kind: chain.ActionDeploy, Asset: chain.AssetNative, Amount: decimal(t.value)})
	} else {
		d.describe(&call{own: true, to: t.to, value: t.value, data: t.data})
	}
	e.Behind = chain.BehindData(d.behind)
	return e
}

const (
	maxDepth = 4  // of calls within calls
	maxCalls = 64 // within others, of one payload
)

// describer says what calls do, and what the calls within them do.
type describer struct {
	n   *chain.Network
	e   *chain.Effects
	pub []byte // of the wallet, whose address is worked out where it matters
	// account is whose calls these are: the wallet once that was worked out,
	// or a smart account of it; "" is nobody whose functions are known.
	account string
	behind  map[int][]byte
	calls   int
	full    bool // too many calls: the outermost is opaque
}

// isAccount reports whether it is the account's own address: its functions
// are those of smart accounts (with EIP-7702, wallets' too).
func (d *describer) isAccount(address string) bool {
	self := d.self()
	return self != "" && self == address
}

// self is the account, worked out where it is the wallet.
func (d *describer) self() string {
	if d.account == "" && d.pub != nil {
		text, err := Codec{}.Address(d.pub)
		if err != nil {
			return ""
		}
		d.account = strings.ToLower(text)
	}
	return d.account
}

// accept lets a policy accept the action that comes next, by what is behind
// it.
func (d *describer) accept(data []byte) {
	if d.behind == nil {
		d.behind = map[int][]byte{}
	}
	d.behind[len(d.e.Actions)] = data
}

// describe adds what the call does: what is known, or that it is opaque.
func (d *describer) describe(c *call) {
	c.d, c.contract = d, hexText(c.to)
	if len(c.data) == 0 {
		c.transfer()
		if isZero(c.to) {
			d.e.Flags = append(d.e.Flags, flagZeroAddress)
		}
		return
	}
	actions, flags := len(d.e.Actions), len(d.e.Flags)
	if c.decode() && !d.full {
		return
	}
	for i := range d.behind {
		if i >= actions {
			delete(d.behind, i)
		}
	}
	never := dangers(d.e.Flags[flags:])
	d.e.Actions, d.e.Flags = d.e.Actions[:actions], append(d.e.Flags[:flags], never...)
	c.attach() // that certainly leaves
	if len(never) == 0 && !c.drives() {
		d.accept(c.data)
	}
	c.opaque()
}

// dangers are those of the flags that nothing accepts.
func dangers(flags []string) (out []string) {
	for _, f := range flags {
		if (f == flagDelegateCall || f == flagSafeRefund) && !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// drives reports whether a call that isn't understood is one by which an account
// makes calls: what hides in it, such as a delegatecall behind bytes that
// contracts don't read, no rule for the function or its data means.
func (c *call) drives() bool {
	if len(c.data) < selectorSize {
		return false
	}
	selector := string(c.data[:selectorSize])
	return selector == execTransaction || executes(selector) && c.own && c.d.isAccount(c.contract)
}

// call is the call of a contract on its way to actions.
type call struct {
	from  string // who calls; "" is the wallet
	own   bool   // from is the describer's account
	to    []byte
	value []byte // without leading zeros
	data  []byte
	depth int // how many calls it is within
	// plan is what the trades come to of a router's calls of itself, which
	// this is one of; nil is none.
	plan *[]trade

	d        *describer
	contract string
	words    []byte // the arguments
}

func (c *call) transfer() {
	c.d.e.Actions = append(c.d.e.Actions, chain.Action{Kind: chain.ActionTransfer, Asset: chain.AssetNative, From: c.from, To: c.contract, Amount: decimal(c.value)})
}

// opaque says that nobody here knows what the call does.
func (c *call) opaque() {
	c.d.e.Actions = append(c.d.e.Actions, chain.Action{Kind: chain.ActionOpaque, From: c.from, Contract: c.contract, Selector: c.selector()})
}

func (c *call) selector() string { return hexText(c.data[:min(selectorSize, len(c.data))]) }

// decode knows functions by selector, and takes arguments only in the one
// encoding that the ABI prescribes. The contract may be anything: it is asset
// and contract of each action, for policy to name.
func (c *call) decode() bool {
	if len(c.data) < selectorSize {
		return false
	}
	c.words = c.data[selectorSize:]
	selector := string(c.data[:selectorSize])
	switch {
	case c.own && (executes(selector) || c.d.account != "") && c.d.isAccount(c.contract):
		return c.execute(selector)
	case c.contract == multicall3:
		return c.aggregate(selector)
	case c.contract == permit2:
		return len(c.value) == 0 && c.permit2(selector)
	case c.contract == wrapper(c.d.n.ChainID):
		switch selector {
		case "\xd0\xe3\x0d\xb0": // deposit()
			return len(c.words) == 0 && c.add(chain.Action{Kind: chain.ActionWrap, Amount: decimal(c.value)})
		case "\x2e\x1a\x7d\x4d": // withdraw(uint256)
			return c.holds(1, 0) && len(c.value) == 0 && c.add(chain.Action{Kind: chain.ActionUnwrap, Amount: c.amount(0)})
		}
	}
	if len(c.value) == 0 && (c.token(selector) || c.authorized(selector) || c.selfPermit(selector)) {
		return true // none of which takes any value
	}
	return c.routed(selector) || c.universal(selector) || c.others(selector)
}

// token knows the functions of tokens.
func (c *call) token(selector string) bool {
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
	case "\x8f\xcb\xaf\x0c": // Dai's permit
		return c.daiPermit()
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

// add notes an action on the contract's token, if it names no other.
func (c *call) add(a chain.Action, flags ...string) bool {
	a.Contract, a.Selector = c.contract, c.selector()
	if a.Asset == "" {
		a.Asset = c.contract
	}
	if a.From == "" {
		a.From = c.from
	}
	e := c.d.e
	e.Actions, e.Flags = append(e.Actions, a), append(e.Flags, flags...)
	if a.To == a.Asset {
		e.Flags = append(e.Flags, flagToToken)
	}
	if a.To == zeroAddress || a.Spender == zeroAddress {
		e.Flags = append(e.Flags, flagZeroAddress)
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
	c.d.e.Actions = slices.Grow(c.d.e.Actions, n)
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
		c.d.e.Flags = append(c.d.e.Flags, flagRecipientData)
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

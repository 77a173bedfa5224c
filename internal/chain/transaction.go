package chain

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// MaxTransaction is the size of the largest transaction that is signed, in
// bytes.
const MaxTransaction = 16 << 10

// Payload kinds: what a sign request may hold, and an Intent's Kind.
const (
	KindMessage     = "message"
	KindTransaction = "transaction"
)

// Transactor is a Codec that decodes transactions as well.
type Transactor interface {
	// Transaction decodes a complete, unsigned transaction in the text form
	// that the chain's own tools print (EVM: 0x-hex of the type's signing
	// encoding; Solana: base64). It is strict: what it takes encodes again to
	// the same bytes, and what those bytes do is in the intent, or is an
	// ActionOpaque there. pub is the wallet's key. Errors are *RefusedError.
	Transaction(n *Network, pub []byte, text string) (*Prepared, error)
}

// Transactor returns the network's codec where it decodes transactions.
func (n *Network) Transactor() (Transactor, bool) {
	t, ok := n.Codec.(Transactor)
	return t, ok
}

// Payloads lists the payload kinds that the network's wallets sign.
func (n *Network) Payloads() []string {
	if _, ok := n.Transactor(); ok {
		return []string{KindMessage, KindTransaction}
	}
	return []string{KindMessage}
}

// Effects is what a transaction does, as far as its bytes say. Amounts are
// base units as decimal text, of any size; addresses are lower-case hex on
// EVM, base58 on Solana. The wallet's own address is left out where the
// signature implies it.
type Effects struct {
	// Nonce is what makes the transaction unique on its chain: an account
	// nonce in decimal, or a recent blockhash.
	Nonce string `json:"nonce"`
	// FeeMax is the most that the transaction costs besides what its actions
	// move, in base units of the native asset.
	FeeMax string `json:"fee_max"`
	// FeePayer pays that; "" is the wallet.
	FeePayer string `json:"fee_payer,omitzero"`
	// Actions in the order of the transaction; a decoded transaction has one
	// at least.
	Actions []Action `json:"actions"`
	// Flags are stable words for what deserves a second look, in ascending
	// order.
	Flags []string `json:"flags"`
}

// Action is one thing that a transaction does. Fields that a kind has no use
// for are empty.
type Action struct {
	Kind     string `json:"kind"`
	Asset    string `json:"asset,omitzero"`    // AssetNative, or the token's contract or mint
	From     string `json:"from,omitzero"`     // "" is the wallet
	To       string `json:"to,omitzero"`       // who gets it
	Spender  string `json:"spender,omitzero"`  // who may spend it
	Amount   string `json:"amount,omitzero"`   // base units
	TokenID  string `json:"token_id,omitzero"` // of one that isn't like the others
	Expiry   string `json:"expiry,omitzero"`   // unix seconds
	Contract string `json:"contract,omitzero"` // that is called: contract, program
	Selector string `json:"selector,omitzero"` // hex of what it is called for

	// Solana, where a wallet acts on accounts that aren't its address.
	Method    string `json:"method,omitzero"`    // what the program calls it
	Account   string `json:"account,omitzero"`   // that it is about; "" is the wallet
	Authority string `json:"authority,omitzero"` // whose signature it takes; "" is the wallet
	Text      string `json:"text,omitzero"`      // of a memo; which authority changes
}

// AssetNative is the asset that fees are paid in.
const AssetNative = "native"

// Kinds of actions. A kind belongs to Ruled, or is refused.
const (
	ActionTransfer      = "transfer"       // of the native asset
	ActionTokenTransfer = "token_transfer" // of a token
	ActionApprove       = "approve"        // lets a spender move tokens
	ActionRevoke        = "revoke"         // takes that back, or some of it
	ActionWrap          = "wrap"           // native asset into its token
	ActionUnwrap        = "unwrap"         // and back
	ActionDeploy        = "deploy"         // new code
	ActionDelegate      = "delegate"       // gives an account code (EIP-7702)
	ActionOpaque        = "opaque"         // a call that isn't understood

	ActionAuthorize  = "authorize"      // lets another decide over an account
	ActionBurn       = "burn"           // destroys tokens
	ActionClose      = "close"          // ends an account, and moves all that it has
	ActionCreate     = "create_account" // pays for a new account
	ActionFreeze     = "freeze"         // stops a token account, or lets it go on
	ActionMemo       = "memo"           // says something
	ActionMint       = "mint"           // makes tokens
	ActionSetup      = "setup"          // prepares an account and moves nothing
	ActionStake      = "stake"          // delegates what is staked
	ActionUnstake    = "unstake"        // and back
	ActionUnresolved = "unresolved"     // it names accounts by their place in on-chain data
)

// Ruled reports whether policies may allow an action of the kind. New code,
// delegations, calls that nobody here understands and those of accounts that
// nobody here knows may do anything, and no policy has a rule yet that names
// them; neither does a kind that isn't here.
func Ruled(kind string) bool {
	return slices.Contains([]string{ActionTransfer, ActionTokenTransfer, ActionApprove, ActionRevoke, ActionWrap, ActionUnwrap,
		ActionAuthorize, ActionBurn, ActionClose, ActionCreate, ActionFreeze, ActionMemo, ActionMint, ActionSetup, ActionStake, ActionUnstake}, kind)
}

// Unruled returns the first action that no policy can allow.
func (e *Effects) Unruled() (Action, bool) {
	if e == nil {
		return Action{Kind: ActionOpaque}, true
	}
	for _, a := range e.Actions {
		if !Ruled(a.Kind) {
			return a, true
		}
	}
	return Action{Kind: ActionOpaque}, len(e.Actions) == 0
}

// TransactionIntent describes an unsigned transaction of the network. The
// flags may come in any order and more than once.
func TransactionIntent(n *Network, format string, unsigned []byte, e *Effects) Intent {
	d := sha256.Sum256(unsigned)
	if len(e.Flags) > 1 {
		slices.Sort(e.Flags)
		e.Flags = slices.Compact(e.Flags)
	}
	return Intent{Kind: KindTransaction, Network: n.Slug, Format: format, Length: len(unsigned), SHA256: hex.EncodeToString(d[:]), Effects: e}
}

// Signed is a transaction with the wallet's signature in it.
type Signed struct {
	// Text is the transaction as nodes take it: 0x-hex on EVM, base64 on
	// Solana.
	Text string
	// ID is what the network calls it: transaction hash, first signature;
	// "" where that hangs on signatures that are still missing.
	ID string
}

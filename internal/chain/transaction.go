package chain

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/sigilkeys/sigil/internal/policy"
)

// MaxTransaction is the size of the largest transaction that is signed, in
// bytes.
const MaxTransaction = 16 << 10

// MaxDocument is the size of the largest JSON document that is signed, in
// bytes.
const MaxDocument = 32 << 10

// Payload kinds: what a sign request may hold, and an Intent's Kind.
const (
	KindMessage       = "message"
	KindTransaction   = "transaction"
	KindTypedData     = "typed_data"     // EIP-712
	KindAuthorization = "authorization"  // EIP-7702
	KindUserOperation = "user_operation" // ERC-4337
)

// Documenter is a Codec that signs JSON documents as well.
type Documenter interface {
	// Documents lists the payload kinds, in the order of Payloads.
	Documents() []string
	// Document decodes a document of one of those kinds: JSON without
	// duplicate names and of valid UTF-8, up to MaxDocument bytes, of which
	// nothing else was checked. It is as strict as Transactor. Errors are
	// *RefusedError.
	Document(n *Network, pub []byte, kind string, doc []byte) (*Prepared, error)
}

// Transactor is a Codec that decodes transactions as well.
type Transactor interface {
	// Transaction decodes a complete, unsigned transaction in the text form
	// that the chain's own tools print (EVM: 0x-hex of the type's signing
	// encoding; Solana: base64). It is strict: what it takes encodes again to
	// the same bytes, and what those bytes do is in the intent, or is an
	// ActionOpaque there. Bitcoin: a PSBT, in base64. pub is the wallet's key. Errors are *RefusedError.
	Transaction(n *Network, pub []byte, text string) (*Prepared, error)
}

// Transactor returns the network's codec where it decodes transactions.
func (n *Network) Transactor() (Transactor, bool) {
	t, ok := n.Codec.(Transactor)
	return t, ok
}

// Payloads lists the payload kinds that the network's wallets sign.
func (n *Network) Payloads() []string {
	kinds := []string{KindMessage}
	if _, ok := n.Transactor(); ok {
		kinds = append(kinds, KindTransaction)
	}
	if d, ok := n.Codec.(Documenter); ok {
		kinds = append(kinds, d.Documents()...)
	}
	return kinds
}

// Effects is what a transaction does, as far as its bytes say. Amounts are
// base units as decimal text, of any size; addresses are lower-case hex on
// EVM, base58 on Solana, and on Bitcoin as ever. The wallet's own address is left out where the
// signature implies it.
type Effects struct {
	// Nonce is what makes the transaction unique on its chain: an account
	// nonce in decimal, a recent blockhash, or an output that is spent.
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
	// Behind stands in no intent, as the payload's digest covers it; nil has
	// nothing accepted.
	Behind Behind `json:"-"`
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
	Text      string `json:"text,omitzero"`      // of a memo, on Bitcoin in hex; which authority changes; encodeType of typed data; a share of proceeds
}

// Behind is what stands behind an action that isn't Ruled, for an owner's
// policy to accept: what a contract or program is given, or the code that is
// deployed, and the accounts that it takes from lookup tables. Without ok
// nothing accepts it. action is its place in Actions.
type Behind func(action int) (data []byte, lookups []policy.Lookup, ok bool)

// BehindData is a Behind of bytes alone, by the actions' places.
func BehindData(m map[int][]byte) Behind {
	return func(action int) ([]byte, []policy.Lookup, bool) {
		data, ok := m[action]
		return data, nil, ok
	}
}

// AssetNative is the asset that fees are paid in.
const AssetNative = "native"

// Kinds of actions. A kind belongs to Ruled, or is refused unless the owner's
// policy names what it does.
const (
	ActionTransfer      = "transfer"       // of the native asset
	ActionTokenTransfer = "token_transfer" // of a token
	ActionApprove       = "approve"        // lets a spender move tokens
	ActionRevoke        = "revoke"         // takes that back, or some of it
	ActionProceeds      = "proceeds"       // what a trade is to give, at least
	ActionWrap          = "wrap"           // native asset into its token
	ActionUnwrap        = "unwrap"         // and back
	ActionDeploy        = "deploy"         // new code
	ActionDelegate      = "delegate"       // gives an account code (EIP-7702)
	ActionOpaque        = "opaque"         // a call that isn't understood
	ActionTypedData     = "typed_data"     // typed data that isn't understood

	ActionAuthorize  = "authorize"      // lets another decide over an account
	ActionBurn       = "burn"           // destroys tokens
	ActionChange     = "change"         // comes back to the wallet
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

// TransactionIntent describes an unsigned transaction of the network. The
// flags may come in any order and more than once.
func TransactionIntent(n *Network, format string, unsigned []byte, e *Effects) Intent {
	return EffectsIntent(n, KindTransaction, format, unsigned, e)
}

// EffectsIntent describes a payload of another kind; preimage is what is
// hashed to be signed.
func EffectsIntent(n *Network, kind, format string, preimage []byte, e *Effects) Intent {
	d := sha256.Sum256(preimage)
	if len(e.Flags) > 1 {
		slices.Sort(e.Flags)
		e.Flags = slices.Compact(e.Flags)
	}
	return Intent{Kind: kind, Network: n.Slug, Format: format, Length: len(preimage), SHA256: hex.EncodeToString(d[:]), Effects: e}
}

// Signed is a transaction with the wallet's signature in it.
type Signed struct {
	// Text is the transaction as nodes take it: 0x-hex on EVM, base64 on
	// Solana, hex on Bitcoin; PSBT there while signatures of others are missing.
	Text string
	// ID is what the network calls it: transaction hash, first signature;
	// "" where that hangs on signatures that are still missing.
	ID string
	// PSBT is the Bitcoin transaction with the wallet's signatures as base64
	// of BIP-174, whether others are missing or not.
	PSBT string
}

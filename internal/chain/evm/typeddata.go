package evm

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/typeddata"
)

// Flags of typed data (docs/FORMATS.md).
const (
	flagDelegateCall  = "delegatecall"            // another contract's code runs as the account
	flagNoChainID     = "domain_without_chain_id" // it may be valid on every chain
	flagNoContract    = "domain_without_contract" // for any contract
	flagOtherOwner    = "other_owner"             // it is about what another account has
	flagPermitWitness = "permit_witness"          // what the spender has to do besides, only the spender's contract knows
	flagSafeRefund    = "safe_refund"             // the Safe pays for gas at a price of its own
)

// permit2 is the address of Permit2 on every chain.
const permit2 = "0x000000000022d473030f116ddee9f6b43ac78ba3"

// typed is typed data on its way to effects.
type typed struct {
	n       *chain.Network
	doc     *typeddata.Document
	wallet  string
	e       *chain.Effects
	members map[string]jsontext.Value // of the message
}

// typedData prepares a document of EIP-712.
func typedData(n *chain.Network, pub, doc []byte) (*chain.Prepared, error) {
	d, err := typeddata.Parse(doc)
	if err != nil {
		return nil, chain.Refuse(chain.CodePayloadInvalid, "not typed data that every library signs alike: %.500s", err.Error())
	}
	if id := d.Domain.ChainID; id != "" && id != strconv.FormatUint(n.ChainID, 10) {
		return nil, chain.Refuse(chain.CodeNetwork, "the typed data is for chain id %.20s, %s has %d", id, n.Slug, n.ChainID)
	}
	if d.PrimaryType == "PackedUserOperation" {
		return nil, chain.Refuse(chain.CodeTransaction, "a user operation isn't signed as typed data: ask for it as user_operation, so that it is decoded")
	}
	address, err := Codec{}.Address(pub)
	if err != nil {
		return nil, err
	}
	t := &typed{n: n, doc: d, wallet: strings.ToLower(address), e: &chain.Effects{FeeMax: "0"}}
	t.describe()
	return &chain.Prepared{
		Intent:    chain.EffectsIntent(n, chain.KindTypedData, "eip712", d.Preimage[:], t.e),
		SignBytes: keccak(d.Preimage[:]),
		Unbound:   d.Domain.ChainID == "",
	}, nil
}

// describe says what the document is worth. Documents that hold on every
// chain or for every contract aren't explained, whatever they're called.
func (t *typed) describe() {
	domain := &t.doc.Domain
	if domain.ChainID == "" {
		t.e.Flags = append(t.e.Flags, flagNoChainID)
	}
	if domain.VerifyingContract == "" {
		t.e.Flags = append(t.e.Flags, flagNoContract)
	}
	flags := len(t.e.Flags)
	if flags == 0 && canon.DecodeJSONLoose(t.doc.Message, &t.members) == nil && t.known() {
		return
	}
	t.e.Nonce, t.e.Flags = "", t.e.Flags[:flags]
	t.e.Actions = []chain.Action{{Kind: chain.ActionTypedData, Contract: domain.VerifyingContract, Text: t.doc.EncodedType}}
	if t.doc.PrimaryType == "SafeTx" { // of a Safe too old to name its chain: what it calls, and as what, nobody looked at
		return
	}
	t.e.Behind = chain.BehindData(map[int][]byte{0: nil})
}

// known explains the types whose meaning a standard or a well-known contract
// fixes. A contract may call anything by those names: it is the asset, for
// policy to name.
func (t *typed) known() bool {
	if t.doc.Domain.VerifyingContract == permit2 {
		return t.permit2()
	}
	switch t.doc.EncodedType {
	case "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)": // EIP-2612
		t.e.Nonce = t.integer("nonce")
		t.approve(chain.Action{From: t.owner("owner"), Spender: t.text("spender"), Amount: t.integer("value"), Expiry: t.integer("deadline")})
	case "Permit(address holder,address spender,uint256 nonce,uint256 expiry,bool allowed)": // Dai
		t.e.Nonce = t.integer("nonce")
		a := chain.Action{From: t.owner("holder"), Spender: t.text("spender"), Expiry: t.integer("expiry")}
		if a.Expiry == "0" {
			a.Expiry = "" // never
		}
		if string(t.members["allowed"]) == "true" {
			t.approve(a)
		} else {
			a.Kind = chain.ActionRevoke
			t.add(a)
		}
	case "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)",
		"ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)": // EIP-3009
		t.e.Nonce = t.text("nonce")
		t.add(chain.Action{Kind: chain.ActionTokenTransfer, From: t.owner("from"), To: t.text("to"), Amount: t.integer("value"), Expiry: t.integer("validBefore")})
	case "CancelAuthorization(address authorizer,bytes32 nonce)":
		t.e.Nonce = t.text("nonce")
		t.add(chain.Action{Kind: chain.ActionRevoke, From: t.owner("authorizer")})
	case "SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,uint256 gasPrice,address gasToken,address refundReceiver,uint256 nonce)":
		return t.safe()
	default:
		return false
	}
	return true
}

// text is a member that is text, addresses and bytes in lower case.
func (t *typed) text(name string) string { return unquoted(t.members[name]) }

func unquoted(v jsontext.Value) string {
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return ""
	}
	return strings.ToLower(string(b))
}

// bytes is a member that is bytes.
func (t *typed) bytes(name string) ([]byte, bool) {
	b, err := jsontext.AppendUnquote(nil, t.members[name])
	if err != nil {
		return nil, false
	}
	b = bytes.TrimPrefix(b, []byte("0x"))
	n, err := hex.Decode(b, b) // in place: it may be most of the document
	return b[:n], err == nil
}

// integer is a member that is an integer, in decimal: the document was hashed,
// so it is one.
func (t *typed) integer(name string) string { return decimalOf(t.members[name]) }

func decimalOf(v jsontext.Value) string {
	s, err := typeddata.Integer(v)
	if err != nil {
		return ""
	}
	return s
}

// owner is whose tokens a document is about. Of another than the wallet it is
// worth something where that is a contract which takes the wallet's signature
// for its own (ERC-1271).
func (t *typed) owner(name string) string {
	address := t.text(name)
	if address == t.wallet {
		return ""
	}
	t.flag(flagOtherOwner)
	return address
}

// add notes an action on the verifying contract's token, if it names no other.
func (t *typed) add(a chain.Action) {
	a.Contract = t.doc.Domain.VerifyingContract
	if a.Asset == "" {
		a.Asset = a.Contract
	}
	if a.To == a.Asset {
		t.flag(flagToToken)
	}
	if a.To == zeroAddress || a.Spender == zeroAddress {
		t.flag(flagZeroAddress)
	}
	t.e.Actions = append(t.e.Actions, a)
}

// flag notes a flag once, however many actions have it.
func (t *typed) flag(f string) {
	if !slices.Contains(t.e.Flags, f) {
		t.e.Flags = append(t.e.Flags, f)
	}
}

func (t *typed) approve(a chain.Action) {
	a.Kind = chain.ActionApprove
	if a.Amount == "" || unlimitedText(a.Amount) {
		t.flag(flagUnlimited)
	}
	t.add(a)
}

// permit2 explains Permit2's documents: whom they let move how much of which
// token.
func (t *typed) permit2() bool {
	const (
		details     = "PermitDetails(address token,uint160 amount,uint48 expiration,uint48 nonce)"
		permissions = "TokenPermissions(address token,uint256 amount)"
	)
	kind := t.doc.EncodedType
	t.e.Nonce = t.integer("nonce")
	switch {
	case kind == "PermitSingle(PermitDetails details,address spender,uint256 sigDeadline)"+details,
		kind == "PermitBatch(PermitDetails[] details,address spender,uint256 sigDeadline)"+details:
		return t.permissions("details")
	case kind == "PermitTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline)"+permissions,
		kind == "PermitBatchTransferFrom(TokenPermissions[] permitted,address spender,uint256 nonce,uint256 deadline)"+permissions:
		return t.permissions("permitted")
	case !strings.Contains(kind, ")"+permissions):
	case strings.HasPrefix(kind, "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,"),
		strings.HasPrefix(kind, "PermitBatchWitnessTransferFrom(TokenPermissions[] permitted,address spender,uint256 nonce,uint256 deadline,"):
		t.e.Flags = append(t.e.Flags, flagPermitWitness)
		return t.permissions("permitted")
	}
	return false
}

// permission is a struct of token and amount; Permit2's own allowances have
// the rest.
type permission struct {
	Token      jsontext.Value `json:"token"`
	Amount     jsontext.Value `json:"amount"`
	Expiration jsontext.Value `json:"expiration"`
	Nonce      jsontext.Value `json:"nonce"`
}

// permissions notes what one or several structs of token and amount allow.
func (t *typed) permissions(name string) bool {
	list := t.members[name]
	d := jsontext.NewDecoder(bytes.NewReader(list))
	if list.Kind() == '[' {
		if _, err := d.ReadToken(); err != nil {
			return false
		}
	}
	n := bytes.Count(list, []byte("{")) // which no address or integer has
	t.e.Actions = make([]chain.Action, 0, n)
	spender, deadline := t.text("spender"), t.integer("deadline")
	for d.PeekKind() == '{' {
		v, err := d.ReadValue()
		var of permission
		if err != nil || canon.DecodeJSONLoose(v, &of) != nil {
			return false
		}
		a := chain.Action{Asset: unquoted(of.Token), Spender: spender, Amount: decimalOf(of.Amount), Expiry: deadline}
		if of.Expiration != nil {
			a.Expiry = decimalOf(of.Expiration)
			if n == 1 {
				t.e.Nonce = decimalOf(of.Nonce)
			}
		}
		t.approve(a)
	}
	return n > 0 && len(t.e.Actions) == n
}

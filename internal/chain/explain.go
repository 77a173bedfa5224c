package chain

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sigilkeys/sigil/internal/policy"
)

// Explanation is a prepared payload for a person to read.
type Explanation struct {
	Intent       jsontext.Value `json:"intent"`        // canonical
	IntentDigest string         `json:"intent_digest"` // hex, as in the receipt
	// Summary has a sentence for each action, and one for the fee.
	Summary []string      `json:"summary"`
	Flags   []FlagMeaning `json:"flags"`
	// Accept is what the policy of a key must name; Refused what none can.
	Accept  []policy.Acceptance `json:"accept"`
	Refused []string            `json:"refused"`
}

// FlagMeaning spells a flag out.
type FlagMeaning struct {
	Flag string `json:"flag"`
	Says string `json:"says"`
}

// Explain spells the payload out.
func (p *Prepared) Explain(n *Network) (*Explanation, error) {
	intent, err := p.Intent.Encode()
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(intent)
	out := &Explanation{Intent: intent, IntentDigest: hex.EncodeToString(digest[:]), Flags: []FlagMeaning{}, Accept: []policy.Acceptance{}, Refused: []string{}}
	e := p.Intent.Effects
	if e == nil {
		out.Summary = []string{fmt.Sprintf("a message of %d bytes, format %s", p.Intent.Length, p.Intent.Format)}
		return out, nil
	}
	for i := range e.Actions {
		out.Summary = append(out.Summary, e.Actions[i].sentence(n))
	}
	if e.FeeMax != "0" || p.Intent.Kind == KindTransaction {
		out.Summary = append(out.Summary, e.fee(n))
	}
	for _, flag := range e.Flags {
		out.Flags = append(out.Flags, FlagMeaning{flag, FlagText(flag)})
	}
	r := p.Request(n)
	for _, u := range r.Unexplained {
		a, ok := u.Acceptance(n.Slug)
		if !ok {
			out.Refused = append(out.Refused, u.Says)
			continue
		}
		if out.Accept = append(out.Accept, a); r.AlsoValidOn != "" {
			a.Network = r.AlsoValidOn
			out.Accept = append(out.Accept, a)
		}
	}
	return out, nil
}

// fee says what it costs and who pays.
func (e *Effects) fee(n *Network) string {
	fee := "costs at most " + amount(n, AssetNative, e.FeeMax) + " in fees"
	if n.DataFee {
		fee += " and what " + n.Name + " takes for the transaction's data besides"
	}
	if e.FeePayer != "" {
		fee += ", paid by " + e.FeePayer
	}
	return fee
}

// sentence says what the action does.
func (a *Action) sentence(n *Network) string {
	who := "the wallet"
	if a.From != "" {
		who = a.From
	}
	what := amount(n, a.Asset, a.Amount)
	if a.TokenID != "" {
		what = fmt.Sprintf("%s of number %s of %s", a.Amount, a.TokenID, a.Asset)
	}
	var s string
	switch a.Kind {
	case ActionTransfer, ActionTokenTransfer:
		s = fmt.Sprintf("%s sends %s to %s", who, what, a.To)
		if a.Text != "" { // Token-2022's fee
			s += ", " + a.Text + " of it"
		}
	case ActionApprove:
		if a.Amount == "" {
			what = "everything of " + a.Asset + " that it has or gets"
		}
		s = fmt.Sprintf("%s may take %s from %s", a.Spender, what, who)
	case ActionProceeds:
		if a.Amount != "" {
			what = "at least " + what
		} else if a.Text != "" {
			what = a.Text + " of what it holds of " + a.Asset
		}
		s = fmt.Sprintf("%s gives %s to %s, by a trade for %s", a.Contract, what, orElse(a.To, "its caller"), who)
	case ActionRevoke:
		s = fmt.Sprintf("%s takes back what %s may take of %s", who, orElse(a.Spender, "anybody"), orElse(a.Asset, "its tokens"))
	case ActionChange:
		s = fmt.Sprintf("%s comes back to the wallet at %s", what, a.To)
	case ActionDeploy:
		s = "a contract is deployed, with " + amount(n, AssetNative, a.Amount)
	case ActionDelegate:
		s = "an account takes the code of " + a.Contract
		if a.Method != "" {
			s = "the wallet's own address goes to " + orElse(a.Spender, "nobody, with data in it") + " (" + a.Method + ")"
		}
	case ActionTypedData:
		s = "typed data of the type " + a.Text + " for " + orElse(a.Contract, "no contract that it names") + ", which nobody here can explain"
	case ActionOpaque, ActionUnresolved:
		s = "calls " + a.Contract + " for " + a.Selector + a.Method + ", which nobody here can explain"
		if a.From != "" {
			s = a.From + " " + s
		}
	default:
		s = a.fields()
	}
	if a.Authority != "" {
		s += ", by the authority of " + a.Authority
	}
	if a.Expiry != "" {
		s += ", until " + a.Expiry + " (unix seconds)"
	}
	return s
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// fields writes out what the action has.
func (a *Action) fields() string {
	parts := []string{a.Kind}
	for _, f := range []struct{ name, value string }{{"method", a.Method}, {"asset", a.Asset}, {"amount", a.Amount}, {"from", a.From}, {"to", a.To},
		{"spender", a.Spender}, {"account", a.Account}, {"contract", a.Contract}, {"text", quoted(a.Text)}} {
		if f.value != "" {
			parts = append(parts, f.name+" "+f.value)
		}
	}
	return strings.Join(parts, ", ")
}

// quoted writes foreign text so that a terminal shows it and obeys none of it.
func quoted(text string) string {
	if text == "" {
		return ""
	}
	return strconv.QuoteToGraphic(text)
}

// amount writes base units; of the native asset, whose decimals are known, in
// its unit as well. Nobody here guesses a token's.
func amount(n *Network, asset, base string) string {
	v, ok := new(big.Int).SetString(base, 10)
	asset = orElse(asset, "a token that the chain's state says")
	switch {
	case base == "":
		return "an amount that the chain's state says, of " + asset
	case asset != AssetNative || !ok || n.Symbol == "":
		return base + " base units of " + asset
	}
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n.Decimals)), nil)
	whole, rest := new(big.Int).QuoRem(v, unit, new(big.Int))
	text := whole.String()
	if rest.Sign() > 0 {
		text += "." + strings.TrimRight(fmt.Sprintf("%0*s", n.Decimals, rest.String()), "0")
	}
	return fmt.Sprintf("%s %s (%s base units)", text, n.Symbol, base)
}

// FlagText says what a flag means; every flag has a sentence.
func FlagText(flag string) string {
	return map[string]string{
		"adds_to_allowance":       "The amount comes on top of what the spender may take already.",
		"amount_or_token_id":      "The token decides whether the number is an amount or the number of one that isn't like the others.",
		"any_chain_delegation":    "An authorisation holds on every chain.",
		"approval":                "Somebody may move tokens later.",
		"assign":                  "An account gets another program as its owner.",
		"burns_value":             "An output that nobody can ever spend has a value.",
		"close_account":           "An account ends, and all that it has goes elsewhere.",
		"deploys_account":         "A factory makes the account first.",
		"paymaster":               "Another contract pays the fee, and may want something for it.",
		"data_output":             "An output carries data, which another protocol on the chain may read as an order.",
		"delegatecall":            "Another contract's code runs as the account, and may do anything.",
		"delegation_removed":      "The account gives its code up.",
		"domain_without_chain_id": "The document names no chain: it may be valid on every one.",
		"domain_without_contract": "The document names no contract: any may take it.",
		"durable_nonce":           "It stays valid until its nonce is used or replaced.",
		"dust_output":             "An output costs more to spend than it has.",
		"foreign_inputs":          "Others pay in, and sign as well.",
		"high_fee":                "The fee is over a tenth of what goes in.",
		"left_with_contract":      "Something of the trade may stay with the contract, where anyone can take it.",
		"locktime":                "It isn't valid before a height or a time.",
		"lookup_tables":           "It takes accounts from on-chain tables, whose contents the transaction doesn't say.",
		"no_minimum_output":       "Any amount that comes back is enough, be it nothing.",
		"nonce_authorize":         "Another may use or empty a nonce account.",
		"other_fee_payer":         "The wallet doesn't pay the fee.",
		"other_owner":             "It is about what another account has, and is worth something where that account takes the wallet's signature for its own.",
		"other_signers":           "It takes others' signatures as well.",
		"permit_witness":          "The spender's contract wants something besides, which only it understands.",
		"proceeds_elsewhere":      "What comes back goes to another than whose assets are traded.",
		"recipient_data":          "The recipient's code is given bytes, and may act on them.",
		"relative_locktime":       "It isn't valid before its inputs have an age.",
		"replaceable":             "It can be replaced by one with a higher fee until it is mined.",
		"safe_refund":             "The Safe pays whoever sends it for gas, at a price of its own.",
		"set_authority":           "A mint or token account gets another authority.",
		"stake_authorize":         "Another may move or withdraw a stake.",
		"stake_lockup":            "A stake is locked, or let go.",
		"to_token_contract":       "Tokens go to their own contract, where most are lost.",
		"transfer_hook":           "With the transfer the token calls another program, which may do what the transaction doesn't say with the accounts that are there for it.",
		"token_2022":              "The token's mint may take fees and call other programs.",
		"unknown_amount":          "How much moves, the chain's state says and the transaction doesn't.",
		"unknown_mint":            "Of which token, the chain's state says and the transaction doesn't.",
		"unknown_script":          "An output pays a script that no address stands for.",
		"unlimited_approval":      "The spender may take all that there is and will be.",
		"value_with_call":         "Native value goes along with a call.",
		"zero_address":            "The recipient or spender is nobody.",
	}[flag]
}

package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sigilkeys/sigil/internal/abi"
	"github.com/sigilkeys/sigil/internal/base58"
)

// Kinds of acceptances.
const (
	AcceptCall        = "call"            // EVM: a contract's function, by its ABI
	AcceptCalldata    = "calldata"        // EVM: a contract's call with exactly this data
	AcceptTypedData   = "typed_data"      // EVM: documents of a type for a contract
	AcceptDelegate    = "delegate"        // EVM: an account takes the code of a contract; Solana: a program gets the wallet's address
	AcceptDeploy      = "deploy"          // EVM: creation code
	AcceptInstruction = "instruction"     // Solana: a program's instructions that begin so
	AcceptAccounts    = "lookup_accounts" // Solana: accounts behind any lookup table, for a program
	AcceptTable       = "lookup_table"    // Solana: what a lookup table holds
)

const (
	maxAccepted = 256 // acceptances of one policy
	maxTable    = 256 // accounts of one lookup table
	maxText     = 4096
)

// Acceptance is the owner's word that something which the workload can't
// explain may be signed. It names one thing on one network exactly; what it
// doesn't name stays refused.
type Acceptance struct {
	Kind    string `json:"kind"`
	Network string `json:"network"` // slug
	// From is who calls, where that is another than the wallet: a smart
	// account or contract that the wallet's signature moves.
	From string `json:"from,omitzero"`
	// Contract is an EVM address in lower-case hex, or a Solana program's,
	// or table's, in base58. Typed data may name none.
	Contract string `json:"contract,omitzero"`
	// Function of a call, as ABIs write it: supply(address,uint256). The
	// arguments must be encoded exactly so.
	Function string `json:"function,omitzero"`
	// Type of typed data: encodeType of its primary type (EIP-712).
	Type string `json:"type,omitzero"`
	// Code of a deployment: hex of the SHA-256 of the creation code; of
	// calldata, that of the data.
	Code string `json:"code,omitzero"`
	// Begins is hex of the 1 to 8 bytes that an instruction's data begins
	// with.
	Begins string `json:"begins,omitzero"`
	// Accounts that a lookup table holds, in its order, base58.
	Accounts []string `json:"accounts,omitzero"`
}

// Unexplained is one thing that a payload does and the workload can't explain.
// The zero Kind is one that nothing accepts.
type Unexplained struct {
	Kind     string
	From     string // who calls; "" is the wallet
	Contract string
	Type     string
	Code     string
	Data     []byte   // of a call or instruction
	Lookups  []Lookup // of AcceptAccounts, one at least
	Says     string   // in words
}

// Lookup is the place of an account in a lookup table.
type Lookup struct {
	Table string // base58
	Index int
}

// Acceptance is what a policy for the network must hold to have it signed;
// not ok where nothing does.
func (u *Unexplained) Acceptance(network string) (a Acceptance, ok bool) {
	a = Acceptance{Kind: u.Kind, Network: network, From: u.From, Contract: u.Contract, Type: u.Type, Code: u.Code}
	switch {
	case u.Kind == "" || u.Kind == AcceptInstruction && len(u.Data) == 0:
		return Acceptance{}, false
	case u.Kind == AcceptCall:
		data := sha256.Sum256(u.Data)
		a.Kind, a.Code = AcceptCalldata, hex.EncodeToString(data[:])
	case u.Kind == AcceptInstruction:
		a.Begins = hex.EncodeToString(u.Data[:min(8, len(u.Data))])
	}
	return a, a.check() == nil // a type may be too long for a policy
}

// check refuses an acceptance that names too little, or what its kind has no
// use for.
func (a *Acceptance) check() error {
	fields := map[string]bool{
		"from": a.From != "", "contract": a.Contract != "", "function": a.Function != "", "type": a.Type != "", "code": a.Code != "",
		"begins": a.Begins != "", "accounts": len(a.Accounts) > 0,
	}
	needs, known := map[string][]string{
		AcceptCall: {"contract", "function"}, AcceptCalldata: {"contract", "code"}, AcceptTypedData: {"type"}, AcceptDelegate: {"contract"}, AcceptDeploy: {"code"},
		AcceptInstruction: {"contract", "begins"}, AcceptAccounts: {"contract"}, AcceptTable: {"contract", "accounts"},
	}[a.Kind]
	if !known {
		return fmt.Errorf("unknown kind %.40q", a.Kind)
	}
	if a.Network == "" || a.Network == Any || len(a.Network) > 64 {
		return errors.New("it names no network")
	}
	for name, given := range fields {
		optional := a.Kind == AcceptTypedData && name == "contract" || (a.Kind == AcceptCall || a.Kind == AcceptCalldata) && name == "from"
		if given != slices.Contains(needs, name) && !optional {
			return fmt.Errorf("of the kind %s, it has %s", a.Kind, strings.Join(needs, " and "))
		}
	}
	if len(a.Contract) > 64 || len(a.Function) > maxText || len(a.Type) > maxText || len(a.Accounts) > maxTable {
		return errors.New("a member is too long")
	}
	return a.checkText()
}

func (a *Acceptance) checkText() error {
	if b, err := hex.DecodeString(a.Code); a.Code != "" && (err != nil || len(b) != 32 || a.Code != strings.ToLower(a.Code)) {
		return errors.New("code is not the lower-case hex of 32 bytes")
	}
	if b, err := hex.DecodeString(a.Begins); a.Begins != "" && (err != nil || len(b) > 8 || a.Begins != strings.ToLower(a.Begins)) {
		return errors.New("begins is not the lower-case hex of 1 to 8 bytes")
	}
	if a.Contract != "" && !isAddress(a.Contract, strings.HasPrefix(a.Kind, "lookup_") || a.Kind == AcceptInstruction) {
		return errors.New("contract is not an address: 0x and lower-case hex, on Solana base58")
	}
	if a.From != "" && (!isAddress(a.From, false) || !strings.HasPrefix(a.From, "0x")) {
		return errors.New("from is not an address: 0x and lower-case hex")
	}
	for _, account := range a.Accounts {
		if !isAddress(account, true) {
			return errors.New("an account is not an address in base58")
		}
	}
	if a.Kind == AcceptCall {
		if _, err := abi.Parse(a.Function); err != nil {
			return fmt.Errorf("function: %w", err)
		}
	}
	return nil
}

// isAddress reports whether s is written as addresses are: 0x and lower-case
// hex of 20 bytes, on Solana base58 of 32.
func isAddress(s string, solana bool) bool {
	if hex, ok := strings.CutPrefix(s, "0x"); ok && !solana {
		return len(hex) == 40 && strings.Trim(hex, "0123456789abcdef") == ""
	}
	return len(s) >= 32 && len(s) <= 44 && strings.Trim(s, base58.Alphabet) == ""
}

// accepts reports whether the policy names everything that a request does and
// nobody can explain, and if not, the first such thing.
// What is valid on two networks is named for both: the host chooses where it
// goes.
func (p *Policy) accepts(r *Request) (Unexplained, bool) {
	for i := range r.Unexplained {
		u := &r.Unexplained[i]
		if !p.acceptsOn(r.Network, u) || r.AlsoValidOn != "" && !p.acceptsOn(r.AlsoValidOn, u) {
			return *u, false
		}
	}
	return Unexplained{}, true
}

func (p *Policy) acceptsOn(network string, u *Unexplained) bool {
	return slices.ContainsFunc(p.Accept, func(a Acceptance) bool { return a.Network == network && a.names(u) }) ||
		u.Kind == AcceptAccounts && p.holdTables(network, u.Lookups)
}

func (a *Acceptance) names(u *Unexplained) bool {
	if a.From != u.From {
		return false
	}
	if a.Kind == AcceptCalldata && u.Kind == AcceptCall {
		data := sha256.Sum256(u.Data)
		return a.Contract == u.Contract && a.Code == hex.EncodeToString(data[:])
	}
	if u.Kind == "" || a.Kind != u.Kind || a.Contract != u.Contract {
		return false
	}
	switch a.Kind {
	case AcceptCall:
		f, err := abi.Parse(a.Function)
		return err == nil && f.Encodes(u.Data)
	case AcceptTypedData:
		return a.Type == u.Type
	case AcceptDelegate, AcceptAccounts:
		return a.Contract != ""
	case AcceptDeploy:
		return a.Code == u.Code
	case AcceptInstruction:
		return a.Begins != "" && strings.HasPrefix(hex.EncodeToString(u.Data), a.Begins)
	}
	return false
}

// holdTables reports whether the policy says what stands at each place.
func (p *Policy) holdTables(network string, places []Lookup) bool {
	for _, l := range places {
		if !slices.ContainsFunc(p.Accept, func(a Acceptance) bool {
			return a.Kind == AcceptTable && a.Network == network && a.Contract == l.Table && l.Index >= 0 && l.Index < len(a.Accounts)
		}) {
			return false
		}
	}
	return len(places) > 0
}

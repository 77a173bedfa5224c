// Package policy decides whether a grant's policy allows a request. It is
// pure: no clock, no store, no network. Default is deny: an empty list allows
// nothing, and the zero Decision is "not decided".
package policy

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sigilkeys/sigil/internal/canon"
)

// Any is the one list member that means every value; it stands alone.
const Any = "*"

// Methods that a policy can name.
const (
	MethodSignMessage       = "signMessage"
	MethodSignTransaction   = "signTransaction"
	MethodSignTypedData     = "signTypedData"     // EIP-712
	MethodSignAuthorization = "signAuthorization" // EIP-7702
	MethodSignUserOperation = "signUserOperation" // ERC-4337
	MethodCreateWallet      = "createWallet"
)

// Policy is the first form of a grant's policy: allow-lists.
type Policy struct {
	Wallets  []string `json:"wallets"`  // UUIDs, or "*"
	Networks []string `json:"networks"` // slugs, or "*"
	Methods  []string `json:"methods"`  // as above; "*" is signMessage and createWallet

	// Accept names what the workload can't explain and may be signed all the
	// same; nil in the first form.
	Accept []Acceptance `json:"accept,omitzero"`
}

// Outcome is the result of an evaluation.
type Outcome uint8

// Outcomes; the zero value is no decision and must be treated as a failure.
const (
	Undecided Outcome = iota
	Allow
	Deny
)

// Stable reason codes.
const (
	ReasonAllowed = "allowed"
	ReasonMethod  = "policy_method"
	ReasonNetwork = "policy_network"
	ReasonWallet  = "policy_wallet"
	ReasonOpaque  = "transaction_opaque"
)

// Decision is an outcome with its reason, a stable code, and a sentence for
// people.
type Decision struct {
	Outcome     Outcome
	Reason      string
	Explanation string
}

// Request is what a policy looks at.
type Request struct {
	Method  string
	Network string     // "" for a method without network
	Wallet  canon.UUID // zero for a method without wallet
	// AlsoValidOn is another network on which the signature would be good;
	// "" for none.
	AlsoValidOn string
	// Anywhere says that it would be good on every network of its family.
	Anywhere bool
	// Unexplained is what it does that nobody can explain.
	Unexplained []Unexplained
}

// Check refuses a malformed policy, when it is stored and when it is used.
func (p *Policy) Check() error {
	for name, list := range map[string][]string{"wallets": p.Wallets, "networks": p.Networks, "methods": p.Methods} {
		if err := checkList(list); err != nil {
			return fmt.Errorf("policy %s: %w", name, err)
		}
	}
	for _, w := range p.Wallets {
		if _, err := canon.ParseUUID(w); w != Any && err != nil {
			return fmt.Errorf("policy wallets: %w", err)
		}
	}
	for _, m := range p.Methods {
		if m != Any && !slices.Contains(methods(), m) {
			return fmt.Errorf("policy methods: unknown method %q", m)
		}
	}
	if len(p.Accept) > maxAccepted {
		return fmt.Errorf("policy accept: more than %d members", maxAccepted)
	}
	for i := range p.Accept {
		if err := p.Accept[i].check(); err != nil {
			return fmt.Errorf("policy accept[%d]: %w", i, err)
		}
	}
	return nil
}

func checkList(list []string) error {
	if len(list) > 1000 {
		return errors.New("more than 1,000 members")
	}
	seen := make(map[string]bool, len(list))
	for _, m := range list {
		switch {
		case m == "" || len(m) > 64:
			return errors.New("a member is empty or over 64 bytes")
		case seen[m]:
			return fmt.Errorf("%q stands twice", m)
		case m == Any && len(list) > 1:
			return errors.New(`"*" must stand alone`)
		}
		seen[m] = true
	}
	return nil
}

func methods() []string {
	return []string{MethodSignMessage, MethodSignTransaction, MethodSignTypedData, MethodSignAuthorization, MethodSignUserOperation, MethodCreateWallet}
}

// allowsMethod gives "*" the meaning that it had when it was first signed: the
// two methods that there were. An owner who wrote it then has never allowed
// transactions and the like, so those are named.
func (p *Policy) allowsMethod(m string) bool {
	first := m == MethodSignMessage || m == MethodCreateWallet
	return slices.Contains(p.Methods, m) || first && allows(p.Methods, m)
}

// Evaluate decides a request. A method that this release doesn't know is
// denied under "*" too.
func Evaluate(p *Policy, r Request) Decision {
	if !slices.Contains(methods(), r.Method) {
		return deny(ReasonMethod, "the method %q is unknown", r.Method)
	}
	if !p.allowsMethod(r.Method) {
		return deny(ReasonMethod, "the grant's policy doesn't allow the method %s", r.Method)
	}
	if r.Method == MethodCreateWallet {
		return Decision{Allow, ReasonAllowed, ""}
	}
	if r.Network == "" || !allows(p.Networks, r.Network) {
		return deny(ReasonNetwork, "the grant's policy doesn't allow the network %s", r.Network)
	}
	if r.Wallet.IsZero() || !allows(p.Wallets, r.Wallet.String()) {
		return deny(ReasonWallet, "the grant's policy doesn't allow the wallet %s", r.Wallet)
	}
	if r.AlsoValidOn != "" && !allows(p.Networks, r.AlsoValidOn) {
		return deny(ReasonNetwork, "what is signed for %s is valid on %s as well, which the grant's policy doesn't allow", r.Network, r.AlsoValidOn)
	}
	if r.Anywhere && !slices.Equal(p.Networks, []string{Any}) {
		return deny(ReasonNetwork, "what is asked for names no network and would be valid on every one, and the grant's policy doesn't allow all of them")
	}
	if u, ok := p.accepts(&r); !ok {
		return deny(ReasonOpaque, "the grant's policy doesn't accept what nobody can explain: %s", u.Says)
	}
	return Decision{Allow, ReasonAllowed, ""}
}

func deny(reason, format string, args ...any) Decision {
	return Decision{Deny, reason, fmt.Sprintf(format, args...)}
}

func allows(list []string, v string) bool {
	return len(list) == 1 && list[0] == Any || slices.Contains(list, v)
}

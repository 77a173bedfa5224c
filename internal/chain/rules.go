package chain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/sigilkeys/sigil/internal/policy"
)

// Ruled reports whether policies may allow an action of the kind as such. New
// code, delegations, calls that nobody here understands and those of accounts
// that nobody here knows may do anything, and a trade gives all that a router
// was approved for what its arguments say, or for nothing: an owner's policy
// names them exactly, or they are refused; and so is a kind that isn't here.
func Ruled(kind string) bool {
	return slices.Contains([]string{ActionTransfer, ActionTokenTransfer, ActionApprove, ActionRevoke, ActionWrap, ActionUnwrap,
		ActionAuthorize, ActionBurn, ActionChange, ActionClose, ActionCreate, ActionFreeze, ActionMemo, ActionMint, ActionSetup, ActionStake, ActionUnstake}, kind)
}

// Unruled returns the first action that isn't ruled.
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

// Method returns the policy's name for signing a payload of the kind.
func Method(kind string) string {
	switch kind {
	case KindTransaction:
		return policy.MethodSignTransaction
	case KindTypedData:
		return policy.MethodSignTypedData
	case KindAuthorization:
		return policy.MethodSignAuthorization
	case KindUserOperation:
		return policy.MethodSignUserOperation
	}
	return policy.MethodSignMessage
}

// Request is what policy is asked about the prepared payload; whose wallet it
// is, the caller adds.
func (p *Prepared) Request(n *Network) policy.Request {
	r := policy.Request{Method: Method(p.Intent.Kind), Network: p.Intent.Network, AlsoValidOn: n.AlsoValidOn}
	// Main networks share messages, which move nothing by themselves. A key for
	// a test network is in more hands, so it needs the main one allowed too.
	message := p.Intent.Kind == KindMessage
	if p.Unbound && n.UnboundOn != "" && (!message || n.Testnet) {
		r.AlsoValidOn = n.UnboundOn
	}
	r.Anywhere = p.Unbound && !message
	if !message {
		r.Unexplained = p.Intent.Effects.unexplained()
	}
	return r
}

// unexplained lists what an owner's policy must name. A payload that does
// nothing is as unexplained as one that does what isn't ruled.
func (e *Effects) unexplained() []policy.Unexplained {
	if e == nil || len(e.Actions) == 0 {
		return []policy.Unexplained{{Says: "nobody here knows what it does"}}
	}
	var out []policy.Unexplained
	for i := range e.Actions {
		a := &e.Actions[i]
		if Ruled(a.Kind) {
			continue
		}
		data, lookups, ok := e.behind(i)
		if a.Kind != ActionUnresolved {
			u := policy.Unexplained{Contract: a.Contract, Data: data}
			if kind := a.describe(&u); ok {
				u.Kind = kind
			}
			if a.Kind == ActionProceeds && slices.ContainsFunc(out, func(v policy.Unexplained) bool {
				return v.Kind == u.Kind && v.Contract == u.Contract && bytes.Equal(v.Data, u.Data)
			}) {
				continue // several trades of one call, which is accepted as one
			}
			out = append(out, u)
		}
		if a.Kind == ActionUnresolved || len(lookups) > 0 {
			out = append(out, policy.Unexplained{Kind: policy.AcceptAccounts, Contract: a.Contract, Lookups: lookups,
				Says: "it gives " + a.Contract + " accounts by their place in a lookup table, and which ones these are, the transaction doesn't say"})
		}
	}
	return out
}

func (e *Effects) behind(action int) ([]byte, []policy.Lookup, bool) {
	if e.Behind == nil {
		return nil, nil, false
	}
	return e.Behind(action)
}

// describe says in words what the action does, and returns the kind of what
// would accept it.
func (a *Action) describe(u *policy.Unexplained) (kind string) {
	switch {
	case a.Kind == ActionDeploy:
		code := sha256.Sum256(u.Data)
		u.Contract, u.Code = "", hex.EncodeToString(code[:])
		u.Says = "it deploys a contract, the SHA-256 of whose code is " + u.Code
		return policy.AcceptDeploy
	case a.Kind == ActionDelegate && a.Method != "" && a.Spender == "":
		u.Says = "it makes the wallet's own address one that holds data (" + a.Method + "), which can't pay any more"
		return ""
	case a.Kind == ActionDelegate && a.Method != "": // contract is who is asked to do it
		u.Contract = a.Spender
		u.Says = "it puts the wallet's own address into the hands of the program " + a.Spender + " (" + a.Method + ")"
		return policy.AcceptDelegate
	case a.Kind == ActionDelegate:
		u.Says = "it gives an account the code of " + a.Contract
		return policy.AcceptDelegate
	case a.Kind == ActionTypedData:
		u.Type, u.Says = a.Text, "nobody here knows what typed data of the type "+a.Text+" is worth"
		return policy.AcceptTypedData
	case a.Kind == ActionProceeds:
		u.From = a.From
		u.Says = "it has " + a.Contract + " trade (" + a.Selector + "), which may move all that was approved to it"
		return policy.AcceptCall
	case a.Kind != ActionOpaque:
		u.Says = "nobody here knows what " + a.Kind + " is"
		return ""
	case a.Contract == "":
		u.Says = "nobody here knows what it does"
		return ""
	}
	u.Says = "it calls " + a.Contract + " for " + a.Selector + ", which nobody here understands"
	if strings.HasPrefix(a.Contract, "0x") {
		if u.From = a.From; u.From != "" {
			u.Says = u.From + " does: " + u.Says
		}
		return policy.AcceptCall
	}
	return policy.AcceptInstruction
}

package solana

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/sigilkeys/sigil/internal/base58"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/policy"
)

// Flags of effects (docs/FORMATS.md).
const (
	flagApproval       = "approval"        // somebody may move tokens later
	flagAssign         = "assign"          // an account gets another program as its owner
	flagClose          = "close_account"   // an account ends
	flagDurableNonce   = "durable_nonce"   // it stays valid until its nonce is used
	flagExtension      = "token_2022"      // the mint may take fees and call other programs
	flagHook           = "transfer_hook"   // another program is called with a transfer
	flagLookup         = "lookup_tables"   // it takes accounts from on-chain tables
	flagNonceAuthority = "nonce_authorize" // another may use or empty a nonce account
	flagOtherPayer     = "other_fee_payer" // the wallet doesn't pay the fee
	flagOtherSigners   = "other_signers"   // it takes others' signatures as well
	flagSetAuthority   = "set_authority"   // a mint or token account gets another authority
	flagStakeAuthority = "stake_authorize" // another may move or withdraw a stake
	flagStakeLockup    = "stake_lockup"    // a stake is locked or let go
	flagUnknownAmount  = "unknown_amount"  // how much moves, the chain's state says
	flagUnknownMint    = "unknown_mint"    // of which token, the chain's state says
	flagUnlimited      = "unlimited_approval"
)

// firstBytes is how much of an opaque instruction's data stands in an intent.
const firstBytes = 8

// describer makes the effects of one message.
type describer struct {
	m      *message
	wallet string
	names  []string // of the message's accounts, once they were asked for
	budget budget
}

// name returns an account's address, or its place in a lookup table in a form
// that is no address.
func (d *describer) name(i int) string {
	if d.names[i] == "" {
		if table, index, ok := d.m.looked(i); ok {
			d.names[i] = "lookup:" + base58.Encode(table[:]) + ":" + strconv.Itoa(int(index))
		} else {
			d.names[i] = base58.Encode(d.m.keys[i][:])
		}
	}
	return d.names[i]
}

func (d *describer) notOwn(name string) string {
	if name == d.wallet {
		return ""
	}
	return name
}

// effects describes what the message does when wallet, one of its signers,
// signs it.
func (m *message) effects(wallet string) (*chain.Effects, error) {
	d := &describer{m: m, wallet: wallet, names: make([]string, m.accounts)}
	e := &chain.Effects{Nonce: base58.Encode(m.blockhash[:]), Actions: make([]chain.Action, 0, len(m.instructions))}
	for i := range m.instructions {
		if m.keys[m.instructions[i].program] == budgetProgram {
			if err := d.budget.read(&m.instructions[i]); err != nil {
				return nil, fmt.Errorf("instruction %d: %w", i, err)
			}
			continue
		}
		e.Actions = e.Actions[:len(e.Actions)+1] // there is room, of zeros
		v := &view{describer: d, in: &m.instructions[i], data: m.instructions[i].data, action: &e.Actions[len(e.Actions)-1]}
		v.describe()
		if i == 0 && v.action.Method == methodAdvanceNonce {
			v.flag(flagDurableNonce)
		}
		e.Flags = append(e.Flags, v.flags...)
	}
	e.Behind = m.behind
	e.FeeMax = strconv.FormatUint(m.feeMax(&d.budget), 10)
	if e.FeePayer = d.notOwn(d.name(0)); e.FeePayer != "" {
		e.Flags = append(e.Flags, flagOtherPayer)
	}
	if m.signers > 1 {
		e.Flags = append(e.Flags, flagOtherSigners)
	}
	if len(m.lookups) > 0 {
		e.Flags = append(e.Flags, flagLookup)
	}
	return e, nil
}

// behind implements chain.Behind: the instruction of an action, which each has
// but those of the compute budget.
func (m *message) behind(action int) (data []byte, lookups []policy.Lookup, ok bool) {
	for i := range m.instructions {
		in := &m.instructions[i]
		if m.keys[in.program] == budgetProgram {
			continue
		}
		if action--; action >= 0 {
			continue
		}
		for _, i := range in.accounts {
			if table, index, ok := m.looked(int(i)); ok {
				lookups = append(lookups, policy.Lookup{Table: base58.Encode(table[:]), Index: int(index)})
			}
		}
		return in.data, lookups, true
	}
	return nil, nil, false
}

// describe makes the instruction's action and flags.
func (v *view) describe() {
	program := v.m.keys[v.in.program]
	v.action.Contract = v.name(v.in.program)
	switch program {
	case systemProgram:
		v.system()
	case tokenProgram:
		v.token()
	case token2022Program:
		v.flag(flagExtension)
		v.token()
	case associatedProgram:
		v.associated()
	case stakeProgram:
		v.stake()
	case memo1Program, memo2Program:
		v.memo(program == memo2Program)
	default:
		v.failed = true
	}
	switch {
	case !v.understood():
		*v.action = chain.Action{Kind: chain.ActionOpaque, Contract: v.action.Contract, Selector: hex.EncodeToString(v.in.data[:min(firstBytes, len(v.in.data))])}
		v.flags = nil
	case v.unresolved:
		v.action.Kind = chain.ActionUnresolved
	}
}

// memo is text that the chain keeps. The second program wants each account to
// sign; the first ignores them.
func (v *view) memo(signed bool) {
	v.is(chain.ActionMemo, "memo")
	v.action.Text = string(v.bytes(len(v.data)))
	v.failed = v.failed || !utf8.ValidString(v.action.Text)
	if !signed {
		v.references()
	}
	for v.more() {
		v.next(signs)
	}
}

package solana

import (
	"github.com/sigilkeys/sigil/internal/base58"
	"github.com/sigilkeys/sigil/internal/chain"
)

const methodAdvanceNonce = "advanceNonce"

// system reads an instruction of the System program.
func (v *view) system() {
	switch tag := v.tag(4); tag {
	case 0:
		v.is(chain.ActionCreate, "createAccount")
		v.action.From, v.action.To = v.own(signs|writes), v.account(signs|writes)
		v.native()
		size, owner := v.u64(), key(v.bytes(addressSize))
		v.action.Spender = base58.Encode(owner[:])
		if v.action.To == v.wallet { // which has nothing yet, or it fails
			v.flag(flagAssign)
		}
		if size > 0 || owner != systemProgram { // else it is a wallet's still
			v.handsOver(v.action.To)
		}
	case 2:
		v.is(chain.ActionTransfer, "transfer")
		v.action.From, v.action.To = v.own(signs|writes), v.account(writes)
		v.native()
		v.references()
	case 3:
		v.createWithSeed()
	case 11:
		v.is(chain.ActionTransfer, "transferWithSeed")
		v.action.From, v.action.Authority, v.action.To = v.account(writes), v.own(signs), v.account(writes)
		v.native()
		v.seed()
		v.key() // that owns the sender
	case 1, 8, 9, 10:
		v.allocation(tag)
	case 4, 5, 6, 7, 12:
		v.nonce(tag)
	default:
		v.failed = true
	}
}

// native reads an amount of lamports.
func (v *view) native() {
	v.action.Asset = chain.AssetNative
	v.amount()
}

// createWithSeed: whose seed it is signs as well, in a place of its own unless
// it is the payer.
func (v *view) createWithSeed() {
	v.is(chain.ActionCreate, "createAccountWithSeed")
	payer, created := v.account(signs|writes), v.account(writes)
	base := payer
	if v.more() {
		base = v.account(signs)
	}
	v.failed = v.key() != base || v.failed
	v.action.From, v.action.To, v.action.Authority = v.notOwn(payer), created, v.notOwn(base)
	v.seed()
	v.native()
	v.u64() // bytes
	v.action.Spender = v.key()
}

// allocation gives an account room or another owner.
func (v *view) allocation(tag uint32) {
	const assign, allocate, allocateWithSeed = 1, 8, 9
	seeded, need := tag > allocate, signs|writes
	if seeded {
		need = writes
	}
	account := v.account(need)
	if seeded {
		base := v.account(signs)
		v.failed = v.key() != base || v.failed
		v.action.Authority = v.notOwn(base)
		v.seed()
	}
	v.action.Account = v.notOwn(account)
	switch tag {
	case assign:
		v.is(chain.ActionAuthorize, "assign")
	case allocate:
		v.is(chain.ActionSetup, "allocate")
	case allocateWithSeed:
		v.is(chain.ActionSetup, "allocateWithSeed")
	default:
		v.is(chain.ActionAuthorize, "assignWithSeed")
	}
	if v.action.Kind == chain.ActionSetup {
		v.u64() // bytes
	}
	if tag != allocate {
		v.action.Spender = v.key()
		v.flag(flagAssign)
	}
	v.handsOver(account)
}

// handsOver looks whether an account that gets data or another owner, or is
// made, is the wallet's address, which nobody could use as a wallet's after
// that.
func (v *view) handsOver(account string) {
	if account == v.wallet {
		v.action.Kind = chain.ActionDelegate
	}
}

// nonce reads an instruction about a nonce account.
func (v *view) nonce(tag uint32) {
	v.action.Account = v.account(writes)
	switch tag {
	case 4:
		v.is(chain.ActionSetup, methodAdvanceNonce)
		v.named(blockhashesSysvar)
		v.action.Authority = v.own(signs)
	case 5:
		v.is(chain.ActionTransfer, "withdrawNonce")
		v.action.From, v.action.Account = v.action.Account, ""
		v.action.To = v.account(writes)
		v.named(blockhashesSysvar)
		v.named(rentSysvar)
		v.action.Authority = v.own(signs)
		v.native()
	case 6:
		v.is(chain.ActionSetup, "initializeNonce")
		v.named(blockhashesSysvar)
		v.named(rentSysvar)
		v.action.Spender = v.key()
	case 7:
		v.is(chain.ActionAuthorize, "authorizeNonce")
		v.action.Authority = v.own(signs)
		v.action.Spender = v.key()
		v.flag(flagNonceAuthority)
	default:
		v.is(chain.ActionSetup, "upgradeNonce")
	}
}

package solana

import (
	"encoding/hex"
	"math"
	"strconv"

	"github.com/sigilkeys/sigil/internal/chain"
)

// token reads an instruction that both token programs have. Most of
// Token-2022's own are opaque.
func (v *view) token() {
	switch tag := v.tag(1); tag {
	case 3, 12:
		v.tokenTransfer(tag == 12)
	case 26, 44:
		v.tokenExtension(tag)
	case 4, 13:
		v.tokenApprove(tag == 13)
	case 7, 8, 14, 15:
		v.tokenSupply(tag)
	case 5:
		v.is(chain.ActionRevoke, "revoke")
		v.action.From = v.account(writes)
		v.owner()
		v.flag(flagUnknownMint)
	case 6:
		v.tokenAuthority()
	case 9:
		v.is(chain.ActionClose, "closeAccount")
		v.action.Asset = chain.AssetNative
		v.action.From, v.action.To = v.account(writes), v.account(writes)
		v.owner()
		v.flag(flagClose, flagUnknownAmount)
	case 10, 11:
		v.is(chain.ActionFreeze, either(tag == 10, "freezeAccount", "thawAccount"))
		v.action.Account, v.action.Asset = v.account(writes), v.account(anyRole)
		v.owner()
	case 17:
		v.is(chain.ActionWrap, "syncNative")
		v.action.Asset, v.action.To = chain.AssetNative, v.account(writes)
		v.flag(flagUnknownAmount)
	default:
		v.tokenSetup(tag)
	}
}

// owner takes who decides over a token account or mint: a signer, or an
// account that stands for several, which sign behind it. What else may stand
// there is ignored by the older program; the newer gives it to the hook of a
// transfer.
func (v *view) owner() {
	i := v.next(anyRole)
	v.action.Authority = v.notOwn(v.name(i))
	switch {
	case i < v.m.signers && v.m.keys[v.in.program] == tokenProgram:
		v.references()
	case i < v.m.signers && v.action.Kind == chain.ActionTokenTransfer && v.action.Asset != "" && v.more():
		v.hook()
	case i >= v.m.signers:
		n := len(v.in.accounts) - v.at
		v.failed = v.failed || n == 0 || n > maxMultisig
		for v.more() {
			v.next(signs)
		}
	}
}

// hook takes the accounts of another program, which the mint has called for
// each transfer: it and its list of accounts at least. That program gets none of the four accounts before them as a
// signer or to change (Token-2022's extension "transfer hook"), but what signs
// here would sign there: with one of these the instruction is opaque.
func (v *view) hook() {
	v.failed = v.failed || len(v.in.accounts)-v.at < 2
	for v.more() {
		if i := v.next(anyRole); i < v.m.signers {
			v.failed = true
		}
	}
	v.flag(flagHook)
}

func (v *view) tokenTransfer(checked bool) {
	v.is(chain.ActionTokenTransfer, "transfer")
	v.action.From = v.account(writes)
	v.mint(checked, "transferChecked")
	v.action.To = v.account(writes)
	v.owner()
	v.amount()
	if checked {
		v.u8() // decimals
	}
}

// mint takes the mint where the instruction names it.
func (v *view) mint(checked bool, method string) {
	if !checked {
		v.flag(flagUnknownMint)
		return
	}
	v.action.Method, v.action.Asset = method, v.account(anyRole)
}

// tokenExtension reads what is understood of Token-2022's own: a transfer that
// states the mint's fee, which comes out of the amount, and what stops a mint.
func (v *view) tokenExtension(tag uint32) {
	const fees, withFee, pause, resume = 26, 1, 1, 2
	sub := v.u8()
	v.action.Selector += hex.EncodeToString([]byte{sub})
	switch {
	case v.m.keys[v.in.program] != token2022Program:
		v.failed = true
	case tag == fees && sub == withFee:
		v.tokenTransfer(true)
		v.action.Method = "transferCheckedWithFee"
		v.action.Text = "fee " + strconv.FormatUint(v.u64(), 10)
	case tag != fees && (sub == pause || sub == resume):
		v.is(chain.ActionFreeze, either(sub == pause, "pause", "resume"))
		v.action.Asset = v.account(writes)
		v.owner()
	default:
		v.failed = true
	}
}

func (v *view) tokenApprove(checked bool) {
	v.is(chain.ActionApprove, "approve")
	v.action.From = v.account(writes)
	v.mint(checked, "approveChecked")
	v.action.Spender = v.account(anyRole)
	v.owner()
	if v.amount() == math.MaxUint64 {
		v.flag(flagUnlimited)
	}
	if checked {
		v.u8()
	}
	v.flag(flagApproval)
}

// tokenSupply makes or destroys tokens.
func (v *view) tokenSupply(tag uint32) {
	switch tag {
	case 7, 14:
		v.is(chain.ActionMint, either(tag == 14, "mintToChecked", "mintTo"))
		v.action.Asset, v.action.To = v.account(writes), v.account(writes)
	default:
		v.is(chain.ActionBurn, either(tag == 15, "burnChecked", "burn"))
		v.action.From, v.action.Asset = v.account(writes), v.account(writes)
	}
	v.owner()
	v.amount()
	if tag >= 14 {
		v.u8()
	}
}

func (v *view) tokenAuthority() {
	v.is(chain.ActionAuthorize, "setAuthority")
	v.action.Account = v.account(writes)
	v.owner()
	words := []string{"mint_tokens", "freeze_account", "account_owner", "close_account"}
	if v.m.keys[v.in.program] == token2022Program {
		words = append(words, "transfer_fee_config", "withheld_withdraw", "close_mint", "interest_rate", "permanent_delegate", "confidential_transfer_mint",
			"transfer_hook_program_id", "confidential_transfer_fee_config", "metadata_pointer", "group_pointer", "group_member_pointer", "scaled_ui_amount", "pause")
	}
	v.action.Text = v.word(uint32(v.u8()), words...)
	v.action.Spender = v.optionalKey()
	v.flag(flagSetAuthority)
}

// tokenSetup reads what prepares an account or a mint.
func (v *view) tokenSetup(tag uint32) {
	v.action.Kind = chain.ActionSetup
	v.action.Account = v.account(writes)
	switch tag {
	case 0, 20:
		v.action.Method = "initializeMint"
		v.u8() // decimals
		v.action.Spender = v.key()
		if freezes := v.optionalKey(); freezes != "" {
			v.action.Text = "freeze_account " + freezes
		}
		if tag == 0 {
			v.named(rentSysvar)
		}
	case 1, 16, 18:
		v.action.Method = "initializeAccount"
		v.action.Asset = v.account(anyRole)
		if tag == 1 {
			v.action.Spender = v.account(anyRole)
		} else {
			v.action.Spender = v.key()
		}
		if tag != 18 {
			v.named(rentSysvar)
		}
	case 2, 19:
		v.action.Method = "initializeMultisig"
		if tag == 2 {
			v.named(rentSysvar)
		}
		n, needed := len(v.in.accounts)-v.at, int(v.u8())
		v.failed = v.failed || needed == 0 || needed > n || n > maxMultisig
		v.action.Text = strconv.Itoa(needed) + " of"
		for v.more() {
			v.action.Text += " " + v.account(anyRole)
		}
	case 22:
		v.action.Method = "initializeImmutableOwner"
	default:
		v.failed = true
	}
}

// associated reads an instruction of the Associated Token program. The rent of
// the new account, which the payer pays, is the chain's to say.
func (v *view) associated() {
	tag := uint32(0)
	if len(v.data) > 0 { // the first instruction had no number
		tag = v.tag(1)
	}
	switch tag {
	case 0, 1:
		v.is(chain.ActionCreate, either(tag == 1, "createAssociatedIdempotent", "createAssociated"))
		v.action.Asset = chain.AssetNative
		v.action.From, v.action.To = v.own(signs|writes), v.account(writes)
		v.action.Spender, v.action.Account = v.account(anyRole), v.account(anyRole)
		v.named(systemProgram)
		v.named(tokenProgram, token2022Program)
		if v.more() {
			v.named(rentSysvar)
		}
		v.flag(flagUnknownAmount)
	case 2:
		v.is(chain.ActionTokenTransfer, "recoverNested")
		v.action.From, v.action.Asset, v.action.To = v.account(writes), v.account(anyRole), v.account(writes)
		v.next(anyRole) // the account that owns the nested one
		v.next(anyRole) // and its mint
		v.action.Authority = v.own(signs | writes)
		v.named(tokenProgram, token2022Program)
		v.flag(flagClose, flagUnknownAmount)
	default:
		v.failed = true
	}
}

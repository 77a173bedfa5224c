package solana

import (
	"strconv"
	"strings"

	"github.com/sigilkeys/sigil/internal/base58"
	"github.com/sigilkeys/sigil/internal/chain"
)

// stake reads an instruction of the Stake program.
func (v *view) stake() {
	switch tag := v.tag(4); tag {
	case 0, 9:
		v.stakeSetup(tag == 9)
	case 1, 8, 10, 11:
		v.stakeAuthorize(tag)
	case 2:
		v.is(chain.ActionStake, "delegateStake")
		v.action.Account, v.action.To = v.account(writes), v.account(anyRole)
		v.named(clockSysvar)
		v.named(stakeHistorySysvar)
		v.named(stakeConfigAccount) // not used any more, but still sent
		v.action.Authority = v.own(signs)
	case 3:
		v.is(chain.ActionTransfer, "splitStake")
		v.action.From, v.action.To, v.action.Authority = v.account(writes), v.account(writes), v.own(signs)
		v.native()
	case 4:
		v.is(chain.ActionTransfer, "withdrawStake")
		v.action.From, v.action.To = v.account(writes), v.account(writes)
		v.named(clockSysvar)
		v.named(stakeHistorySysvar)
		v.action.Authority = v.own(signs)
		v.custodian()
		v.native()
	case 5:
		v.is(chain.ActionUnstake, "deactivateStake")
		v.action.Account = v.account(writes)
		v.named(clockSysvar)
		v.action.Authority = v.own(signs)
	case 6:
		v.stakeLockup()
	case 7:
		v.is(chain.ActionClose, "mergeStake")
		v.action.Asset = chain.AssetNative
		v.action.To, v.action.From = v.account(writes), v.account(writes)
		v.named(clockSysvar)
		v.named(stakeHistorySysvar)
		v.action.Authority = v.own(signs)
		v.flag(flagClose, flagUnknownAmount)
	case 16, 17:
		v.is(chain.ActionTransfer, either(tag == 16, "moveStake", "moveLamports"))
		v.action.From, v.action.To, v.action.Authority = v.account(writes), v.account(writes), v.own(signs)
		v.native()
	default:
		v.failed = true
	}
}

// custodian takes the signer whom a lockup may need.
func (v *view) custodian() {
	if v.more() {
		v.next(signs)
	}
}

// stakeSetup names who may delegate and who may withdraw; the latter decides.
func (v *view) stakeSetup(checked bool) {
	v.action.Account = v.account(writes)
	v.named(rentSysvar)
	if checked {
		v.is(chain.ActionSetup, "initializeStakeChecked")
		v.action.Text = "staker " + v.account(anyRole)
		v.action.Spender = v.account(signs)
		return
	}
	v.is(chain.ActionSetup, "initializeStake")
	v.action.Text = "staker " + v.key()
	v.action.Spender = v.key()
	if at, epoch, custodian := v.u64(), v.u64(), key(v.bytes(addressSize)); at != 0 || epoch != 0 || custodian != (key{}) {
		v.action.Text += " locked until time " + seconds(at) + " epoch " + strconv.FormatUint(epoch, 10) + " custodian " + base58.Encode(custodian[:])
		v.flag(flagStakeLockup)
	}
}

// seconds writes a unix time, which the program has as a signed integer.
func seconds(t uint64) string { return strconv.FormatInt(int64(t), 10) }

func (v *view) stakeAuthorize(tag uint32) {
	v.action.Account = v.account(writes)
	seeded, checked := tag == 8 || tag == 11, tag >= 10
	v.is(chain.ActionAuthorize, "authorizeStake"+either(checked, "Checked", "")+either(seeded, "WithSeed", ""))
	if seeded {
		v.action.Authority = v.own(signs)
		v.named(clockSysvar)
	} else {
		v.named(clockSysvar)
		v.action.Authority = v.own(signs)
	}
	if checked {
		v.action.Spender = v.account(signs)
	} else {
		v.action.Spender = v.key()
	}
	v.custodian()
	v.action.Text = v.word(v.u32(), "staker", "withdrawer")
	if seeded {
		v.seed()
		v.key() // that owns the authority so far
	}
	v.flag(flagStakeAuthority)
}

// stakeLockup changes when and by whom a stake can be withdrawn.
func (v *view) stakeLockup() {
	v.is(chain.ActionAuthorize, "setStakeLockup")
	v.action.Account, v.action.Authority = v.account(writes), v.own(signs)
	var until []string
	if v.present() {
		until = append(until, "time "+seconds(v.u64()))
	}
	if v.present() {
		until = append(until, "epoch "+strconv.FormatUint(v.u64(), 10))
	}
	v.action.Text = strings.Join(until, " ")
	v.action.Spender = v.optionalKey()
	v.flag(flagStakeLockup)
}

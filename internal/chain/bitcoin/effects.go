package bitcoin

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/sigilkeys/sigil/internal/chain"
)

// Flags of effects (docs/FORMATS.md).
const (
	flagBurns     = "burns_value"       // an output that nobody can spend has a value
	flagData      = "data_output"       // an output carries data, which other protocols may act on
	flagDust      = "dust_output"       // an output costs more to spend than it has
	flagForeign   = "foreign_inputs"    // others pay in, and sign
	flagHighFee   = "high_fee"          // over a tenth of what goes in
	flagLocktime  = "locktime"          // not valid before a height or a time
	flagRelative  = "relative_locktime" // not valid before its inputs have an age (BIP-68)
	flagReplace   = "replaceable"       // BIP-125
	flagUnknown   = "unknown_script"    // an output that no address stands for, or one of a future version
	maxUnusual    = 16                  // outputs that flagUnknown or a memo is about
	highFeeShare  = 10                  // a tenth
	finalSequence = 0xffffffff
)

// Caps on the fee. A fee can't be taken back, and no limit on recipients holds
// it, so these stand in every wallet:
//
//   - maxFee is what Bitcoin Core's wallet refuses to exceed by default
//     (-maxtxfee, 0.1 BTC).
//   - maxFeeRate, in satoshi per virtual byte, is some three times what blocks
//     took on average on their dearest days, and a tenth of what Core relays
//     by default (maxfeerate, 0.1 BTC per kvB). A slip of a factor of 100 at
//     ordinary rates is over it.
//   - largeFee is a fee that is only paid if it is less than a tenth of what
//     goes in: a forgotten change output makes one that isn't.
const (
	maxFee     = 10_000_000
	maxFeeRate = 1_000
	largeFee   = 1_000_000
)

// sums checks the transaction's form and amounts and returns the sum of its
// inputs and its fee.
func (p *psbt) sums(prev []txOut) (in, fee uint64, err error) {
	t := p.tx
	if t.version < 1 || t.version > 3 {
		return 0, 0, fmt.Errorf("transactions have version 1, 2 or 3, not %d", t.version)
	}
	if len(t.out) == 0 {
		return 0, 0, errors.New("the transaction has no outputs")
	}
	outpoints := map[string]struct{}{}
	var room [36]byte
	for i := range prev {
		in += prev[i].value // each is at most maxMoney, and there are few
		o := t.in[i].appendOutpoint(room[:0])
		if _, twice := outpoints[string(o)]; twice {
			return 0, 0, fmt.Errorf("input %d spends what another input spends", i)
		}
		outpoints[string(o)] = struct{}{}
	}
	var out uint64
	unusual := 0
	for i := range t.out {
		if out += t.out[i].value; t.out[i].value > maxMoney || out > maxMoney {
			return 0, 0, errors.New("the outputs have more than there is")
		}
		if len(t.out[i].script) == 0 {
			return 0, 0, fmt.Errorf("output %d has no script: anyone could take it", i)
		}
		if kind := kindOf(t.out[i].script); kind == scriptReturn || kind == scriptOther || kind == scriptWitness {
			unusual++
		}
	}
	if unusual > maxUnusual {
		return 0, 0, fmt.Errorf("%d outputs have no address, more than %d", unusual, maxUnusual)
	}
	if in > maxMoney {
		return 0, 0, errors.New("the inputs have more than there is")
	}
	if out > in {
		return 0, 0, fmt.Errorf("the outputs have %d sat and the inputs %d", out, in)
	}
	return in, in - out, nil
}

// capFee refuses fees that nobody means to pay.
func capFee(in, fee, vsize uint64) error {
	switch {
	case fee > maxFee:
		return fmt.Errorf("the fee of %d sat is over %d sat; add a change output or pay less", fee, uint64(maxFee))
	case fee > maxFeeRate*vsize:
		return fmt.Errorf("the fee of %d sat for %d vbytes is over %d sat/vB; add a change output or pay less", fee, vsize, uint64(maxFeeRate))
	case fee > largeFee && fee > in/highFeeShare:
		return fmt.Errorf("the fee of %d sat is over a tenth of the %d sat that go in; add a change output or pay less", fee, in)
	}
	return nil
}

// vsize estimates the virtual size (BIP-141) of the transaction with all
// signatures. Of others' inputs it counts what their kind needs, and of unknown
// kinds what is sure, whatever final scripts the PSBT has for them: no
// signature covers those, and long ones would hide a high rate.
func (p *psbt) vsize(prev []txOut) uint64 {
	const (
		witnessECDSA   = 1 + 1 + 72 + 1 + 33
		witnessSchnorr = 1 + 1 + 64
		scriptECDSA    = 1 + 72 + 1 + 33
	)
	base, witness := p.tx.size(), 0
	for i := range p.inputs {
		in := &p.inputs[i]
		switch kind := kindOf(prev[i].script); {
		case kind == scriptP2WPKH:
			witness += witnessECDSA
		case kind == scriptP2TR:
			witness += witnessSchnorr
		case kind == scriptP2PKH:
			base += scriptECDSA
		case kind == scriptP2SH && kindOf(in.redeemScript) == scriptP2WPKH:
			base, witness = base+1+len(in.redeemScript), witness+witnessECDSA
		}
	}
	if witness > 0 {
		witness += 2
	}
	return uint64(4*base+witness+3) / 4
}

// effects describes what the transaction does. Change is what goes back to a
// script of the wallet's own key, whatever the host's hints call it.
func (p *psbt) effects(c Codec, w *wallet, own []spend, in, fee uint64) *chain.Effects {
	t := p.tx
	first := &t.in[own[0].index]
	e := &chain.Effects{
		// Of transactions that spend the same output, the chain takes one.
		Nonce:   txidText(first.txid) + ":" + strconv.FormatUint(uint64(first.vout), 10),
		FeeMax:  strconv.FormatUint(fee, 10),
		Actions: make([]chain.Action, 0, len(t.out)),
	}
	for i := range t.out {
		a, flag := t.out[i].action(c, w)
		e.Actions = append(e.Actions, a)
		if flag != "" {
			e.Flags = note(e.Flags, flag)
		}
		if t.out[i].dust() {
			e.Flags = note(e.Flags, flagDust)
		}
	}
	if len(own) < len(t.in) {
		e.Flags = note(e.Flags, flagForeign)
	}
	if fee > in/highFeeShare {
		e.Flags = note(e.Flags, flagHighFee)
	}
	for i := range t.in {
		s := t.in[i].sequence
		if s != finalSequence && t.locktime != 0 {
			e.Flags = note(e.Flags, flagLocktime)
		}
		if s < finalSequence-1 {
			e.Flags = note(e.Flags, flagReplace)
		}
		if t.version >= 2 && s>>31 == 0 && s&0xffff != 0 {
			e.Flags = note(e.Flags, flagRelative)
		}
	}
	return e
}

// note adds a flag that isn't there yet.
func note(flags []string, flag string) []string {
	for _, f := range flags {
		if f == flag {
			return flags
		}
	}
	return append(flags, flag)
}

// action says what an output does.
func (o *txOut) action(c Codec, w *wallet) (a chain.Action, flag string) {
	amount := strconv.FormatUint(o.value, 10)
	switch kind := kindOf(o.script); {
	case w.owns(o.script):
		return chain.Action{Kind: chain.ActionChange, Asset: chain.AssetNative, To: c.address(o.script), Amount: amount}, ""
	case kind == scriptReturn && o.value > 0:
		return chain.Action{Kind: chain.ActionBurn, Asset: chain.AssetNative, Amount: amount, Text: hex.EncodeToString(o.script[1:])}, flagBurns
	case kind == scriptReturn:
		return chain.Action{Kind: chain.ActionMemo, Text: hex.EncodeToString(o.script[1:])}, flagData
	case kind == scriptOther || kind == scriptWitness:
		flag = flagUnknown
	}
	return chain.Action{Kind: chain.ActionTransfer, Asset: chain.AssetNative, To: c.address(o.script), Amount: amount}, flag
}

// dust says whether Bitcoin Core would call the output dust at its default
// rate (3 sat/vB) and not relay it.
func (o *txOut) dust() bool {
	size := 8 + sizeBytes(len(o.script))
	switch kind := kindOf(o.script); {
	case kind == scriptReturn:
		return false
	case kind.segwit():
		size += 32 + 4 + 1 + 107/4 + 4
	default:
		size += 32 + 4 + 1 + 107 + 4
	}
	return o.value < 3*uint64(size)
}

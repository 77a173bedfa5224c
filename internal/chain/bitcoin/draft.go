package bitcoin

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/sigilkeys/sigil/internal/keys"
)

// Draft is a payment of a wallet while its inputs and outputs are added. All
// inputs are the wallet's own.
type Draft struct {
	wallet *wallet
	coins  []coin
	outs   []txOut
	change []byte // script
}

// coin is an output that is spent, with the transaction that it is of.
type coin struct {
	in       txIn
	out      txOut
	previous []byte
}

// Paid is a finished payment.
type Paid struct {
	PSBT   string // version 2 (BIP-370), base64
	Fee    uint64 // satoshi
	Change uint64 // satoshi; 0 is no change output
	VSize  uint64 // the virtual size with the largest signatures (BIP-141)
}

// NewDraft begins a payment from the wallet of a compressed public key.
func NewDraft(pub []byte) (*Draft, error) {
	w, err := newWallet(pub)
	if err != nil {
		return nil, err
	}
	return &Draft{wallet: w}, nil
}

// Spend adds an output of a whole transaction, as nodes encode it.
func (d *Draft) Spend(previous []byte, index uint32) error {
	whole, ok := scanTx(previous)
	if !ok {
		return errors.New("not a transaction of the chain")
	}
	out, ok := whole.output(index)
	id := whole.txid()
	c := coin{in: txIn{txid: id[:], vout: index}, out: out, previous: previous}
	switch {
	case !ok:
		return fmt.Errorf("the transaction has no output %d", index)
	case !d.wallet.owns(out.script):
		return fmt.Errorf("output %d isn't the wallet's", index)
	case out.value > maxMoney:
		return fmt.Errorf("output %d has more than there is", index)
	case slices.ContainsFunc(d.coins, func(o coin) bool { return c.compare(&o) == 0 }):
		return fmt.Errorf("output %d stands twice", index)
	case len(d.coins) == maxOwn:
		return fmt.Errorf("there are over %d", maxOwn)
	}
	d.coins = append(d.coins, c)
	return nil
}

// compare orders inputs as BIP-69 has them: by the transaction's hash as it is
// shown, and by the output's index.
func (c *coin) compare(o *coin) int {
	for i := range c.in.txid {
		if by := cmp.Compare(c.in.txid[31-i], o.in.txid[31-i]); by != 0 {
			return by
		}
	}
	return cmp.Compare(c.in.vout, o.in.vout)
}

// Pay adds an output to an address's script.
func (d *Draft) Pay(script []byte, value uint64) error {
	o := txOut{value: value, script: script}
	switch kind := kindOf(script); {
	case kind == scriptOther || kind == scriptWitness || kind == scriptReturn:
		return errors.New("nobody knows yet who can spend what such an address gets")
	case kind == scriptP2TR && !isXOnly(script[2:]):
		return errors.New("nobody can spend what such an address gets: its Taproot key is no point")
	case value > maxMoney:
		return errors.New("it is more than there is")
	case o.dust():
		return fmt.Errorf("%d sat are dust: nodes don't relay what costs more to spend than it has", value)
	}
	d.outs = append(d.outs, o)
	return nil
}

// isXOnly reports whether the bytes are the x coordinate of a point (BIP-340).
func isXOnly(x []byte) bool {
	_, err := keys.Uncompressed(append([]byte{2}, x...))
	return err == nil
}

// Change says which of the wallet's own scripts gets what is left.
func (d *Draft) Change(script []byte) error {
	if !d.wallet.owns(script) {
		return errors.New("it isn't an address of the wallet's")
	}
	d.change = script
	return nil
}

// ErrFunds and ErrFee are what Finish finds wrong with the inputs and with the
// fee's rate; ErrSize with how much there is of everything.
var (
	ErrFunds = errors.New("the inputs don't pay for it")
	ErrFee   = errors.New("nobody means to pay that fee")
	ErrSize  = errors.New("the PSBT is too large")
)

// Finish makes the PSBT. milliRate is the fee in thousandths of a satoshi per
// virtual byte. What would be dust as change goes to the fee. Inputs and
// outputs are in the order of BIP-69, which doesn't tell which one is the
// change; each input has its whole previous transaction.
func (d *Draft) Finish(milliRate uint64, replaceable bool) (*Paid, error) {
	slices.SortFunc(d.coins, func(a, b coin) int { return a.compare(&b) })
	p, prev := d.psbt(replaceable)
	in, out := uint64(0), uint64(0)
	for i := range prev {
		in += prev[i].value // at most maxMoney each, and there are few
	}
	for i := range d.outs {
		if out += d.outs[i].value; out > maxMoney {
			return nil, fmt.Errorf("%w: the payments are more than there is", ErrFunds)
		}
	}
	paid := &Paid{}
	if err := d.settle(p, prev, milliRate, in, out, paid); err != nil {
		return nil, err
	}
	if _, _, err := p.sums(prev); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFunds, err)
	}
	if err := capFee(in, paid.Fee, paid.VSize); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFee, err)
	}
	slices.SortStableFunc(p.tx.out, func(a, b txOut) int {
		return cmp.Or(cmp.Compare(a.value, b.value), bytes.Compare(a.script, b.script))
	})
	raw := d.encode(p.tx)
	if len(raw) > maxPSBT {
		return nil, fmt.Errorf("%w: it would have %d bytes, at most %d are signed; spend fewer outputs, or those of smaller transactions", ErrSize, len(raw), maxPSBT)
	}
	paid.PSBT = base64.StdEncoding.EncodeToString(raw)
	again, err := parsePSBT(raw)
	if err == nil {
		_, _, err = again.prevouts(d.wallet)
	}
	return paid, err
}

// psbt is the payment without a change output, and what it spends.
func (d *Draft) psbt(replaceable bool) (*psbt, []txOut) {
	sequence := uint32(finalSequence)
	if replaceable {
		sequence -= 2 // BIP-125
	}
	p := &psbt{version: 2, tx: &tx{version: 2, out: slices.Clone(d.outs)}, inputs: make([]input, len(d.coins))}
	prev := make([]txOut, len(d.coins))
	for i := range d.coins {
		c := &d.coins[i]
		c.in.sequence = sequence
		p.tx.in, prev[i] = append(p.tx.in, c.in), c.out
		if kindOf(c.out.script) == scriptP2SH {
			p.inputs[i].redeemScript = d.wallet.p2wpkh
		}
	}
	return p, prev
}

// settle determines fee and change, and adds the change output where there is
// one.
func (d *Draft) settle(p *psbt, prev []txOut, milliRate, in, out uint64, paid *Paid) error {
	outs := p.tx.out
	p.tx.out = append(outs, txOut{script: d.change})
	paid.VSize = p.vsize(prev)
	paid.Fee = feeOf(milliRate, paid.VSize)
	if in >= out+paid.Fee {
		change := &p.tx.out[len(outs)]
		if change.value = in - out - paid.Fee; !change.dust() {
			paid.Change = change.value
			return nil
		}
	}
	p.tx.out = outs
	paid.VSize = p.vsize(prev)
	if least := feeOf(milliRate, paid.VSize); in < out+least {
		return fmt.Errorf("%w: they have %d sat, the payments %d and the fee %d", ErrFunds, in, out, least)
	}
	paid.Fee = in - out
	return nil
}

// feeOf rounds up. It stops at maxMoney, which no inputs have to spare.
func feeOf(milliRate, vsize uint64) uint64 {
	hi, lo := bits.Mul64(milliRate, vsize)
	if lo > lo+999 || hi > 0 {
		return maxMoney
	}
	return min((lo+999)/1000, maxMoney)
}

// encode writes the PSBT, each map in the order of its keys.
func (d *Draft) encode(t *tx) []byte {
	field := func(b []byte, kind byte, value []byte) []byte {
		return appendBytes(append(b, 1, kind), value)
	}
	le32 := func(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
	b := field([]byte(magic), globalTxVersion, le32(t.version))
	b = field(b, globalInputs, appendCompact(nil, uint64(len(t.in))))
	b = field(b, globalOutputs, appendCompact(nil, uint64(len(t.out))))
	b = append(field(b, globalVersion, le32(2)), 0)
	for i := range d.coins {
		c := &d.coins[i]
		b = field(b, inPrevious, c.previous)
		kind := kindOf(c.out.script)
		if kind == scriptP2SH {
			b = field(b, inRedeemScript, d.wallet.p2wpkh)
		}
		b = field(b, inTxid, c.in.txid)
		b = field(b, inVout, le32(c.in.vout))
		b = field(b, inSequence, le32(c.in.sequence))
		if kind == scriptP2TR {
			b = field(b, inTapKey, d.wallet.pub[1:])
		}
		b = append(b, 0)
	}
	for i := range t.out {
		b = field(b, outAmount, binary.LittleEndian.AppendUint64(nil, t.out[i].value))
		b = append(field(b, outScript, t.out[i].script), 0)
	}
	return b
}

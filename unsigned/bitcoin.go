package unsigned

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"github.com/sigilkeys/sigil/internal/chain/bitcoin"
)

// BitcoinPayment spends outputs of the wallet's. All inputs are spent: which
// ones to give is the caller's choice. They and the outputs stand in the order
// of BIP-69, whatever order they are given in, and what is left goes to the
// change address, or to the fee where it would be dust.
type BitcoinPayment struct {
	Network       string // slug
	PublicKey     string // the wallet's of secp256k1, compressed: lower-case hex of 33 bytes
	Inputs        []BitcoinInput
	Recipients    []BitcoinRecipient
	ChangeAddress string // any of the wallet's own addresses
	// FeeRate is in satoshi per virtual byte (BIP-141), from 0.1, below which
	// nodes don't relay (Bitcoin Core's -minrelaytxfee), to 1000, above which
	// the TEE refuses. Thousandths count. Sizes are estimated with the largest
	// signatures, so the rate comes out a little higher, not lower.
	FeeRate float64
	// Replaceable lets a payment with a higher fee replace it until it is mined
	// (BIP-125).
	Replaceable bool
}

// BitcoinInput is an output that is spent: one of the wallet's, of any of its
// four types of address.
type BitcoinInput struct {
	Transaction string // the whole transaction that the output is of: lower-case hex
	Index       uint32 // of the output
}

// BitcoinRecipient is who is paid.
type BitcoinRecipient struct {
	Address string
	Amount  uint64 // satoshi
}

// BitcoinPSBT is a payment that was built.
type BitcoinPSBT struct {
	Transaction string // PSBT of version 2 (BIP-370) in base64
	Fee         uint64 // satoshi
	Change      uint64 // satoshi that come back; 0 is no change output
	VSize       uint64 // virtual bytes (BIP-141) with the largest signatures
}

const (
	minFeeRate = 0.1
	maxFeeRate = 1000
)

// Build returns the payment.
func (p BitcoinPayment) Build() (*BitcoinPSBT, error) {
	n, err := network(p.Network, bitcoin.Family)
	if err != nil {
		return nil, err
	}
	codec, ok := n.Codec.(bitcoin.Codec)
	if !ok {
		return nil, bad("Network", "%s isn't one of Bitcoin's", p.Network)
	}
	d, err := p.draft()
	if err != nil {
		return nil, err
	}
	if err := p.outputs(d, codec); err != nil {
		return nil, err
	}
	if !(p.FeeRate >= minFeeRate && p.FeeRate <= maxFeeRate) {
		return nil, bad("FeeRate", "it isn't from %v to %v sat/vB", minFeeRate, maxFeeRate)
	}
	paid, err := d.Finish(uint64(math.Round(p.FeeRate*1000)), p.Replaceable)
	switch {
	case errors.Is(err, bitcoin.ErrFunds), errors.Is(err, bitcoin.ErrSize):
		return nil, bad("Inputs", "%v", err)
	case errors.Is(err, bitcoin.ErrFee):
		return nil, bad("FeeRate", "%v", err)
	case err != nil:
		return nil, err
	}
	return &BitcoinPSBT{Transaction: paid.PSBT, Fee: paid.Fee, Change: paid.Change, VSize: paid.VSize}, nil
}

// draft begins a payment with its inputs.
func (p *BitcoinPayment) draft() (*bitcoin.Draft, error) {
	pub, err := hexBytes("PublicKey", p.PublicKey)
	if err != nil {
		return nil, err
	}
	if len(pub) != 33 {
		return nil, bad("PublicKey", "it has %d bytes instead of 33", len(pub))
	}
	d, err := bitcoin.NewDraft(pub)
	if err != nil {
		return nil, bad("PublicKey", "not a compressed public key of secp256k1")
	}
	if len(p.Inputs) == 0 {
		return nil, bad("Inputs", "there are none")
	}
	for i, in := range p.Inputs {
		field := fmt.Sprintf("Inputs[%d]", i)
		previous, err := hexBytes(field, in.Transaction)
		if err != nil {
			return nil, err
		}
		if err := d.Spend(previous, in.Index); err != nil {
			return nil, bad(field, "%v", err)
		}
	}
	return d, nil
}

// outputs adds the payments and says where change goes.
func (p *BitcoinPayment) outputs(d *bitcoin.Draft, codec bitcoin.Codec) error {
	if len(p.Recipients) == 0 {
		return bad("Recipients", "there are none")
	}
	for i, r := range p.Recipients {
		field := fmt.Sprintf("Recipients[%d]", i)
		script, err := codec.ParseAddress(r.Address)
		if err != nil {
			return bad(field, "not an address of %s: %v", p.Network, err)
		}
		if err := d.Pay(script, r.Amount); err != nil {
			return bad(field, "%v", err)
		}
	}
	script, err := codec.ParseAddress(p.ChangeAddress)
	if err != nil {
		return bad("ChangeAddress", "not an address of %s: %v", p.Network, err)
	}
	if err := d.Change(script); err != nil {
		return bad("ChangeAddress", "%v", err)
	}
	return nil
}

// hexBytes reads lower-case hex.
func hexBytes(field, text string) ([]byte, error) {
	b, err := hex.DecodeString(text)
	if err != nil || hex.EncodeToString(b) != text {
		return nil, bad(field, "not lower-case hex")
	}
	return b, nil
}

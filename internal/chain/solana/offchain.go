package solana

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/sigilkeys/sigil/internal/chain"
)

// Off-chain messages begin with this domain, so that no transaction message
// can equal one. Three layouts are in use:
//
//	v0         domain 16 | 0 | application domain 32 | format u8 | count u8 | count × address 32 | length u16 LE | text
//	v0 legacy  domain 16 | 0 | format u8 | length u16 LE | text
//	v1         domain 16 | 1 | count u8 | count × address 32, ascending | text
//
// v0 is Solana's off-chain message signing proposal; v0 legacy is what the
// Solana command line and hardware wallets sign; v1 is that of @solana/kit.
const signingDomain = "\xffsolana offchain"

const (
	addressSize = 32

	// maxHardware is the size up to which hardware wallets sign, header
	// included: the smallest IPv6 MTU less headers.
	maxHardware = 1232
	maxText     = 0xffff // length field of version 0
	maxSigners  = 0xff
)

// ContentFormat is the content format of version 0.
type ContentFormat uint8

// Content formats.
const (
	ASCII    ContentFormat = 0 // printable ASCII; 1232 bytes with the header
	UTF8     ContentFormat = 1 // 1232 bytes with the header
	UTF8Long ContentFormat = 2 // 65535 bytes, in the legacy layout with the header
)

// String returns the name used in the API (content_format).
func (f ContentFormat) String() string {
	switch f {
	case ASCII:
		return "ascii"
	case UTF8:
		return "utf8"
	case UTF8Long:
		return "utf8-long"
	}
	return fmt.Sprintf("format(%d)", uint8(f))
}

// Offchain is an off-chain message.
type Offchain struct {
	Layout            string            // chain.FormatOffchain…
	ApplicationDomain [addressSize]byte // v0
	Content           ContentFormat     // v0, v0 legacy
	Signatories       [][]byte          // v0, v1 (there in ascending order)
	Text              []byte            // UTF-8, not empty
}

// ErrOffchain is wrapped by errors of ParseOffchain and ParseEnvelope.
var ErrOffchain = errors.New("malformed off-chain message")

// header returns the size of what stands before the text.
func (o *Offchain) header() int {
	n := len(signingDomain) + 1 // version
	switch o.Layout {
	case chain.FormatOffchainV0:
		return n + addressSize + 1 + 1 + addressSize*len(o.Signatories) + 2
	case chain.FormatOffchainV0Legacy:
		return n + 1 + 2
	default:
		return n + 1 + addressSize*len(o.Signatories)
	}
}

// fits reports whether the text may stand in its content format.
func (o *Offchain) fits() bool {
	switch size := o.header() + len(o.Text); o.Content {
	case ASCII:
		return size <= maxHardware && !slices.ContainsFunc(o.Text, func(c byte) bool { return c < 0x20 || c > 0x7e })
	case UTF8:
		return size <= maxHardware
	case UTF8Long:
		if o.Layout == chain.FormatOffchainV0Legacy {
			return size <= maxText
		}
		return len(o.Text) <= maxText
	}
	return false
}

// check refuses what no encoding exists for.
func (o *Offchain) check() error {
	if len(o.Text) == 0 || !utf8.Valid(o.Text) {
		return fmt.Errorf("%w: the text is empty or not UTF-8", ErrOffchain)
	}
	withSigners := o.Layout != chain.FormatOffchainV0Legacy
	if withSigners != (len(o.Signatories) > 0) || len(o.Signatories) > maxSigners {
		return fmt.Errorf("%w: %d signatories", ErrOffchain, len(o.Signatories))
	}
	for i, s := range o.Signatories {
		switch {
		case len(s) != addressSize:
			return fmt.Errorf("%w: signatory of %d bytes", ErrOffchain, len(s))
		case o.Layout == chain.FormatOffchainV1 && i > 0 && bytes.Compare(o.Signatories[i-1], s) >= 0:
			return fmt.Errorf("%w: signatories aren't in ascending order", ErrOffchain)
		case slices.ContainsFunc(o.Signatories[:i], func(t []byte) bool { return bytes.Equal(s, t) }):
			return fmt.Errorf("%w: a signatory stands twice", ErrOffchain)
		}
	}
	switch o.Layout {
	case chain.FormatOffchainV1:
		return nil
	case chain.FormatOffchainV0, chain.FormatOffchainV0Legacy:
		if !o.fits() {
			return fmt.Errorf("%w: %d bytes of text don't fit content format %v", ErrOffchain, len(o.Text), o.Content)
		}
		return nil
	}
	return fmt.Errorf("%w: no layout %q", ErrOffchain, o.Layout)
}

// Encode returns the bytes that are signed.
func (o *Offchain) Encode() ([]byte, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, o.header()+len(o.Text)), signingDomain...)
	if o.Layout == chain.FormatOffchainV1 {
		out = append(out, 1)
	} else {
		out = append(out, 0)
	}
	if o.Layout == chain.FormatOffchainV0 {
		out = append(out, o.ApplicationDomain[:]...)
	}
	if o.Layout != chain.FormatOffchainV1 {
		out = append(out, byte(o.Content))
	}
	if o.Layout != chain.FormatOffchainV0Legacy {
		out = append(out, byte(len(o.Signatories)))
		for _, s := range o.Signatories {
			out = append(out, s...)
		}
	}
	if o.Layout != chain.FormatOffchainV1 {
		out = binary.LittleEndian.AppendUint16(out, uint16(len(o.Text)))
	}
	return append(out, o.Text...), nil
}

// ParseOffchain is the strict inverse of Encode. The bytes don't say which of
// the two layouts of version 0 they have, so the caller does.
func ParseOffchain(layout string, b []byte) (*Offchain, error) {
	p := &cursor{b: b}
	if string(p.take(len(signingDomain))) != signingDomain {
		return nil, fmt.Errorf("%w: it doesn't begin with the signing domain", ErrOffchain)
	}
	o := &Offchain{Layout: layout}
	version, length := p.u8(), -1
	if layout == chain.FormatOffchainV0 {
		copy(o.ApplicationDomain[:], p.take(addressSize))
	}
	if layout != chain.FormatOffchainV1 {
		o.Content = ContentFormat(p.u8())
	}
	if layout != chain.FormatOffchainV0Legacy {
		for range p.u8() {
			o.Signatories = append(o.Signatories, p.take(addressSize))
		}
	}
	if layout != chain.FormatOffchainV1 {
		length = p.u8() | p.u8()<<8
	}
	o.Text = p.b
	if !p.ok() || (version == 1) != (layout == chain.FormatOffchainV1) || version > 1 || length >= 0 && length != len(o.Text) {
		return nil, fmt.Errorf("%w: version %d or a length doesn't match", ErrOffchain, version)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return o, nil
}

// Envelope is an off-chain message with its signatures, in the order of its
// signatories (of v0 legacy: the one signature); all zeros where one is
// missing: count u8 | count × signature 64 | message.
func Envelope(signatures [][]byte, message []byte) ([]byte, error) {
	if len(signatures) == 0 || len(signatures) > maxSigners {
		return nil, fmt.Errorf("%w: %d signatures", ErrOffchain, len(signatures))
	}
	out := append(make([]byte, 0, 1+64*len(signatures)+len(message)), byte(len(signatures)))
	for _, s := range signatures {
		if len(s) != 64 {
			return nil, fmt.Errorf("%w: signature of %d bytes", ErrOffchain, len(s))
		}
		out = append(out, s...)
	}
	return append(out, message...), nil
}

// ParseEnvelope is the strict inverse of Envelope for a message of the layout.
// It verifies no signature.
func ParseEnvelope(layout string, b []byte) (signatures [][]byte, message []byte, o *Offchain, err error) {
	p := &cursor{b: b}
	for range p.u8() {
		signatures = append(signatures, p.take(64))
	}
	if !p.ok() {
		return nil, nil, nil, fmt.Errorf("%w: the envelope ends early", ErrOffchain)
	}
	if o, err = ParseOffchain(layout, p.b); err != nil {
		return nil, nil, nil, err
	}
	if want := max(1, len(o.Signatories)); len(signatures) != want {
		return nil, nil, nil, fmt.Errorf("%w: %d signatures for %d signatories", ErrOffchain, len(signatures), want)
	}
	return signatures, p.b, o, nil
}

package solana

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"github.com/sigilkeys/sigil/internal/base58"
	"github.com/sigilkeys/sigil/internal/chain"
)

// encodeOffchain makes the off-chain message that a request asks for.
func encodeOffchain(pub []byte, m *chain.Message, text []byte) ([]byte, error) {
	o := &Offchain{Layout: m.Format, Text: text}
	switch m.Format {
	case chain.FormatOffchainV0:
	case chain.FormatOffchainV0Legacy:
		if m.ApplicationDomain != "" || len(m.RequiredSignatories) > 0 {
			return nil, chain.Refuse(chain.CodeArgument, "the legacy header has neither application_domain nor required_signatories")
		}
	case chain.FormatOffchainV1:
		if m.ApplicationDomain != "" || m.ContentFormat != "" {
			return nil, chain.Refuse(chain.CodeArgument, "version 1 has neither application_domain nor content_format")
		}
	default:
		return nil, chain.Refuse(chain.CodeFormat, "message_format is %.40q; on Solana use %s, %s, %s or none", m.Format, chain.FormatOffchainV0, chain.FormatOffchainV1, chain.FormatOffchainV0Legacy)
	}
	if len(text) == 0 || !utf8.Valid(text) {
		return nil, chain.Refuse(chain.CodeEncoding, "an off-chain message is non-empty UTF-8 text")
	}
	if m.ApplicationDomain != "" {
		domain, err := base58.Decode(m.ApplicationDomain, addressSize)
		if err != nil {
			return nil, chain.Refuse(chain.CodeArgument, "application_domain is no base58 of 32 bytes")
		}
		o.ApplicationDomain = [addressSize]byte(domain)
	}
	var err error
	if m.Format != chain.FormatOffchainV0Legacy {
		if o.Signatories, err = signatories(pub, m.RequiredSignatories); err != nil {
			return nil, err
		}
	}
	if m.Format == chain.FormatOffchainV1 {
		slices.SortFunc(o.Signatories, bytes.Compare)
	} else if err := chooseContent(m.ContentFormat, o); err != nil {
		return nil, err
	}
	b, err := o.Encode()
	if err != nil {
		return nil, chain.Refuse(chain.CodeArgument, "%v", err)
	}
	// Both layouts of version 0 begin alike. One that reads as the other, with
	// another domain and text, is not signed.
	other := map[string]string{chain.FormatOffchainV0: chain.FormatOffchainV0Legacy, chain.FormatOffchainV0Legacy: chain.FormatOffchainV0}[m.Format]
	if other != "" {
		if _, err := ParseOffchain(other, b); err == nil {
			return nil, chain.Refuse(chain.CodeArgument, "the message also reads as one of %s", other)
		}
	}
	return b, nil
}

// signatories decodes the addresses, which are distinct and include the
// wallet's own: its signature stands in the envelope at that place.
func signatories(pub []byte, list []string) ([][]byte, error) {
	if len(list) == 0 {
		return [][]byte{pub}, nil
	}
	if len(list) > maxSigners {
		return nil, chain.Refuse(chain.CodeArgument, "at most %d required_signatories", maxSigners)
	}
	out := make([][]byte, 0, len(list))
	own := false
	for _, s := range list {
		b, err := base58.Decode(s, addressSize)
		if err != nil {
			return nil, chain.Refuse(chain.CodeArgument, "a required signatory is no base58 address")
		}
		if slices.ContainsFunc(out, func(o []byte) bool { return bytes.Equal(o, b) }) {
			return nil, chain.Refuse(chain.CodeArgument, "a required signatory stands twice")
		}
		own = own || bytes.Equal(b, pub)
		out = append(out, b)
	}
	if !own {
		return nil, chain.Refuse(chain.CodeArgument, "the wallet isn't among the required signatories")
	}
	return out, nil
}

// chooseContent sets the content format that was asked for, or the narrowest
// in which the text fits.
func chooseContent(asked string, o *Offchain) error {
	known := asked == ""
	for _, o.Content = range []ContentFormat{ASCII, UTF8, UTF8Long} {
		if asked == "" || asked == o.Content.String() {
			known = true
			if o.fits() {
				return nil
			}
		}
	}
	if !known {
		return chain.Refuse(chain.CodeFormat, "content_format is %.40q; use ascii, utf8 or utf8-long", asked)
	}
	return chain.Refuse(chain.CodeTooLarge, "the text of %d bytes doesn't fit content_format %q: ascii is printable ASCII; ascii and utf8 have at most %d bytes here, utf8-long %d",
		len(o.Text), asked, max(0, maxHardware-o.header()), maxText)
}

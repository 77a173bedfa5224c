package solana

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sigilkeys/sigil/internal/chain"
)

// Off-chain messages begin with this domain, so that no transaction message
// can equal one. Three layouts are in use:
//
//	v0         domain 16 | 0 | application domain 32 | format u8 | count u8 | count × address 32 | length u16 LE | text
//	v0 legacy  domain 16 | 0 | format u8 | length u16 LE | text
//	v1         domain 16 | 1 | count u8 | count × address 32, ascending | text
const signingDomain = "\xffsolana offchain"

// maxHardware is the size up to which hardware wallets sign: the smallest
// IPv6 MTU less headers, over the whole message (v0) or its text (legacy:
// less the 20 bytes of header).
const maxHardware = 1232

// Content formats of v0.
const (
	formatASCII    = 0
	formatUTF8     = 1
	formatUTF8Long = 2
)

func encodeOffchain(pub []byte, m *chain.Message, text []byte) ([]byte, error) {
	if len(text) == 0 || !utf8.Valid(text) {
		return nil, chain.Refuse(chain.CodeEncoding, "an off-chain message is non-empty UTF-8 text")
	}
	signers, err := signatories(pub, m.RequiredSignatories)
	if err != nil {
		return nil, err
	}
	switch m.Format {
	case chain.FormatOffchainV0:
		return encodeV0(m, signers, text)
	case chain.FormatOffchainV0Legacy:
		if m.ApplicationDomain != "" || len(m.RequiredSignatories) > 0 {
			return nil, chain.Refuse(chain.CodeArgument, "the legacy header has neither application_domain nor required_signatories")
		}
		return encodeLegacy(m, text)
	case chain.FormatOffchainV1:
		if m.ApplicationDomain != "" || m.ContentFormat != "" {
			return nil, chain.Refuse(chain.CodeArgument, "version 1 has neither application_domain nor content_format")
		}
		slices.SortFunc(signers, bytes.Compare)
		out := append([]byte(signingDomain), 1, byte(len(signers)))
		return append(append(out, bytes.Join(signers, nil)...), text...), nil
	}
	return nil, chain.Refuse(chain.CodeFormat, "message_format is %q; on Solana use %s, %s, %s or none", m.Format, chain.FormatOffchainV0, chain.FormatOffchainV1, chain.FormatOffchainV0Legacy)
}

// signatories decodes the addresses, which are distinct and include the
// wallet's own: its signature stands in the envelope at that place.
func signatories(pub []byte, list []string) ([][]byte, error) {
	if len(list) == 0 {
		return [][]byte{pub}, nil
	}
	if len(list) > 255 {
		return nil, chain.Refuse(chain.CodeArgument, "at most 255 required_signatories")
	}
	var out [][]byte
	own := false
	for _, s := range list {
		b, err := DecodeBase58(s, 32)
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

func encodeV0(m *chain.Message, signers [][]byte, text []byte) ([]byte, error) {
	domain := make([]byte, 32)
	if m.ApplicationDomain != "" {
		var err error
		if domain, err = DecodeBase58(m.ApplicationDomain, 32); err != nil {
			return nil, chain.Refuse(chain.CodeArgument, "application_domain is no base58 of 32 bytes")
		}
	}
	header := len(signingDomain) + 1 + 32 + 1 + 1 + 32*len(signers) + 2
	format, err := contentFormat(m.ContentFormat, text, maxHardware-header, 65535)
	if err != nil {
		return nil, err
	}
	out := append([]byte(signingDomain), 0)
	out = append(append(out, domain...), format, byte(len(signers)))
	out = append(out, bytes.Join(signers, nil)...)
	return append(binary.LittleEndian.AppendUint16(out, uint16(len(text))), text...), nil
}

func encodeLegacy(m *chain.Message, text []byte) ([]byte, error) {
	const header = len(signingDomain) + 1 + 1 + 2
	format, err := contentFormat(m.ContentFormat, text, maxHardware-header, 65535-header)
	if err != nil {
		return nil, err
	}
	out := append([]byte(signingDomain), 0, format)
	return append(binary.LittleEndian.AppendUint16(out, uint16(len(text))), text...), nil
}

// contentFormat checks the asked-for format, or picks the narrowest.
func contentFormat(asked string, text []byte, short, long int) (byte, error) {
	ascii := !strings.ContainsFunc(string(text), func(r rune) bool { return r < 0x20 || r > 0x7e })
	fits := [...]bool{
		formatASCII:    ascii && len(text) <= short,
		formatUTF8:     len(text) <= short,
		formatUTF8Long: len(text) <= long,
	}
	names := []string{"ascii", "utf8", "utf8-long"}
	for f, name := range names {
		if (asked == "" || asked == name) && fits[f] {
			return byte(f), nil
		}
	}
	if asked != "" && !slices.Contains(names, asked) {
		return 0, chain.Refuse(chain.CodeFormat, "content_format is %q; use ascii, utf8 or utf8-long", asked)
	}
	return 0, chain.Refuse(chain.CodeTooLarge, "the text doesn't fit the content format: ascii is printable ASCII, ascii and utf8 have at most %d bytes here, utf8-long %d", short, long)
}

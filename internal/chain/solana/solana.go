// Package solana is the Solana family: base58 addresses, messages as wallets'
// signMessage makes them (the bytes themselves), and off-chain messages.
package solana

import (
	"fmt"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
)

// Family is the family's name in the registry.
const Family = "solana"

// Networks returns the family's networks.
func Networks() []chain.Network {
	return []chain.Network{{Slug: "solana", Name: "Solana", Family: Family, Curve: keys.Ed25519, Codec: Codec{}}}
}

// Codec implements chain.Codec.
type Codec struct{}

// Address returns the base58 form of the public key.
func (Codec) Address(pub []byte) (string, error) {
	if len(pub) != 32 {
		return "", fmt.Errorf("%w: public key of %d bytes", keys.ErrInput, len(pub))
	}
	return EncodeBase58(pub), nil
}

// EncodeSignature returns the base58 form.
func (Codec) EncodeSignature(raw []byte) (string, error) {
	if len(raw) != 64 {
		return "", fmt.Errorf("%w: signature of %d bytes", keys.ErrInput, len(raw))
	}
	return EncodeBase58(raw), nil
}

// DecodeSignature reads the base58 form.
func (Codec) DecodeSignature(text string) ([]byte, error) { return DecodeBase58(text, 64) }

// Message prepares a message in the requested format.
func (Codec) Message(n *chain.Network, pub []byte, m *chain.Message) (*chain.Prepared, error) {
	b, err := m.Bytes()
	if err != nil {
		return nil, err
	}
	if m.Format == "" {
		if m.ApplicationDomain != "" || m.ContentFormat != "" || len(m.RequiredSignatories) > 0 {
			return nil, chain.Refuse(chain.CodeArgument, "application_domain, content_format and required_signatories need message_format %s or %s", chain.FormatOffchainV0, chain.FormatOffchainV1)
		}
		if err := refuseBlind(b); err != nil {
			return nil, err
		}
		return &chain.Prepared{Intent: chain.MessageIntent(n, "solana-raw", b), SignBytes: b}, nil
	}
	signBytes, err := encodeOffchain(pub, m, b)
	if err != nil {
		return nil, err
	}
	return &chain.Prepared{Intent: chain.MessageIntent(n, m.Format, b), SignBytes: signBytes}, nil
}

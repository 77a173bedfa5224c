// Package solana is the Solana family: base58 addresses, messages as wallets'
// signMessage makes them (the bytes themselves), off-chain messages, and
// transactions of the legacy format and version 0.
package solana

import (
	"encoding/base64"
	"fmt"

	"github.com/sigilkeys/sigil/internal/base58"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
)

// Family is the family's name in the registry.
const Family = "solana"

// Networks returns the family's networks. A transaction doesn't name its
// cluster, and a wallet's address is the same on all: what is signed for a
// test cluster is valid on the main one, with a blockhash from there.
func Networks() []chain.Network {
	list := []chain.Network{
		{Slug: "solana", Name: "Solana", Aliases: []string{"solana-mainnet"}},
		{Slug: "solana-devnet", Name: "Solana Devnet", Testnet: true},
		{Slug: "solana-testnet", Name: "Solana Testnet", Testnet: true},
	}
	for i := range list {
		n := &list[i]
		n.Family, n.Curve, n.Codec, n.Symbol, n.Decimals = Family, keys.Ed25519, Codec{}, "SOL", 9
		if n.Testnet {
			n.AlsoValidOn, n.AddressOf = "solana", "solana"
		}
	}
	return list
}

// Codec implements chain.Codec.
type Codec struct{}

// Address returns the base58 form of the public key.
func (Codec) Address(pub []byte) (string, error) {
	if len(pub) != 32 {
		return "", fmt.Errorf("%w: public key of %d bytes", keys.ErrInput, len(pub))
	}
	return base58.Encode(pub), nil
}

// EncodeSignature returns the base58 form.
func (Codec) EncodeSignature(raw []byte) (string, error) {
	if len(raw) != 64 {
		return "", fmt.Errorf("%w: signature of %d bytes", keys.ErrInput, len(raw))
	}
	return base58.Encode(raw), nil
}

// DecodeSignature reads the base58 form.
func (Codec) DecodeSignature(text string) ([]byte, error) { return base58.Decode(text, 64) }

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

// Transaction decodes a transaction, whose signatures may be missing, or its
// message alone, in base64.
func (Codec) Transaction(n *chain.Network, pub []byte, text string) (*chain.Prepared, error) {
	if len(text) > base64.StdEncoding.EncodedLen(maxPacket) {
		return nil, chain.Refuse(chain.CodeInvalid, "the transaction has over %d bytes", maxPacket)
	}
	b, err := chain.Base64(text)
	if err != nil {
		return nil, chain.Refuse(chain.CodeInvalid, "the transaction isn't base64")
	}
	t, err := parseTransaction(b)
	if err != nil {
		return nil, chain.Refuse(chain.CodeInvalid, "not a Solana transaction: %v", err)
	}
	at, err := t.slot(pub)
	if err != nil {
		return nil, chain.Refuse(chain.CodeInvalid, "%v", err)
	}
	effects, err := t.message.effects(base58.Encode(pub))
	if err != nil {
		return nil, chain.Refuse(chain.CodeInvalid, "validators don't take the transaction: %v", err)
	}
	format := "solana-legacy"
	if t.message.version != legacy {
		format = fmt.Sprintf("solana-v%d", t.message.version)
	}
	return &chain.Prepared{
		Intent:    chain.TransactionIntent(n, format, t.signBytes, effects),
		SignBytes: t.signBytes,
		Assemble:  func(raw []byte) (*chain.Signed, error) { return t.signed(at, raw) },
	}, nil
}

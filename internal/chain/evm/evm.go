// Package evm is the Ethereum family: EIP-55 addresses, EIP-191 messages and
// transactions.
package evm

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/sha3"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
)

// Family is the family's name in the registry.
const Family = "evm"

// Codec implements chain.Codec.
type Codec struct{}

func keccak(parts ...[]byte) []byte {
	h := sha3.NewLegacyKeccak256()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// Address returns the EIP-55 form of the last 20 bytes of the Keccak-256 of
// the uncompressed public key.
func (Codec) Address(pub []byte) (string, error) {
	point, err := keys.Uncompressed(pub)
	if err != nil {
		return "", err
	}
	address := []byte(hex.EncodeToString(keccak(point[1:])[12:]))
	sum := keccak(address)
	for i, c := range address {
		nibble := sum[i/2] >> (4 * (1 - i%2)) & 0xf
		if c >= 'a' && nibble >= 8 {
			address[i] = c - 'a' + 'A'
		}
	}
	return "0x" + string(address), nil
}

// Message prepares an EIP-191 version 0x45 (personal_sign) message: the digest
// is Keccak-256("\x19Ethereum Signed Message:\n" ‖ decimal length ‖ message).
func (Codec) Message(n *chain.Network, _ []byte, m *chain.Message) (*chain.Prepared, error) {
	if m.Format != "" || m.ApplicationDomain != "" || m.ContentFormat != "" || len(m.RequiredSignatories) > 0 {
		return nil, chain.Refuse(chain.CodeFormat, "%s signs messages by EIP-191 alone: message_format and the fields of off-chain messages are for Solana", n.Slug)
	}
	b, err := m.Bytes()
	if err != nil {
		return nil, err
	}
	if err := refuseBlind(b); err != nil {
		return nil, err
	}
	length := strconv.AppendInt(nil, int64(len(b)), 10)
	return &chain.Prepared{
		Intent:    chain.MessageIntent(n, "eip191", b),
		SignBytes: keccak([]byte("\x19Ethereum Signed Message:\n"), length, b),
		Unbound:   true,
	}, nil
}

// refuseBlind refuses messages whose signature could be used as something
// else: digests (personal_sign of a user-operation hash is a smart account's
// owner signature), the signing forms of EIP-191's other versions and EIP-7702,
// and transactions, as bytes or as hex text. "0x" and 64 hex digits as text
// are 66 bytes, not a digest: EIP-191 counts and hashes them as text.
func refuseBlind(b []byte) error {
	if looksLikeTransaction(b) {
		return chain.Refuse(chain.CodeTransaction, "the message is an Ethereum transaction, authorisation or typed-data hash; it isn't signed as a message")
	}
	if raw, ok := chain.HexText(b, minTransaction); ok && looksLikeTransaction(raw) {
		return chain.Refuse(chain.CodeTransaction, "the message is an Ethereum transaction, authorisation or typed-data hash in hex; it isn't signed as a message")
	}
	return chain.RefuseDigest(b)
}

// EncodeSignature returns 0x ‖ r ‖ s ‖ v with v 27 or 28.
func (Codec) EncodeSignature(raw []byte) (string, error) {
	if len(raw) != 65 || raw[64] > 1 {
		return "", fmt.Errorf("%w: signature of %d bytes", keys.ErrInput, len(raw))
	}
	var out [65]byte
	copy(out[:], raw)
	out[64] += 27
	return "0x" + hex.EncodeToString(out[:]), nil
}

// DecodeSignature reads 0x ‖ r ‖ s ‖ v in lower case, with v 27 or 28.
func (Codec) DecodeSignature(text string) ([]byte, error) {
	raw, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	if err != nil || len(raw) != 65 || raw[64] < 27 || raw[64] > 28 || "0x"+hex.EncodeToString(raw) != text {
		return nil, fmt.Errorf("%w: not a 65-byte hex signature with v 27 or 28", keys.ErrInput)
	}
	raw[64] -= 27
	return raw, nil
}

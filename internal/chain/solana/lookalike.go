package solana

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"

	"github.com/sigilkeys/sigil/internal/base58"
	"github.com/sigilkeys/sigil/internal/chain"
)

const (
	// minTransaction is the size of the least message: header, one account,
	// blockhash, no instruction.
	minTransaction = 3 + 1 + 32 + 32 + 1
	// maxTransaction bounds what is decoded from base58, whose cost grows with
	// the square. Transactions have at most 1232 bytes, 4096 from version 1 on.
	maxTransaction = 4096
)

// refuseBlind refuses raw messages whose signature could be used as something
// else. Ed25519 signs the bytes themselves, so a raw message that is a
// transaction message would be a signed transaction. In text form (base64,
// base58, hex) it wouldn't, but who sends that expects something else.
func refuseBlind(b []byte) error {
	if err := chain.RefuseDigest(b); err != nil { // no transaction is as short
		return err
	}
	// No text begins with a byte of 0x80 or more that isn't UTF-8; all
	// versions of Solana's transactions (0x80 | version) and off-chain
	// messages (0xff) do, also those that this code doesn't know.
	if len(b) > 0 && b[0] >= 0x80 && !utf8.Valid(b) {
		return chain.Refuse(chain.CodeTransaction, "the message begins like a versioned transaction or an off-chain message; use message_format for the latter")
	}
	if isTransaction(b) {
		return chain.Refuse(chain.CodeTransaction, "the message is a Solana transaction; it isn't signed as a message")
	}
	if isTransactionText(b) {
		return chain.Refuse(chain.CodeTransaction, "the message is a Solana transaction in text form; it isn't signed as a message")
	}
	return nil
}

// isTransactionText recognises a transaction in base64, base58 or hex.
func isTransactionText(b []byte) bool {
	if b = bytes.TrimSpace(b); len(b) < minTransaction {
		return false
	}
	if raw, ok := chain.HexText(b, minTransaction); ok && isTransaction(raw) {
		return true
	}
	for _, c := range b {
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '+' || c == '/' || c == '=' || c == '-' || c == '_') {
			return false
		}
	}
	unpadded := bytes.TrimRight(b, "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		raw := make([]byte, encoding.DecodedLen(len(unpadded)))
		if n, err := encoding.Decode(raw, unpadded); err == nil && isTransaction(raw[:n]) {
			return true
		}
	}
	if len(b) > maxTransaction*3/2 {
		return false
	}
	raw, err := base58.DecodeAll(string(b))
	return err == nil && isTransaction(raw)
}

// isTransaction reports whether b is a transaction message, or a transaction:
// signatures (compact array of 64 bytes, or none yet) before its message.
func isTransaction(b []byte) bool {
	if isTransactionMessage(b) {
		return true
	}
	p := &cursor{b: b}
	n := p.compact()
	p.skip(64 * n)
	return p.ok() && isTransactionMessage(p.b)
}

// isTransactionMessage recognises a legacy or versioned message: [0x80 |
// version], header, account keys, blockhash, instructions, and then lookup
// tables or anything else in versioned ones. Legacy messages end there, but
// some decoders don't mind trailing bytes: what is no text may have them here.
// It reads by the strict decoder's cursor, and is wider in what it lets pass:
// any version, indexes out of range, lengths in more bytes than they need.
func isTransactionMessage(b []byte) bool {
	c := &cursor{b: b}
	h := c.header()
	if !c.ok() || !h.plausible() {
		return false
	}
	for range c.compact() {
		if c.instruction(); !c.ok() {
			return false
		}
	}
	return c.ok() && (h.version != legacy || len(c.b) == 0 || !utf8.Valid(b))
}

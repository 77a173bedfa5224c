package solana

import (
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sigilkeys/sigil/internal/chain"
)

// refuseBlind refuses raw messages whose signature could be used as something
// else. Ed25519 signs the bytes themselves, so a raw message that is a
// transaction message would be a signed transaction.
func refuseBlind(b []byte) error {
	if len(b) == 32 && !isText(b) {
		return chain.Refuse(chain.CodeDigest, "a message of 32 raw bytes may be a hash or a key; sign the content itself")
	}
	// No text begins with a byte of 0x80 or more that isn't UTF-8; Solana's
	// versioned transactions (0x80 ‖ …) and off-chain messages (0xff ‖ …) do.
	if len(b) > 0 && b[0] >= 0x80 && !utf8.Valid(b) {
		return chain.Refuse(chain.CodeTransaction, "the message begins like a versioned transaction or an off-chain message; use message_format for the latter")
	}
	if isTransaction(b) {
		return chain.Refuse(chain.CodeTransaction, "the message is a Solana transaction; it isn't signed as a message")
	}
	if raw, err := base64.StdEncoding.DecodeString(string(b)); err == nil && isTransaction(raw) {
		return chain.Refuse(chain.CodeTransaction, "the message is a Solana transaction in base64; it isn't signed as a message")
	}
	return nil
}

func isText(b []byte) bool {
	return utf8.Valid(b) && !strings.ContainsFunc(string(b), func(r rune) bool {
		return !unicode.IsPrint(r) && r != '\n' && r != '\r' && r != '\t'
	})
}

// isTransaction reports whether b is a transaction message, or a transaction:
// signatures (compact array of 64 bytes) before its message.
func isTransaction(b []byte) bool {
	if isTransactionMessage(b) {
		return true
	}
	p := &cursor{b: b}
	n := p.compact()
	p.skip(64 * n)
	return p.ok() && n > 0 && isTransactionMessage(p.b)
}

// isTransactionMessage recognises a legacy or versioned message: [0x80 |
// version], header, account keys, blockhash, instructions, and for version 0
// and later lookup tables or anything else.
func isTransactionMessage(b []byte) bool {
	versioned := len(b) > 0 && b[0] >= 0x80
	if versioned {
		b = b[1:]
	}
	p := &cursor{b: b}
	signers, readSigned, readUnsigned := p.u8(), p.u8(), p.u8()
	accounts := p.compact()
	if !p.ok() || signers == 0 || accounts < signers || readSigned > signers || readUnsigned > accounts-signers {
		return false
	}
	p.skip(32*accounts + 32)
	for range p.compact() {
		p.u8() // program
		p.skip(p.compact())
		p.skip(p.compact())
		if !p.ok() {
			return false
		}
	}
	return p.ok() && (versioned || len(p.b) == 0)
}

// cursor reads the compact encodings of a message. After an error it stays
// at the end and isn't ok.
type cursor struct {
	b      []byte
	failed bool
}

func (c *cursor) ok() bool { return !c.failed }

func (c *cursor) skip(n int) {
	if n > len(c.b) {
		c.failed, c.b = true, nil
		return
	}
	c.b = c.b[n:]
}

func (c *cursor) u8() int {
	if len(c.b) == 0 {
		c.failed = true
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return int(v)
}

// compact reads a compact-u16: little-endian groups of 7 bits, at most 3.
func (c *cursor) compact() int {
	v := 0
	for i := range 3 {
		b := c.u8()
		v |= b & 0x7f << (7 * i)
		if b < 0x80 {
			return v
		}
	}
	c.failed = true
	return 0
}

package bitcoin

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"

	"github.com/sigilkeys/sigil/internal/chain"
)

// minTransaction is less than the size of any transaction or PSBT.
const minTransaction = 10

// refuseBlind refuses messages that are transactions or their hashes, as bytes
// or in the text forms that wallets exchange. None of the message formats
// could be used as a signature of a transaction, as each has a hash or a text
// of its own in front; but who sends that expects something else.
func refuseBlind(b []byte) error {
	if err := chain.RefuseDigest(b); err != nil { // no transaction is as short
		return err
	}
	if lookalike(b) || isPreimage(b) {
		return chain.Refuse(chain.CodeTransaction, "the message is a Bitcoin transaction; it isn't signed as a message")
	}
	if raw, ok := chain.HexText(b, minTransaction); ok && (lookalike(raw) || isPreimage(raw)) || base64Lookalike(b) {
		return chain.Refuse(chain.CodeTransaction, "the message is a Bitcoin transaction in text form; it isn't signed as a message")
	}
	return nil
}

// base64Lookalike recognises a transaction or PSBT in base64.
func base64Lookalike(b []byte) bool {
	b = bytes.TrimRight(bytes.TrimSpace(b), "=")
	if len(b) < minTransaction {
		return false
	}
	for _, c := range b {
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '+' || c == '/' || c == '-' || c == '_') {
			return false
		}
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		raw := make([]byte, encoding.DecodedLen(len(b)))
		if n, err := encoding.Decode(raw, b); err == nil && lookalike(raw[:n]) {
			return true
		}
	}
	return false
}

// lookalike says whether b reads as a transaction, signed or not, or as a PSBT
// of any version. It is wider than the decoder: for recognising, not for
// decoding.
func lookalike(b []byte) bool {
	if len(b) >= len(magic) && string(b[:len(magic)]) == magic {
		return true
	}
	w, ok := scanTx(b)
	if !ok {
		return false
	}
	// Amounts have zeros at their end; no text does.
	for c := (&cursor{b: w.outputs}); w.count > 0; w.count-- {
		if c.u64() > maxMoney {
			return false
		}
		c.bytes()
	}
	return true
}

// isPreimage says whether b has the frame of what BIP-143 or BIP-341 hash for a
// signature: a version, and a hash type that covers everything at the end.
func isPreimage(b []byte) bool {
	const (
		bip143 = 4 + 32 + 32 + 36 + 26 + 8 + 4 + 32 + 4 + 4 // of a public key's hash
		bip341 = 1 + 1 + 4 + 4 + 5*32 + 1 + 4
	)
	return len(b) == bip143 && binary.LittleEndian.Uint32(b) <= 3 || len(b) == bip341 && b[0] == 0 && b[1] <= 1
}

package chain

import (
	"bytes"
	"encoding/hex"
)

// HexText returns the bytes that a message spells in hex, with 0x or not, and
// whether it does and they are at least least bytes. A message that isn't hex
// costs no allocation.
func HexText(b []byte, least int) ([]byte, bool) {
	b = bytes.TrimSpace(b)
	if len(b) >= 2 && b[0] == '0' && b[1]|0x20 == 'x' {
		b = b[2:]
	}
	if len(b) < 2*least || len(b)%2 != 0 {
		return nil, false
	}
	for _, c := range b {
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f') {
			return nil, false
		}
	}
	out := make([]byte, len(b)/2)
	_, err := hex.Decode(out, b)
	return out, err == nil
}

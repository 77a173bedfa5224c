package chain

import (
	"unicode"
	"unicode/utf8"
)

const (
	digestSize = 32
	// maxOdd is how many of 32 bytes may stand outside the plain letters.
	maxOdd = 4
	// minForeign is how many of 32 bytes other scripts fill at least.
	minForeign = 24
	// maxScript is how many UTF-8 lead bytes one script's text may span:
	// kana and the common CJK ideographs together have six.
	maxScript = 6
)

// RefuseDigest refuses a message of 32 bytes that could be a digest of
// something else: signed as a message, the hash of a user operation is a smart
// account's approval of it, and some chains sign the hash of a transaction.
//
// Only what is plainly written text passes. "Printable" alone would not do:
// one random hash in 2^40 is printable, and whoever may choose a field of what
// is hashed can try that often in hours. Here 28 bytes of 32 are lower-case
// letters (or all upper-case), digits, spaces, Latin letters with accents and
// emoji, or 24 bytes are letters of one other script: fewer than one hash in
// 2^64.
func RefuseDigest(b []byte) error {
	if len(b) != digestSize || plainText(b) {
		return nil
	}
	return Refuse(CodeDigest, "a message of 32 raw bytes may be the hash of anything; sign the content itself (a text of exactly 32 bytes must be plain words: make it longer or shorter)")
}

// plainText says whether 32 bytes read as text that is no accident.
func plainText(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	lower, upper, foreign := 0, 0, 0
	first, last := byte(0xff), byte(0)
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		switch {
		case isAccented(r) || isEmoji(r):
			lower += size
			upper += size
		case r >= utf8.RuneSelf:
			if !unicode.In(r, unicode.L, unicode.M, unicode.P) {
				return false
			}
			foreign += size
			first, last = min(first, b[i]), max(last, b[i])
		case r == ' ' || '0' <= r && r <= '9':
			lower++
			upper++
		case 'a' <= r && r <= 'z':
			lower++
		case 'A' <= r && r <= 'Z':
			upper++
		case r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f:
			return false
		}
		i += size
	}
	if foreign >= minForeign {
		return last-first < maxScript
	}
	return max(lower, upper) >= len(b)-maxOdd
}

// isAccented covers Latin-1 Supplement (its letters) and Latin Extended-A.
func isAccented(r rune) bool { return r >= 0xc0 && r <= 0x17f }

// isEmoji covers the pictographs and what joins and colours them.
func isEmoji(r rune) bool {
	const zeroWidthJoiner, variationSelector16 = 0x200d, 0xfe0f
	return r >= 0x1f000 && r <= 0x1faff || r == zeroWidthJoiner || r == variationSelector16
}

package evm

import "unicode/utf8"

// minTransaction is less than the size of any transaction or authorisation:
// a list of three empty fields or more, with its type byte.
const minTransaction = 5

// looksLikeTransaction reports whether b parses as something that Ethereum
// nodes or contracts take a signature of: a legacy transaction (6 fields, or 9
// with a signature or EIP-155's placeholders), an EIP-2718 typed transaction,
// signed or not, blob transactions with their blobs included, an EIP-7702
// authorisation (0x05 ‖ list), or EIP-191's other versions (0x19 0x00
// validator data, 0x19 0x01 typed-data hash).
//
// It is wider than what nodes accept, on purpose: fields are counted and not
// read, and types that don't exist yet count as well unless b is UTF-8, which
// short texts in other scripts could be by accident.
func looksLikeTransaction(b []byte) bool {
	if len(b) < minTransaction {
		return false
	}
	switch first := b[0]; {
	case first == 0x19 && b[1] == 0x01:
		return len(b) == 2+32+32
	case first == 0x19 && b[1] == 0x00:
		return len(b) >= 2+20
	case first < 0x80:
		fields, ok := listFields(b[1:])
		return ok && fields >= 3 && (first >= 0x01 && first <= 0x05 || !utf8.Valid(b))
	case first >= 0xc0:
		fields, ok := listFields(b)
		return ok && (fields == 6 || fields == 9) && legacyTo(b)
	}
	return false
}

// legacyTo reports whether the fourth field of a list can be the recipient of
// a legacy transaction: an address or nothing. It tells transactions from
// short texts whose UTF-8 happens to have the shape of a list.
func legacyTo(list []byte) bool {
	content, _, _, _ := rlpItem(list)
	for range 3 {
		_, content, _, _ = rlpItem(content)
	}
	to, _, isList, ok := rlpItem(content)
	return ok && !isList && (len(to) == 0 || len(to) == 20)
}

// listFields counts the items of an RLP list that is all of b.
func listFields(b []byte) (int, bool) {
	if len(b) == 0 || b[0] < 0xc0 { // every text: don't look further
		return 0, false
	}
	content, rest, isList, ok := rlpItem(b)
	if !ok || !isList || len(rest) != 0 {
		return 0, false
	}
	n := 0
	for ; len(content) > 0; n++ {
		if _, content, _, ok = rlpItem(content); !ok {
			return 0, false
		}
	}
	return n, true
}

// rlpItem splits the first RLP item off b. It is lenient about minimal
// encodings: for recognising, not for decoding.
func rlpItem(b []byte) (content, rest []byte, isList, ok bool) {
	if len(b) == 0 {
		return nil, nil, false, false
	}
	p := b[0]
	switch {
	case p < 0x80:
		return b[:1], b[1:], false, true
	case p < 0xb8:
		return cutAt(b, 1, int(p-0x80), false)
	case p < 0xc0:
		return cutLong(b, int(p-0xb7), false)
	case p < 0xf8:
		return cutAt(b, 1, int(p-0xc0), true)
	default:
		return cutLong(b, int(p-0xf7), true)
	}
}

func cutLong(b []byte, lengthSize int, isList bool) (content, rest []byte, list, ok bool) {
	if len(b) < 1+lengthSize || lengthSize > 4 {
		return nil, nil, false, false
	}
	n := 0
	for _, c := range b[1 : 1+lengthSize] {
		n = n<<8 | int(c)
	}
	return cutAt(b, 1+lengthSize, n, isList)
}

func cutAt(b []byte, from, n int, isList bool) (content, rest []byte, list, ok bool) {
	if n < 0 || n > len(b)-from { // negative: overflow where int has 32 bits
		return nil, nil, false, false
	}
	return b[from : from+n], b[from+n:], isList, true
}

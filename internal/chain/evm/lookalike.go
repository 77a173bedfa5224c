package evm

// looksLikeTransaction reports whether b parses as something that Ethereum
// nodes or contracts take a signature of: a legacy transaction (6 or 9 fields,
// or 9 with EIP-155 placeholders), an EIP-2718 typed transaction (types 1 to
// 4), an EIP-7702 authorisation (0x05 ‖ list), or EIP-191's other versions
// (0x19 0x00 validator data, 0x19 0x01 typed-data hash).
func looksLikeTransaction(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	switch {
	case b[0] == 0x19 && b[1] == 0x01:
		return len(b) == 66
	case b[0] == 0x19 && b[1] == 0x00:
		return len(b) >= 22
	case b[0] >= 0x01 && b[0] <= 0x05:
		fields, ok := listFields(b[1:])
		return ok && fields >= 3
	case b[0] >= 0xc0:
		fields, ok := listFields(b)
		return ok && (fields == 6 || fields == 9)
	}
	return false
}

// listFields counts the items of an RLP list that is all of b.
func listFields(b []byte) (int, bool) {
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
	if n > len(b)-from {
		return nil, nil, false, false
	}
	return b[from : from+n], b[from+n:], isList, true
}

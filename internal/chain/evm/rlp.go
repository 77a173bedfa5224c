package evm

import (
	"encoding/binary"
	"math/bits"
)

// reader reads the items of one RLP list, strictly: every item has its one
// shortest form, and lies inside the list. After the first fault it reads
// nothing more and fault says what it was. There is no recursion: how deep
// lists nest is what the transaction's type says.
type reader struct {
	rest  []byte
	fault string
}

func (r *reader) fail(fault string) {
	if r.fault == "" {
		r.fault = fault
	}
	r.rest = nil
}

// more reports whether items are left.
func (r *reader) more() bool { return len(r.rest) > 0 }

// end requires that none are.
func (r *reader) end(fault string) {
	if r.more() {
		r.fail(fault)
	}
}

// cut takes n bytes off.
func (r *reader) cut(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.fail("an item is longer than what holds it")
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// head reads the head of an item, whose short forms begin at base, and
// returns the size of its content.
func (r *reader) head(base byte) int {
	if !r.more() {
		r.fail("a field is missing")
		return 0
	}
	first := r.cut(1)
	const short = 55 // the longest content of a short form
	n := int(first[0]) - int(base)
	switch {
	case n < 0 || n > short+8:
		r.fail("a list stands for a string, or a string for a list")
		return 0
	case n <= short:
		return n
	}
	size := r.cut(n - short)
	if len(size) == 0 || size[0] == 0 || len(size) > 4 {
		r.fail("the length of an item isn't in its shortest form, or is too large")
		return 0
	}
	n = 0
	for _, c := range size {
		n = n<<8 | int(c)
	}
	if n <= short {
		r.fail("a short item is in the long form")
		return 0
	}
	return n
}

// text reads a string of at most most bytes.
func (r *reader) text(most int) []byte {
	if r.more() && r.rest[0] < 0x80 {
		return r.cut(1)
	}
	b := r.cut(r.head(0x80))
	switch {
	case len(b) == 1 && b[0] < 0x80:
		r.fail("a single byte is in a longer form")
	case len(b) > most:
		r.fail("a field is too long")
	default:
		return b
	}
	return nil
}

// exact reads a string of n bytes.
func (r *reader) exact(n int) []byte {
	b := r.text(n)
	if len(b) != n {
		r.fail("a field is too short")
	}
	return b
}

// integer reads an unsigned integer of at most 256 bits: big-endian, without
// leading zeros, which zero alone is.
func (r *reader) integer() []byte {
	b := r.text(32)
	if len(b) > 0 && b[0] == 0 {
		r.fail("an integer has leading zeros")
	}
	return b
}

// uint64 reads an integer of at most 64 bits.
func (r *reader) uint64() uint64 {
	b := r.integer()
	if len(b) > 8 {
		r.fail("an integer is over 64 bits")
		return 0
	}
	return toUint64(b)
}

// list reads a list; what it returns must be given back to close.
func (r *reader) list() reader { return reader{rest: r.cut(r.head(0xc0)), fault: r.fault} }

// close takes a list's fault over, and requires that it was read to its end;
// fault says what there is too much of.
func (r *reader) close(list *reader, fault string) {
	list.end(fault)
	if list.fault != "" {
		r.fail(list.fault)
	}
}

// toUint64 reads at most 8 bytes, big-endian.
func toUint64(b []byte) uint64 {
	var v [8]byte
	copy(v[8-len(b):], b)
	return binary.BigEndian.Uint64(v[:])
}

// appendHead writes the head of an item of n bytes.
func appendHead(out []byte, base byte, n int) []byte {
	if n <= 55 {
		return append(out, base+byte(n))
	}
	size := (bits.Len64(uint64(n)) + 7) / 8
	out = append(out, base+55+byte(size))
	for i := size - 1; i >= 0; i-- {
		out = append(out, byte(n>>(8*i)))
	}
	return out
}

// appendText writes a string.
func appendText(out, b []byte) []byte {
	if len(b) == 1 && b[0] < 0x80 {
		return append(out, b[0])
	}
	return append(appendHead(out, 0x80, len(b)), b...)
}

// appendInteger writes an integer that may have leading zeros.
func appendInteger(out, b []byte) []byte { return appendText(out, trimZeros(b)) }

func appendUint64(out []byte, v uint64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	return appendInteger(out, b[:])
}

// appendList writes a list of what content appends, without memory of its
// own: the head is put in front when it is known.
func appendList(out []byte, content func([]byte) []byte) []byte {
	start := len(out)
	out = content(out)
	n := len(out) - start
	var short [9]byte
	head := appendHead(short[:0], 0xc0, n)
	out = append(out, head...)
	copy(out[start+len(head):], out[start:start+n])
	copy(out[start:], head)
	return out
}

func trimZeros(b []byte) []byte {
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

// Package canon holds the two encodings that every signed or sealed Sigil
// format is built from, so that there is exactly one byte string for one
// value and a decoder never has to guess.
//
// Binary records. A record is a magic line ("sigil/<name>/v<n>\n", ASCII)
// followed by fields in the order that the format fixes. There are no tags,
// no optional fields and no padding:
//
//	u8 u16 u32 u64   big-endian, fixed width
//	fixed            exactly n bytes, no prefix (digests, keys, UUIDs)
//	bytes, text      u32 length, then that many bytes; text is valid UTF-8
//	list             u32 count, then the items
//
// A decoder takes the whole input or refuses it: Reader.Close fails on
// trailing bytes, and every variable field has a stated maximum, so that a
// hostile length can't make it allocate.
//
// JSON documents. Strict (RFC 8259 plus I-JSON: no duplicate names, valid
// UTF-8, no unknown members) and canonical: DecodeJSON encodes what it read
// again and refuses the input unless the bytes are equal. Documents that
// people read and owners sign are JSON; everything on the hot path is binary.
package canon

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// ErrFormat is wrapped by every decoding error of this package.
var ErrFormat = errors.New("malformed encoding")

// Writer builds a binary record by appending fields. The zero value is an
// empty record; start one with NewWriter to write the magic line first.
type Writer struct {
	buf []byte
	err error
}

// NewWriter returns a Writer that begins with the magic line and has room
// for size more bytes.
func NewWriter(magic string, size int) *Writer {
	w := &Writer{buf: make([]byte, 0, len(magic)+size)}
	w.buf = append(w.buf, magic...)
	return w
}

// U8 appends one byte.
func (w *Writer) U8(v uint8) *Writer { w.buf = append(w.buf, v); return w }

// U16 appends a big-endian 16-bit number.
func (w *Writer) U16(v uint16) *Writer { w.buf = binary.BigEndian.AppendUint16(w.buf, v); return w }

// U32 appends a big-endian 32-bit number.
func (w *Writer) U32(v uint32) *Writer { w.buf = binary.BigEndian.AppendUint32(w.buf, v); return w }

// U64 appends a big-endian 64-bit number.
func (w *Writer) U64(v uint64) *Writer { w.buf = binary.BigEndian.AppendUint64(w.buf, v); return w }

// Fixed appends the bytes as they are; the format fixes how many there are.
func (w *Writer) Fixed(b []byte) *Writer { w.buf = append(w.buf, b...); return w }

// Hashes appends a list of values of 32 bytes.
func (w *Writer) Hashes(list [][32]byte) *Writer {
	w.U32(uint32(len(list)))
	for i := range list {
		w.Fixed(list[i][:])
	}
	return w
}

// Bytes appends a u32 length and the bytes.
func (w *Writer) Bytes(b []byte) *Writer {
	w.U32(uint32(len(b)))
	w.buf = append(w.buf, b...)
	return w
}

// Text appends a u32 length and the string, which must be valid UTF-8.
func (w *Writer) Text(s string) *Writer {
	if !utf8.ValidString(s) && w.err == nil {
		w.err = fmt.Errorf("%w: text is not valid UTF-8", ErrFormat)
	}
	w.U32(uint32(len(s)))
	w.buf = append(w.buf, s...)
	return w
}

// Record returns the bytes written so far, or the first error.
func (w *Writer) Record() ([]byte, error) { return w.buf, w.err }

// MustRecord returns the bytes written so far. It is for records without a
// Text field that comes from outside; it panics on a record in error.
func (w *Writer) MustRecord() []byte {
	if w.err != nil {
		panic(w.err)
	}
	return w.buf
}

// Reader takes a binary record apart. Its first error sticks: later calls
// return zero values, and Close reports it.
type Reader struct {
	rest []byte
	err  error
}

// NewReader returns a Reader for a record that must begin with magic.
func NewReader(magic string, record []byte) *Reader {
	r := &Reader{rest: record}
	if len(record) < len(magic) || string(record[:len(magic)]) != magic {
		r.fail("record does not begin with %q", magic)
		return r
	}
	r.rest = record[len(magic):]
	return r
}

func (r *Reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
	}
	r.rest = nil
}

// Fail records an error found by the caller (a value out of its range), so
// that Close reports it.
func (r *Reader) Fail(format string, args ...any) { r.fail(format, args...) }

func (r *Reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || len(r.rest) < n {
		r.fail("need %d bytes, have %d", n, len(r.rest))
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// U8 reads one byte.
func (r *Reader) U8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// U16 reads a big-endian 16-bit number.
func (r *Reader) U16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// U32 reads a big-endian 32-bit number.
func (r *Reader) U32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// U64 reads a big-endian 64-bit number.
func (r *Reader) U64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Fixed fills dst with exactly len(dst) bytes.
func (r *Reader) Fixed(dst []byte) { copy(dst, r.take(len(dst))) }

// Hashes reads a list of at most max values of 32 bytes; of none it is nil.
func (r *Reader) Hashes(max int) (list [][32]byte) {
	for range r.Count(max) {
		var h [32]byte
		r.Fixed(h[:])
		list = append(list, h)
	}
	return list
}

// Bytes reads a u32 length and that many bytes, at most max. The slice
// shares memory with the record.
func (r *Reader) Bytes(max int) []byte {
	n := r.U32()
	if r.err == nil && uint64(n) > uint64(max) {
		r.fail("field of %d bytes, at most %d allowed", n, max)
		return nil
	}
	return r.take(int(n))
}

// Text reads a u32 length and that many bytes of valid UTF-8, at most max.
func (r *Reader) Text(max int) string {
	b := r.Bytes(max)
	if !utf8.Valid(b) {
		r.fail("text is not valid UTF-8")
		return ""
	}
	return string(b)
}

// Count reads a u32 item count, at most max.
func (r *Reader) Count(max int) int {
	n := r.U32()
	if r.err == nil && uint64(n) > uint64(max) {
		r.fail("list of %d items, at most %d allowed", n, max)
		return 0
	}
	return int(n)
}

// Err returns the first error so far.
func (r *Reader) Err() error { return r.err }

// Close reports the first error, or trailing bytes.
func (r *Reader) Close() error {
	if r.err == nil && len(r.rest) != 0 {
		r.fail("%d trailing bytes", len(r.rest))
	}
	return r.err
}

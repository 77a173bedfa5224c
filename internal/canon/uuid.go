package canon

import (
	"encoding/hex"
	"fmt"
	"io"
	"time"
)

// UUID is an RFC 9562 identifier: 16 bytes in records, lower-case text with
// hyphens in documents. The zero value is the nil UUID.
type UUID [16]byte

// NewUUID returns a version 4 UUID from the given randomness.
func NewUUID(random io.Reader) (UUID, error) {
	var u UUID
	if _, err := io.ReadFull(random, u[:]); err != nil {
		return UUID{}, fmt.Errorf("make UUID: %w", err)
	}
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u, nil
}

// NewOrderedUUID returns a version 7 UUID: 48 bits of unix milliseconds, then
// randomness. Ids that are made one after the other stand beside each other
// in an index, which makes storing them several times cheaper.
func NewOrderedUUID(now time.Time, random io.Reader) (UUID, error) {
	u, err := NewUUID(random)
	if err != nil {
		return UUID{}, err
	}
	ms := uint64(now.UnixMilli())
	u[0], u[1], u[2], u[3], u[4], u[5] = byte(ms>>40), byte(ms>>32), byte(ms>>24), byte(ms>>16), byte(ms>>8), byte(ms)
	u[6] = u[6]&0x0f | 0x70
	return u, nil
}

// ParseUUID reads the text form; only lower case with hyphens is taken.
func ParseUUID(s string) (UUID, error) {
	var u UUID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return UUID{}, fmt.Errorf("%w: %q is not a UUID", ErrFormat, clip(s))
	}
	digits := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	if _, err := hex.Decode(u[:], []byte(digits)); err != nil || u.String() != s {
		return UUID{}, fmt.Errorf("%w: %q is not a lower-case UUID", ErrFormat, clip(s))
	}
	return u, nil
}

// clip keeps foreign text in error messages short.
func clip(s string) string {
	if len(s) > 48 {
		return s[:48] + "…"
	}
	return s
}

// IsZero reports whether u is the nil UUID.
func (u UUID) IsZero() bool { return u == UUID{} }

// AppendText appends the text form.
func (u UUID) AppendText(dst []byte) ([]byte, error) {
	for i, part := range [][]byte{u[0:4], u[4:6], u[6:8], u[8:10], u[10:16]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, part)
	}
	return dst, nil
}

// String returns the text form.
func (u UUID) String() string {
	var buf [36]byte
	b, _ := u.AppendText(buf[:0])
	return string(b)
}

// MarshalText implements encoding.TextMarshaler.
func (u UUID) MarshalText() ([]byte, error) { return u.AppendText(nil) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *UUID) UnmarshalText(b []byte) error {
	v, err := ParseUUID(string(b))
	if err == nil {
		*u = v
	}
	return err
}

package secret

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// redacted is what every kind of printing shows.
const redacted = "[redacted]"

// ErrEncode is returned where a Bytes would be encoded.
var ErrEncode = errors.New("secret bytes are never encoded")

// Bytes holds a secret that lives longer than one secret.Do (a token, a seed),
// and prints as "[redacted]" whatever the verb, the logger or the field that
// it sits in. The secret is behind two pointers: printers that reach an
// unexported field by reflection follow one (fmt does for a verb that doesn't
// suit a pointer) and then show an address. Encoders get an error. The zero
// value is empty.
type Bytes struct{ p **[]byte }

// NewBytes takes b over: the caller must not use it any more.
func NewBytes(b []byte) Bytes {
	p := &b
	return Bytes{&p}
}

// Reveal returns the secret itself, not a copy. Every call is a place to
// review: it must not be printed, turned into a string or kept.
func (s Bytes) Reveal() []byte {
	if s.p == nil {
		return nil
	}
	return **s.p
}

// Wipe overwrites the secret; all copies of s are empty after it.
func (s Bytes) Wipe() {
	if s.p != nil {
		b := *s.p
		Wipe((*b)[:cap(*b)])
		*b = nil
	}
}

// Format implements fmt.Formatter for all verbs.
func (s Bytes) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String implements fmt.Stringer.
func (s Bytes) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (s Bytes) GoString() string { return redacted }

// LogValue implements slog.LogValuer.
func (s Bytes) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON refuses.
func (s Bytes) MarshalJSON() ([]byte, error) { return nil, ErrEncode }

// MarshalText refuses.
func (s Bytes) MarshalText() ([]byte, error) { return nil, ErrEncode }

// MarshalBinary refuses.
func (s Bytes) MarshalBinary() ([]byte, error) { return nil, ErrEncode }

// GobEncode refuses.
func (s Bytes) GobEncode() ([]byte, error) { return nil, ErrEncode }

package typeddata

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

// reader reads JSON that was found to be valid.
type reader struct {
	d *jsontext.Decoder
}

func decoder(v jsontext.Value) *reader {
	return &reader{jsontext.NewDecoder(bytes.NewReader(v), jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false))}
}

// begins reads the beginning of an object or array.
func (r *reader) begins(kind jsontext.Kind) bool {
	if r.d.PeekKind() != kind {
		return false
	}
	_, err := r.d.ReadToken()
	return err == nil
}

// inside reports whether there is more before the end of an object or array.
func (r *reader) inside(end jsontext.Kind) bool {
	k := r.d.PeekKind()
	return k != end && k != 0
}

// end reads the end of an object or array.
func (r *reader) end() error {
	_, err := r.d.ReadToken()
	return err
}

func (r *reader) name() (string, error) {
	t, err := r.d.ReadToken()
	if err != nil {
		return "", err
	}
	if t.Kind() != '"' {
		return "", errors.New("a member has no name")
	}
	return t.String(), nil
}

// value reads an atomic value; it is good until the next call.
func (r *reader) value() (jsontext.Value, error) {
	switch r.d.PeekKind() {
	case '"', '0', 't', 'f':
		return r.d.ReadValue()
	}
	return nil, errors.New("text, a number, true or false is wanted")
}

func (r *reader) more() bool { return r.d.PeekKind() != 0 }

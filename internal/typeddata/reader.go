package typeddata

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// reader reads JSON that was found to be valid, and without duplicate names.
type reader struct {
	d *jsontext.Decoder
}

func decoder(v jsontext.Value) *reader {
	return &reader{jsontext.NewDecoder(bytes.NewReader(v), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(false))}
}

// begins reads the beginning of an object or array.
func (r *reader) begins(kind jsontext.Kind) bool {
	if r.kind() != kind {
		return false
	}
	_, err := r.d.ReadToken()
	return err == nil
}

// inside reports whether there is more before the end of an object or array.
func (r *reader) inside(end jsontext.Kind) bool {
	k := r.kind()
	return k != end && k != 0
}

// end reads the end of an object or array.
func (r *reader) end() error {
	_, err := r.d.ReadToken()
	return err
}

// kind is that of what comes next; 0 is nothing, or nothing valid.
func (r *reader) kind() jsontext.Kind { return r.d.PeekKind() }

// name reads a member's name, or text.
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
	switch r.kind() {
	case '"', '0', 't', 'f':
		return r.d.ReadValue()
	}
	return nil, errors.New("text, a number, true or false is wanted")
}

func (r *reader) more() bool { return r.kind() != 0 }

// skip reads a value with all that is in it, and returns where it begins. What
// is deeper than a document can be, or has more members, isn't read: each
// level and each name takes memory.
func (r *reader) skip() (from int64, err error) {
	if k := r.kind(); k != '{' && k != '[' {
		v, err := r.d.ReadValue()
		return r.d.InputOffset() - int64(len(v)), err
	}
	depth := r.d.StackDepth()
	if _, err := r.d.ReadToken(); err != nil {
		return 0, err
	}
	from = r.d.InputOffset() - 1
	for r.d.StackDepth() > depth {
		if _, err := r.d.ReadToken(); err != nil {
			return 0, err
		}
		at := r.d.StackDepth()
		if at > maxDepth+1 {
			return 0, fmt.Errorf("it is over %d deep", maxDepth)
		}
		if kind, n := r.d.StackIndex(at); kind == '{' && n > 2*maxFields {
			return 0, fmt.Errorf("an object has over %d members", maxFields)
		}
	}
	return from, nil
}

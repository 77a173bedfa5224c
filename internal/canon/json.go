package canon

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// EncodeJSON returns the one encoding of v: members in the order of the
// struct's fields, no white space, no HTML escapes. It equals what
// JavaScript's JSON.stringify prints for the same members in that order.
func EncodeJSON(v any) ([]byte, error) {
	return json.Marshal(v, json.Deterministic(true), json.FormatNilSliceAsNull(false))
}

// DecodeJSON reads a canonical document into v, a pointer to a struct: it
// refuses unknown, duplicate or case-variant members, invalid UTF-8,
// trailing bytes, and any input that EncodeJSON would write differently.
func DecodeJSON(data []byte, v any) error {
	if err := DecodeJSONLoose(data, v); err != nil {
		return err
	}
	again, err := EncodeJSON(v)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if !bytes.Equal(again, data) {
		return fmt.Errorf("%w: document is not in canonical form", ErrFormat)
	}
	return nil
}

// DecodeJSONLoose reads strict JSON as DecodeJSON does, but takes any white
// space and member order: for request bodies, which people write by hand and
// whose bytes are covered by the request signature as they are.
func DecodeJSONLoose(data []byte, v any) error {
	err := json.Unmarshal(data, v,
		json.RejectUnknownMembers(true),
		json.MatchCaseInsensitiveNames(false),
		jsontext.AllowDuplicateNames(false),
		jsontext.AllowInvalidUTF8(false))
	var semantic *json.SemanticError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &semantic):
		// The library's own text has the name several times, however long it is.
		return fmt.Errorf("%w: unknown member %.100q", ErrFormat, string(semantic.JSONPointer))
	}
	return fmt.Errorf("%w: %.300s", ErrFormat, err.Error())
}

// BoundJSON refuses JSON that has objects and lists deeper within one another
// than depth, or an object of more members: reading it takes memory for each
// level and name. Whether it is JSON at all, the reader finds out.
func BoundJSON(data []byte, depth, members int) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		if _, err := d.ReadToken(); err != nil {
			return nil
		}
		at := d.StackDepth()
		if at > depth {
			return fmt.Errorf("%w: over %d deep", ErrFormat, depth)
		}
		if kind, n := d.StackIndex(at); kind == '{' && n > 2*int64(members) {
			return fmt.Errorf("%w: an object has over %d members", ErrFormat, members)
		}
	}
}

package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

// file is one format's vectors.
type file struct {
	Format  string  `json:"format"`
	Section string  `json:"section"` // of docs/FORMATS.md
	Entries []entry `json:"entries"`
}

// entry is one vector. A valid one decodes to Fields and encodes to the same
// bytes again; an invalid one is refused, for the reason that Failure names.
type entry struct {
	Name    string         `json:"name"`
	Valid   bool           `json:"valid"`
	Failure string         `json:"failure,omitempty"`
	Encoded string         `json:"encoded"`           // hex of the bytes; text formats: of the text
	Context map[string]any `json:"context,omitempty"` // what decoding needs besides
	Fields  map[string]any `json:"fields,omitempty"`
}

func (f *file) encode() ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(f); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Format, err)
	}
	return buf.Bytes(), nil
}

func h(b []byte) string { return hex.EncodeToString(b) }

// good adds a valid entry.
func (f *file) good(name string, encoded []byte, fields map[string]any) *entry {
	f.Entries = append(f.Entries, entry{Name: name, Valid: true, Encoded: h(encoded), Fields: fields})
	return &f.Entries[len(f.Entries)-1]
}

// bad adds an invalid entry with the context of the first good one.
func (f *file) bad(name, failure string, encoded []byte) {
	f.Entries = append(f.Entries, entry{Name: name, Failure: failure, Encoded: h(encoded), Context: f.Entries[0].Context})
}

// broken adds what every binary format refuses: cut short at each of a few
// places, continued, and with another magic line.
func (f *file) broken(encoded []byte, magic bool) {
	f.bad("cut by one byte", "truncated", encoded[:len(encoded)-1])
	f.bad("cut in the middle", "truncated", encoded[:len(encoded)/2])
	f.bad("empty", "truncated", nil)
	f.bad("one byte more", "trailing bytes", append(slices.Clone(encoded), 0))
	if magic {
		other := slices.Clone(encoded)
		other[bytes.IndexByte(other, '\n')-1]++ // v1 becomes v2
		f.bad("next version", "unknown version", other)
	}
}

// seq is n bytes counting up from a start.
func seq(start byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = start + byte(i)
	}
	return b
}

func seq32(start byte) [32]byte { return [32]byte(seq(start, 32)) }
func seq16(start byte) [16]byte { return [16]byte(seq(start, 16)) }

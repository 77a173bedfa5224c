package image

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Field is a member of the measured configuration that two images have
// differently; a value is JSON, "" where the member is absent.
type Field struct {
	Name string `json:"name"`
	A    string `json:"a"`
	B    string `json:"b"`
}

// Fields lists the members in which two measured configurations differ, in
// order of their names. Configurations that differ in spelling alone differ
// in the member "".
func Fields(a, b []byte) ([]Field, error) {
	var ma, mb map[string]json.RawMessage
	if err := json.Unmarshal(a, &ma); err != nil {
		return nil, fmt.Errorf("measured configuration: %w", err)
	}
	if err := json.Unmarshal(b, &mb); err != nil {
		return nil, fmt.Errorf("measured configuration: %w", err)
	}
	names := slices.Collect(maps.Keys(ma))
	for name := range mb {
		if _, both := ma[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out []Field
	for _, name := range names {
		if va, vb := string(ma[name]), string(mb[name]); va != vb {
			out = append(out, Field{name, va, vb})
		}
	}
	if len(out) == 0 && string(a) != string(b) {
		out = []Field{{"", string(a), string(b)}}
	}
	return out, nil
}

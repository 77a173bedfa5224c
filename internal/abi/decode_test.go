package abi_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/sigilkeys/sigil/internal/abi"
	"github.com/sigilkeys/sigil/test/memory"
)

// written is an argument as decoded.json has it: hex of an elementary type's
// word or of the content, or a list.
func written(v abi.Value) any {
	if v.Parts == nil {
		return hex.EncodeToString(v.Bytes)
	}
	list := make([]any, 0, len(v.Parts))
	for _, p := range v.Parts {
		list = append(list, written(p))
	}
	return list
}

func decoded(t testing.TB) (list []struct {
	Function  string `json:"function"`
	Data      string `json:"data"`
	Arguments []any  `json:"arguments"`
}) {
	t.Helper()
	data, err := os.ReadFile("testdata/decoded.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestDecode: the arguments that two other libraries encoded.
func TestDecode(t *testing.T) {
	for _, c := range decoded(t) {
		f, err := abi.Parse(c.Function)
		if err != nil {
			t.Fatal(err)
		}
		data := unhex(t, c.Data)
		got, ok := f.Decode(data)
		if !ok {
			t.Errorf("%s isn't decoded", c.Function)
			continue
		}
		have, err := json.Marshal(written(abi.Value{Parts: got}))
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(c.Arguments)
		if err != nil || string(have) != string(want) {
			t.Errorf("%s: %s, want %s", c.Function, have, want)
		}
		if bare, ok := f.Arguments(data[4:]); !ok || len(bare) != len(got) {
			t.Errorf("%s: without its selector it isn't decoded", c.Function)
		}
	}
}

// TestDecodesWhatEncodes: what is the one encoding is decoded, and nothing
// else.
func TestDecodesWhatEncodes(t *testing.T) {
	for _, c := range calls(t) {
		f, err := abi.Parse(c.Function)
		if err != nil {
			t.Fatal(err)
		}
		if values, ok := f.Decode(unhex(t, c.Data)); ok != c.Encodes || !ok && values != nil {
			t.Errorf("%s %s: %v, want %v", c.Function, c.Data, ok, c.Encodes)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for i, c := range calls(f) {
		if i%40 == 0 {
			f.Add(c.Function, unhex(f, c.Data))
		}
	}
	f.Fuzz(func(t *testing.T, signature string, data []byte) {
		function, err := abi.Parse(signature)
		if err != nil {
			return
		}
		ok := false
		memory.Bounded(t, signature, len(data), func() { _, ok = function.Decode(data) })
		if ok != function.Encodes(data) {
			t.Errorf("%s: %x is decoded: %v", signature, data, ok)
		}
	})
}

package evm

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// readAll reads whatever is there, to any depth, by the reader that
// transactions are read with.
func readAll(r *reader) {
	for r.more() {
		if r.rest[0] < 0xc0 {
			r.text(1 << 20)
			continue
		}
		list := r.list()
		readAll(&list)
		r.close(&list, "")
	}
}

// strict reports whether b is items in their shortest form.
func strict(b []byte) bool {
	r := reader{rest: b}
	readAll(&r)
	return r.fault == ""
}

// TestReaderTakesOneForm: the reader by itself, without the comparison that
// follows it, refuses every other form.
func TestReaderTakesOneForm(t *testing.T) {
	long := strings.Repeat("ab", 56)
	for _, s := range []string{"", "00", "7f", "80", "8180", "c0", "c180", "c20102", "b7" + long[2:], "b838" + long, "f838" + strings.Repeat("7f", 56), "b90100" + strings.Repeat("ee", 256)} {
		b, err := hex.DecodeString(s)
		if err != nil || !strict(b) {
			t.Errorf("%s is refused: %v", s, err)
		}
	}
	if !strict(append([]byte{0xb8, 56}, make([]byte, 56)...)) || strict(append([]byte{0xb8, 55}, make([]byte, 55)...)) {
		t.Error("the long form isn't taken from 56 bytes on, or is before")
	}
	if !strict(append([]byte{0xf8, 56}, make([]byte, 56)...)) || strict(append([]byte{0xf8, 55}, make([]byte, 55)...)) {
		t.Error("the long form of lists isn't taken from 56 bytes on, or is before")
	}
	for _, s := range []string{"8100", "817f", "b800", "b80100", "b90038" + long, "ba000038" + long, "81", "8280", "b8", "b9", "b838", "c1", "c281", "f8", "f800", "f90038" + long, "bf" + strings.Repeat("ff", 8), "ff" + strings.Repeat("ff", 8), "bb80000000", "fbffffffff"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		if strict(b) {
			t.Errorf("%s is taken", s)
		}
	}
	for _, s := range []string{"820001", "00", "a1" + strings.Repeat("11", 33), "c0", ""} {
		b, _ := hex.DecodeString(s)
		r := reader{rest: b}
		if r.integer(); r.fault == "" {
			t.Errorf("%s is an integer", s)
		}
	}
	inner := reader{rest: []byte{0xc1, 0x05, 0x05}}
	list := inner.list()
	inner.close(&list, "more than none")
	if inner.fault != "more than none" {
		t.Errorf("a list that isn't read to its end: %q", inner.fault)
	}
}

// TestOfficialRLP: what ethereum/tests call invalid is refused; what they call
// valid is read, and written again the same.
func TestOfficialRLP(t *testing.T) {
	const folder = "testdata/ethereum-tests/RLPTests/"
	type vector struct {
		In  any
		Out string
	}
	load := func(name string) (out map[string]vector) {
		b, err := os.ReadFile(folder + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	ran := 0
	for name, v := range load("invalidRLPTest.json") {
		b, err := hex.DecodeString(strings.TrimPrefix(v.Out, "0x"))
		if err != nil || len(b) == 0 { // no item at all is no fault of an item
			continue
		}
		ran++
		if strict(b) && len(items(b)) == 1 {
			t.Errorf("%s is taken", name)
		}
	}
	for name, v := range load("rlptest.json") {
		b, err := hex.DecodeString(strings.TrimPrefix(v.Out, "0x"))
		if err != nil {
			t.Fatal(err)
		}
		ran++
		if !strict(b) {
			t.Errorf("%s is refused", name)
		}
		if again := write(b); !bytes.Equal(again, b) {
			t.Errorf("%s is written %x", name, again)
		}
	}
	t.Logf("%d ran", ran)
}

// items splits what holds no fault.
func items(b []byte) (out [][]byte) {
	r := reader{rest: b}
	for r.more() {
		before := r.rest
		if r.rest[0] < 0xc0 {
			r.text(1 << 20)
		} else {
			r.list()
		}
		out = append(out, before[:len(before)-len(r.rest)])
	}
	return out
}

// write encodes again what was read.
func write(b []byte) (out []byte) {
	r := reader{rest: b}
	for r.more() {
		if r.rest[0] < 0xc0 {
			out = appendText(out, r.text(1<<20))
			continue
		}
		list := r.list()
		out = appendList(out, func(o []byte) []byte { return append(o, write(list.rest)...) })
	}
	return out
}

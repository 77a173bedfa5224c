package canon_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/sigilkeys/sigil/internal/canon"
)

const magic = "sigil/test/v1\n"

func TestRoundTrip(t *testing.T) {
	rec := canon.NewWriter(magic, 0).U8(1).U16(2).U32(3).U64(4).Fixed([]byte{5, 6}).Bytes([]byte("abc")).Text("é").MustRecord()
	r := canon.NewReader(magic, rec)
	var fixed [2]byte
	u8, u16, u32, u64 := r.U8(), r.U16(), r.U32(), r.U64()
	r.Fixed(fixed[:])
	b, s := r.Bytes(3), r.Text(2)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if u8 != 1 || u16 != 2 || u32 != 3 || u64 != 4 || fixed != [2]byte{5, 6} || string(b) != "abc" || s != "é" {
		t.Fatal("fields differ")
	}
}

func TestReaderRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		record []byte
		read   func(*canon.Reader)
	}{
		"other magic":   {[]byte("sigil/test/v2\n"), func(r *canon.Reader) {}},
		"short":         {[]byte(magic + "\x00"), func(r *canon.Reader) { r.U16() }},
		"trailing":      {[]byte(magic + "\x00"), func(r *canon.Reader) {}},
		"over max":      {[]byte(magic + "\x00\x00\x00\x02ab"), func(r *canon.Reader) { r.Bytes(1) }},
		"huge length":   {[]byte(magic + "\xff\xff\xff\xff"), func(r *canon.Reader) { r.Bytes(1 << 30) }},
		"bad UTF-8":     {[]byte(magic + "\x00\x00\x00\x01\xff"), func(r *canon.Reader) { r.Text(9) }},
		"count":         {[]byte(magic + "\x00\x00\x00\x09"), func(r *canon.Reader) { r.Count(8) }},
		"caller's word": {[]byte(magic), func(r *canon.Reader) { r.Fail("no") }},
	} {
		r := canon.NewReader(magic, c.record)
		c.read(r)
		if err := r.Close(); !errors.Is(err, canon.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type doc struct {
	Name string   `json:"name"`
	List []string `json:"list"`
}

func TestJSON(t *testing.T) {
	good := []byte(`{"name":"<a>&\u0001\"","list":[]}`)
	var d doc
	if err := canon.DecodeJSON(good, &d); err != nil {
		t.Fatal(err)
	}
	out, err := canon.EncodeJSON(d)
	if err != nil || !bytes.Equal(out, good) {
		t.Fatalf("%s %v", out, err)
	}
	for _, bad := range []string{
		`{"name":"a","list":[]} `, `{"list":[],"name":"a"}`, `{"name":"a","name":"b","list":[]}`,
		`{"Name":"a","list":[]}`, `{"name":"a","list":null}`, `{"name":"a"}`, `{"name":"\u0061","list":[]}`,
		`{"name":"a","list":[],"x":1}`, "{\"name\":\"\xff\",\"list\":[]}", ``, `null`, `[]`,
	} {
		var d doc
		if err := canon.DecodeJSON([]byte(bad), &d); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(magic + "\x00\x00\x00\x01a"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := canon.NewReader(magic, in)
		s := r.Text(64)
		if r.Close() != nil {
			return
		}
		if again := canon.NewWriter(magic, 0).Text(s).MustRecord(); !bytes.Equal(again, in) {
			t.Fatalf("%x encodes as %x", in, again)
		}
	})
}

func TestBoundJSON(t *testing.T) {
	for doc, good := range map[string]bool{
		``: true, `1`: true, `{"a":[1,2,3,4],"b":{}}`: true, `{"a":{"b":1}}`: true, `[[1]]`: true, `[1,2,3,4]`: true, `{"a":1,"a":2}`: true,
		`{"a":[{}]}`: false, `[[[`: false, `{"a":1,"b":2,"c":3`: false, `[{"a":1,"b":2,"c":3}]`: false,
	} {
		if err := canon.BoundJSON([]byte(doc), 2, 2); (err == nil) != good {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

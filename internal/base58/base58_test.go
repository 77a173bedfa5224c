package base58

import (
	"bytes"
	"math/big"
	"testing"
)

// FuzzEncode holds the encoder against plain division, and the decoder
// against the encoder.
func FuzzEncode(f *testing.F) {
	for _, b := range [][]byte{nil, {0}, {0, 0, 1}, bytes.Repeat([]byte{0xff}, 64), make([]byte, 64), {0x39}, {0x3a}} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		text := Encode(b)
		var want []byte
		n, d := new(big.Int).SetBytes(b), new(big.Int)
		for n.Sign() > 0 {
			n.DivMod(n, big.NewInt(58), d)
			want = append([]byte{Alphabet[d.Int64()]}, want...)
		}
		for _, c := range b {
			if c != 0 {
				break
			}
			want = append([]byte{'1'}, want...)
		}
		if text != string(want) {
			t.Errorf("%x is %s, want %s", b, text, want)
		}
		if again, err := DecodeAll(text); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x becomes %x, %v", b, again, err)
		}
		if again, err := DecodeAll(string(b)); err == nil && Encode(again) != string(b) {
			t.Errorf("%q becomes %x", b, again)
		}
	})
}

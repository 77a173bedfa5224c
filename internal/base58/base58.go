// Package base58 writes bytes in Bitcoin's base58, which Solana uses as well.
// Public values only: it isn't constant-time.
package base58

import (
	"encoding/binary"
	"errors"
	"math/big"
	"strings"
)

// Alphabet is the digits, from 0 to 57.
const Alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// Digits are handled in groups of five, which fit 32 bits: encoding stands on
// the path of every signature.
const (
	groupDigits = 5
	groupBase   = 58 * 58 * 58 * 58 * 58
)

// Encode returns the base58 text of b; leading zero bytes are "1"s.
func Encode(b []byte) string {
	zeros := 0
	for zeros < len(b) && b[zeros] == 0 {
		zeros++
	}
	var space [16]uint32 // a signature
	limbs := space[:0]   // of 32 bits, big-endian
	for rest := b[zeros:]; len(rest) > 0; {
		n := (len(rest)-1)%4 + 1
		var word [4]byte
		copy(word[4-n:], rest[:n])
		limbs, rest = append(limbs, binary.BigEndian.Uint32(word[:])), rest[n:]
	}
	out := make([]byte, len(b)*138/100+1+groupDigits)
	at := len(out)
	for len(limbs) > 0 {
		group := uint64(0)
		for i, limb := range limbs {
			group = group<<32 | uint64(limb)
			limbs[i], group = uint32(group/groupBase), group%groupBase
		}
		for len(limbs) > 0 && limbs[0] == 0 {
			limbs = limbs[1:]
		}
		for i := 0; i < groupDigits && (group > 0 || len(limbs) > 0); i++ {
			at--
			out[at], group = Alphabet[group%58], group/58
		}
	}
	for range zeros {
		at--
		out[at] = Alphabet[0]
	}
	return string(out[at:])
}

// Decode reads base58 text of exactly size bytes.
func Decode(s string, size int) ([]byte, error) {
	if len(s) > 2*size {
		return nil, errors.New("base58 text is too long")
	}
	b, err := DecodeAll(s)
	if err != nil {
		return nil, err
	}
	if len(b) != size {
		return nil, errors.New("base58 text of another length")
	}
	return b, nil
}

// DecodeAll reads base58 text of any number of bytes; time grows with the
// square of the text's length, which the caller bounds.
func DecodeAll(s string) ([]byte, error) {
	n, shift, add := new(big.Int), new(big.Int), new(big.Int)
	scale, group := uint64(1), uint64(0)
	for i := range len(s) {
		d := strings.IndexByte(Alphabet, s[i])
		if d < 0 {
			return nil, errors.New("not base58")
		}
		scale, group = scale*58, group*58+uint64(d)
		if scale == groupBase || i == len(s)-1 {
			n.Add(n.Mul(n, shift.SetUint64(scale)), add.SetUint64(group))
			scale, group = 1, 0
		}
	}
	zeros := len(s) - len(strings.TrimLeft(s, Alphabet[:1]))
	return append(make([]byte, zeros, zeros+(n.BitLen()+7)/8), n.Bytes()...), nil
}

package solana

import (
	"encoding/binary"
	"errors"
	"math/big"
	"strings"
)

// alphabet is Bitcoin's base58, which Solana uses. Public values only: this
// code isn't constant-time.
const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// Digits are handled in groups of five, which fit 32 bits: encoding stands on
// the path of every signature.
const (
	groupDigits = 5
	groupBase   = 58 * 58 * 58 * 58 * 58
)

// EncodeBase58 returns the base58 text of b; leading zero bytes are "1"s.
func EncodeBase58(b []byte) string {
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
			out[at], group = alphabet[group%58], group/58
		}
	}
	for range zeros {
		at--
		out[at] = alphabet[0]
	}
	return string(out[at:])
}

// DecodeBase58 reads base58 text of exactly size bytes.
func DecodeBase58(s string, size int) ([]byte, error) {
	if len(s) > 2*size {
		return nil, errors.New("base58 text is too long")
	}
	b, err := decodeBase58(s)
	if err != nil {
		return nil, err
	}
	if len(b) != size {
		return nil, errors.New("base58 text of another length")
	}
	return b, nil
}

func decodeBase58(s string) ([]byte, error) {
	n, shift, add := new(big.Int), new(big.Int), new(big.Int)
	scale, group := uint64(1), uint64(0)
	for i := range len(s) {
		d := strings.IndexByte(alphabet, s[i])
		if d < 0 {
			return nil, errors.New("not base58")
		}
		scale, group = scale*58, group*58+uint64(d)
		if scale == groupBase || i == len(s)-1 {
			n.Add(n.Mul(n, shift.SetUint64(scale)), add.SetUint64(group))
			scale, group = 1, 0
		}
	}
	zeros := len(s) - len(strings.TrimLeft(s, alphabet[:1]))
	return append(make([]byte, zeros, zeros+(n.BitLen()+7)/8), n.Bytes()...), nil
}

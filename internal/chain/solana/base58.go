package solana

import (
	"errors"
	"math/big"
	"strings"
)

// alphabet is Bitcoin's base58, which Solana uses. Public values only: this
// code isn't constant-time.
const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// EncodeBase58 returns the base58 text of b; leading zero bytes are "1"s.
func EncodeBase58(b []byte) string {
	zeros := 0
	for zeros < len(b) && b[zeros] == 0 {
		zeros++
	}
	digits := make([]byte, 0, len(b)*138/100+1) // base 58, little-endian
	for _, c := range b[zeros:] {
		carry := int(c)
		for i := range digits {
			carry += int(digits[i]) << 8
			digits[i] = byte(carry % 58)
			carry /= 58
		}
		for ; carry > 0; carry /= 58 {
			digits = append(digits, byte(carry%58))
		}
	}
	out := make([]byte, zeros+len(digits))
	for i := range zeros {
		out[i] = alphabet[0]
	}
	for i, d := range digits {
		out[len(out)-1-i] = alphabet[d]
	}
	return string(out)
}

// DecodeBase58 reads base58 text of exactly size bytes.
func DecodeBase58(s string, size int) ([]byte, error) {
	if len(s) > 2*size {
		return nil, errors.New("base58 text is too long")
	}
	n := new(big.Int)
	for _, c := range s {
		d := strings.IndexRune(alphabet, c)
		if d < 0 {
			return nil, errors.New("not base58")
		}
		n.Add(n.Mul(n, big.NewInt(58)), big.NewInt(int64(d)))
	}
	zeros := len(s) - len(strings.TrimLeft(s, alphabet[:1]))
	if b := n.Bytes(); len(b)+zeros == size {
		return append(make([]byte, zeros, size), b...), nil
	}
	return nil, errors.New("base58 text of another length")
}

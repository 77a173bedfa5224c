package bitcoin

import (
	"crypto/sha256"
	"errors"
	"strings"
)

const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

const (
	hashSize     = 20 // HASH160
	checksumSize = 4
	checkedSize  = 1 + hashSize + checksumSize
)

// encodeBase58Check writes version ‖ hash with its checksum: an address of a
// public key's or a script's hash.
func encodeBase58Check(version byte, hash []byte) string {
	var b [checkedSize]byte
	b[0] = version
	copy(b[1:], hash)
	sum := sha256d(b[:1+hashSize])
	copy(b[1+hashSize:], sum[:])
	zeros := 0
	for zeros < len(b) && b[zeros] == 0 {
		zeros++
	}
	var out [2 * checkedSize]byte
	at := len(out)
	for rest := b[zeros:]; len(rest) > 0; {
		digit := 0
		for i, v := range rest {
			digit = digit<<8 | int(v)
			rest[i], digit = byte(digit/58), digit%58
		}
		at--
		out[at] = alphabet[digit]
		for len(rest) > 0 && rest[0] == 0 {
			rest = rest[1:]
		}
	}
	return strings.Repeat(alphabet[:1], zeros) + string(out[at:])
}

// decodeBase58Check is the strict inverse of encodeBase58Check.
func decodeBase58Check(text string) (version byte, hash []byte, err error) {
	var b [checkedSize]byte
	if len(text) > 2*checkedSize {
		return 0, nil, errors.New("base58 text of another length")
	}
	for i := range len(text) {
		carry := strings.IndexByte(alphabet, text[i])
		if carry < 0 {
			return 0, nil, errors.New("not base58")
		}
		for j := len(b) - 1; j >= 0; j-- {
			carry += 58 * int(b[j])
			b[j], carry = byte(carry), carry>>8
		}
		if carry != 0 {
			return 0, nil, errors.New("base58 text of another length")
		}
	}
	sum := sha256d(b[:1+hashSize])
	if string(sum[:checksumSize]) != string(b[1+hashSize:]) {
		return 0, nil, errors.New("the base58 text's checksum is wrong")
	}
	hash = b[1 : 1+hashSize]
	if encodeBase58Check(b[0], hash) != text { // its leading zeros
		return 0, nil, errors.New("base58 text of another length")
	}
	return b[0], hash, nil
}

func sha256d(b []byte) [32]byte {
	once := sha256.Sum256(b)
	return sha256.Sum256(once[:])
}

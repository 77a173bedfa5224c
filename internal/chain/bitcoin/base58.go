package bitcoin

import (
	"crypto/sha256"
	"errors"

	"github.com/sigilkeys/sigil/internal/base58"
)

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
	return base58.Encode(b[:])
}

// decodeBase58Check is the strict inverse of encodeBase58Check.
func decodeBase58Check(text string) (version byte, hash []byte, err error) {
	b, err := base58.Decode(text, checkedSize)
	if err != nil {
		return 0, nil, err
	}
	sum := sha256d(b[:1+hashSize])
	if string(sum[:checksumSize]) != string(b[1+hashSize:]) {
		return 0, nil, errors.New("the base58 text's checksum is wrong")
	}
	return b[0], b[1 : 1+hashSize], nil
}

func sha256d(b []byte) [32]byte {
	once := sha256.Sum256(b)
	return sha256.Sum256(once[:])
}

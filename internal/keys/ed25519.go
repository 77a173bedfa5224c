package keys

import (
	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

func publicEd25519(seed *[32]byte, pub []byte) {
	copy(pub, ed25519.NewKeyFromSeed(seed[:])[32:])
}

func signEd25519(seed *[32]byte, pub, msg, sig []byte) {
	var expanded [64]byte // the library's private key: seed ‖ public key
	copy(expanded[:32], seed[:])
	copy(expanded[32:], pub)
	copy(sig, ed25519.Sign(expanded[:], msg))
	clear(expanded[:])
}

func strictEd25519() *ed25519.Options {
	return &ed25519.Options{Verify: &ed25519.VerifyOptions{CofactorlessVerify: true}}
}

// IsEd25519Point reports whether the bytes encode a point of the curve, as some
// public key's do. Encodings that aren't the shortest count, as they do for
// Solana's programs, whose own addresses must be no point.
func IsEd25519Point(b [32]byte) bool {
	_, err := new(curve.EdwardsPoint).SetCompressedY((*curve.CompressedEdwardsY)(&b))
	return err == nil
}

// Package keys generates, signs and verifies with the curves that wallets use.
//
// Which code touches secret scalars. Only constant-time code: for secp256k1
// the point and scalar arithmetic of gitlab.com/yawning/secp256k1-voi, for
// Ed25519 that of github.com/oasisprotocol/curve25519-voi. Both were written
// by Yawning Angel and had their last commit in September 2023; upstream is
// quiet, so this project looks after the pinned versions: the tests compare
// them with decred's secp256k1 and the standard library, and with Wycheproof
// and RFC vectors. ECDSA itself (nonce, equation) is in this package, since
// the library's signer derives the public key once more for every signature,
// and so are Schnorr signatures by Taproot keys (BIP-340, BIP-341).
// Verification has public inputs only: for secp256k1 it is package vartime,
// which shares no code with the signer, for Ed25519 the library's.
//
// Callers run Generate and Sign inside secret.Do and pass their own buffers;
// a private key is a *[32]byte and is never a string, hex or big.Int.
package keys

import "fmt"

// Curve identifies the curve and signature scheme of a key. The zero value is
// no curve. The numbers are those of docs/FORMATS.md section 5.1.
type Curve uint8

// Curves.
const (
	Secp256k1 Curve = 1 // ECDSA; RFC 6979 nonces, low S
	Ed25519   Curve = 2 // RFC 8032 pure Ed25519
)

// Scheme is how a key signs. The zero value is what its curve says.
type Scheme uint8

// Schemes.
const (
	SchemeDefault Scheme = 0 // ECDSA over a 32-byte digest; pure Ed25519 over the message
	SchemeTaproot Scheme = 1 // secp256k1: BIP-340 over a 32-byte digest, by the key tweaked as BIP-86 has it
)

// SignatureSize returns the size of a raw signature that a key of the curve
// makes by the scheme; 0 where there is none.
func (s Scheme) SignatureSize(c Curve) int {
	switch {
	case s == SchemeDefault:
		return c.SignatureSize()
	case s == SchemeTaproot && c == Secp256k1:
		return sizeTaproot
	}
	return 0
}

// PrivateSize is the size of a private key: the big-endian scalar
// (secp256k1) or the RFC 8032 seed (Ed25519).
const PrivateSize = 32

// String returns the name used in the API.
func (c Curve) String() string {
	switch c {
	case Secp256k1:
		return "secp256k1"
	case Ed25519:
		return "ed25519"
	}
	return fmt.Sprintf("curve(%d)", uint8(c))
}

// ParseCurve is the inverse of String.
func ParseCurve(s string) (Curve, error) {
	for _, c := range []Curve{Secp256k1, Ed25519} {
		if s == c.String() {
			return c, nil
		}
	}
	return 0, fmt.Errorf("unknown curve %q", s)
}

// PublicKeySize returns the size of an encoded public key: 33 (compressed
// point) or 32; 0 for no curve.
func (c Curve) PublicKeySize() int {
	switch c {
	case Secp256k1:
		return 33
	case Ed25519:
		return 32
	}
	return 0
}

// SignatureSize returns the size of a raw signature: 65 (r ‖ s ‖ recovery id 0
// or 1) or 64; 0 for no curve.
func (c Curve) SignatureSize() int {
	switch c {
	case Secp256k1:
		return 65
	case Ed25519:
		return 64
	}
	return 0
}

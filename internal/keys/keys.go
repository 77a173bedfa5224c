package keys

import (
	"errors"
	"fmt"
	"io"
)

// ErrInput is wrapped by errors about sizes and values of arguments.
var ErrInput = errors.New("invalid key or input")

// Generate fills priv with a fresh private key read from random and pub,
// which has PublicKeySize bytes, with its public key. A candidate outside
// the curve's range is drawn again.
func Generate(c Curve, random io.Reader, priv *[PrivateSize]byte, pub []byte) error {
	if len(pub) != c.PublicKeySize() || len(pub) == 0 {
		return fmt.Errorf("%w: public key buffer of %d bytes for %v", ErrInput, len(pub), c)
	}
	// 64 rejections in a row have a chance of 2^-8192 with real randomness.
	for range 64 {
		if _, err := io.ReadFull(random, priv[:]); err != nil {
			return fmt.Errorf("read randomness: %w", err)
		}
		if err := Public(c, priv, pub); err == nil {
			return nil
		}
	}
	return errors.New("randomness is broken: no valid key in 64 draws")
}

// Public writes the public key of priv to pub, PublicKeySize bytes.
func Public(c Curve, priv *[PrivateSize]byte, pub []byte) error {
	if len(pub) != c.PublicKeySize() {
		return fmt.Errorf("%w: public key buffer of %d bytes for %v", ErrInput, len(pub), c)
	}
	switch c {
	case Secp256k1:
		return publicSecp256k1(priv, pub)
	case Ed25519:
		publicEd25519(priv, pub)
		return nil
	}
	return fmt.Errorf("%w: %v", ErrInput, c)
}

// Sign signs msg, the 32-byte digest for secp256k1 or the message itself for
// Ed25519, and writes the raw signature to sig, SignatureSize bytes. pub must
// be the public key of priv; it is not derived again. An Ed25519 signature
// made with another public key could reveal the private one, so the caller
// must pass every signature through Verify with the same pub before it leaves.
func Sign(c Curve, priv *[PrivateSize]byte, pub, msg, sig []byte) error {
	if len(pub) != c.PublicKeySize() || len(sig) != c.SignatureSize() {
		return fmt.Errorf("%w: buffers of %d and %d bytes for %v", ErrInput, len(pub), len(sig), c)
	}
	switch c {
	case Secp256k1:
		if len(msg) != 32 {
			return fmt.Errorf("%w: digest of %d bytes", ErrInput, len(msg))
		}
		return signSecp256k1(priv, (*[32]byte)(msg), (*[65]byte)(sig))
	case Ed25519:
		signEd25519(priv, pub, msg, sig)
		return nil
	}
	return fmt.Errorf("%w: %v", ErrInput, c)
}

// Verify reports whether sig is the raw signature of msg under pub, in the
// one encoding that Sign makes: for secp256k1 low S and the recovery id of
// pub, for Ed25519 RFC 8032 with canonical S, A and R, no small-order A or R,
// and the cofactorless equation, which is at least as strict as the standard
// library and Solana. Anything malformed is false.
func Verify(c Curve, pub, msg, sig []byte) bool {
	if len(pub) != c.PublicKeySize() || len(sig) != c.SignatureSize() {
		return false
	}
	switch c {
	case Secp256k1:
		return len(msg) == 32 && verifySecp256k1(pub, msg, (*[65]byte)(sig))
	case Ed25519:
		return verifyEd25519(pub, msg, sig)
	}
	return false
}

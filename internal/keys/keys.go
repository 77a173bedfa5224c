package keys

import (
	"errors"
	"fmt"
	"io"

	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"

	"github.com/sigilkeys/sigil/internal/keys/vartime"
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

// Verifier verifies under one public key. What the key alone determines is
// computed when it is made, about a quarter of a verification's time. It is
// read-only and safe for concurrent use.
type Verifier struct {
	curve Curve
	secp  *vartime.Key
	ed    *ed25519.ExpandedPublicKey
}

// NewVerifier prepares an encoded public key, PublicKeySize bytes; pub isn't
// kept. A key that isn't on the curve is ErrInput.
func NewVerifier(c Curve, pub []byte) (*Verifier, error) {
	v := &Verifier{curve: c}
	if len(pub) != c.PublicKeySize() {
		return nil, fmt.Errorf("%w: public key of %d bytes for %v", ErrInput, len(pub), c)
	}
	ok := false
	switch c {
	case Secp256k1:
		v.secp, ok = verifier().NewKey(pub)
	case Ed25519:
		var err error
		v.ed, err = ed25519.NewExpandedPublicKey(pub)
		ok = err == nil
	}
	if !ok {
		return nil, fmt.Errorf("%w: not a public key of %v", ErrInput, c)
	}
	return v, nil
}

// Verify reports whether sig is the raw signature of msg, in the one encoding
// that Sign makes: for secp256k1 low S and the recovery id of the public key,
// for Ed25519 RFC 8032 with canonical S, A and R, no small-order A or R, and
// the cofactorless equation, which is at least as strict as the standard
// library and Solana. Anything malformed is false, and so is everything under
// the zero Verifier.
func (v *Verifier) Verify(msg, sig []byte) bool {
	switch {
	case len(sig) != v.curve.SignatureSize():
		return false
	case v.curve == Secp256k1:
		// It shares no code with the signer, so that a fault in the
		// arithmetic of either shows.
		return len(msg) == 32 && verifier().Verify(v.secp, msg, (*[65]byte)(sig))
	case v.curve == Ed25519:
		return ed25519.VerifyExpandedWithOptions(v.ed, msg, sig, strictEd25519())
	}
	return false
}

// SignatureSize returns the size of a raw signature by the scheme; 0 where the
// key's curve has none.
func (v *Verifier) SignatureSize(s Scheme) int { return s.SignatureSize(v.curve) }

// VerifyScheme is Verify for a signature by any scheme.
func (v *Verifier) VerifyScheme(s Scheme, msg, sig []byte) bool {
	switch s {
	case SchemeDefault:
		return v.Verify(msg, sig)
	case SchemeTaproot:
		return v.verifyTaproot(msg, sig)
	}
	return false
}

// SignScheme is Sign by any scheme; 32 bytes of random are read for
// SchemeTaproot, and nothing for the default.
func SignScheme(c Curve, s Scheme, priv *[PrivateSize]byte, pub, msg, sig []byte, random io.Reader) error {
	switch {
	case s == SchemeDefault:
		return Sign(c, priv, pub, msg, sig)
	case s == SchemeTaproot && c == Secp256k1:
		var aux [32]byte
		if _, err := io.ReadFull(random, aux[:]); err != nil {
			return fmt.Errorf("read randomness: %w", err)
		}
		defer clear(aux[:])
		return signTaproot(priv, pub, msg, &aux, sig)
	}
	return fmt.Errorf("%w: scheme %d of %v", ErrInput, s, c)
}

// Verify is Verifier.Verify for a public key that is used once.
func Verify(c Curve, pub, msg, sig []byte) bool {
	if c == Ed25519 {
		return len(pub) == c.PublicKeySize() && len(sig) == c.SignatureSize() && ed25519.VerifyWithOptions(pub, msg, sig, strictEd25519())
	}
	v, err := NewVerifier(c, pub)
	return err == nil && v.Verify(msg, sig)
}

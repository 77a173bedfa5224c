package keys

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"sync"

	secp "gitlab.com/yawning/secp256k1-voi"

	"github.com/sigilkeys/sigil/internal/keys/vartime"
)

// scalarOf reads a private scalar in [1, n).
func scalarOf(priv *[32]byte) (*secp.Scalar, error) {
	d, reduced := secp.NewScalarFromBytes(priv)
	if reduced|d.IsZero() != 0 {
		return nil, fmt.Errorf("%w: scalar out of range", ErrInput)
	}
	return d, nil
}

func publicSecp256k1(priv *[32]byte, pub []byte) error {
	d, err := scalarOf(priv)
	if err != nil {
		return err
	}
	copy(pub, secp.NewIdentityPoint().ScalarBaseMult(d).CompressedBytes())
	return nil
}

// signSecp256k1 is ECDSA as in SEC 1 section 4.1.3 with the deterministic
// nonce of RFC 6979 (SHA-256), low S, and r ‖ s ‖ recovery id.
func signSecp256k1(priv, digest *[32]byte, sig *[65]byte) error {
	d, err := scalarOf(priv)
	if err != nil {
		return err
	}
	e, _ := secp.NewScalarFromBytes(digest) // reduced mod n, as SEC 1 says
	nonces := newNonces(d, e)
	for range 64 {
		k, err := nonces.next()
		if err != nil {
			return err
		}
		x, odd := secp.SplitUncompressedPoint(secp.NewIdentityPoint().ScalarBaseMult(k).UncompressedBytes())
		r, overflow := secp.NewScalarFromBytes((*[32]byte)(x))
		// s = k^-1 (e + r d)
		s := secp.NewScalar().Multiply(r, d)
		s.Add(s, e).Multiply(s, secp.NewScalar().Invert(k))
		// x >= n has a chance of 2^-127; its recovery id (2, 3) has no
		// place in a 27/28 signature, so such a nonce is passed over.
		if r.IsZero()|s.IsZero()|overflow != 0 {
			nonces.update(0, nil) // RFC 6979 section 3.2 h.3
			continue
		}
		negate := s.IsGreaterThanHalfN()
		s.ConditionalNegate(s, negate)
		copy(sig[:32], r.Bytes())
		copy(sig[32:64], s.Bytes())
		sig[64] = byte(odd ^ negate)
		return nil
	}
	return fmt.Errorf("%w: no usable nonce", ErrInput)
}

// nonces is the generator of RFC 6979 section 3.2 with HMAC-SHA-256.
type nonces struct{ k, v [32]byte }

func newNonces(d, e *secp.Scalar) *nonces {
	n := &nonces{}
	for i := range n.v {
		n.v[i] = 1
	}
	seed := append(d.Bytes(), e.Bytes()...) // int2octets(x) ‖ bits2octets(h)
	n.update(0, seed)
	n.update(1, seed)
	return n
}

func (n *nonces) update(sep byte, data []byte) {
	m := hmac.New(sha256.New, n.k[:])
	m.Write(n.v[:])
	m.Write([]byte{sep})
	m.Write(data)
	m.Sum(n.k[:0])
	n.stretch()
}

func (n *nonces) stretch() {
	m := hmac.New(sha256.New, n.k[:])
	m.Write(n.v[:])
	m.Sum(n.v[:0])
}

func (n *nonces) next() (*secp.Scalar, error) {
	for range 64 {
		n.stretch()
		k, reduced := secp.NewScalarFromBytes(&n.v)
		if reduced|k.IsZero() == 0 {
			return k, nil
		}
		n.update(0, nil)
	}
	return nil, fmt.Errorf("%w: no nonce in range", ErrInput)
}

// verifier makes its table of constants when it is first needed.
var verifier = sync.OnceValue(vartime.New)

// verifySecp256k1 shares no code with the signer, so that a fault in the
// arithmetic of either shows.
func verifySecp256k1(pub, digest []byte, sig *[65]byte) bool {
	return verifier().Verify(pub, digest, sig)
}

// Uncompressed returns the 65-byte form of a compressed secp256k1 public key.
func Uncompressed(pub []byte) ([]byte, error) {
	if len(pub) != 33 {
		return nil, fmt.Errorf("%w: public key of %d bytes", ErrInput, len(pub))
	}
	p, err := secp.NewPointFromBytes(pub)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	return p.UncompressedBytes(), nil
}

package keys

import (
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

// nonces is the generator of RFC 6979 section 3.2 with HMAC-SHA-256, written
// out so that it allocates nothing: each allocation inside secret.Do costs.
type nonces struct{ k, v [32]byte }

func newNonces(d, e *secp.Scalar) *nonces {
	n := &nonces{}
	for i := range n.v {
		n.v[i] = 1
	}
	var seed [64]byte // int2octets(x) ‖ bits2octets(h)
	copy(seed[:], d.Bytes())
	copy(seed[32:], e.Bytes())
	n.update(0, seed[:])
	n.update(1, seed[:])
	clear(seed[:])
	return n
}

// update sets K = HMAC_K(V ‖ sep ‖ data) and V = HMAC_K(V); data is of 64
// bytes at most.
func (n *nonces) update(sep byte, data []byte) {
	var msg [97]byte
	copy(msg[:], n.v[:])
	msg[32] = sep
	n.k = n.hmac(msg[:33+copy(msg[33:], data)])
	clear(msg[:])
	n.stretch()
}

func (n *nonces) stretch() { n.v = n.hmac(n.v[:]) }

// hmac is HMAC-SHA-256 (RFC 2104) under K of at most 97 bytes.
func (n *nonces) hmac(msg []byte) [32]byte {
	var inner [sha256.BlockSize + 97]byte
	var outer [sha256.BlockSize + sha256.Size]byte
	for i := range sha256.BlockSize {
		inner[i], outer[i] = 0x36, 0x5c
	}
	for i, b := range n.k {
		inner[i] ^= b
		outer[i] ^= b
	}
	size := sha256.BlockSize + copy(inner[sha256.BlockSize:], msg)
	sum := sha256.Sum256(inner[:size])
	copy(outer[sha256.BlockSize:], sum[:])
	out := sha256.Sum256(outer[:])
	clear(inner[:])
	clear(outer[:])
	clear(sum[:])
	return out
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

package keys

import (
	"crypto/sha256"
	"fmt"

	secp "gitlab.com/yawning/secp256k1-voi"
)

// sizeTaproot is the size of a signature of SchemeTaproot: R's x coordinate
// and s, as BIP-340 writes them.
const sizeTaproot = 64

// signTaproot makes a BIP-340 signature of a 32-byte digest by the key that
// spends the Taproot output of pub (33 bytes, the public key of priv) along
// the key path where there is no script tree (BIP-341, BIP-86): priv, negated
// where pub's y is odd, plus TapTweak of pub's x coordinate. sig has
// sizeTaproot bytes. aux is fresh randomness: it hides the nonce's computation
// from who measures it, and nothing breaks where it isn't random.
//
// pub isn't derived again; made with another public key, the signature
// verifies under none, so the caller passes each through VerifyScheme with the
// same pub before it leaves.
func signTaproot(priv *[PrivateSize]byte, pub, digest []byte, aux *[32]byte, sig []byte) error {
	if len(pub) != Secp256k1.PublicKeySize() || pub[0]&^1 != 2 || len(digest) != 32 || len(sig) != sizeTaproot {
		return fmt.Errorf("%w: buffers of %d, %d and %d bytes for Taproot", ErrInput, len(pub), len(digest), len(sig))
	}
	d, err := scalarOf(priv)
	if err != nil {
		return err
	}
	var x [32]byte
	copy(x[:], pub[1:])
	tweakHash := tagged(tagTweak, x[:])
	tweak, reduced := secp.NewScalarFromBytes(&tweakHash)
	if reduced != 0 {
		return fmt.Errorf("%w: no Taproot tweak", ErrInput) // 2^-128
	}
	d.ConditionalNegate(d, uint64(pub[0]&1))
	d.Add(d, tweak)
	defer d.Zero()
	return signSchnorr(d, digest, aux, sig)
}

// signSchnorr is BIP-340's default signing with the scalar d, of which it
// keeps nothing; d may be negated. The message may have any length.
func signSchnorr(d *secp.Scalar, msg []byte, aux *[32]byte, sig []byte) error {
	if d.IsZero() != 0 {
		return fmt.Errorf("%w: scalar out of range", ErrInput)
	}
	px, odd := secp.SplitUncompressedPoint(secp.NewIdentityPoint().ScalarBaseMult(d).UncompressedBytes())
	d.ConditionalNegate(d, odd)
	mask := tagged(tagAux, aux[:])
	secret := d.Bytes()
	for i := range mask {
		mask[i] ^= secret[i]
	}
	clear(secret)
	nonce := tagged(tagNonce, mask[:], px, msg)
	clear(mask[:])
	k, _ := secp.NewScalarFromBytes(&nonce)
	clear(nonce[:])
	defer k.Zero()
	if k.IsZero() != 0 {
		return fmt.Errorf("%w: no usable nonce", ErrInput)
	}
	rx, odd := secp.SplitUncompressedPoint(secp.NewIdentityPoint().ScalarBaseMult(k).UncompressedBytes())
	k.ConditionalNegate(k, odd)
	challenge := tagged(tagChallenge, rx, px, msg)
	e, _ := secp.NewScalarFromBytes(&challenge)
	e.Multiply(e, d)
	defer e.Zero()
	k.Add(k, e)
	copy(sig, rx)
	copy(sig[32:], k.Bytes())
	return nil
}

// OutputKey returns the x coordinate of the Taproot output key of a compressed
// public key without a script tree (BIP-341, BIP-86), 32 bytes. A key that
// isn't on the curve is ErrInput.
func OutputKey(pub []byte) ([]byte, error) {
	key, ok := verifier().NewKey(pub)
	var x [32]byte
	if ok {
		x, ok = verifier().OutputKey(key)
	}
	if !ok {
		return nil, fmt.Errorf("%w: not a public key of %v", ErrInput, Secp256k1)
	}
	return x[:], nil
}

// verifyTaproot reports whether sig is a BIP-340 signature of the 32-byte
// digest under OutputKey of the key. It shares no code with the signer.
func (v *Verifier) verifyTaproot(digest, sig []byte) bool {
	return v.curve == Secp256k1 && len(digest) == 32 && len(sig) == sizeTaproot &&
		verifier().VerifyTaproot(v.secp, digest, (*[sizeTaproot]byte)(sig))
}

// Tags of BIP-340 and BIP-341.
const (
	tagTweak     = "TapTweak"
	tagAux       = "BIP0340/aux"
	tagNonce     = "BIP0340/nonce"
	tagChallenge = "BIP0340/challenge"
)

// tagged is BIP-340's tagged hash: SHA-256 of the tag's hash, twice, and the
// parts. What it copies of them it wipes: one may be the nonce's seed.
func tagged(tag string, parts ...[]byte) [32]byte {
	var room [6 * sha256.Size]byte // a digest's nonce and challenge need 5
	name := sha256.Sum256([]byte(tag))
	b := append(append(room[:0], name[:]...), name[:]...)
	for _, p := range parts {
		b = append(b, p...)
	}
	sum := sha256.Sum256(b)
	clear(b)
	return sum
}

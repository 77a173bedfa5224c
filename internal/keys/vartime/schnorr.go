package vartime

import (
	"bytes"
	"crypto/sha256"
	"math/big"
)

// VerifySchnorr reports whether sig is a BIP-340 signature of msg under the
// key with this x coordinate.
func (v *Verifier) VerifySchnorr(x *[32]byte, msg []byte, sig *[64]byte) bool {
	key, ok := v.NewKey(append([]byte{2}, x[:]...)) // lift_x: the even y
	return ok && v.verifySchnorr(key, x, msg, sig)
}

// VerifyTaproot is VerifySchnorr under the output key of a public key.
func (v *Verifier) VerifyTaproot(key *Key, msg []byte, sig *[64]byte) bool {
	q, ok := v.output(key)
	if !ok {
		return false
	}
	if q.y.odd() {
		q.y.negate(&q.y)
	}
	var x [32]byte
	q.x.bytes(x[:])
	lifted := &Key{}
	v.multiples(&lifted.table, &q)
	return v.verifySchnorr(lifted, &x, msg, sig)
}

// verifySchnorr takes the key with even y whose x coordinate is x.
func (v *Verifier) verifySchnorr(key *Key, x *[32]byte, msg []byte, sig *[64]byte) bool {
	s := new(big.Int).SetBytes(sig[32:])
	var r element
	if !r.setBytes(sig[:32]) || s.Cmp(v.n) >= 0 {
		return false
	}
	sum := taggedHash("BIP0340/challenge", sig[:32], x[:], msg)
	e := new(big.Int).SetBytes(sum[:])
	point := v.mult(s, e.Mod(e.Neg(e), v.n), key) // R = s G - e P
	if point.z.isZero() {
		return false
	}
	got := v.affine(&point)
	var gotX [32]byte
	got.x.bytes(gotX[:])
	return !got.y.odd() && bytes.Equal(gotX[:], sig[:32])
}

// OutputKey returns the x coordinate of the Taproot output key of a public key
// without a script tree: lift_x(P) + TapTweak(x(P)) G (BIP-341). It is false
// for one key in 2^128.
func (v *Verifier) OutputKey(key *Key) (x [32]byte, ok bool) {
	q, ok := v.output(key)
	if ok {
		q.x.bytes(x[:])
	}
	return x, ok
}

func (v *Verifier) output(key *Key) (q affine, ok bool) {
	p := &key.table[0][0] // the key itself, over 1
	var x [32]byte
	p.x.bytes(x[:])
	sum := taggedHash("TapTweak", x[:])
	tweak, lift := new(big.Int).SetBytes(sum[:]), big.NewInt(1)
	if p.y.odd() {
		lift.Sub(v.n, lift)
	}
	if tweak.Cmp(v.n) >= 0 {
		return q, false
	}
	point := v.mult(tweak, lift, key)
	if point.z.isZero() {
		return q, false
	}
	return v.affine(&point), true
}

func (z *element) odd() bool { n := z.normal(); return n[0]&1 == 1 }

// taggedHash is that of BIP-340. Package keys has its own.
func taggedHash(tag string, parts ...[]byte) [32]byte {
	name := sha256.Sum256([]byte(tag))
	b := append(name[:], name[:]...)
	for _, p := range parts {
		b = append(b, p...)
	}
	return sha256.Sum256(b)
}

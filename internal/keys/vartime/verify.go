// Package vartime verifies ECDSA and Schnorr signatures on secp256k1 fast, in
// variable time. Its inputs are public; nothing in it may ever see a secret, and
// package keys is its only user.
//
// Why another implementation. Each signature that Sigil makes is verified
// before it leaves, and that is the most expensive step of a request: a point
// multiplication by two scalars. This one takes half the time of the library
// that signs, and that it shares no code with that library makes it a better
// check of it. Jacobian coordinates, the curve's endomorphism (GLV), Straus's
// interleaving, wNAF digits; scalars by math/big. The tests compare it with
// two other implementations.
package vartime

import (
	"bytes"
	"encoding/binary"
	"math/big"
)

// Verifier holds the curve's constants and multiples of the base point. It is
// read-only after New and safe for concurrent use.
type Verifier struct {
	n, half, p *big.Int
	a1, b1, a2 *big.Int             // basis of the lattice of GLV: (a1, -b1), (a2, a1)
	beta       element              // (beta x, y) is lambda (x, y)
	base       [2][tableSize]affine // odd multiples of G and of 2^128 G
}

// Widths of wNAF digits, and the sizes of their tables of odd multiples.
const (
	keyWidth  = 5
	baseWidth = 9
	keyTable  = 1 << (keyWidth - 2)
	tableSize = 1 << (baseWidth - 2)
	maxDigits = 136 // scalars are below 2^130 here
)

// New returns a Verifier. It takes about a millisecond: make one and keep it.
func New() *Verifier {
	v := &Verifier{
		n:  number("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"),
		p:  number("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f"),
		a1: number("3086d221a7d46bcde86c90e49284eb15"),
		b1: number("e4437ed6010e88286f547fa90abfe4c3"),
		a2: number("114ca50f7a8e2f3f657c1108d9d44cfd8"),
	}
	v.half = new(big.Int).Rsh(v.n, 1)
	v.beta.setInt(number("7ae96a2b657c07106e64479eac3434e99cf0497512f58995c1396c28719501ee"))
	g := jacobian{z: element{1}}
	g.x.setInt(number("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"))
	g.y.setInt(number("483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"))
	for i := range v.base {
		var twice cached
		var d jacobian
		d.double(&g)
		twice.set(&d)
		next := g
		for j := range v.base[i] {
			v.base[i][j] = v.affine(&next)
			next.addCached(&twice, false)
		}
		for range 128 {
			g.double(&g)
		}
	}
	return v
}

// number reads one of the constants above.
func number(hex string) *big.Int {
	n, ok := new(big.Int).SetString(hex, 16)
	if !ok {
		panic("vartime: malformed constant")
	}
	return n
}

func (z *element) setInt(n *big.Int) { z.setBytes(n.FillBytes(make([]byte, 32))) }

// affine returns a point that isn't infinity in affine coordinates.
func (v *Verifier) affine(q *jacobian) (a affine) {
	var buf [32]byte
	q.z.bytes(buf[:])
	var inv, inv2 element
	inv.setInt(new(big.Int).ModInverse(new(big.Int).SetBytes(buf[:]), v.p))
	inv2.square(&inv)
	a.x.mul(&q.x, &inv2)
	inv2.mul(&inv2, &inv)
	a.y.mul(&q.y, &inv2)
	return a
}

// Key is a public key prepared for verifications: its odd multiples and those
// by lambda, 3.5 KB. It is read-only and safe for concurrent use.
type Key struct{ table [2][keyTable]cached }

// NewKey prepares a compressed public key; false if it isn't one.
func (v *Verifier) NewKey(pub []byte) (*Key, bool) {
	q, ok := decompress(pub)
	if !ok {
		return nil, false
	}
	k := &Key{}
	v.multiples(&k.table, &q)
	return k, true
}

// Verify reports whether sig, r ‖ s ‖ recovery id, is a signature of the
// 32-byte digest under the key: SEC 1 section 4.1.4 with s at most n/2, and a
// recovery id of 0 or 1 that is that of the point R.
func (v *Verifier) Verify(key *Key, digest []byte, sig *[65]byte) bool {
	if len(digest) != 32 || sig[64] > 1 {
		return false
	}
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:64])
	if r.Sign() == 0 || r.Cmp(v.n) >= 0 || s.Sign() == 0 || s.Cmp(v.half) > 0 {
		return false
	}
	w := new(big.Int).ModInverse(s, v.n)
	u1 := new(big.Int).SetBytes(digest)
	u1.Mod(u1.Mul(u1, w), v.n)
	u2 := r.Mod(r.Mul(r, w), v.n)
	sum := v.mult(u1, u2, key)
	if sum.z.isZero() {
		return false
	}
	point := v.affine(&sum)
	var x [32]byte
	point.x.bytes(x[:])
	y := point.y.normal()
	// With recovery id 0 or 1 the x coordinate itself is r: one of n or more
	// would have id 2 or 3.
	return bytes.Equal(x[:], sig[:32]) && byte(y[0]&1) == sig[64]
}

// mult returns u1 G + u2 q, where q is the key's point.
func (v *Verifier) mult(u1, u2 *big.Int, q *Key) jacobian {
	var keyDigits, baseDigits [2][maxDigits]int16
	k1, k2 := v.split(u2)
	n := max(wnaf(&keyDigits[0], k1, keyWidth), wnaf(&keyDigits[1], k2, keyWidth))
	high := new(big.Int).Rsh(u1, 128)
	low := new(big.Int).Sub(u1, new(big.Int).Lsh(high, 128))
	n = max(n, wnaf(&baseDigits[0], low, baseWidth), wnaf(&baseDigits[1], high, baseWidth))

	var sum jacobian
	for i := n - 1; i >= 0; i-- {
		sum.double(&sum)
		for j := range q.table {
			if d := keyDigits[j][i]; d != 0 {
				sum.addCached(&q.table[j][abs(d)/2], d < 0)
			}
			if d := baseDigits[j][i]; d != 0 {
				b := &v.base[j][abs(d)/2]
				y := b.y
				if d < 0 {
					y.negate(&y)
				}
				sum.addAffine(&b.x, &y)
			}
		}
	}
	return sum
}

// multiples fills the tables with odd multiples of q and of lambda q.
func (v *Verifier) multiples(table *[2][keyTable]cached, q *affine) {
	next := jacobian{q.x, q.y, element{1}}
	var twice cached
	var d jacobian
	d.double(&next)
	twice.set(&d)
	for i := range table[0] {
		table[0][i].set(&next)
		table[1][i] = table[0][i]
		table[1][i].x.mul(&table[1][i].x, &v.beta)
		if i+1 < keyTable {
			next.addCached(&twice, false)
		}
	}
}

// split returns k1, k2 of at most 129 bits, maybe negative, with k = k1 + k2
// lambda mod n (Guide to Elliptic Curve Cryptography, algorithm 3.74).
func (v *Verifier) split(k *big.Int) (k1, k2 *big.Int) {
	c1 := v.round(new(big.Int).Mul(v.a1, k))
	c2 := v.round(new(big.Int).Mul(v.b1, k))
	k1 = new(big.Int).Mul(c1, v.a1)
	k1.Sub(k, k1.Add(k1, new(big.Int).Mul(c2, v.a2)))
	k2 = c1.Mul(c1, v.b1)
	return k1, k2.Sub(k2, c2.Mul(c2, v.a1))
}

// round sets x to x/n rounded to the nearest.
func (v *Verifier) round(x *big.Int) *big.Int { return x.Div(x.Add(x, v.half), v.n) }

func abs(d int16) int16 {
	if d < 0 {
		return -d
	}
	return d
}

// wnaf writes k's digits of the width, least significant first, and returns
// their number: each is 0 or odd and below 2^(width-1) in magnitude.
func wnaf(digits *[maxDigits]int16, k *big.Int, width int) int {
	var buf [32]byte
	k.FillBytes(buf[:]) // of the magnitude
	var limb [4]uint64
	for i := range limb {
		limb[i] = binary.BigEndian.Uint64(buf[24-8*i:])
	}
	carry, n := 0, 0
	for i := 0; i < maxDigits; {
		if int(limb[i/64]>>(i%64)&1) == carry {
			i++
			continue
		}
		window := limb[i/64] >> (i % 64)
		if i%64 != 0 {
			window |= limb[i/64+1] << (64 - i%64)
		}
		d := int(window&(1<<width-1)) + carry
		carry = d >> (width - 1) & 1
		d -= carry << width
		if k.Sign() < 0 {
			d = -d
		}
		digits[i] = int16(d)
		n = i + 1
		i += width
	}
	return n
}

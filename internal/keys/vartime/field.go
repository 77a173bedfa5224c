package vartime

import (
	"encoding/binary"
	"math/bits"
)

// element is an integer mod p = 2^256 - c, little-endian limbs. Any 256-bit
// value is allowed between operations (p itself stands for 0, and so on);
// normal brings it into [0, p).
type element [4]uint64

// c is 2^256 mod p.
const c = 0x1000003d1

// p is the field's order.
var p = element{0xfffffffefffffc2f, 0xffffffffffffffff, 0xffffffffffffffff, 0xffffffffffffffff}

// setBytes reads 32 big-endian bytes; false if they aren't below p.
func (z *element) setBytes(b []byte) bool {
	for i := range z {
		z[3-i] = binary.BigEndian.Uint64(b[8*i:])
	}
	return z[3]&z[2]&z[1] != 1<<64-1 || z[0] < p[0]
}

// bytes writes the normal value, big-endian.
func (z *element) bytes(b []byte) {
	n := z.normal()
	for i := range n {
		binary.BigEndian.PutUint64(b[8*i:], n[3-i])
	}
}

// normal returns z in [0, p).
func (z *element) normal() element {
	if z[3]&z[2]&z[1] == 1<<64-1 && z[0] >= p[0] {
		return element{z[0] - p[0]}
	}
	return *z
}

func (z *element) isZero() bool { n := z.normal(); return n == element{} }

// fold adds carry * 2^256 = carry * c; carry is 0 or 1. After a first fold
// the value is below c if it overflowed again, so that the second can't.
func (z *element) fold(carry uint64) {
	var k uint64
	for carry != 0 {
		z[0], k = bits.Add64(z[0], c, 0)
		z[1], k = bits.Add64(z[1], 0, k)
		z[2], k = bits.Add64(z[2], 0, k)
		z[3], carry = bits.Add64(z[3], 0, k)
	}
}

func (z *element) add(x, y *element) {
	var k uint64
	z[0], k = bits.Add64(x[0], y[0], 0)
	z[1], k = bits.Add64(x[1], y[1], k)
	z[2], k = bits.Add64(x[2], y[2], k)
	z[3], k = bits.Add64(x[3], y[3], k)
	if k != 0 {
		z.fold(k)
	}
}

func (z *element) sub(x, y *element) {
	var b uint64
	z[0], b = bits.Sub64(x[0], y[0], 0)
	z[1], b = bits.Sub64(x[1], y[1], b)
	z[2], b = bits.Sub64(x[2], y[2], b)
	z[3], b = bits.Sub64(x[3], y[3], b)
	for b != 0 { // minus 2^256 is minus c
		z[0], b = bits.Sub64(z[0], c, 0)
		z[1], b = bits.Sub64(z[1], 0, b)
		z[2], b = bits.Sub64(z[2], 0, b)
		z[3], b = bits.Sub64(z[3], 0, b)
	}
}

func (z *element) negate(x *element) { z.sub(&element{}, x) }

// mulRow returns x * y as five limbs.
func mulRow(x uint64, y *element) (r0, r1, r2, r3, r4 uint64) {
	var k, h0, h1, h2, h3 uint64
	h0, r0 = bits.Mul64(x, y[0])
	h1, r1 = bits.Mul64(x, y[1])
	h2, r2 = bits.Mul64(x, y[2])
	h3, r3 = bits.Mul64(x, y[3])
	r1, k = bits.Add64(r1, h0, 0)
	r2, k = bits.Add64(r2, h1, k)
	r3, k = bits.Add64(r3, h2, k)
	return r0, r1, r2, r3, h3 + k
}

func (z *element) mul(x, y *element) {
	var k uint64
	t0, t1, t2, t3, t4 := mulRow(x[0], y)
	a0, a1, a2, a3, a4 := mulRow(x[1], y)
	t1, k = bits.Add64(t1, a0, 0)
	t2, k = bits.Add64(t2, a1, k)
	t3, k = bits.Add64(t3, a2, k)
	t4, k = bits.Add64(t4, a3, k)
	t5 := a4 + k
	a0, a1, a2, a3, a4 = mulRow(x[2], y)
	t2, k = bits.Add64(t2, a0, 0)
	t3, k = bits.Add64(t3, a1, k)
	t4, k = bits.Add64(t4, a2, k)
	t5, k = bits.Add64(t5, a3, k)
	t6 := a4 + k
	a0, a1, a2, a3, a4 = mulRow(x[3], y)
	t3, k = bits.Add64(t3, a0, 0)
	t4, k = bits.Add64(t4, a1, k)
	t5, k = bits.Add64(t5, a2, k)
	t6, k = bits.Add64(t6, a3, k)
	z.reduce(t0, t1, t2, t3, t4, t5, t6, a4+k)
}

func (z *element) square(x *element) {
	var k uint64
	// Products of different limbs, twice.
	h01, t1 := bits.Mul64(x[0], x[1])
	h02, t2 := bits.Mul64(x[0], x[2])
	h03, t3 := bits.Mul64(x[0], x[3])
	h12, l12 := bits.Mul64(x[1], x[2])
	h13, l13 := bits.Mul64(x[1], x[3])
	h23, l23 := bits.Mul64(x[2], x[3])
	t2, k = bits.Add64(t2, h01, 0)
	t3, k = bits.Add64(t3, h02, k)
	t4, k := bits.Add64(h03, h12, k) // carries into t5 below
	t5, k5 := bits.Add64(h13, 0, k)
	t3, k = bits.Add64(t3, l12, 0)
	t4, k = bits.Add64(t4, l13, k)
	t5, k = bits.Add64(t5, l23, k)
	t6 := h23 + k + k5
	t7 := t6 >> 63
	t6 = t6<<1 | t5>>63
	t5 = t5<<1 | t4>>63
	t4 = t4<<1 | t3>>63
	t3 = t3<<1 | t2>>63
	t2 = t2<<1 | t1>>63
	t1 <<= 1
	h, t0 := bits.Mul64(x[0], x[0])
	t1, k = bits.Add64(t1, h, 0)
	h, l := bits.Mul64(x[1], x[1])
	t2, k = bits.Add64(t2, l, k)
	t3, k = bits.Add64(t3, h, k)
	h, l = bits.Mul64(x[2], x[2])
	t4, k = bits.Add64(t4, l, k)
	t5, k = bits.Add64(t5, h, k)
	h, l = bits.Mul64(x[3], x[3])
	t6, k = bits.Add64(t6, l, k)
	z.reduce(t0, t1, t2, t3, t4, t5, t6, t7+h+k)
}

// reduce sets z to the 512-bit t: low half plus high half times c, twice.
func (z *element) reduce(t0, t1, t2, t3, t4, t5, t6, t7 uint64) {
	var k uint64
	h4, l4 := bits.Mul64(t4, c)
	h5, l5 := bits.Mul64(t5, c)
	h6, l6 := bits.Mul64(t6, c)
	h7, l7 := bits.Mul64(t7, c)
	l5, k = bits.Add64(l5, h4, 0)
	l6, k = bits.Add64(l6, h5, k)
	l7, k = bits.Add64(l7, h6, k)
	h7 += k // below 2^34
	t0, k = bits.Add64(t0, l4, 0)
	t1, k = bits.Add64(t1, l5, k)
	t2, k = bits.Add64(t2, l6, k)
	t3, k = bits.Add64(t3, l7, k)
	h, l := bits.Mul64(h7+k, c)
	z[0], k = bits.Add64(t0, l, 0)
	z[1], k = bits.Add64(t1, h, k)
	z[2], k = bits.Add64(t2, 0, k)
	z[3], k = bits.Add64(t3, 0, k)
	if k != 0 {
		z.fold(k)
	}
}

// squares sets z to x^(2^n).
func (z *element) squares(x *element, n int) {
	z.square(x)
	for range n - 1 {
		z.square(z)
	}
}

// sqrt sets z to the root x^((p+1)/4); false if x has none. The exponent is
// 223 ones, a zero, 22 ones, four zeros, 11, 00: it is put together from runs
// of ones.
func (z *element) sqrt(x *element) bool {
	run := func(a *element, n int, b *element) (r element) { // a's run, then n more from b
		r.squares(a, n)
		r.mul(&r, b)
		return r
	}
	x2 := run(x, 1, x)
	x3 := run(&x2, 1, x)
	x6 := run(&x3, 3, &x3)
	x9 := run(&x6, 3, &x3)
	x11 := run(&x9, 2, &x2)
	x22 := run(&x11, 11, &x11)
	x44 := run(&x22, 22, &x22)
	x88 := run(&x44, 44, &x44)
	x176 := run(&x88, 88, &x88)
	x220 := run(&x176, 44, &x44)
	x223 := run(&x220, 3, &x3)
	t := run(&x223, 23, &x22)
	t = run(&t, 6, &x2)
	t.squares(&t, 2)
	var check element
	check.square(&t)
	check.sub(&check, x)
	*z = t
	return check.isZero()
}

package vartime

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	decred "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	voi "gitlab.com/yawning/secp256k1-voi"
)

// edges are field elements and scalars at which carries go wrong.
func edges(v *Verifier) []*big.Int {
	one := big.NewInt(1)
	max := new(big.Int).Sub(new(big.Int).Lsh(one, 256), one)
	out := []*big.Int{new(big.Int), one, big.NewInt(2), big.NewInt(c), big.NewInt(c - 1), max, new(big.Int).Sub(max, big.NewInt(c))}
	for _, m := range []*big.Int{v.p, v.n, v.half, new(big.Int).Lsh(one, 128), new(big.Int).Lsh(one, 255), new(big.Int).Lsh(one, 64)} {
		out = append(out, m, new(big.Int).Sub(m, one), new(big.Int).Add(m, one))
	}
	for range 60 {
		b := make([]byte, 32)
		_, _ = rand.Read(b)
		for i := 0; i < 4; i++ { // limbs of all ones and zeros
			switch b[8*i] % 3 {
			case 0:
				binary.BigEndian.PutUint64(b[8*i:], 0)
			case 1:
				binary.BigEndian.PutUint64(b[8*i:], 1<<64-1)
			}
		}
		out = append(out, new(big.Int).SetBytes(b))
	}
	return out
}

func toInt(e *element) *big.Int {
	var b [32]byte
	e.bytes(b[:])
	return new(big.Int).SetBytes(b[:])
}

func TestFieldAgainstBig(t *testing.T) {
	v := New()
	check := func(op string, got *element, want *big.Int, of ...*big.Int) {
		t.Helper()
		if w := want.Mod(want, v.p); toInt(got).Cmp(w) != 0 {
			t.Fatalf("%s of %x: %x, want %x", op, of, toInt(got), w)
		}
	}
	for _, x := range edges(v) {
		var ex, z element
		ex.setInt(x)
		z.square(&ex)
		check("square", &z, new(big.Int).Mul(x, x), x)
		z.negate(&ex)
		check("negate", &z, new(big.Int).Neg(x), x)
		if xp := new(big.Int).Mod(x, v.p); z.sqrt(&ex) != (new(big.Int).ModSqrt(xp, v.p) != nil) {
			t.Fatalf("sqrt of %x", x)
		}
		for _, y := range edges(v) {
			var ey element
			ey.setInt(y)
			z.mul(&ex, &ey)
			check("mul", &z, new(big.Int).Mul(x, y), x, y)
			z.add(&ex, &ey)
			check("add", &z, new(big.Int).Add(x, y), x, y)
			z.sub(&ex, &ey)
			check("sub", &z, new(big.Int).Sub(x, y), x, y)
		}
	}
}

func TestSplit(t *testing.T) {
	v := New()
	lambda := number("5363ad4cc05c30e0a5261c028812645a122e22ea20816678df02967c1b23bd72")
	for range 200 {
		for _, k := range edges(v) {
			k = new(big.Int).Mod(k, v.n)
			k1, k2 := v.split(k)
			sum := new(big.Int).Mul(k2, lambda)
			if sum.Mod(sum.Add(sum, k1), v.n).Cmp(k) != 0 || k1.BitLen() > 129 || k2.BitLen() > 129 {
				t.Fatalf("%x is not %x + %x lambda", k, k1, k2)
			}
			for _, width := range []int{keyWidth, baseWidth} {
				var d [maxDigits]int16
				n := wnaf(&d, k1, width)
				back := new(big.Int)
				for i := n - 1; i >= 0; i-- {
					back.Add(back.Lsh(back, 1), big.NewInt(int64(d[i])))
					if d[i] != 0 && (d[i]&1 == 0 || abs(d[i]) >= 1<<(width-1)) {
						t.Fatalf("digit %d of width %d", d[i], width)
					}
				}
				if back.Cmp(k1) != 0 {
					t.Fatalf("digits of %x make %x", k1, back)
				}
			}
		}
	}
}

// u1 G + u2 Q against the library that signs, at edges that make additions
// meet equal and opposite points.
func TestMultAgainstVoi(t *testing.T) {
	v := New()
	for _, d := range []int64{1, 2, 3, 7, 255, 256, 1 << 40} {
		qp := voi.NewIdentityPoint().ScalarBaseMult(voi.NewScalarFromUint64(uint64(d)))
		q, ok := v.NewKey(qp.CompressedBytes())
		if !ok {
			t.Fatal("public key refused")
		}
		for _, a := range edges(v)[:40] {
			for _, b := range edges(v)[:40] {
				a, b := new(big.Int).Mod(a, v.n), new(big.Int).Mod(b, v.n)
				want := voi.NewIdentityPoint().DoubleScalarMultBasepointVartime(scalar(a), scalar(b), qp)
				got := v.mult(a, b, q)
				if got.z.isZero() != (want.IsIdentity() == 1) {
					t.Fatalf("%x G + %x * %d G: infinity or not", a, b, d)
				}
				if got.z.isZero() {
					continue
				}
				p := v.affine(&got)
				var enc [65]byte
				enc[0] = 4
				p.x.bytes(enc[1:33])
				p.y.bytes(enc[33:])
				if string(enc[:]) != string(want.UncompressedBytes()) {
					t.Fatalf("%x G + %x * %d G is wrong", a, b, d)
				}
			}
		}
		// a G - a G: infinity on the way and in the end
		neg := new(big.Int).Sub(v.n, big.NewInt(d))
		if got := v.mult(neg, big.NewInt(1), q); !got.z.isZero() {
			t.Fatalf("-%d G + %d G isn't infinity", d, d)
		}
	}
}

func scalar(k *big.Int) *voi.Scalar {
	s, _ := voi.NewScalarFromBytes((*[32]byte)(k.FillBytes(make([]byte, 32))))
	return s
}

func TestDecompressAgainstDecred(t *testing.T) {
	v := New()
	for i, x := range edges(v) {
		b := append([]byte{byte(2 + i%2)}, x.FillBytes(make([]byte, 32))...)
		key, err := secp256k1.ParsePubKey(b)
		q, ok := decompress(b)
		if ok != (err == nil) {
			t.Fatalf("%x: %v, decred %v", b, ok, err)
		}
		if ok && (toInt(&q.x).Cmp(key.X()) != 0 || toInt(&q.y).Cmp(key.Y()) != 0) {
			t.Fatalf("%x: other point", b)
		}
	}
	for _, bad := range [][]byte{nil, make([]byte, 33), append([]byte{4}, make([]byte, 32)...), make([]byte, 65)} {
		if _, ok := decompress(bad); ok {
			t.Errorf("%x accepted", bad)
		}
	}
}

func verify(v *Verifier, pub, digest []byte, sig *[65]byte) bool {
	k, ok := v.NewKey(pub)
	return ok && v.Verify(k, digest, sig)
}

func TestVerifyAgainstDecred(t *testing.T) {
	v := New()
	for i := range 2000 {
		key, err := secp256k1.GeneratePrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
		compact := decred.SignCompact(key, digest[:], true)
		var sig [65]byte
		copy(sig[:], compact[1:])
		sig[64] = compact[0] - 31
		pub := key.PubKey().SerializeCompressed()
		if !verify(v, pub, digest[:], &sig) {
			t.Fatalf("refused %x under %x", sig, pub)
		}
		sig[i%65] ^= 1 << (i % 8)
		if verify(v, pub, digest[:], &sig) {
			t.Fatalf("accepted %x under %x", sig, pub)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	v := New()
	key, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		b.Fatal(err)
	}
	var digest [32]byte
	compact := decred.SignCompact(key, digest[:], true)
	var sig [65]byte
	copy(sig[:], compact[1:])
	sig[64] = compact[0] - 31
	pub := key.PubKey().SerializeCompressed()
	prepared, _ := v.NewKey(pub)
	b.Run("prepared", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !v.Verify(prepared, digest[:], &sig) {
				b.Fatal("refused")
			}
		}
	})
	b.Run("once", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !verify(v, pub, digest[:], &sig) {
				b.Fatal("refused")
			}
		}
	})
}

func BenchmarkParts(b *testing.B) {
	v := New()
	x, y := element{1, 2, 3, 1 << 63}, element{5, 6, 7, 1 << 62}
	q := jacobian{v.base[0][3].x, v.base[0][3].y, element{1}}
	var cq cached
	cq.set(&q)
	r := q
	r.double(&r)
	b.Run("mul", func(b *testing.B) {
		for b.Loop() {
			x.mul(&x, &y)
		}
	})
	b.Run("square", func(b *testing.B) {
		for b.Loop() {
			x.square(&x)
		}
	})
	b.Run("add", func(b *testing.B) {
		for b.Loop() {
			x.add(&x, &y)
		}
	})
	b.Run("double", func(b *testing.B) {
		for b.Loop() {
			r.double(&r)
		}
	})
	b.Run("addCached", func(b *testing.B) {
		for b.Loop() {
			r.addCached(&cq, false)
		}
	})
	b.Run("sqrt", func(b *testing.B) {
		for b.Loop() {
			x.sqrt(&y)
		}
	})
	b.Run("New", func(b *testing.B) {
		for b.Loop() {
			New()
		}
	})
}

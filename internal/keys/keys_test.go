package keys_test

import (
	"bytes"
	stded25519 "crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	decred "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/secret"
)

func generate(t testing.TB, c keys.Curve) (*[32]byte, []byte) {
	t.Helper()
	priv, pub := new([32]byte), make([]byte, c.PublicKeySize())
	if err := keys.Generate(c, rand.Reader, priv, pub); err != nil {
		t.Fatal(err)
	}
	return priv, pub
}

func TestSecp256k1AgainstDecred(t *testing.T) {
	for range 200 {
		priv, pub := generate(t, keys.Secp256k1)
		other := secp256k1.PrivKeyFromBytes(priv[:])
		if !bytes.Equal(other.PubKey().SerializeCompressed(), pub) {
			t.Fatal("public keys differ")
		}
		digest := sha256.Sum256(pub)
		var sig [65]byte
		if err := keys.Sign(keys.Secp256k1, priv, pub, digest[:], sig[:]); err != nil {
			t.Fatal(err)
		}
		compact := decred.SignCompact(other, digest[:], true) // 31 + recovery id ‖ r ‖ s
		if !bytes.Equal(compact[1:], sig[:64]) || compact[0]-31 != sig[64] {
			t.Fatalf("signatures differ: %x %x", compact, sig)
		}
		if !keys.Verify(keys.Secp256k1, pub, digest[:], sig[:]) {
			t.Fatal("own signature refused")
		}
	}
}

func TestEd25519AgainstStandardLibrary(t *testing.T) {
	for i := range 200 {
		priv, pub := generate(t, keys.Ed25519)
		other := stded25519.NewKeyFromSeed(priv[:])
		msg := bytes.Repeat([]byte{byte(i)}, i)
		var sig [64]byte
		if err := keys.Sign(keys.Ed25519, priv, pub, msg, sig[:]); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(other[32:], pub) || !bytes.Equal(stded25519.Sign(other, msg), sig[:]) {
			t.Fatal("differs from crypto/ed25519")
		}
		if !keys.Verify(keys.Ed25519, pub, msg, sig[:]) {
			t.Fatal("own signature refused")
		}
	}
}

// RFC 6979 has no secp256k1 vector; this one is published with several
// libraries (key 1, SHA-256 of "Satoshi Nakamoto").
func TestRFC6979(t *testing.T) {
	priv := &[32]byte{31: 1}
	digest := sha256.Sum256([]byte("Satoshi Nakamoto"))
	pub := make([]byte, 33)
	if err := keys.Public(keys.Secp256k1, priv, pub); err != nil {
		t.Fatal(err)
	}
	var sig [65]byte
	if err := keys.Sign(keys.Secp256k1, priv, pub, digest[:], sig[:]); err != nil {
		t.Fatal(err)
	}
	want := "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8" +
		"2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5"
	if got := hex.EncodeToString(sig[:64]); got != want {
		t.Fatalf("got %s", got)
	}
}

func TestVerifyRefuses(t *testing.T) {
	digest := sha256.Sum256([]byte("x"))
	for _, c := range []keys.Curve{keys.Secp256k1, keys.Ed25519} {
		priv, pub := generate(t, c)
		sig := make([]byte, c.SignatureSize())
		if err := keys.Sign(c, priv, pub, digest[:], sig); err != nil {
			t.Fatal(err)
		}
		prepared, err := keys.NewVerifier(c, pub)
		if err != nil || !prepared.Verify(digest[:], sig) {
			t.Fatal("a prepared key refuses a signature", err)
		}
		for i := range sig { // every single bit
			for bit := range 8 {
				bad := bytes.Clone(sig)
				bad[i] ^= 1 << bit
				if keys.Verify(c, pub, digest[:], bad) || prepared.Verify(digest[:], bad) {
					t.Errorf("%v: bit %d of byte %d doesn't matter", c, bit, i)
				}
			}
		}
		_, stranger := generate(t, c)
		for name, ok := range map[string]bool{
			"other key":               keys.Verify(c, stranger, digest[:], sig),
			"prepared, other message": prepared.Verify(make([]byte, 32), sig),
			"prepared, short":         prepared.Verify(digest[:], sig[:len(sig)-1]),
			"prepared, no message":    prepared.Verify(nil, sig),
			"zero verifier":           new(keys.Verifier).Verify(digest[:], sig),
			"zero verifier, nothing":  new(keys.Verifier).Verify(nil, nil),
			"other message":           keys.Verify(c, pub, make([]byte, 32), sig),
			"short":                   keys.Verify(c, pub, digest[:], sig[:len(sig)-1]),
			"long":                    keys.Verify(c, pub, digest[:], append(bytes.Clone(sig), 0)),
			"no key":                  keys.Verify(c, nil, digest[:], sig),
			"zero key":                keys.Verify(c, make([]byte, len(pub)), digest[:], sig),
			"no curve":                keys.Verify(0, pub, digest[:], sig),
		} {
			if ok {
				t.Errorf("%v: %s accepted", c, name)
			}
		}
	}
}

func TestHighSRefused(t *testing.T) {
	priv, pub := generate(t, keys.Secp256k1)
	digest := sha256.Sum256([]byte("x"))
	var sig [65]byte
	if err := keys.Sign(keys.Secp256k1, priv, pub, digest[:], sig[:]); err != nil {
		t.Fatal(err)
	}
	var s secp256k1.ModNScalar
	s.SetByteSlice(sig[32:64])
	high := s.Negate().Bytes()
	copy(sig[32:64], high[:])
	sig[64] ^= 1
	if keys.Verify(keys.Secp256k1, pub, digest[:], sig[:]) {
		t.Fatal("high S accepted")
	}
}

func TestEd25519SmallOrderRefused(t *testing.T) {
	// A of order 1 makes S=0, R=identity valid for every message.
	pub := make([]byte, 32)
	pub[0] = 1
	sig := make([]byte, 64)
	sig[0] = 1
	if keys.Verify(keys.Ed25519, pub, []byte("anything"), sig) {
		t.Fatal("small-order key accepted")
	}
	if v, err := keys.NewVerifier(keys.Ed25519, pub); err == nil && v.Verify([]byte("anything"), sig) {
		t.Fatal("prepared small-order key accepted")
	}
}

func TestNewVerifierRefuses(t *testing.T) {
	off := append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...) // x is p or more
	for name, err := range map[string]error{
		"no curve":  second(keys.NewVerifier(0, nil)),
		"short":     second(keys.NewVerifier(keys.Secp256k1, off[:32])),
		"off curve": second(keys.NewVerifier(keys.Secp256k1, off)),
		"ed25519":   second(keys.NewVerifier(keys.Ed25519, append([]byte{2}, make([]byte, 31)...))), // y = 2 has no x
	} {
		if !errors.Is(err, keys.ErrInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestGenerateDrawsAgain(t *testing.T) {
	// Zero and n-or-more candidates are skipped for secp256k1.
	draws := strings.Repeat("\x00", 32) + strings.Repeat("\xff", 32) + strings.Repeat("\x01", 32)
	var priv [32]byte
	pub := make([]byte, 33)
	if err := keys.Generate(keys.Secp256k1, strings.NewReader(draws), &priv, pub); err != nil || priv[0] != 1 {
		t.Fatal(priv, err)
	}
	if err := keys.Generate(keys.Secp256k1, strings.NewReader(""), &priv, pub); err == nil {
		t.Fatal("no randomness, no error")
	}
	if err := keys.Generate(0, rand.Reader, &priv, nil); err == nil {
		t.Fatal("no curve, no error")
	}
}

func BenchmarkSign(b *testing.B) {
	for _, c := range []keys.Curve{keys.Secp256k1, keys.Ed25519} {
		b.Run(c.String(), func(b *testing.B) {
			priv, pub := generate(b, c)
			sig := make([]byte, c.SignatureSize())
			b.ReportAllocs()
			for b.Loop() {
				if err := keys.Sign(c, priv, pub, pub[:32], sig); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// As in the workload: with the cost of erasing. It needs
// GOEXPERIMENT=runtimesecret to say anything.
func BenchmarkSignInDo(b *testing.B) {
	for _, c := range []keys.Curve{keys.Secp256k1, keys.Ed25519} {
		b.Run(c.String(), func(b *testing.B) {
			priv, pub := generate(b, c)
			sig := make([]byte, c.SignatureSize())
			b.ReportAllocs()
			for b.Loop() {
				var err error
				secret.Do(func() { err = keys.Sign(c, priv, pub, pub[:32], sig) })
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, c := range []keys.Curve{keys.Secp256k1, keys.Ed25519} {
		b.Run(c.String(), func(b *testing.B) {
			priv, pub := generate(b, c)
			sig := make([]byte, c.SignatureSize())
			if err := keys.Sign(c, priv, pub, pub[:32], sig); err != nil {
				b.Fatal(err)
			}
			prepared, err := keys.NewVerifier(c, pub)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if !prepared.Verify(pub[:32], sig) {
					b.Fatal("refused")
				}
			}
		})
		b.Run(c.String()+" once", func(b *testing.B) {
			priv, pub := generate(b, c)
			sig := make([]byte, c.SignatureSize())
			if err := keys.Sign(c, priv, pub, pub[:32], sig); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if !keys.Verify(c, pub, pub[:32], sig) {
					b.Fatal("refused")
				}
			}
		})
	}
}

// TestIsEd25519Point: public keys are points, half of all other bytes aren't.
func TestIsEd25519Point(t *testing.T) {
	points := 0
	for i := range 256 {
		seed := [32]byte{byte(i)}
		if !keys.IsEd25519Point([32]byte(stded25519.NewKeyFromSeed(seed[:])[32:])) {
			t.Errorf("the public key of seed %d is no point", i)
		}
		if keys.IsEd25519Point(sha256.Sum256(seed[:])) {
			points++
		}
	}
	if points < 96 || points > 160 {
		t.Errorf("%d of 256 hashes are points", points)
	}
}

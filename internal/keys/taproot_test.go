package keys_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/sigilkeys/sigil/internal/keys"
)

func sign(priv *[32]byte, pub, digest []byte, aux *[32]byte, sig []byte) error {
	return keys.SignScheme(keys.Secp256k1, keys.SchemeTaproot, priv, pub, digest, sig, bytes.NewReader(aux[:]))
}

func verify(pub, digest, sig []byte) bool {
	v, err := keys.NewVerifier(keys.Secp256k1, pub)
	return err == nil && v.VerifyScheme(keys.SchemeTaproot, digest, sig)
}

// TestBIP341KeyPath has the published key path without a script tree
// (BIP-341, wallet-test-vectors.json, input 0) and BIP-86's three addresses.
func TestBIP341KeyPath(t *testing.T) {
	for internal, output := range map[string]string{
		"d6889cb081036e0faefa3a35157ad71086b123b2b144b649798b494c300a961d": "53a1f6e454df1aa2776a2814a721372d6258050de330b3c6d10ee8f4e0dda343",
		"cc8a4bc64d897bddc5fbc2f670f7a8ba0b386779106cf1223c6fc5d7cd6fc115": "a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c",
		"83dfe85a3151d2517290da461fe2815591ef69f2b18a2ce63f01697a8b313145": "a82f29944d65b86ae6b5e5cc75e294ead6c59391a1edc5e016e3498c67fc7bbb",
		"399f1b2f4393f29a18c937859c5dd8a77350103157eb880f02e8c08214277cef": "882d74e5d0572d5a816cef0041a96b6c1de832f6f9676d9605c44d5e9a97d3dc",
	} {
		for _, parity := range []string{"02", "03"} {
			pub, _ := hex.DecodeString(parity + internal)
			if got, err := keys.OutputKey(pub); err != nil || hex.EncodeToString(got) != output {
				t.Errorf("%s%s: %x, %v", parity, internal, got, err)
			}
		}
	}
	priv, _ := hex.DecodeString("6b973d88838f27366ed61c9ad6367663045cb456e28335c109e30717ae0c6baa")
	digest, _ := hex.DecodeString("2514a6272f85cfa0f45eb907fcb0d121b808ed37c6ea160a5a9046ed5526d555")
	pub, sig := make([]byte, 33), make([]byte, 64)
	if err := keys.Public(keys.Secp256k1, (*[32]byte)(priv), pub); err != nil {
		t.Fatal(err)
	}
	// The vectors' aux is all zeros.
	if err := sign((*[32]byte)(priv), pub, digest, new([32]byte), sig); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(sig); got != "ed7c1647cb97379e76892be0cacff57ec4a7102aa24296ca39af7541246d8ff14d38958d4cc1e2e478e4d4a764bbfd835b16d4e314b72937b29833060b87276c" {
		t.Errorf("signature %s", got)
	}
	if !verify(pub, digest, sig) {
		t.Error("own signature refused")
	}
}

func TestTaproot(t *testing.T) {
	odd := 0
	for range 100 {
		priv, pub := generate(t, keys.Secp256k1)
		odd += int(pub[0] & 1)
		digest, sig := make([]byte, 32), make([]byte, 64)
		var aux [32]byte
		_, _ = rand.Read(digest)
		_, _ = rand.Read(aux[:])
		if err := sign(priv, pub, digest, &aux, sig); err != nil {
			t.Fatal(err)
		}
		if !verify(pub, digest, sig) {
			t.Fatalf("own signature refused: %x", pub)
		}
		for i := range sig {
			sig[i] ^= 0x40
			if verify(pub, digest, sig) {
				t.Fatalf("byte %d doesn't matter", i)
			}
			sig[i] ^= 0x40
		}
		digest[0] ^= 1
		if verify(pub, digest, sig) {
			t.Fatal("the digest doesn't matter")
		}
		digest[0] ^= 1
		// A Taproot signature isn't one of the plain key, nor of another.
		pub[0] ^= 1 // of the negated key, whose output is the same
		if !verify(pub, digest, sig) {
			t.Fatal("x alone should matter")
		}
		if err := sign(priv, pub, digest, &aux, sig); err == nil && verify(pub, digest, sig) {
			t.Fatal("a signature with the wrong parity verifies")
		}
		_, other := generate(t, keys.Secp256k1)
		if verify(other, digest, sig) {
			t.Fatal("verifies under another key")
		}
	}
	if odd == 0 || odd == 100 {
		t.Errorf("%d keys of odd y", odd)
	}
}

// TestOutputKeyAgainstDecred adds up the output point with another library.
func TestOutputKeyAgainstDecred(t *testing.T) {
	for range 50 {
		_, pub := generate(t, keys.Secp256k1)
		got, err := keys.OutputKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		even, err := secp256k1.ParsePubKey(append([]byte{2}, pub[1:]...))
		if err != nil {
			t.Fatal(err)
		}
		var p, q, sum secp256k1.JacobianPoint
		even.AsJacobian(&p)
		var tweak secp256k1.ModNScalar
		tweak.SetByteSlice(taggedHash("TapTweak", pub[1:]))
		secp256k1.ScalarBaseMultNonConst(&tweak, &q)
		secp256k1.AddNonConst(&p, &q, &sum)
		sum.ToAffine()
		if want := sum.X.Bytes(); !bytes.Equal(got, want[:]) {
			t.Fatalf("%x: %x, want %x", pub, got, want)
		}
	}
}

func taggedHash(tag string, data []byte) []byte {
	name := sha256.Sum256([]byte(tag))
	sum := sha256.Sum256(slices.Concat(name[:], name[:], data))
	return sum[:]
}

func TestTaprootRefuses(t *testing.T) {
	priv, pub := generate(t, keys.Secp256k1)
	digest, sig := make([]byte, 32), make([]byte, 64)
	for name, err := range map[string]error{
		"zero key":     sign(new([32]byte), pub, digest, new([32]byte), sig),
		"short public": sign(priv, pub[1:], digest, new([32]byte), sig),
		"uncompressed": sign(priv, append([]byte{4}, pub[1:]...), digest, new([32]byte), sig),
		"long digest":  sign(priv, pub, make([]byte, 33), new([32]byte), sig),
		"long buffer":  sign(priv, pub, digest, new([32]byte), make([]byte, 65)),
	} {
		if err == nil {
			t.Errorf("%s: signed", name)
		}
	}
	// No point has the x coordinate 5.
	none := append([]byte{2}, make([]byte, 32)...)
	none[32] = 5
	for _, bad := range [][]byte{nil, pub[1:], none, append([]byte{4}, pub[1:]...)} {
		if x, err := keys.OutputKey(bad); err == nil {
			t.Errorf("%x: output key %x", bad, x)
		}
		if verify(bad, digest, sig) {
			t.Errorf("%x verifies", bad)
		}
	}
	if err := keys.SignScheme(keys.Secp256k1, keys.SchemeTaproot, priv, pub, digest, sig, bytes.NewReader(digest[1:])); err == nil {
		t.Error("signed without randomness")
	}
	ed, edPub := generate(t, keys.Ed25519)
	if err := keys.SignScheme(keys.Ed25519, keys.SchemeTaproot, ed, edPub, digest, sig, rand.Reader); err == nil {
		t.Error("signed on another curve")
	}
	if v, err := keys.NewVerifier(keys.Ed25519, edPub); err != nil || v.VerifyScheme(keys.SchemeTaproot, digest, sig) || v.VerifyScheme(7, digest, sig) {
		t.Error("verifies on another curve")
	}
	if verify(pub, digest[1:], sig) || verify(pub, digest, sig[1:]) {
		t.Error("verifies at other sizes")
	}
}

// FuzzVerifyTaproot: nothing panics, and what verifies was signed.
func FuzzVerifyTaproot(f *testing.F) {
	priv := &[32]byte{31: 7}
	pub, sig := make([]byte, 33), make([]byte, 64)
	if err := keys.Public(keys.Secp256k1, priv, pub); err != nil {
		f.Fatal(err)
	}
	if err := sign(priv, pub, make([]byte, 32), new([32]byte), sig); err != nil {
		f.Fatal(err)
	}
	f.Add(pub, make([]byte, 32), sig)
	f.Fuzz(func(t *testing.T, p, digest, s []byte) {
		same := bytes.Equal(p[min(1, len(p)):], pub[1:]) && bytes.Equal(digest, make([]byte, 32)) && bytes.Equal(s, sig)
		if verify(p, digest, s) && !same && bytes.Equal(s[:min(32, len(s))], sig[:32]) {
			t.Fatalf("%x under %x verifies for %x", s, p, digest)
		}
	})
}

func BenchmarkSignTaproot(b *testing.B) {
	priv, pub := generate(b, keys.Secp256k1)
	digest, sig := make([]byte, 32), make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		if err := sign(priv, pub, digest, &[32]byte{1}, sig); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyTaproot(b *testing.B) {
	priv, pub := generate(b, keys.Secp256k1)
	digest, sig := make([]byte, 32), make([]byte, 64)
	if err := sign(priv, pub, digest, &[32]byte{1}, sig); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !verify(pub, digest, sig) {
			b.Fatal("refused")
		}
	}
}

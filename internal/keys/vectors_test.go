package keys_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	decred "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/sigilkeys/sigil/internal/keys"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

type wycheproof struct {
	NumberOfTests int
	TestGroups    []struct {
		PublicKey struct{ Uncompressed, PK hexBytes }
		Tests     []struct {
			TcID     int
			Comment  string
			Msg, Sig hexBytes
			Result   string
		}
	}
}

func readWycheproof(t *testing.T, name string) *wycheproof {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	w := &wycheproof{}
	if err := json.Unmarshal(b, w); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWycheproofEd25519(t *testing.T) {
	w := readWycheproof(t, "ed25519_test.json")
	n := 0
	for _, g := range w.TestGroups {
		for _, c := range g.Tests {
			n++
			if got := keys.Verify(keys.Ed25519, g.PublicKey.PK, c.Msg, c.Sig); got != (c.Result == "valid") {
				t.Errorf("case %d (%s): %v, want %s", c.TcID, c.Comment, got, c.Result)
			}
		}
	}
	if n != w.NumberOfTests {
		t.Errorf("%d cases of %d", n, w.NumberOfTests)
	}
}

// Wycheproof's signatures have any S and no recovery id. Ours need low S and
// the one right id of 0 and 1, so a valid one with low S is accepted with
// exactly one id, and nothing else is.
func TestWycheproofSecp256k1(t *testing.T) {
	w := readWycheproof(t, "ecdsa_secp256k1_sha256_p1363_test.json")
	n, accepted := 0, 0
	for _, g := range w.TestGroups {
		key, err := secp256k1.ParsePubKey(g.PublicKey.Uncompressed)
		if err != nil {
			t.Fatal(err)
		}
		pub := key.SerializeCompressed()
		for _, c := range g.Tests {
			n++
			digest := sha256.Sum256(c.Msg)
			ids := 0
			for id := range byte(4) {
				if keys.Verify(keys.Secp256k1, pub, digest[:], append(bytes.Clone(c.Sig), id)) {
					ids++
				}
			}
			want := 0
			if c.Result == "valid" && lowS(c.Sig) && recoverable(c.Sig, key, digest[:]) {
				want = 1
			}
			if ids != want {
				t.Errorf("case %d (%s): %d recovery ids accepted, want %d", c.TcID, c.Comment, ids, want)
			}
			accepted += ids
		}
	}
	if n != w.NumberOfTests || accepted < 50 {
		t.Errorf("%d cases of %d, %d accepted", n, w.NumberOfTests, accepted)
	}
}

func lowS(sig []byte) bool {
	var s secp256k1.ModNScalar
	s.SetByteSlice(sig[32:])
	return !s.IsOverHalfOrder()
}

// recoverable reports whether recovery id 0 or 1 gives the key: not so where
// R's x coordinate is over the group order.
func recoverable(sig []byte, key *secp256k1.PublicKey, digest []byte) bool {
	for id := range byte(2) {
		got, _, err := decred.RecoverCompact(append([]byte{31 + id}, sig...), digest)
		if err == nil && got.IsEqual(key) {
			return true
		}
	}
	return false
}

// Each line: private ‖ public key, public key, message, signature ‖ message.
func TestEd25519SignInput(t *testing.T) {
	f, err := os.Open(filepath.Join("testdata", "ed25519-sign.input.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); n++ {
		var part [4][]byte
		for i, p := range strings.Split(lines.Text(), ":")[:4] {
			if part[i], err = hex.DecodeString(p); err != nil {
				t.Fatal(err)
			}
		}
		pub, sig := make([]byte, 32), make([]byte, 64)
		priv := (*[32]byte)(part[0][:32])
		if err := keys.Public(keys.Ed25519, priv, pub); err != nil || !bytes.Equal(pub, part[1]) {
			t.Fatalf("line %d: public key %x, %v", n+1, pub, err)
		}
		if err := keys.Sign(keys.Ed25519, priv, pub, part[2], sig); err != nil || !bytes.Equal(sig, part[3][:64]) {
			t.Fatalf("line %d: signature %x, %v", n+1, sig, err)
		}
		if !keys.Verify(keys.Ed25519, pub, part[2], sig) {
			t.Fatalf("line %d doesn't verify", n+1)
		}
	}
	if n < 100 {
		t.Fatalf("%d lines", n)
	}
}

// FuzzVerifySecp256k1 compares Verify with decred's on any input.
func FuzzVerifySecp256k1(f *testing.F) {
	priv := &[32]byte{31: 7}
	pub, sig := make([]byte, 33), make([]byte, 65)
	digest := sha256.Sum256([]byte("seed"))
	if err := keys.Public(keys.Secp256k1, priv, pub); err != nil {
		f.Fatal(err)
	}
	if err := keys.Sign(keys.Secp256k1, priv, pub, digest[:], sig); err != nil {
		f.Fatal(err)
	}
	f.Add(pub, digest[:], sig)
	f.Add(pub, make([]byte, 32), sig)
	f.Fuzz(func(t *testing.T, pub, digest, sig []byte) {
		if got, want := keys.Verify(keys.Secp256k1, pub, digest, sig), decredVerify(pub, digest, sig); got != want {
			t.Fatalf("%v, decred %v", got, want)
		}
	})
}

func decredVerify(pub, digest, sig []byte) bool {
	if len(pub) != 33 || len(digest) != 32 || len(sig) != 65 || sig[64] > 1 {
		return false
	}
	key, err := secp256k1.ParsePubKey(pub)
	if err != nil {
		return false
	}
	var r, s secp256k1.ModNScalar
	if r.SetByteSlice(sig[:32]) || s.SetByteSlice(sig[32:64]) || s.IsOverHalfOrder() || !decred.NewSignature(&r, &s).Verify(digest, key) {
		return false
	}
	got, _, err := decred.RecoverCompact(append([]byte{31 + sig[64]}, sig[:64]...), digest)
	return err == nil && got.IsEqual(key)
}

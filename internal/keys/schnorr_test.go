package keys

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"os"
	"testing"

	secp "gitlab.com/yawning/secp256k1-voi"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBIP340 runs the published vectors: each signature verifies or doesn't,
// and those with a secret key are made again.
func TestBIP340(t *testing.T) {
	f, err := os.Open("testdata/bip-0340.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	signed, verified := 0, 0
	for _, row := range rows[1:] {
		x, msg, want := unhex(t, row[2]), unhex(t, row[4]), unhex(t, row[5])
		if got := verifier().VerifySchnorr((*[32]byte)(x), msg, (*[64]byte)(want)); got != (row[6] == "TRUE") {
			t.Errorf("case %s (%s): %v, want %s", row[0], row[7], got, row[6])
		}
		verified++
		if row[1] == "" {
			continue
		}
		d, err := scalarOf((*[32]byte)(unhex(t, row[1])))
		if err != nil {
			t.Fatal(err)
		}
		sig := make([]byte, sizeTaproot)
		if err := signSchnorr(d, msg, (*[32]byte)(unhex(t, row[3])), sig); err != nil || !bytes.Equal(sig, want) {
			t.Errorf("case %s: signature %x, %v", row[0], sig, err)
		}
		signed++
	}
	if signed != 8 || verified != 19 {
		t.Errorf("%d signed, %d verified", signed, verified)
	}
}

// TestSignSchnorrRefuses: the tweak may cancel the key, though nobody finds
// such a one.
func TestSignSchnorrRefuses(t *testing.T) {
	if err := signSchnorr(secp.NewScalar(), make([]byte, 32), new([32]byte), make([]byte, 64)); err == nil {
		t.Error("signed with zero")
	}
}

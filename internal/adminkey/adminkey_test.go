package adminkey_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/sigilkeys/sigil/internal/adminkey"
)

const passphrase = "correct horse battery"

func TestRoundTrip(t *testing.T) {
	key, err := adminkey.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file, err := adminkey.Encrypt(key, passphrase, 10)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(file, []byte("-----BEGIN AGE ENCRYPTED FILE-----")) {
		t.Error("not armored")
	}
	back, err := adminkey.Decrypt(file, passphrase)
	if err != nil || !back.Equal(key) {
		t.Fatal(err)
	}
	if _, err := adminkey.Decrypt(file, "wrong passphrase"); !errors.Is(err, adminkey.ErrPassphrase) {
		t.Errorf("wrong passphrase: %v", err)
	}
	if _, err := adminkey.Decrypt(file, ""); !errors.Is(err, adminkey.ErrPassphrase) {
		t.Errorf("no passphrase: %v", err)
	}
	for i := 0; i < len(file); i += 7 {
		bad := bytes.Clone(file)
		bad[i] ^= 1
		if got, err := adminkey.Decrypt(bad, passphrase); err == nil && !got.Equal(key) {
			t.Fatalf("change at %d gave another key", i)
		}
	}
}

func TestRefusals(t *testing.T) {
	key, _ := adminkey.Generate(rand.Reader)
	if _, err := adminkey.Encrypt(key, "short", 10); err == nil {
		t.Error("short passphrase accepted")
	}
	for _, n := range []int{0, -1, 21} {
		if _, err := adminkey.Encrypt(key, passphrase, n); err == nil {
			t.Errorf("work factor %d accepted", n)
		}
	}
	for name, plain := range map[string]string{
		"empty":      "",
		"no magic":   strings.Repeat("ab", 32) + "\n",
		"short":      "sigil/admin-key/v1\nabcd\n",
		"upper case": "sigil/admin-key/v1\n" + strings.Repeat("AB", 32) + "\n",
		"no newline": "sigil/admin-key/v1\n" + strings.Repeat("ab", 32),
		"trailing":   "sigil/admin-key/v1\n" + strings.Repeat("ab", 32) + "\n\n",
	} {
		if _, err := adminkey.Decrypt(seal(t, plain), passphrase); err == nil {
			t.Errorf("%s accepted", name)
		} else if strings.Contains(err.Error(), "abab") {
			t.Errorf("%s: error shows the secret: %v", name, err)
		}
	}
	for _, junk := range []string{"", "-----BEGIN AGE ENCRYPTED FILE-----", "age-encryption.org/v1", strings.Repeat("x", 20<<10)} {
		if _, err := adminkey.Decrypt([]byte(junk), passphrase); err == nil {
			t.Error("junk accepted")
		}
	}
}

func seal(t *testing.T, plain string) []byte {
	t.Helper()
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(8)
	var out bytes.Buffer
	a := armor.NewWriter(&out)
	w, err := age.Encrypt(a, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(plain)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), a.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

package secrets_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/test/secrets"
)

func planted(t *testing.T) (*secrets.Set, []byte) {
	t.Helper()
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	x := &secrets.Set{}
	x.Add("planted", b)
	return x, b
}

func found(t *testing.T, x *secrets.Set, b []byte) []string {
	t.Helper()
	f, err := x.Find(b)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// It finds what is there, wherever it lies in whatever encoding.
func TestFinds(t *testing.T) {
	x, secret := planted(t)
	for shift := range 5 {
		around := append(append(bytes.Repeat([]byte{0xa5}, shift), secret...), 7, 8, 9)
		for name, form := range map[string]string{"raw": string(around), "hex": hex.EncodeToString(around), "HEX": strings.ToUpper(hex.EncodeToString(around)),
			"base64": base64.StdEncoding.EncodeToString(around), "base64url": base64.RawURLEncoding.EncodeToString(around),
			"half": hex.EncodeToString(around[:shift+16])} {
			if len(found(t, x, []byte("noise "+form+" noise"))) == 0 {
				t.Errorf("%s at offset %d isn't found", name, shift)
			}
		}
	}
	if f := found(t, x, bytes.Repeat([]byte("noise"), 100)); len(f) != 0 {
		t.Errorf("found what isn't there: %v", f)
	}
}

// It finds a secret in a log line, by whatever verb or handler it got there.
func TestFindsInLogs(t *testing.T) {
	x, secret := planted(t)
	array := [32]byte(secret)
	for _, v := range []any{secret, array, &array, struct{ Key []byte }{secret}, fmt.Errorf("open %x: no", secret), fmt.Errorf("open %q: no", secret)} {
		for _, verb := range []string{"%v", "%+v", "%#v"} {
			if _, isError := v.(error); isError && verb == "%#v" {
				continue // a pointer's address
			}
			if text := fmt.Sprintf(verb, v); len(found(t, x, []byte("x "+text+" y"))) == 0 {
				t.Errorf("%s of %T isn't found: %s", verb, v, text)
			}
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", v)
		if len(found(t, x, log.Bytes())) == 0 {
			t.Errorf("%T isn't found in %s", v, &log)
		}
		log.Reset()
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", v)
		if len(found(t, x, log.Bytes())) == 0 {
			t.Errorf("%T isn't found in %s", v, &log)
		}
	}
	for _, verb := range []string{"%x", "%X", "% x", "%s", "%q", "%d"} {
		if text := fmt.Sprintf(verb, secret); len(found(t, x, []byte("x "+text+" y"))) == 0 {
			t.Errorf("%s isn't found: %s", verb, text)
		}
	}
	raw, err := json.Marshal(array)
	if err != nil || len(found(t, x, raw)) == 0 {
		t.Errorf("%v: not found in %s", err, raw)
	}
}

// Tokens are found by what they are, and as credentials whoever's they are.
func TestFindsCredentials(t *testing.T) {
	token, err := authority.NewToken(authority.SecretKey, [32]byte{1}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := &secrets.Set{}
	x.AddToken("token", token)
	if f := found(t, x, []byte("authorization: Bearer "+token.Reveal())); len(f) == 0 {
		t.Error("its token isn't found")
	}
	dir := t.TempDir()
	for text, n := range map[string]int{
		"Bearer " + token.Reveal():                                              2, // known, and a credential
		"Bearer ya29.sim." + strings.Repeat("aB3-", 9):                          1,
		"eyJhbGciOiJSUzI1NiJ9abc." + strings.Repeat("a", 40) + ".c2ln":          1,
		"-----BEGIN PRIVATE KEY-----":                                           1,
		`{"msg":"serving","release":"sha256:` + strings.Repeat("0a", 32) + `"}`: 0,
		"the key is sk_live_[redacted]":                                         0,
	} {
		f, err := x.Log([]byte(text))
		if err != nil || len(f) < n || n == 0 && len(f) > 0 {
			t.Errorf("%s: %v, %v", text, f, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "log"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		again, size, err := x.Logs(dir)
		if err != nil || len(again) != len(f) || size != len(text) {
			t.Errorf("in a file: %v, %d bytes, %v", again, size, err)
		}
	}
}

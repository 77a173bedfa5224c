package secret_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	v2 "github.com/go-json-experiment/json"

	"github.com/sigilkeys/sigil/internal/secret"
)

const marker = "sEcReTmArKeR"

type holder struct {
	Public  secret.Bytes
	private secret.Bytes
	nested  *struct{ b secret.Bytes }
}

func leaks(s string) bool {
	for _, form := range []string{marker, fmt.Sprintf("%x", marker), fmt.Sprintf("%X", marker), fmt.Sprintf("%x", marker)[:8],
		strings.Trim(fmt.Sprint([]byte(marker)), "[]"), "c0VjUmVU"} {
		if strings.Contains(s, form) {
			return true
		}
	}
	return false
}

func TestBytesAreNeverPrinted(t *testing.T) {
	b := secret.NewBytes([]byte(marker))
	h := holder{Public: b, private: b, nested: &struct{ b secret.Bytes }{b}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%U", "%t", "% x", "%10.3s"} {
		for name, v := range map[string]any{"value": b, "pointer": &b, "holder": h, "pointer to holder": &h,
			"slice": []secret.Bytes{b}, "map": map[string]secret.Bytes{"k": b}, "any": []any{b, h}} {
			if out := fmt.Sprintf(verb, v); leaks(out) {
				t.Errorf("%s of %s prints %s", verb, name, out)
			}
		}
	}
	for name, err := range map[string]error{"%v": fmt.Errorf("x: %v", b), "%+v": fmt.Errorf("x: %+v", h), "join": errors.Join(fmt.Errorf("%s", b))} {
		if leaks(err.Error()) {
			t.Errorf("error with %s prints %v", name, err)
		}
	}
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("x", "bytes", b, "holder", h, "pointer", &b)
	}
	if leaks(log.String()) {
		t.Errorf("slog prints %s", log.String())
	}
}

func TestBytesAreNeverEncoded(t *testing.T) {
	b := secret.NewBytes([]byte(marker))
	var out bytes.Buffer
	for name, err := range map[string]error{
		"json":      json.NewEncoder(&out).Encode(holder{Public: b}),
		"json v2":   v2.MarshalWrite(&out, b),
		"xml":       xml.NewEncoder(&out).Encode(struct{ B secret.Bytes }{b}),
		"gob":       gob.NewEncoder(&out).Encode(b),
		"map key":   json.NewEncoder(&out).Encode(map[secret.Bytes]int{b: 1}),
		"in a list": json.NewEncoder(&out).Encode([]secret.Bytes{b}),
	} {
		if err == nil {
			t.Errorf("%s encodes it", name)
		}
	}
	if leaks(out.String()) {
		t.Errorf("encoded: %s", out.String())
	}
}

// Canary: the checks above do see a secret that isn't wrapped.
func TestLeaksSees(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%s", "%q", "%x", "%X"} {
		if !leaks(fmt.Sprintf(verb, []byte(marker))) {
			t.Errorf("blind for %s", verb)
		}
	}
}

func TestBytesWipe(t *testing.T) {
	raw := []byte(marker)
	b := secret.NewBytes(raw)
	other := b
	if string(b.Reveal()) != marker {
		t.Fatal("lost the secret")
	}
	b.Wipe()
	if len(other.Reveal()) != 0 || strings.Trim(string(raw), "\x00") != "" {
		t.Fatal("not wiped")
	}
	var zero secret.Bytes
	zero.Wipe()
	if zero.Reveal() != nil {
		t.Fatal("zero value isn't empty")
	}
}

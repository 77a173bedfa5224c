package authority_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/keys"
)

// The request verifier takes RFC 9421's own Ed25519 example (appendix B.2.6)
// through the same verification function.
func TestRFC9421Ed25519Example(t *testing.T) {
	pub, err := base64.RawURLEncoding.DecodeString("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs")
	if err != nil {
		t.Fatal(err)
	}
	sig, err := base64.StdEncoding.DecodeString("wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==")
	if err != nil {
		t.Fatal(err)
	}
	base := strings.Join([]string{
		`"date": Tue, 20 Apr 2021 02:07:55 GMT`,
		`"@method": POST`,
		`"@path": /foo`,
		`"@authority": example.com`,
		`"content-type": application/json`,
		`"content-length": 18`,
		`"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`,
	}, "\n")
	if !keys.Verify(keys.Ed25519, pub, []byte(base), sig) {
		t.Fatal("the RFC's example doesn't verify")
	}
	if keys.Verify(keys.Ed25519, pub, []byte(base+"\n"), sig) {
		t.Fatal("verifies with a final newline")
	}
}

// attack takes a canonical envelope apart, edits it and encodes it again.
func attack(t *testing.T, envelope []byte, edit func(*authority.Envelope)) []byte {
	t.Helper()
	var e authority.Envelope
	if err := json.Unmarshal(envelope, &e); err != nil {
		t.Fatal(err)
	}
	edit(&e)
	out, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A refusal hands out no document, whatever the caller does with the error.
func TestRefusalsReturnNothing(t *testing.T) {
	a, b := adminKey(1), adminKey(2)
	good := envelope(t, authority.TypeGenesis, genesis(t, 2, a, b), a, b)
	for name, edit := range map[string]func(*authority.Envelope){
		"one of two":      func(e *authority.Envelope) { e.Signatures = e.Signatures[:1] },
		"the same twice":  func(e *authority.Envelope) { e.Signatures[1] = e.Signatures[0] },
		"other order":     func(e *authority.Envelope) { e.Signatures[0], e.Signatures[1] = e.Signatures[1], e.Signatures[0] },
		"key ids swapped": func(e *authority.Envelope) { s := e.Signatures; s[0].KeyID, s[1].KeyID = s[1].KeyID, s[0].KeyID },
		"none":            func(e *authority.Envelope) { e.Signatures = nil },
		"line in base64": func(e *authority.Envelope) {
			e.Signatures[0].Sig = strings.Replace(e.Signatures[0].Sig, "==", "=\n=", 1)
		},
		"line in payload":  func(e *authority.Envelope) { e.Payload = "\r\n" + e.Payload },
		"same key renamed": func(e *authority.Envelope) { e.Signatures[1].Sig = e.Signatures[0].Sig },
	} {
		if g, err := authority.VerifyGenesis(attack(t, good, edit)); err == nil || g != nil {
			t.Errorf("%s: %v, %v", name, g, err)
		}
	}
	g := verified(t, 2, a, b)
	v, err := authority.VerifyGrant(envelope(t, authority.TypeGrant, grant(g), a), g)
	if err == nil || v != nil {
		t.Errorf("grant below the quorum: %v, %v", v, err)
	}
}

// A request is refused from the first second outside the window, on both
// sides, and with a clock that overflows.
func TestClockEdges(t *testing.T) {
	now := time.Unix(1_764_000_000, 0)
	for created, ok := range map[int64]bool{
		now.Unix() - 60: true, now.Unix() + 60: true, now.Unix() - 61: false, now.Unix() + 61: false,
		0: false, -1: false, 1 << 40: false, 1<<63 - 1: false, -1 << 63: false,
	} {
		r := authority.Request{Created: created}
		err := r.CheckClock(now)
		var refusal *authority.Error
		if (err == nil) != ok || err != nil && (!errors.As(err, &refusal) || refusal.Code != authority.CodeClockSkew) {
			t.Errorf("created %d: %v", created, err)
		}
	}
}

// No signature survives small-order points, of key or of R: a verifier that
// takes them accepts one signature for every message.
func TestSmallOrderKeys(t *testing.T) {
	identity := append([]byte{1}, make([]byte, 31)...)
	sig := append(bytes.Clone(identity), make([]byte, 32)...)
	r := authority.Request{Method: "POST", Path: "/v1/s2s/sign", Created: 1_764_000_000, ID: canon.UUID{1},
		KeyID: authority.KeyID([32]byte(identity))}
	if _, err := r.Verify([32]byte(identity), sig, time.Unix(r.Created, 0)); err == nil {
		t.Fatal("the identity point is taken for a key")
	}
	// The scalar plus the group's order is the same number, not the same bytes.
	key := adminKey(5)
	good := ed25519.Sign(key, []byte("m"))
	order := []byte{0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10}
	carry := 0
	for i, o := range order {
		carry += int(good[32+i]) + int(o)
		good[32+i], carry = byte(carry), carry>>8
	}
	if keys.Verify(keys.Ed25519, key[32:], []byte("m"), good) {
		t.Fatal("a scalar beyond the order is taken")
	}
}

func FuzzGrant(f *testing.F) {
	a := adminKey(1)
	g := verified(f, 1, a)
	f.Add(envelope(f, authority.TypeGrant, grant(g), a))
	f.Fuzz(func(t *testing.T, in []byte) {
		_, _ = authority.GenesisOf(in)
		v, err := authority.VerifyGrant(in, g)
		if (err == nil) == (v == nil) {
			t.Fatal("a grant with an error, or neither", v, err)
		}
		if err != nil {
			return
		}
		e, err := authority.ParseEnvelope(in)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := e.Encode(); err != nil || !bytes.Equal(again, in) {
			t.Fatal("accepted, but not canonical", err)
		}
	})
}

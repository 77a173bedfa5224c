package sealed_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/sealed"
)

var update = flag.Bool("update", false, "write golden files")

// golden compares with testdata/<name>.hex, which is never to change: shares
// are sealed under these formats.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".hex")
	if *update {
		if err := os.WriteFile(file, []byte(hex.EncodeToString(got)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if hex.EncodeToString(got) != strings.TrimSpace(string(want)) {
		t.Errorf("%s differs: %x", name, got)
	}
}

func seq(n int, from byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = from + byte(i)
	}
	return b
}

func fixedAADs(t *testing.T) map[string]*sealed.AAD {
	t.Helper()
	org, err1 := canon.ParseUUID("00112233-4455-4677-8899-aabbccddeeff")
	wallet, err2 := canon.ParseUUID("0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return map[string]*sealed.AAD{
		"aad-secp256k1-tee": {Genesis: [32]byte(seq(32, 1)), StateKey: [32]byte(seq(32, 0x41)), Organization: org, Wallet: wallet,
			Curve: keys.Secp256k1, Kind: sealed.KindKey, Role: sealed.RoleTEE, Epoch: 1, PublicKey: append([]byte{2}, seq(32, 0x80)...)},
		"aad-ed25519-provider": {Genesis: [32]byte(seq(32, 1)), StateKey: [32]byte(seq(32, 0x41)), Organization: org, Wallet: wallet,
			Curve: keys.Ed25519, Kind: sealed.KindKey, Path: "m/44'", Role: sealed.RoleProvider, Epoch: 258, PublicKey: seq(32, 0x80), Flags: 3},
		"aad-state-tee": {Genesis: [32]byte(seq(32, 1)), Organization: org,
			Curve: keys.Ed25519, Kind: sealed.KindState, Role: sealed.RoleTEE, Epoch: 1, PublicKey: seq(32, 0x80)},
	}
}

func TestGolden(t *testing.T) {
	for name, a := range fixedAADs(t) {
		golden(t, name, a.Encode())
		golden(t, name+".kms", a.KMSAAD())
		back, err := sealed.DecodeAAD(a.Encode())
		if err != nil || !bytes.Equal(back.Encode(), a.Encode()) {
			t.Errorf("%s: %v", name, err)
		}
		// The KEK passes the DEK through, so that the golden share can be
		// opened by any implementation that reads it.
		share := [32]byte(seq(32, 0xc0))
		s, err := sealed.Seal(t.Context(), bareKEK{}, a, &share, bytes.NewReader(seq(44, 7)))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, strings.Replace(name, "aad", "share", 1), s.Encode())
		var got [32]byte
		if err := sealed.NewOpener(bareKEK{}, nil).Open(t.Context(), sealed.NewPlace(a), s, &got); err != nil || got != share {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// bareKEK doesn't wrap.
type bareKEK struct{ wrapped, name string }

func (k bareKEK) Wrap(_ context.Context, dek *[32]byte, _ []byte) ([]byte, string, error) {
	if k.name != "" {
		return []byte(k.wrapped), k.name, nil
	}
	return bytes.Clone(dek[:]), "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1", nil
}

func (bareKEK) Unwrap(_ context.Context, wrapped, _ []byte, dek *[32]byte) error {
	copy(dek[:], wrapped)
	return nil
}

func TestSealRefuses(t *testing.T) {
	good := fixedAADs(t)["aad-secp256k1-tee"]
	for name, edit := range map[string]func(*sealed.AAD){
		"zero value":        func(a *sealed.AAD) { *a = sealed.AAD{} },
		"no wallet":         func(a *sealed.AAD) { a.Wallet = canon.UUID{} },
		"no state key":      func(a *sealed.AAD) { a.StateKey = [32]byte{} },
		"wallet as state":   func(a *sealed.AAD) { a.Kind = sealed.KindState },
		"reserved kind":     func(a *sealed.AAD) { a.Kind = 2 },
		"no role":           func(a *sealed.AAD) { a.Role = 0 },
		"role 3":            func(a *sealed.AAD) { a.Role = 3 },
		"epoch 0":           func(a *sealed.AAD) { a.Epoch = 0 },
		"unknown flag":      func(a *sealed.AAD) { a.Flags = 4 },
		"no curve":          func(a *sealed.AAD) { a.Curve = 0 },
		"other curve's key": func(a *sealed.AAD) { a.Curve = keys.Ed25519 },
		"long path":         func(a *sealed.AAD) { a.Path = strings.Repeat("a", 129) },
		"bad path":          func(a *sealed.AAD) { a.Path = "\xff" },
	} {
		a := *good
		edit(&a)
		if _, err := sealed.Seal(t.Context(), bareKEK{}, &a, &[32]byte{1}, bytes.NewReader(seq(44, 7))); err == nil {
			t.Errorf("%s sealed", name)
		}
		if name == "bad path" {
			continue // can't be encoded
		}
		if _, err := sealed.DecodeAAD(a.Encode()); err == nil {
			t.Errorf("%s decoded", name)
		}
	}
	for name, kek := range map[string]bareKEK{"nothing": {"", "k"}, "too much": {strings.Repeat("x", 513), "k"},
		"long name": {"x", strings.Repeat("k", 257)}, "bad name": {"x", "\xff"}} {
		if _, err := sealed.Seal(t.Context(), kek, good, &[32]byte{1}, bytes.NewReader(seq(44, 7))); err == nil {
			t.Errorf("sealed with a KMS that returns %s", name)
		}
	}
	if _, err := sealed.Seal(t.Context(), bareKEK{}, good, &[32]byte{1}, bytes.NewReader(seq(43, 7))); err == nil {
		t.Error("sealed without randomness")
	}
}

func TestDecodeShareRefuses(t *testing.T) {
	s := &sealed.Share{Role: 1, Epoch: 1, KEK: "k", WrappedDEK: []byte("w")}
	good := s.Encode()
	if _, err := sealed.DecodeShare(good); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		if _, err := sealed.DecodeShare(good[:i]); err == nil {
			t.Errorf("first %d bytes accepted", i)
		}
	}
	for name, edit := range map[string]func(*sealed.Share){
		"role 0": func(s *sealed.Share) { s.Role = 0 }, "role 3": func(s *sealed.Share) { s.Role = 3 },
		"epoch 0": func(s *sealed.Share) { s.Epoch = 0 }, "no KEK": func(s *sealed.Share) { s.KEK = "" },
		"no DEK": func(s *sealed.Share) { s.WrappedDEK = nil }, "big DEK": func(s *sealed.Share) { s.WrappedDEK = make([]byte, 513) },
		"long KEK": func(s *sealed.Share) { s.KEK = strings.Repeat("k", 257) },
	} {
		bad := *s
		edit(&bad)
		if _, err := sealed.DecodeShare(bad.Encode()); err == nil {
			t.Errorf("%s accepted", name)
		}
	}
	if _, err := sealed.DecodeShare(append(good, 0)); err == nil {
		t.Error("trailing byte accepted")
	}
}

package sealed_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/sealed"
)

// memKEK is AES-GCM under a key in memory, with the AAD enforced.
type memKEK struct {
	key     [32]byte
	unwraps int
}

func (k *memKEK) aead() cipher.AEAD {
	b, _ := aes.NewCipher(k.key[:])
	a, _ := cipher.NewGCM(b)
	return a
}

func (k *memKEK) Wrap(_ context.Context, dek *[32]byte, aad []byte) ([]byte, string, error) {
	nonce := make([]byte, 12)
	if _, err := rand.Read(nonce); err != nil {
		return nil, "", err
	}
	return k.aead().Seal(nonce, nonce, dek[:], aad), "mem/1", nil
}

func (k *memKEK) Unwrap(_ context.Context, wrapped, aad []byte, dek *[32]byte) error {
	k.unwraps++
	if len(wrapped) < 12 {
		return errors.New("short")
	}
	_, err := k.aead().Open(dek[:0], wrapped[:12], wrapped[12:], aad)
	return err
}

func sampleAAD() *sealed.AAD {
	return &sealed.AAD{Genesis: [32]byte{1}, StateKey: [32]byte{2}, Organization: [16]byte{3}, Wallet: [16]byte{4},
		Curve: keys.Secp256k1, Kind: sealed.KindKey, Role: sealed.RoleTEE, Epoch: 1, PublicKey: bytes.Repeat([]byte{5}, 33)}
}

func TestSplitCombineRefresh(t *testing.T) {
	key := [32]byte{1, 2, 3}
	var tee, provider, got [32]byte
	if err := sealed.Split(&key, rand.Reader, &tee, &provider); err != nil {
		t.Fatal(err)
	}
	before := tee
	if err := sealed.Refresh(rand.Reader, &tee, &provider); err != nil {
		t.Fatal(err)
	}
	if sealed.Combine(&tee, &provider, &got); got != key || tee == before {
		t.Fatal("refresh changed the key or kept a share")
	}
	if err := sealed.Split(&key, bytes.NewReader(nil), &tee, &provider); err == nil {
		t.Fatal("no randomness, no error")
	}
}

// Every field of the AAD binds: a share moved to a place that differs in any
// one of them doesn't open.
func TestOpenOnlyInPlace(t *testing.T) {
	ctx, kek := t.Context(), &memKEK{}
	share := [32]byte{9}
	s, err := sealed.Seal(ctx, kek, sampleAAD(), &share, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if s, err = sealed.DecodeShare(s.Encode()); err != nil {
		t.Fatal(err)
	}
	o := sealed.NewOpener(kek, nil)
	var got [32]byte
	if err := o.Open(ctx, sealed.NewPlace(sampleAAD()), s, &got); err != nil || got != share {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*sealed.AAD){
		"genesis":      func(a *sealed.AAD) { a.Genesis[0]++ },
		"state key":    func(a *sealed.AAD) { a.StateKey[0]++ },
		"organization": func(a *sealed.AAD) { a.Organization[0]++ },
		"wallet":       func(a *sealed.AAD) { a.Wallet[0]++ },
		"curve":        func(a *sealed.AAD) { a.Curve = keys.Ed25519 },
		"kind":         func(a *sealed.AAD) { a.Kind = sealed.KindState },
		"path":         func(a *sealed.AAD) { a.Path = "m/0" },
		"role":         func(a *sealed.AAD) { a.Role = sealed.RoleProvider },
		"epoch":        func(a *sealed.AAD) { a.Epoch++ },
		"public key":   func(a *sealed.AAD) { a.PublicKey[1]++ },
		"flags":        func(a *sealed.AAD) { a.Flags = 1 },
	} {
		a := sampleAAD()
		edit(a)
		var out [32]byte
		if err := o.Open(ctx, sealed.NewPlace(a), s, &out); err == nil || out != [32]byte{} {
			t.Errorf("%s: share opens elsewhere", name)
		}
	}
	if err := sealed.NewOpener(&memKEK{key: [32]byte{1}}, nil).Open(ctx, sealed.NewPlace(sampleAAD()), s, &got); err == nil {
		t.Error("opens under another KEK")
	}
	s.Ciphertext[0] ^= 1
	if err := o.Open(ctx, sealed.NewPlace(sampleAAD()), s, &got); !errors.Is(err, sealed.ErrOpen) {
		t.Error("altered ciphertext opens", err)
	}
}

func TestCache(t *testing.T) {
	now := time.Unix(1000, 0)
	cache, err := sealed.NewCache(2, time.Minute, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	kek := &memKEK{}
	o := sealed.NewOpener(kek, cache)
	var shares []*sealed.Share
	for i := range 3 {
		s, err := sealed.Seal(t.Context(), kek, sampleAAD(), &[32]byte{byte(i)}, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		shares = append(shares, s)
	}
	open := func(i, unwraps int) {
		t.Helper()
		var got [32]byte
		if err := o.Open(t.Context(), sealed.NewPlace(sampleAAD()), shares[i], &got); err != nil || got[0] != byte(i) {
			t.Fatal(err)
		}
		if kek.unwraps != unwraps {
			t.Fatalf("%d unwraps, want %d", kek.unwraps, unwraps)
		}
	}
	open(0, 1)
	open(0, 1) // cached
	open(1, 2)
	open(2, 3) // evicts the oldest
	open(0, 4)
	now = now.Add(time.Minute) // expired, though used
	cache.Sweep()
	open(0, 5)
	if err := cache.Close(); err != nil {
		t.Fatal(err)
	}
	open(0, 6) // a closed cache holds nothing
	open(0, 7)
	if _, err := sealed.NewCache(0, time.Minute, nil); err == nil {
		t.Fatal("cache of nothing")
	}
}

func FuzzShare(f *testing.F) {
	f.Add((&sealed.Share{Role: 1, Epoch: 1, KEK: "k", WrappedDEK: []byte("w")}).Encode())
	f.Fuzz(func(t *testing.T, in []byte) {
		if s, err := sealed.DecodeShare(in); err == nil && !bytes.Equal(s.Encode(), in) {
			t.Fatal("doesn't round-trip")
		}
	})
}

func FuzzAAD(f *testing.F) {
	f.Add(sampleAAD().Encode())
	f.Fuzz(func(t *testing.T, in []byte) {
		if a, err := sealed.DecodeAAD(in); err == nil && !bytes.Equal(a.Encode(), in) {
			t.Fatal("doesn't round-trip")
		}
	})
}

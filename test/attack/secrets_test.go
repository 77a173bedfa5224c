package attack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/sealed"
	"github.com/sigilkeys/sigil/receipt"
)

// secrets are what must never cross the control plane, by name.
type secrets map[string][]byte

// openCloud unwraps with the emulated cloud's own keys, past its IAM: to learn
// what to search for.
type openCloud struct {
	sim  *cloudsim.Sim
	key  string
	note func(dek []byte)
}

func (o openCloud) Wrap(context.Context, *[32]byte, []byte) ([]byte, string, error) {
	return nil, "", fmt.Errorf("it only opens")
}

func (o openCloud) Unwrap(_ context.Context, wrapped, aad []byte, dek *[32]byte) error {
	b, err := o.sim.Unwrap(o.key, wrapped, aad)
	copy(dek[:], b)
	o.note(bytes.Clone(b))
	return err
}

// open adds a key's DEKs, shares and the key itself, which must be the one
// that is certified.
func (x secrets) open(t *testing.T, s *scene, name string, aad sealed.AAD, records [2][]byte) {
	t.Helper()
	info := s.Cloud.Info()
	var parts [2][32]byte
	for i, role := range []sealed.Role{sealed.RoleTEE, sealed.RoleProvider} {
		share, err := sealed.DecodeShare(records[i])
		if err != nil {
			t.Fatal(err)
		}
		aad.Role, aad.Epoch = role, share.Epoch
		o := openCloud{s.Cloud, []string{info.TEEKey, info.ProviderKey}[i], func(dek []byte) { x[fmt.Sprintf("%s: DEK of the %s share", name, role)] = dek }}
		if err := sealed.NewOpener(o, nil).Open(t.Context(), sealed.NewPlace(&aad), share, &parts[i]); err != nil {
			t.Fatal(err)
		}
		x[fmt.Sprintf("%s: %s share", name, role)] = parts[i][:]
	}
	var priv [32]byte
	sealed.Combine(&parts[0], &parts[1], &priv)
	public := make([]byte, aad.Curve.PublicKeySize())
	if err := keys.Public(aad.Curve, &priv, public); err != nil || !bytes.Equal(public, aad.PublicKey) {
		t.Fatalf("%s: opened to another key: %v", name, err)
	}
	x[name+": key"] = priv[:]
}

// secretsOf collects all secrets of a scene.
func secretsOf(t *testing.T, s *scene) secrets {
	t.Helper()
	x := secrets{"request key": s.token.RequestKey().Seed(), "admin key": s.owner.Admin.Seed()}
	for _, w := range []string{s.one.ID, s.two.ID} {
		r := s.row(t, w)
		cert, err := receipt.OpenWalletCertificate(r.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		for i := range cert.Keys {
			aad := place(cert)
			aad.Curve, aad.PublicKey = cert.Keys[i].Curve, cert.Keys[i].PublicKey
			x.open(t, s, fmt.Sprintf("wallet %s %v", w[:8], aad.Curve), aad, [2][]byte(r.Shares[2*i:2*i+2]))
		}
	}
	key, err := s.Signing.Key(t.Context(), keyIDOf(s))
	if err != nil {
		t.Fatal(err)
	}
	state, err := receipt.DecodeStateRecord(key.State)
	if err != nil {
		t.Fatal(err)
	}
	g := s.owner.Genesis
	x.open(t, s, "state key", sealed.AAD{Genesis: g.Digest, Organization: g.OrganizationID, Curve: keys.Ed25519, Kind: sealed.KindState,
		PublicKey: s.owner.State[:]}, [2][]byte{state.TEEShare, state.ProviderShare})
	return x
}

// find returns the names of the secrets that are in b, in any usual encoding.
func (x secrets) find(b []byte) (found []string) {
	lower := bytes.ToLower(b)
	for name, secret := range x {
		reversed := bytes.Clone(secret)
		slices.Reverse(reversed)
		for _, form := range [][]byte{secret, reversed} {
			hit := bytes.Contains(b, form) || bytes.Contains(lower, []byte(hex.EncodeToString(form)))
			for shift := range 3 { // base64 of something that contains it
				padded := append(make([]byte, shift), form...)
				for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
					text := enc.EncodeToString(padded)
					hit = hit || bytes.Contains(b, []byte(text[(8*shift+5)/6:8*len(padded)/6]))
				}
			}
			if hit {
				found = append(found, name)
				break
			}
		}
	}
	return found
}

// The scanner finds what is there, wherever it lies in whatever encoding.
func TestScannerFinds(t *testing.T) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		t.Fatal(err)
	}
	x := secrets{"planted": secret}
	for shift := range 5 {
		around := append(append(bytes.Repeat([]byte{0xa5}, shift), secret...), 7, 8, 9)
		for name, form := range map[string]string{"raw": string(around), "hex": hex.EncodeToString(around), "HEX": strings.ToUpper(hex.EncodeToString(around)),
			"base64": base64.StdEncoding.EncodeToString(around), "base64url": base64.RawURLEncoding.EncodeToString(around)} {
			if len(x.find([]byte("noise "+form+" noise"))) != 1 {
				t.Errorf("%s at offset %d isn't found", name, shift)
			}
		}
	}
	if len(x.find(bytes.Repeat([]byte("noise"), 100))) != 0 {
		t.Error("found what isn't there")
	}
}

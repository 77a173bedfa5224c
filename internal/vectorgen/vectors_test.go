package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/attest/confspace"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/sealed"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
)

const folder = "../../testdata/formats"

// The committed files are what the program writes.
func TestVectorsAreCurrent(t *testing.T) {
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		want, err := f.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(folder, f.Format+".json"))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is stale (run `make vectors`): %v", f.Format, err)
		}
	}
}

// decoder decodes an entry and encodes it again.
type decoder func(e *entry, b []byte) (again []byte, err error)

func unhex(t testing.TB, v any) []byte {
	t.Helper()
	s, _ := v.(string)
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decoders(t testing.TB) map[string]decoder {
	same := func(b []byte, err error) ([]byte, error) { return b, err }
	genesisOf := func(e *entry) *authority.VerifiedGenesis {
		g, err := authority.VerifyGenesis(unhex(t, e.Context["genesis"]))
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	return map[string]decoder{
		"secret-token": func(_ *entry, b []byte) ([]byte, error) {
			tok, err := authority.ParseToken(string(b))
			if err != nil {
				return nil, err
			}
			return []byte(tok.Reveal()), nil
		},
		"genesis": func(_ *entry, b []byte) ([]byte, error) { _, err := authority.VerifyGenesis(b); return same(b, err) },
		"grant": func(e *entry, b []byte) ([]byte, error) {
			_, err := authority.VerifyGrant(b, genesisOf(e))
			return same(b, err)
		},
		"revocation": func(e *entry, b []byte) ([]byte, error) {
			_, err := authority.VerifyRevocation(b, genesisOf(e))
			return same(b, err)
		},
		"request-signature": func(e *entry, b []byte) ([]byte, error) {
			hd := http.Header{}
			for line := range strings.Lines(string(b)) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
				hd.Set(name, value)
			}
			if k, _ := e.Fields["idempotency_key"].(string); k != "" {
				hd.Set("Idempotency-Key", k)
			}
			_, err := authority.ParseSignatureHeaders(hd)
			return same(b, err)
		},
		"share-aad": func(_ *entry, b []byte) ([]byte, error) {
			a, err := sealed.DecodeAAD(b)
			if err != nil {
				return nil, err
			}
			return a.Encode(), nil
		},
		"sealed-share": func(_ *entry, b []byte) ([]byte, error) {
			s, err := sealed.DecodeShare(b)
			if err != nil {
				return nil, err
			}
			return s.Encode(), nil
		},
		"instance-statement": func(_ *entry, b []byte) ([]byte, error) {
			s, err := receipt.DecodeStatement(b)
			if err != nil {
				return nil, err
			}
			return s.Encode(), nil
		},
		"state-certificate": func(e *entry, b []byte) ([]byte, error) {
			_, err := receipt.OpenStateCertificate(b, [32]byte(unhex(t, e.Context["instance_key"])))
			return same(b, err)
		},
		"wallet-certificate": func(_ *entry, b []byte) ([]byte, error) {
			_, err := receipt.OpenWalletCertificate(b)
			return same(b, err)
		},
		"receipt-leaf": func(_ *entry, b []byte) ([]byte, error) {
			l, err := receipt.DecodeLeaf(b)
			if err != nil {
				return nil, err
			}
			return l.Encode()
		},
		"batch": func(_ *entry, b []byte) ([]byte, error) { _, err := receipt.OpenBatch(b); return same(b, err) },
		"receipt": func(_ *entry, b []byte) ([]byte, error) {
			r, err := receipt.DecodeReceipt(b)
			if err != nil {
				return nil, err
			}
			_, _, err = r.Open()
			return same(r.Encode(), err)
		},
		"checkpoint": func(e *entry, b []byte) ([]byte, error) {
			origin, _ := e.Context["origin"].(string)
			_, err := receipt.OpenCheckpoint(string(b), origin, [32]byte(unhex(t, e.Context["log_key"])))
			return same(b, err)
		},
		"attestation-archive": func(e *entry, b []byte) ([]byte, error) {
			a, err := confspace.ParseArchive(b)
			if err != nil {
				return nil, err
			}
			claims, err := a.Verify(confspace.Pins{PKIRoot: [32]byte(unhex(t, e.Context["root_sha256"])), KeySet: [32]byte(unhex(t, e.Context["key_set_sha256"]))})
			if err != nil {
				return nil, err
			}
			if e.Valid && (claims.ImageDigest != e.Fields["image_digest"] || claims.Nonces[0] != e.Fields["nonce"]) {
				return nil, errors.New("other claims")
			}
			return a.Encode()
		},
		"link-frame": func(_ *entry, b []byte) ([]byte, error) {
			fr, err := teelink.ReadFrame(bufio.NewReader(bytes.NewReader(b)))
			if err != nil {
				return nil, err
			}
			return teelink.AppendFrame(nil, fr)
		},
	}
}

func TestVectors(t *testing.T) {
	ds := decoders(t)
	names, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(names) != len(ds) {
		t.Fatalf("%d files for %d formats: %v", len(names), len(ds), err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var f file
		if err := json.Unmarshal(data, &f); err != nil {
			t.Fatal(err)
		}
		good, bad := 0, 0
		for i := range f.Entries {
			e := &f.Entries[i]
			b := unhex(t, e.Encoded)
			again, err := ds[f.Format](e, b)
			switch {
			case e.Valid && (err != nil || !bytes.Equal(again, b)):
				t.Errorf("%s, %s: %v", f.Format, e.Name, err)
			case !e.Valid && err == nil:
				t.Errorf("%s, %s: accepted", f.Format, e.Name)
			}
			if e.Valid {
				good++
			} else {
				bad++
			}
			if errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
		t.Logf("%s: %d valid, %d refused", f.Format, good, bad)
	}
}

package confspace_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/attest/confspace"
)

// authority is a root with an intermediate that certifies whatever leaf.
type authority struct {
	key               *rsa.PrivateKey // of both
	root, middle      []byte
	certificateMiddle *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key}
	root := leafTemplate("root", true)
	a.root = a.certify(t, root, root, &key.PublicKey)
	a.middle = a.certify(t, leafTemplate("intermediate", true), root, &key.PublicKey)
	if a.certificateMiddle, err = x509.ParseCertificate(a.middle); err != nil {
		t.Fatal(err)
	}
	return a
}

func leafTemplate(name string, ca bool) *x509.Certificate {
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: start.Add(-time.Hour), NotAfter: start.AddDate(1, 0, 0),
		SignatureAlgorithm: x509.SHA256WithRSA, BasicConstraintsValid: true, IsCA: ca, KeyUsage: x509.KeyUsageDigitalSignature}
	if ca {
		c.KeyUsage = x509.KeyUsageCertSign
	}
	return c
}

func (a *authority) certify(t *testing.T, template, parent *x509.Certificate, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// token is one that the leaf signs; its signature and chain are good.
func (a *authority) token(t *testing.T, leaf crypto.Signer) string {
	t.Helper()
	var chain []string
	for _, der := range [][]byte{a.certify(t, leafTemplate("leaf", false), a.certificateMiddle, leaf.Public()), a.middle, a.root} {
		chain = append(chain, base64.StdEncoding.EncodeToString(der))
	}
	input := b64(string(header(t, map[string]any{"alg": "RS256", "x5c": chain}))) + "." + b64(string(payload(t, workload())))
	digest := sha256.Sum256([]byte(input))
	sig, err := leaf.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64(string(sig))
}

// A leaf that the pinned root certifies, with a key that is too small or of
// another kind, signs nothing. The canary is one of 2048 bits.
func TestLeafKeyIsStrong(t *testing.T) {
	a := newAuthority(t)
	verify := func(leaf crypto.Signer) error {
		_, err := confspace.Verify(a.token(t, leaf), confspace.Trust{PKIRoot: sha256.Sum256(a.root)}, start)
		return err
	}
	good, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(good); err != nil {
		t.Fatal("canary:", err)
	}
	wantReason(t, verify(small), confspace.ReasonChain)
	wantReason(t, verify(curve), confspace.ReasonChain)
}

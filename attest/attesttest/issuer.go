// Package attesttest is an attestation service for tests: it issues tokens of
// the shape of Google Confidential Space's under keys and a root certificate
// of its own. Nothing trusts it but tests and the local cloud emulator, which
// pin its root explicitly.
package attesttest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"
)

const rsaBits = 2048

// Issuer signs tokens. Its methods may be called from several goroutines.
type Issuer struct {
	url string
	pki chain

	mu   sync.Mutex
	keys []signingKey // guarded by mu; the first one signs
}

type signingKey struct {
	id  string
	key *rsa.PrivateKey
}

// chain is leaf, intermediate, root; of the keys only the leaf's is kept.
type chain struct {
	leaf  *rsa.PrivateKey
	certs [3][]byte // DER
}

// New makes an issuer with two OIDC keys and a PKI chain of three
// certificates, valid for ten years from now. url is its iss claim.
func New(url string, now time.Time) (*Issuer, error) {
	i := &Issuer{url: url}
	for range 2 {
		if err := i.Rotate(); err != nil {
			return nil, err
		}
	}
	return i, i.pki.make(now)
}

// URL returns the iss claim.
func (i *Issuer) URL() string { return i.url }

// Rotate puts a new OIDC signing key in front; of the older ones the newest
// stays published.
func (i *Issuer) Rotate() error {
	key, err := newKey()
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append([]signingKey{{id: keyID(&key.PublicKey), key: key}}, i.keys...)
	i.keys = i.keys[:min(len(i.keys), 2)]
	return nil
}

func newKey() (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return nil, fmt.Errorf("make RSA key: %w", err)
	}
	return key, nil
}

// keyID is 40 hex digits, as Google's are.
func keyID(key *rsa.PublicKey) string {
	sum := sha256.Sum256(x509.MarshalPKCS1PublicKey(key))
	return hex.EncodeToString(sum[:20])
}

func (c *chain) make(now time.Time) error {
	var parent *x509.Certificate
	var signer *rsa.PrivateKey
	for n, name := range []string{"Test Confidential Space Root CA", "Test Confidential Space Intermediate CA", "Test Confidential Space Leaf"} {
		key, err := newKey()
		if err != nil {
			return err
		}
		template := &x509.Certificate{
			SerialNumber:          big.NewInt(int64(n + 1)),
			Subject:               pkix.Name{CommonName: name, Organization: []string{"Sigil test issuer"}},
			NotBefore:             now.Add(-time.Hour),
			NotAfter:              now.AddDate(10, 0, 0),
			SignatureAlgorithm:    x509.SHA256WithRSA,
			BasicConstraintsValid: true,
			IsCA:                  n < 2,
			KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
		if n == 2 {
			template.KeyUsage = x509.KeyUsageDigitalSignature
			c.leaf = key
		}
		if parent == nil {
			parent, signer = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			return fmt.Errorf("make certificate: %w", err)
		}
		if parent, err = x509.ParseCertificate(der); err != nil {
			return fmt.Errorf("make certificate: %w", err)
		}
		signer = key
		c.certs[2-n] = der
	}
	return nil
}

// OIDC signs a payload as Google does by default: with a kid of the JWKS.
func (i *Issuer) OIDC(payload []byte) (string, error) {
	i.mu.Lock()
	k := i.keys[0]
	i.mu.Unlock()
	header, err := json.Marshal(struct {
		Alg string `json:"alg"`
		Kid string `json:"kid"`
		Typ string `json:"typ"`
	}{"RS256", k.id, "JWT"})
	if err != nil {
		return "", err
	}
	return sign(header, payload, k.key)
}

// PKI signs a payload under the certificate chain.
func (i *Issuer) PKI(payload []byte) (string, error) {
	header, err := json.Marshal(struct {
		Alg string   `json:"alg"`
		Typ string   `json:"typ"`
		X5c []string `json:"x5c"`
	}{"RS256", "JWT", i.Chain()})
	if err != nil {
		return "", err
	}
	return i.SignPKI(header, payload)
}

// SignPKI signs any header and payload with the leaf key: for tokens that
// must be refused for another reason than their signature.
func (i *Issuer) SignPKI(header, payload []byte) (string, error) {
	return sign(header, payload, i.pki.leaf)
}

// SignOIDC is SignPKI with the current OIDC key.
func (i *Issuer) SignOIDC(header, payload []byte) (string, error) {
	i.mu.Lock()
	k := i.keys[0]
	i.mu.Unlock()
	return sign(header, payload, k.key)
}

func sign(header, payload []byte, key *rsa.PrivateKey) (string, error) {
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(input))
	sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

// KeyID returns the key id of the current OIDC key.
func (i *Issuer) KeyID() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys[0].id
}

// Chain returns the x5c header of PKI tokens: leaf, intermediate, root.
func (i *Issuer) Chain() []string {
	var out []string
	for _, der := range i.pki.certs {
		out = append(out, base64.StdEncoding.EncodeToString(der))
	}
	return out
}

// RootPEM returns the root certificate of PKI tokens.
func (i *Issuer) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.pki.certs[2]})
}

// RootSHA256 returns the root's fingerprint, what verifiers pin.
func (i *Issuer) RootSHA256() [32]byte { return sha256.Sum256(i.pki.certs[2]) }

// JWKS returns the published OIDC keys.
func (i *Issuer) JWKS() ([]byte, error) {
	i.mu.Lock()
	keys := slices.Clone(i.keys)
	i.mu.Unlock()
	type jwk struct {
		Kty string `json:"kty"`
		Alg string `json:"alg"`
		Use string `json:"use"`
		Kid string `json:"kid"`
		N   string `json:"n"`
		E   string `json:"e"`
	}
	var set struct {
		Keys []jwk `json:"keys"`
	}
	for _, k := range keys {
		e := big.NewInt(int64(k.key.E)).Bytes()
		set.Keys = append(set.Keys, jwk{"RSA", "RS256", "sig", k.id,
			base64.RawURLEncoding.EncodeToString(k.key.N.Bytes()), base64.RawURLEncoding.EncodeToString(e)})
	}
	return json.Marshal(set)
}

// Marshal returns everything that the issuer is, private keys included, as
// PEM for Load.
func (i *Issuer) Marshal() ([]byte, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var out []byte
	for _, key := range append([]*rsa.PrivateKey{i.pki.leaf}, privates(i.keys)...) {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	}
	for _, der := range i.pki.certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out, nil
}

func privates(keys []signingKey) []*rsa.PrivateKey {
	var out []*rsa.PrivateKey
	for _, k := range keys {
		out = append(out, k.key)
	}
	return out
}

// Load reads what Marshal wrote.
func Load(url string, text []byte) (*Issuer, error) {
	var keys []*rsa.PrivateKey
	var certs [][]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE":
			certs = append(certs, block.Bytes)
		case "PRIVATE KEY":
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("load issuer: %w", err)
			}
			key, ok := k.(*rsa.PrivateKey)
			if !ok {
				return nil, errors.New("load issuer: key is not RSA")
			}
			keys = append(keys, key)
		}
	}
	if len(keys) < 2 || len(certs) != 3 {
		return nil, fmt.Errorf("load issuer: %d keys and %d certificates", len(keys), len(certs))
	}
	i := &Issuer{url: url, pki: chain{leaf: keys[0], certs: [3][]byte(certs)}}
	for _, key := range keys[1:] {
		i.keys = append(i.keys, signingKey{id: keyID(&key.PublicKey), key: key})
	}
	return i, nil
}

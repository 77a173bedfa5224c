package confspace

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// GoogleIssuer is the issuer of Google's Confidential Space tokens.
const GoogleIssuer = "https://confidentialcomputing.googleapis.com"

// GooglePKIRootSHA256 is the fingerprint of the certificate "Confidential
// Space Root CA" (RSA-4096, 2024-01-19 to 2034-01-16) that Google's PKI tokens
// chain to, published at
// https://confidentialcomputing.googleapis.com/.well-known/attestation-pki-root.
const GooglePKIRootSHA256 = "148b293821bb0c6a317f413c8ba475814091cb22d49b9e3c94198db8e8f86c39"

// Sizes that are looked at.
const (
	maxKeySet      = 64 << 10
	maxKeys        = 32
	maxKeyID       = 128
	maxCertificate = 4096 // bytes of DER
	minRSABits     = 2048
	maxRSABits     = 4096
)

// KeySet is an issuer's set of RS256 keys by key id.
type KeySet struct {
	keys map[string]*rsa.PublicKey
}

func (s *KeySet) has(kid string) bool {
	_, ok := s.keys[kid]
	return ok && kid != ""
}

type jwk struct {
	Type      string `json:"kty"`
	Algorithm string `json:"alg"`
	Use       string `json:"use"`
	KeyID     string `json:"kid"`
	N         string `json:"n"`
	E         string `json:"e"`
}

// ParseKeySet reads a JWKS (RFC 7517). Keys of other kinds than RSA for RS256
// signatures are passed over; it fails on malformed keys, on a key id that
// occurs twice and on a set without a usable key.
func ParseKeySet(data []byte) (*KeySet, error) {
	if len(data) > maxKeySet {
		return nil, fmt.Errorf("key set of %d bytes, the limit is %d", len(data), maxKeySet)
	}
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("key set: %d keys, the limit is %d", len(set.Keys), maxKeys)
	}
	out := &KeySet{keys: make(map[string]*rsa.PublicKey)}
	for _, k := range set.Keys {
		if k.Type != "RSA" || k.Algorithm != "RS256" || k.Use != "sig" {
			continue
		}
		key, err := k.public()
		if err != nil {
			return nil, fmt.Errorf("key set: key %q: %w", clip(k.KeyID), err)
		}
		if _, twice := out.keys[k.KeyID]; twice {
			return nil, fmt.Errorf("key set: key id %q occurs twice", clip(k.KeyID))
		}
		out.keys[k.KeyID] = key
	}
	if len(out.keys) == 0 {
		return nil, errors.New("key set: no RS256 key")
	}
	return out, nil
}

func (k jwk) public() (*rsa.PublicKey, error) {
	if k.KeyID == "" || len(k.KeyID) > maxKeyID {
		return nil, errors.New("kid is missing or too long")
	}
	n, err := decodeSegment(k.N)
	if err != nil {
		return nil, fmt.Errorf("n: %w", err)
	}
	e, err := decodeSegment(k.E)
	if err != nil {
		return nil, fmt.Errorf("e: %w", err)
	}
	if len(e) == 0 || len(e) > 4 || len(n) > maxRSABits/8+1 {
		return nil, errors.New("n or e has an unusual size")
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	return key, checkRSA(key)
}

func checkRSA(key *rsa.PublicKey) error {
	if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return fmt.Errorf("RSA key of %d bits, accepted are %d to %d", bits, minRSABits, maxRSABits)
	}
	if key.E != 65537 {
		return fmt.Errorf("RSA exponent %d, accepted is 65537", key.E)
	}
	return nil
}

// GooglePKIRoot returns GooglePKIRootSHA256 as the value for Trust.PKIRoot.
func GooglePKIRoot() [32]byte {
	root, err := ParseFingerprint(GooglePKIRootSHA256)
	if err != nil {
		return [32]byte{} // trusts nothing
	}
	return root
}

// ParseFingerprint reads a SHA-256 fingerprint of 64 lower-case hex digits.
func ParseFingerprint(s string) ([32]byte, error) {
	var out [32]byte
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(out) || strings.ToLower(s) != s {
		return out, fmt.Errorf("fingerprint %q is not 64 lower-case hex digits", clip(s))
	}
	copy(out[:], b)
	return out, nil
}

// Fingerprint returns the SHA-256 of the one certificate in the PEM text.
func Fingerprint(text []byte) ([32]byte, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" || len(strings.TrimSpace(string(rest))) > 0 {
		return [32]byte{}, errors.New("not one PEM certificate")
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return [32]byte{}, err
	}
	return sha256.Sum256(block.Bytes), nil
}

// verifyChain checks [leaf, intermediate, root] at a time and returns the
// leaf's key. The root is taken from the token only after its fingerprint was
// found equal to the pinned one, and is then the only root.
func verifyChain(x5c []string, pin [32]byte, at time.Time) (*rsa.PublicKey, error) {
	if len(x5c) != 3 {
		return nil, refuse(ReasonChain, "x5c", "%d certificates instead of 3", len(x5c))
	}
	certs := make([]*x509.Certificate, len(x5c))
	for i, text := range x5c {
		if len(text) > base64.StdEncoding.EncodedLen(maxCertificate) || strings.ContainsAny(text, "\r\n") {
			return nil, refuse(ReasonChain, "x5c", "certificate %d is too long or has line breaks", i)
		}
		der, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			return nil, &Refusal{Reason: ReasonChain, Claim: "x5c", Err: err}
		}
		if i == len(x5c)-1 && sha256.Sum256(der) != pin {
			return nil, refuse(ReasonRoot, "x5c", "root fingerprint %x is not the pinned one", sha256.Sum256(der))
		}
		if certs[i], err = x509.ParseCertificate(der); err != nil {
			return nil, &Refusal{Reason: ReasonChain, Claim: "x5c", Err: err}
		}
	}
	leaf := certs[0]
	if leaf.IsCA || leaf.SignatureAlgorithm != x509.SHA256WithRSA {
		return nil, refuse(ReasonChain, "x5c", "leaf is a CA certificate or not signed with SHA256-RSA")
	}
	if at.IsZero() {
		return nil, refuse(ReasonChain, "x5c", "no time given") // x509 would take the system's clock
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(certs[2])
	intermediates.AddCert(certs[1])
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: intoLife(certs, at),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, &Refusal{Reason: ReasonChain, Claim: "x5c", Err: err}
	}
	if len(chains) != 1 || len(chains[0]) != 3 {
		return nil, refuse(ReasonChain, "x5c", "the chain doesn't use the certificates it carries")
	}
	key, ok := leaf.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, refuse(ReasonChain, "x5c", "leaf key is not RSA")
	}
	if err := checkRSA(key); err != nil {
		return nil, &Refusal{Reason: ReasonChain, Claim: "x5c", Err: err}
	}
	return key, nil
}

// intoLife moves an instant that is up to Skew before or after the
// certificates' common life to its edge: a leaf can be as young as its token,
// and for the token's own times clocks may differ by as much.
func intoLife(certs []*x509.Certificate, at time.Time) time.Time {
	from, to := certs[0].NotBefore, certs[0].NotAfter
	for _, c := range certs[1:] {
		if c.NotBefore.After(from) {
			from = c.NotBefore
		}
		if c.NotAfter.Before(to) {
			to = c.NotAfter
		}
	}
	switch {
	case from.After(at) && from.Sub(at) <= Skew:
		return from
	case at.After(to) && at.Sub(to) <= Skew:
		return to
	}
	return at
}

package cloudsim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"time"

	"github.com/sigilkeys/sigil/attest/attesttest"
)

// authority is the cloud's certificate authority. Name constraints keep it to
// this machine: trusted somewhere by mistake, it still can't speak for others.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func loadAuthority(dir string, now time.Time) (*authority, error) {
	text, err := loadOrMake(filepath.Join(dir, "ca.pem"), func() ([]byte, error) { return makeAuthority(now) })
	if err != nil {
		return nil, fmt.Errorf("cloudsim: certificate authority: %w", err)
	}
	keyBlock, rest := pem.Decode(text)
	certBlock, _ := pem.Decode(rest)
	if keyBlock == nil || certBlock == nil {
		return nil, errors.New("cloudsim: ca.pem is damaged")
	}
	key, err := x509.ParseECPrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("cloudsim: ca.pem: %w", err)
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("cloudsim: ca.pem: %w", err)
	}
	if now.After(cert.NotAfter) {
		return nil, fmt.Errorf("cloudsim: the certificate authority in %s has expired: start with a new folder", dir)
	}
	return &authority{key, cert}, nil
}

func makeAuthority(now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Sigil local cloud CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage:                    x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         []string{"localhost"},
		PermittedIPRanges:           []*net.IPNet{{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...), nil
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// serverConfig makes a key and certificate for this run's HTTPS servers.
func (a *authority) serverConfig(now time.Time) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "Sigil local cloud"},
		NotBefore: now.Add(-time.Hour), NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}, nil
}

// loadIssuer keeps keys and chain of the attestation service; its name is its
// address.
func loadIssuer(dir, url string, now time.Time) (*attesttest.Issuer, error) {
	text, err := loadOrMake(filepath.Join(dir, "issuer.pem"), func() ([]byte, error) {
		issuer, err := attesttest.New(url, now)
		if err != nil {
			return nil, err
		}
		return issuer.Marshal()
	})
	if err != nil {
		return nil, fmt.Errorf("cloudsim: attestation issuer: %w", err)
	}
	issuer, err := attesttest.Load(url, text)
	if err != nil {
		return nil, fmt.Errorf("cloudsim: issuer.pem: %w", err)
	}
	return issuer, nil
}

// RotateIssuerKeys gives the attestation service a new OIDC signing key, for
// good; the newest old one stays in the JWKS.
func (s *Sim) RotateIssuerKeys() error {
	if err := s.issuer.Rotate(); err != nil {
		return err
	}
	text, err := s.issuer.Marshal()
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(s.cfg.Dir, "issuer.pem"), text)
}

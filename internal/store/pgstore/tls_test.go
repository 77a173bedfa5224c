package pgstore_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
	"github.com/sigilkeys/sigil/test/ports"
)

// root signs servers' certificates.
type root struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // PEM
}

func newRoot(t *testing.T, name string) *root {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	r := &root{key: newKey(t), file: filepath.Join(t.TempDir(), "root.pem")}
	der, err := x509.CreateCertificate(rand.Reader, c, c, r.key.Public(), r.key)
	must(t, err)
	r.cert, err = x509.ParseCertificate(der)
	must(t, err)
	must(t, os.WriteFile(r.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return r
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return k
}

// server returns a certificate for 127.0.0.1, or for a name alone, and its key.
func (r *root) server(t *testing.T, name string) (certificate, key []byte) {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "postgres"}, NotBefore: r.cert.NotBefore, NotAfter: r.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}; name != "" {
		c.IPAddresses, c.DNSNames = nil, []string{name}
	}
	k := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, c, r.cert, k.Public(), r.key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(k)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

// listening is a server with tables, reached by TCP.
type listening struct {
	*pgtest.Server
	address string
}

func listen(t *testing.T, opt pgtest.Options) *listening {
	t.Helper()
	opt.Address = ports.Reserve(t)
	l := &listening{pgtest.Start(t, opt), opt.Address}
	if name := migrated(t, l.Server); name != "sigil1" {
		t.Fatal(name)
	}
	return l
}

// encrypted says whether a store's connection to it is, or that it is elsewhere.
func (l *listening) encrypted(t *testing.T, s *pgstore.Store) string {
	t.Helper()
	_, _, pid, err := s.Left(t.Context())
	must(t, err)
	return l.Value("sigil1", fmt.Sprintf(`SELECT COALESCE((SELECT ssl::text FROM pg_stat_ssl WHERE pid = %d), 'elsewhere')`, pid))
}

// Real servers with real certificates. secure takes nothing but TLS; misnamed
// has a certificate of the same root for another name, and would take anything;
// plain speaks no TLS.
func TestTLS(t *testing.T) {
	ours, others := newRoot(t, "ours"), newRoot(t, "others")
	good, goodKey := ours.server(t, "")
	wrong, wrongKey := ours.server(t, "db.test")
	secure := listen(t, pgtest.Options{Certificate: good, Key: goodKey})
	misnamed := listen(t, pgtest.Options{Certificate: wrong, Key: wrongKey, Plain: true})
	plain := listen(t, pgtest.Options{})
	dsn := func(hosts, more string) pgstore.Config {
		return pgstore.Config{DSN: "postgres://sigil_app@" + hosts + "/sigil1?" + more}
	}
	full, ca, foreign := "sslmode=verify-full&sslrootcert="+ours.file, "sslmode=verify-ca&sslrootcert="+ours.file, "sslrootcert="+others.file
	for name, c := range map[string]struct{ hosts, more, want string }{
		"root":                       {secure.address, "sslmode=verify-full&" + foreign, "certificate signed by unknown authority"},
		"root, verify-ca":            {secure.address, "sslmode=verify-ca&" + foreign, "certificate signed by unknown authority"},
		"the system's roots":         {secure.address, "sslmode=verify-full", "failed to verify certificate"},
		"name":                       {misnamed.address, full, "cannot validate certificate for 127.0.0.1"},
		"no TLS":                     {plain.address, full, "server refused TLS connection"},
		"no TLS, verify-ca":          {plain.address, ca, "server refused TLS connection"},
		"unencrypted":                {secure.address, "sslmode=disable", "no encryption"},
		"name first, no TLS second":  {misnamed.address + "," + plain.address, full, "cannot validate certificate for 127.0.0.1"},
		"no TLS first, name second":  {plain.address + "," + misnamed.address, full, "server refused TLS connection"},
		"root first, no TLS second":  {secure.address + "," + plain.address, "sslmode=verify-full&" + foreign, "certificate signed by unknown authority"},
		"unencrypted, or not at all": {secure.address + "," + plain.address, "sslmode=verify-ca&" + foreign, "server refused TLS connection"},
	} {
		t.Run("wrong "+name, func(t *testing.T) { refused(t, dsn(c.hosts, c.more), c.want) })
	}
	for name, c := range map[string]struct {
		hosts, more string
		at          *listening
		encrypted   string
	}{
		"verify-full":                     {secure.address, full, secure, "true"},
		"verify-ca":                       {secure.address, ca, secure, "true"},
		"the second is the right one":     {misnamed.address + "," + secure.address, full, secure, "true"},
		"the third is":                    {plain.address + "," + misnamed.address + "," + secure.address, full, secure, "true"},
		"verify-ca looks at no name":      {misnamed.address, ca, misnamed, "true"},
		"canary: misnamed takes plain":    {misnamed.address, "sslmode=disable", misnamed, "false"},
		"canary: so does plain":           {plain.address, "sslmode=disable", plain, "false"},
		"canary: prefer takes any":        {misnamed.address, "sslmode=prefer", misnamed, "true"},
		"canary: prefer needs none":       {plain.address, "sslmode=prefer", plain, "false"},
		"canary: prefer believes anybody": {secure.address + "," + plain.address, "sslmode=prefer", secure, "true"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := pgstore.Open(t.Context(), dsn(c.hosts, c.more))
			must(t, err)
			defer s.Close()
			if got := c.at.encrypted(t, s); got != c.encrypted {
				t.Errorf("the connection is encrypted: %s, want %s", got, c.encrypted)
			}
		})
	}
	owner := "postgres://sigil_owner@" + secure.address + "/sigil1?"
	if _, err := pgstore.Migrate(t.Context(), owner+full); err != nil {
		t.Error(err)
	}
	if _, err := pgstore.Migrate(t.Context(), owner+"sslmode=verify-full&"+foreign); err == nil {
		t.Error("migrated at a server with a wrong certificate")
	}
}

package servercert_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/servercert"
)

// pair makes a certificate with that name, and its key.
func pair(t *testing.T, name string, until time.Time) (chain, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: until.Add(-48 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kder})
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// served is a TLS server over Files.
type served struct {
	*servercert.Files
	t    *testing.T
	addr string
	ask  chan os.Signal
	mu   sync.Mutex // guards said
	said bytes.Buffer
}

func (s *served) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.Write(p)
}

func (s *served) errors() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.said.String(), `"level":"ERROR"`)
}

func serve(t *testing.T, interval time.Duration) *served {
	t.Helper()
	dir := t.TempDir()
	s := &served{t: t, ask: make(chan os.Signal)}
	s.Files = &servercert.Files{Certificate: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), Now: time.Now, Interval: interval,
		Log: slog.New(slog.NewJSONHandler(s, nil))}
	s.put(pair(t, "one", time.Now().Add(time.Hour)))
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", s.Config())
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Watch(ctx, s.ask) })
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func(c net.Conn) {
				_ = c.(*tls.Conn).Handshake()
				c.Close()
			}(c)
		}
	})
	t.Cleanup(func() { cancel(); l.Close(); running.Wait() })
	return s
}

func (s *served) put(chain, key []byte) {
	s.t.Helper()
	write(s.t, s.Certificate, chain)
	write(s.t, s.Key, key)
}

// reload asks for a look and waits until it has happened: the second signal
// is taken when the first has been answered.
func (s *served) reload() { s.ask <- os.Interrupt; s.ask <- os.Interrupt }

// name returns whose certificate a new connection gets.
func (s *served) name() string {
	s.t.Helper()
	c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// A replaced pair is served without a restart.
func TestReplaced(t *testing.T) {
	s := serve(t, time.Hour)
	if got := s.name(); got != "one" {
		t.Fatal(got)
	}
	s.put(pair(t, "two", time.Now().Add(time.Hour)))
	if got := s.name(); got != "one" {
		t.Errorf("before it was told: %s", got)
	}
	s.reload()
	if got := s.name(); got != "two" {
		t.Errorf("after: %s", got)
	}
}

// Without being asked, too.
func TestNoticed(t *testing.T) {
	s := serve(t, 2*time.Millisecond)
	s.put(pair(t, "two", time.Now().Add(time.Hour)))
	for end := time.Now().Add(20 * time.Second); s.name() != "two"; {
		if time.Now().After(end) {
			t.Fatal("the new pair is never served")
		}
	}
}

// What can't be served replaces nothing, and the log says so once for each
// time that somebody asks; what can is taken after it.
func TestBrokenKeepsTheOld(t *testing.T) {
	soon := time.Now().Add(time.Hour)
	for name, spoil := range map[string]func(s *served){
		"half a file":           func(s *served) { c, k := pair(t, "bad", soon); s.put(c[:len(c)/2], k) },
		"empty":                 func(s *served) { s.put(nil, nil) },
		"another's key":         func(s *served) { c, _ := pair(t, "bad", soon); _, k := pair(t, "bad", soon); s.put(c, k) },
		"expired":               func(s *served) { s.put(pair(t, "bad", time.Now().Add(-time.Hour))) },
		"certificate went away": func(s *served) { _ = os.Remove(s.Certificate) },
		"key went away":         func(s *served) { _ = os.Remove(s.Key) },
	} {
		s := serve(t, time.Hour)
		spoil(s)
		s.reload()
		if got := s.name(); got != "one" {
			t.Errorf("%s: %s is served", name, got)
		}
		if n := s.errors(); n == 0 {
			t.Errorf("%s: not logged", name)
		}
		if strings.Contains(s.said.String(), "PRIVATE KEY") {
			t.Errorf("%s: the log has the key", name)
		}
		s.put(pair(t, "two", soon))
		s.reload()
		if got := s.name(); got != "two" {
			t.Errorf("%s, then a good one: %s", name, got)
		}
	}
}

// A broken pair that stays is said once, not at every look.
func TestBrokenIsSaidOnce(t *testing.T) {
	s := serve(t, time.Millisecond)
	s.put([]byte("x"), []byte("y"))
	for end := time.Now().Add(20 * time.Second); s.errors() == 0; {
		if time.Now().After(end) {
			t.Fatal("never said")
		}
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond) // many looks
	if n := s.errors(); n > 2 {       // a look between the two writes is one more
		t.Errorf("said %d times", n)
	}
}

func TestStartIsRefused(t *testing.T) {
	dir := t.TempDir()
	f := &servercert.Files{Certificate: filepath.Join(dir, "c"), Key: filepath.Join(dir, "k"), Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	if f.Load() == nil {
		t.Error("without files")
	}
	c, k := pair(t, "old", time.Now().Add(-time.Minute))
	write(t, f.Certificate, c)
	write(t, f.Key, k)
	for range 2 {
		if err := f.Load(); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("an expired one: %v", err)
		}
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	s := serve(t, time.Hour)
	if c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
		c.Close()
		t.Error("TLS 1.2 is served")
	}
}

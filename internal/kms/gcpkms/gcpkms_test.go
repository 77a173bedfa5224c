package gcpkms_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/kms"
	"github.com/sigilkeys/sigil/internal/kms/gcpkms"
	"github.com/sigilkeys/sigil/internal/kms/kmstest"
	"github.com/sigilkeys/sigil/internal/sealed"
)

// tokens gives one token until it is invalidated.
type tokens struct {
	mu      sync.Mutex // guards the fields below
	current int
	err     error
}

func (s *tokens) Token(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("token-%d", s.current), s.err
}

func (s *tokens) Invalidate(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token == fmt.Sprintf("token-%d", s.current) {
		s.current++
	}
}

func start(tb testing.TB) (*kmstest.Server, gcpkms.Config) {
	tb.Helper()
	s := kmstest.NewServer("token-0")
	tb.Cleanup(s.Close)
	return s, gcpkms.Config{KeyName: kmstest.KeyName(0), BaseURL: s.URL, RootCAs: s.Roots(), Token: &tokens{}, Backoff: 5 * time.Millisecond}
}

func client(tb testing.TB, cfg gcpkms.Config) *gcpkms.Client {
	tb.Helper()
	c, err := gcpkms.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

func TestConformance(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) kmstest.Harness {
		s, cfg := start(t)
		return kmstest.Harness{
			New: func(tb testing.TB, key int, timeout time.Duration) sealed.KEK {
				cfg := cfg
				cfg.KeyName, cfg.Timeout = kmstest.KeyName(key), timeout
				return client(tb, cfg)
			},
			Inject: func(f kmstest.Fault, n int) bool {
				if f == kmstest.Expired {
					s.SetToken("token-1")
				} else {
					s.Inject(f, n)
				}
				return true
			},
			RotateToken: func() { s.SetToken("token-1") },
		}
	})
}

func TestNewRefuses(t *testing.T) {
	_, good := start(t)
	for name, edit := range map[string]func(*gcpkms.Config){
		"zero value":    func(c *gcpkms.Config) { *c = gcpkms.Config{} },
		"plain HTTP":    func(c *gcpkms.Config) { c.BaseURL = "http://kms.test" },
		"path":          func(c *gcpkms.Config) { c.BaseURL += "/v1" },
		"user":          func(c *gcpkms.Config) { c.BaseURL = "https://u@kms.test" },
		"no roots":      func(c *gcpkms.Config) { c.RootCAs = nil },
		"no tokens":     func(c *gcpkms.Config) { c.Token = nil },
		"key version":   func(c *gcpkms.Config) { c.KeyName += "/cryptoKeyVersions/1" },
		"header in key": func(c *gcpkms.Config) { c.KeyName += "\r\nX: y" },
		"negative":      func(c *gcpkms.Config) { c.Timeout = -1 },
	} {
		cfg := good
		edit(&cfg)
		if _, err := gcpkms.New(cfg); err == nil {
			t.Errorf("%s accepted", name)
		}
	}
}

func TestStrangerRefused(t *testing.T) {
	s, cfg := start(t)
	cfg.RootCAs = x509.NewCertPool() // the server's certificate is under none of them
	var dek [32]byte
	_, _, err := client(t, cfg).Wrap(t.Context(), &dek, []byte("aad"))
	var e *kms.Error
	if !errors.As(err, &e) || e.Kind != kms.Unavailable {
		t.Fatal(err)
	}
	if calls, conns := s.Counts(); calls != 0 || conns != 1 {
		t.Fatalf("%d calls over %d connections: sent something, or tried again", calls, conns)
	}
}

// An older TLS can show a DEK to whoever gets the server's key later. The canary
// is the same server with TLS 1.3.
func TestOlderTLSRefused(t *testing.T) {
	for version, want := range map[uint16]bool{tls.VersionTLS12: false, tls.VersionTLS13: true} {
		handler, cfg := start(t)
		s := httptest.NewUnstartedServer(handler)
		s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: version}
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		cfg.BaseURL, cfg.RootCAs, cfg.Timeout = s.URL, x509.NewCertPool(), 10*time.Second
		if !want {
			cfg.Timeout = time.Second // it is tried again until then
		}
		cfg.RootCAs.AddCert(s.Certificate())
		var dek [32]byte
		_, _, err := client(t, cfg).Wrap(t.Context(), &dek, []byte("aad"))
		var e *kms.Error
		if calls, _ := handler.Counts(); (err == nil) != want || (calls == 1) != want || !want && (!errors.As(err, &e) || e.Kind != kms.Unavailable) {
			t.Errorf("%s: %d calls, %v", tls.VersionName(version), calls, err)
		}
	}
}

func TestTokenErrors(t *testing.T) {
	s, cfg := start(t)
	cause := errors.New("STS says no")
	cfg.Token = &tokens{err: cause}
	var dek [32]byte
	if _, _, err := client(t, cfg).Wrap(t.Context(), &dek, []byte("aad")); !errors.Is(err, cause) {
		t.Fatal(err)
	}
	// A token that stays refused is tried once more, then it is a denial.
	cfg.Token, cfg.Timeout = &tokens{current: 7}, 5*time.Second
	var e *kms.Error
	if _, _, err := client(t, cfg).Wrap(t.Context(), &dek, []byte("aad")); !errors.As(err, &e) || e.Kind != kms.Denied {
		t.Fatal(err)
	}
	if calls, _ := s.Counts(); calls != 2 {
		t.Fatalf("%d calls", calls)
	}
}

// Connections are reused under load and dropped soon after.
func TestPool(t *testing.T) {
	s, cfg := start(t)
	var dropped atomic.Int32
	cfg.Idle, cfg.MaxAge, cfg.Touch = 300*time.Millisecond, time.Minute, func() { dropped.Add(1) }
	c := client(t, cfg)
	var dek [32]byte
	for range 20 {
		if _, _, err := c.Wrap(t.Context(), &dek, []byte("aad")); err != nil {
			t.Fatal(err)
		}
	}
	if calls, conns := s.Counts(); calls != 20 || conns > 5 {
		t.Fatalf("%d calls over %d connections", calls, conns)
	}
	for start := time.Now(); dropped.Load() < 21; time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatal("idle connection isn't dropped")
		}
	}
}

func BenchmarkUnwrap(b *testing.B) {
	for name, idle := range map[string]time.Duration{"reused": 0, "handshake": 1} {
		b.Run(name, func(b *testing.B) {
			_, cfg := start(b)
			cfg.Idle = idle
			c := client(b, cfg)
			var dek [32]byte
			if _, err := rand.Read(dek[:]); err != nil {
				b.Fatal(err)
			}
			w, _, err := c.Wrap(b.Context(), &dek, []byte("aad"))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Unwrap(b.Context(), w, []byte("aad"), &dek); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

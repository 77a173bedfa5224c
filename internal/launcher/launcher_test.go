package launcher

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const jwt = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"

// serve answers every request on a Unix socket with h. Sockets have short
// paths, so the folder isn't the test's own.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sigil")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done; os.RemoveAll(dir) })
	return path
}

func TestRequests(t *testing.T) {
	var method, path, body string
	c := New(serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		method, path, body = r.Method, r.URL.Path, string(b)
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, jwt)
	}), 5*time.Second)
	got, err := c.DefaultToken(t.Context())
	if err != nil || got != jwt || method != "GET" || path != "/v1/token" || body != "" {
		t.Fatalf("%q %v: %s %s %q", got, err, method, path, body)
	}
	nonce := strings.Repeat("ab", 32)
	got, err = c.PKIToken(t.Context(), "https://sigilkeys.com/evidence/v1", nonce)
	want := `{"audience":"https://sigilkeys.com/evidence/v1","nonces":["` + nonce + `"],"token_type":"PKI"}`
	if err != nil || got != jwt || method != "POST" || path != "/v1/token" || body != want {
		t.Fatalf("%q %v: %s %s %q", got, err, method, path, body)
	}
}

func TestReplies(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   error
	}{
		"refused":      {400, "failed to retrieve custom attestation service token: no\n\x1b[31m", ErrRefused},
		"failure":      {500, "no GCA verifier client present, please try rebooting your VM", ErrUnavailable},
		"not found":    {404, "404 page not found", ErrUnavailable},
		"created":      {201, jwt, ErrUnavailable},
		"redirect":     {302, jwt, ErrUnavailable},
		"empty":        {200, "", ErrUnavailable},
		"page":         {200, "<html>hello</html>", ErrUnavailable},
		"newline":      {200, jwt + "\n", ErrUnavailable},
		"two segments": {200, "a.b", ErrUnavailable},
		"no signature": {200, "a.b.", ErrUnavailable},
		"too long":     {200, jwt + strings.Repeat("A", MaxToken), ErrUnavailable},
		"header trick": {200, "a.b.c\r\nX: y", ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			client := New(serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://elsewhere/")
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			}), 5*time.Second)
			got, err := client.DefaultToken(t.Context())
			if got != "" || !errors.Is(err, c.want) {
				t.Fatalf("%q, %v", got, err)
			}
			if strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Fatalf("control characters in %q", err)
			}
		})
	}
}

func TestBadArguments(t *testing.T) {
	c := New("/nonexistent", time.Second)
	good := strings.Repeat("n", 64)
	for name, call := range map[string]func() (string, error){
		"type":        func() (string, error) { return c.Token(t.Context(), "LIMITED_AWS", "aud", good) },
		"no audience": func() (string, error) { return c.PKIToken(t.Context(), "", good) },
		"sts":         func() (string, error) { return c.PKIToken(t.Context(), STSAudience, good) },
		"sts slash":   func() (string, error) { return c.PKIToken(t.Context(), STSAudience+"/", good) },
		"long":        func() (string, error) { return c.PKIToken(t.Context(), strings.Repeat("a", 513), good) },
		"short nonce": func() (string, error) { return c.PKIToken(t.Context(), "aud", "123456789") },
		"long nonce":  func() (string, error) { return c.PKIToken(t.Context(), "aud", strings.Repeat("n", 75)) },
		"no nonce":    func() (string, error) { return c.Token(t.Context(), PKI, "aud") },
		"7 nonces": func() (string, error) {
			return c.Token(t.Context(), PKI, "aud", good, good, good, good, good, good, good)
		},
	} {
		if got, err := call(); got != "" || !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := c.DefaultToken(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("no socket: %v", err)
	}
}

func TestHangingLauncher(t *testing.T) {
	release := make(chan struct{})
	c := New(serve(t, func(http.ResponseWriter, *http.Request) { <-release }), 50*time.Millisecond)
	if _, err := c.DefaultToken(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.DefaultToken(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	close(release)
}

func FuzzCheckToken(f *testing.F) {
	f.Add([]byte(jwt))
	f.Add([]byte("..."))
	f.Fuzz(func(t *testing.T, data []byte) {
		if checkToken(data) == nil && strings.ContainsAny(string(data), "\r\n\x00 :;&=%") {
			t.Fatalf("accepted %q", data)
		}
	})
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

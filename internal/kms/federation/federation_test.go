package federation

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const audience = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/v"

type subject func() (string, error)

func (s subject) DefaultToken(context.Context) (string, error) { return s() }

type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

type env struct {
	source *Source
	clock  *clock
	calls  *atomic.Int64
}

func start(t *testing.T, h func(n int64, w http.ResponseWriter, r *http.Request)) env {
	t.Helper()
	var calls atomic.Int64
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h(calls.Add(1), w, r) }))
	t.Cleanup(srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	c := &clock{}
	c.ns.Store(1e18)
	s, err := New(Config{
		TokenURL: srv.URL + "/v1/token", Audience: audience, Roots: roots, Timeout: 5 * time.Second, Now: c.now,
		Subject: subject(func() (string, error) { return "a.b.c", nil }),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return env{s, c, &calls}
}

func grant(w io.Writer, token string, life int) {
	fmt.Fprintf(w, `{"access_token":%q,"issued_token_type":%q,"token_type":"Bearer","expires_in":%d}`, token, accessType, life)
}

func TestExchangeForm(t *testing.T) {
	var form url.Values
	e := start(t, func(_ int64, w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		form = r.PostForm
		grant(w, "tok", 3600)
	})
	got, err := e.source.Token(t.Context())
	if err != nil || got != "tok" {
		t.Fatalf("%q, %v", got, err)
	}
	for k, want := range map[string]string{
		"audience": audience, "grant_type": grantType, "requested_token_type": accessType,
		"scope": scope, "subject_token": "a.b.c", "subject_token_type": subjectType,
	} {
		if form.Get(k) != want || len(form[k]) != 1 {
			t.Errorf("%s: %q", k, form[k])
		}
	}
	if len(form) != 6 {
		t.Errorf("form %v", form)
	}
	for _, f := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if s := fmt.Sprintf(f, e.source); strings.Contains(s, `tok"`) || strings.Contains(s, "token:") {
			t.Errorf("%s prints %s", f, s)
		}
	}
}

func TestOneExchangeForManyCallers(t *testing.T) {
	release := make(chan struct{})
	e := start(t, func(n int64, w http.ResponseWriter, _ *http.Request) {
		<-release
		grant(w, fmt.Sprint("tok", n), 3600)
	})
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if got, err := e.source.Token(t.Context()); err != nil || got != "tok1" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	// A caller that leaves doesn't take the exchange with it.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.source.Token(ctx); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(release)
	wg.Wait()
	if n := e.calls.Load(); n != 1 {
		t.Fatalf("%d exchanges", n)
	}
}

func TestRenewal(t *testing.T) {
	renewed := make(chan struct{}, 4)
	e := start(t, func(n int64, w http.ResponseWriter, _ *http.Request) {
		if n == 3 {
			http.Error(w, `{"error":"invalid_grant"}`, 400)
		} else {
			grant(w, fmt.Sprint("tok", n), 3600)
		}
		renewed <- struct{}{}
	})
	token := func() string {
		t.Helper()
		s, err := e.source.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for range 2 {
		if token() != "tok1" {
			t.Fatal("first")
		}
	}
	<-renewed
	e.clock.advance(46 * time.Minute) // a quarter left: served and renewed
	if token() != "tok1" {
		t.Fatal("old token serves while it is renewed")
	}
	<-renewed
	e.source.work.Wait()
	if token() != "tok2" {
		t.Fatal("second")
	}
	e.clock.advance(50 * time.Minute)
	if token() != "tok2" {
		t.Fatal("serves during a failing renewal")
	}
	<-renewed
	e.source.work.Wait()
	if token() != "tok2" || e.calls.Load() != 3 {
		t.Fatal("a failed renewal is repeated at once")
	}
	e.clock.advance(10 * time.Minute) // expired: never handed out
	if token() != "tok4" {
		t.Fatal("expired token")
	}
	<-renewed
	e.source.Invalidate("tok2") // not the cached one
	if token() != "tok4" {
		t.Fatal("other token invalidated")
	}
	e.source.Invalidate("tok4")
	if token() != "tok5" {
		t.Fatal("invalidated token")
	}
}

// A short token isn't used in its last second: the STS counts whole ones.
func TestShortToken(t *testing.T) {
	e := start(t, func(n int64, w http.ResponseWriter, _ *http.Request) { grant(w, fmt.Sprint("tok", n), 3) })
	for i, step := range []time.Duration{0, time.Second, 1100 * time.Millisecond} {
		e.clock.advance(step)
		want := "tok1"
		if i == 2 {
			want = "tok2"
		}
		if got, err := e.source.Token(t.Context()); err != nil || got != want {
			t.Errorf("after step %d: %q, %v; want %q", i, got, err, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	ok := `"issued_token_type":"` + accessType + `","token_type":"Bearer"`
	for name, c := range map[string]struct {
		status int
		body   string
		want   error
	}{
		"condition":     {400, `{"error":"unauthorized_client","error_description":"The given credential is rejected by the attribute condition."}`, ErrDenied},
		"grant":         {400, `{"error":"invalid_grant"}`, ErrDenied},
		"forbidden":     {403, `no`, ErrDenied},
		"rate":          {429, `{}`, ErrUnavailable},
		"down":          {503, ``, ErrUnavailable},
		"redirect":      {307, ``, ErrUnavailable},
		"created":       {201, `{"access_token":"a","expires_in":3600,` + ok + `}`, ErrUnavailable},
		"empty":         {200, ``, ErrUnavailable},
		"no token":      {200, `{"expires_in":3600,` + ok + `}`, ErrUnavailable},
		"spaces":        {200, `{"access_token":"a b","expires_in":3600,` + ok + `}`, ErrUnavailable},
		"header trick":  {200, `{"access_token":"a\r\nX: y","expires_in":3600,` + ok + `}`, ErrUnavailable},
		"no expiry":     {200, `{"access_token":"a",` + ok + `}`, ErrUnavailable},
		"expired":       {200, `{"access_token":"a","expires_in":-1,` + ok + `}`, ErrUnavailable},
		"expiry text":   {200, `{"access_token":"a","expires_in":"3600",` + ok + `}`, ErrUnavailable},
		"other type":    {200, `{"access_token":"a","expires_in":3600,"issued_token_type":"x","token_type":"Bearer"}`, ErrUnavailable},
		"not bearer":    {200, `{"access_token":"a","expires_in":3600,"issued_token_type":"` + accessType + `","token_type":"MAC"}`, ErrUnavailable},
		"duplicate":     {200, `{"access_token":"a","access_token":"b","expires_in":3600,` + ok + `}`, ErrUnavailable},
		"trailing":      {200, `{"access_token":"a","expires_in":3600,` + ok + `}x`, ErrUnavailable},
		"too long":      {200, `{"access_token":"` + strings.Repeat("a", maxToken+1) + `","expires_in":3600,` + ok + `}`, ErrUnavailable},
		"reply is huge": {200, strings.Repeat(" ", maxReply+1), ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			e := start(t, func(_ int64, w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/other")
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			})
			got, err := e.source.Token(t.Context())
			if got != "" || !errors.Is(err, c.want) {
				t.Fatalf("%q, %v", got, err)
			}
			if _, again := e.source.Token(t.Context()); !errors.Is(again, c.want) || e.calls.Load() != 1 {
				t.Fatalf("asked %d times: %v", e.calls.Load(), again)
			}
			e.clock.advance(retryAfter)
			if _, err := e.source.Token(t.Context()); err == nil || e.calls.Load() != 2 {
				t.Fatal("not tried again")
			}
		})
	}
}

func TestForeignRootRefused(t *testing.T) {
	e := start(t, func(_ int64, w http.ResponseWriter, _ *http.Request) { grant(w, "tok", 3600) })
	cfg := e.source.cfg
	cfg.Roots = x509.NewCertPool()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Token(t.Context()); !errors.Is(err, ErrUnavailable) || e.calls.Load() != 0 {
		t.Fatalf("%v after %d calls", err, e.calls.Load())
	}
	cfg.Subject = subject(func() (string, error) { return "", errors.New("no launcher") })
	cfg.Roots = e.source.cfg.Roots
	s2, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s2.Token(t.Context()); !errors.Is(err, ErrUnavailable) || e.calls.Load() != 0 {
		t.Fatalf("%v", err)
	}
	s2.Close()
	if _, err := s2.Token(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("closed: %v", err)
	}
	for name, spoil := range map[string]func(*Config){
		"plain http": func(c *Config) { c.TokenURL = "http://127.0.0.1/v1/token" },
		"no roots":   func(c *Config) { c.Roots = nil },
		"audience":   func(c *Config) { c.Audience = "" },
		"subject":    func(c *Config) { c.Subject = nil },
		"timeout":    func(c *Config) { c.Timeout = 0 },
		"clock":      func(c *Config) { c.Now = nil },
	} {
		bad := e.source.cfg
		spoil(&bad)
		if _, err := New(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzParseGrant(f *testing.F) {
	var b strings.Builder
	grant(&b, "tok", 3600)
	f.Add([]byte(b.String()))
	f.Fuzz(func(t *testing.T, data []byte) {
		token, life, err := parseGrant(data)
		if err == nil && (token == "" || life <= 0 || life > maxLifetime || strings.ContainsAny(token, " \r\n")) {
			t.Fatalf("%q for %s", token, life)
		}
	})
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

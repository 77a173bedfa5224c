package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/client"
)

// flaky answers the first n sign requests with f and records all of them.
type flaky struct {
	n    int
	f    func(w http.ResponseWriter)
	seen []string
}

func (x *flaky) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/s2s/sign" {
			next.ServeHTTP(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		r.Body = readCloser{strings.NewReader(string(body))}
		x.seen = append(x.seen, r.Header.Get("Signature-Input")+r.Header.Get("Signature")+string(body))
		if len(x.seen) <= x.n {
			x.f(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func hangUp(http.ResponseWriter) { panic(http.ErrAbortHandler) }

func status(code int, retryAfter string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(code)
		fmt.Fprint(w, `{"data":null,"error":{"code":"overloaded","message":"busy"}}`)
	}
}

// The very same signed request goes again, and nothing else does.
func TestResend(t *testing.T) {
	for name, a := range map[string]struct {
		n     int
		f     func(http.ResponseWriter)
		sent  int
		ok    bool
		waits []time.Duration
	}{
		"503 twice":         {2, status(503, ""), 3, true, []time.Duration{100 * time.Millisecond, 200 * time.Millisecond}},
		"429 with a wait":   {1, status(429, "3"), 2, true, []time.Duration{3 * time.Second}},
		"429 too long":      {1, status(429, "50"), 1, false, nil},
		"odd Retry-After":   {1, status(503, "-1"), 2, true, []time.Duration{100 * time.Millisecond}},
		"connection broken": {1, hangUp, 2, true, []time.Duration{100 * time.Millisecond}},
		"500":               {1, status(500, ""), 1, false, nil},
		"409":               {1, status(409, "1"), 1, false, nil},
		"for ever":          {99, status(503, ""), 6, false, []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, 1600 * time.Millisecond}},
	} {
		s := newStack(t)
		x := &flaky{n: a.n, f: a.f}
		s.intercept(x.wrap)
		var waits []time.Duration
		c := must(client.New(client.Config{BaseURL: s.url, SecretKey: s.secret, Now: s.clock.now,
			Sleep: func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }}))(t)
		_, err := c.Sign(t.Context(), s.request())
		var refused *client.APIError
		if name == "429 too long" && (!errors.As(err, &refused) || refused.RetryAfter != 50*time.Second) {
			t.Errorf("%s: the error doesn't say when: %v", name, err)
		}
		if (err == nil) != a.ok || len(x.seen) != a.sent || !slices.Equal(waits, a.waits) {
			t.Errorf("%s: %v, sent %d, waited %v", name, err, len(x.seen), waits)
		}
		for _, r := range x.seen {
			if r != x.seen[0] {
				t.Errorf("%s: another request was sent", name)
			}
		}
	}
}

// A signed request isn't sent again when the service would find it too old.
func TestNoResendWhenOld(t *testing.T) {
	s := newStack(t)
	x := &flaky{n: 99, f: status(503, "20")}
	s.intercept(x.wrap)
	c := must(client.New(client.Config{BaseURL: s.url, SecretKey: s.secret, Now: s.clock.now,
		Sleep: func(_ context.Context, d time.Duration) error { s.clock.move(d); return nil }}))(t)
	var e *client.APIError
	if _, err := c.Sign(t.Context(), s.request()); !errors.As(err, &e) || e.Status != 503 || len(x.seen) != 3 {
		t.Error(err, len(x.seen)) // at 0, 20 and 40 s
	}
}

func TestCancelled(t *testing.T) {
	s := newStack(t)
	c := s.client(t, s.secret)
	must(c.Sign(t.Context(), s.request()))(t)
	ctx, cancel := context.WithCancel(t.Context())
	x := &flaky{n: 99, f: func(w http.ResponseWriter) { cancel(); status(503, "")(w) }}
	s.intercept(x.wrap)
	if _, err := c.Sign(ctx, s.request()); err == nil || len(x.seen) > 1 {
		t.Error(err, len(x.seen))
	}
}

// A redirect would hand the signed request to somebody else.
func TestNoRedirect(t *testing.T) {
	s := newStack(t)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("followed a redirect") }))
	defer elsewhere.Close()
	x := &flaky{n: 1, f: func(w http.ResponseWriter) {
		w.Header().Set("Location", elsewhere.URL+"/v1/s2s/sign")
		w.WriteHeader(http.StatusTemporaryRedirect)
	}}
	s.intercept(x.wrap)
	if _, err := s.client(t, s.secret).Sign(t.Context(), s.request()); err == nil {
		t.Error("accepted")
	}
}

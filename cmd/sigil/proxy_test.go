package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/client"
)

// A web page reaches localhost by its address or by a name that resolves to
// it; neither may sign.
func TestProxyRefusesWebPages(t *testing.T) {
	forwarded := 0
	p := &proxy{port: "8421", forward: func(_ context.Context, _, _, _ string, _ []byte, _ string) (*client.Forwarded, error) {
		forwarded++
		return &client.Forwarded{Data: json.RawMessage(`{"ok":true}`), Verified: true}, nil
	}}
	for name, c := range map[string]struct {
		edit   func(*http.Request)
		status int
	}{
		"curl":                {func(*http.Request) {}, 200},
		"localhost":           {func(r *http.Request) { r.Host = "localhost:8421" }, 200},
		"IPv6":                {func(r *http.Request) { r.Host = "[::1]:8421" }, 200},
		"DNS rebinding":       {func(r *http.Request) { r.Host = "evil.example:8421" }, 403},
		"localhost as prefix": {func(r *http.Request) { r.Host = "localhost.evil.example:8421" }, 403},
		"other port":          {func(r *http.Request) { r.Host = "127.0.0.1:80" }, 403},
		"no port":             {func(r *http.Request) { r.Host = "127.0.0.1" }, 403},
		"origin":              {func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		"null origin":         {func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		"fetch metadata":      {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		"form":                {func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415},
		"no type":             {func(r *http.Request) { r.Header.Del("Content-Type") }, 415},
		"preflight":           {func(r *http.Request) { r.Method = "OPTIONS"; r.Header.Set("Origin", "https://evil.example") }, 403},
		"other path":          {func(r *http.Request) { r.URL.Path = "/healthz" }, 400},
		"two keys":            {func(r *http.Request) { r.Header["Idempotency-Key"] = []string{"a", "b"} }, 400},
		"large":               {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", maxProxyBody+1))) }, 413},
	} {
		r := httptest.NewRequest("POST", "http://127.0.0.1:8421/v1/s2s/sign", strings.NewReader(`{}`))
		r.Header.Set("Content-Type", "application/json")
		c.edit(r)
		before := forwarded
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if w.Code != c.status || (forwarded > before) != (c.status == 200) {
			t.Errorf("%s: %d, forwarded %v", name, w.Code, forwarded > before)
		}
		if c.status != 200 && w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: allows an origin", name)
		}
	}
}

func TestProxyErrors(t *testing.T) {
	for code, c := range map[string]struct {
		err    error
		status int
	}{
		"signature_mismatch":  {&client.VerificationError{Code: client.CodeSignature}, 502},
		"policy_wallet":       {&client.APIError{Status: 403, Code: "policy_wallet", Details: json.RawMessage(`{"a":1}`)}, 403},
		"invalid_argument":    {&client.ArgumentError{Field: "path"}, 400},
		"service_unreachable": {errors.New("connection refused"), 502},
	} {
		p := &proxy{forward: func(context.Context, string, string, string, []byte, string) (*client.Forwarded, error) {
			return nil, c.err
		}}
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest("GET", "/v1/s2s/wallets", nil))
		if w.Code != c.status || !strings.Contains(w.Body.String(), `"code":"`+code+`"`) {
			t.Errorf("%s: %d %s", code, w.Code, w.Body)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true,
		"0.0.0.0:1": false, "[::]:1": false, ":1": false, "10.0.0.1:1": false, "localhost.example:1": false, "127.0.0.1": false, "": false,
	} {
		if isLoopback(address) != want {
			t.Errorf("%q: %v", address, !want)
		}
	}
}

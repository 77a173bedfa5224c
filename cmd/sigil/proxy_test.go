package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/adminkey"
	"github.com/sigilkeys/sigil/internal/clienttest"
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

// Who retries through the proxy waits as the service asks.
func TestProxyRetryAfter(t *testing.T) {
	for _, c := range []struct {
		err  *client.APIError
		want string
	}{
		{&client.APIError{Status: 429, Code: "rate_limited", RetryAfter: 70 * time.Second}, "70"},
		{&client.APIError{Status: 503, Code: "tee_unavailable"}, "1"},
		{&client.APIError{Status: 403, Code: "policy_wallet"}, ""},
	} {
		w := httptest.NewRecorder()
		replyForwardError(w, c.err)
		if got := w.Header().Get("Retry-After"); got != c.want || w.Code != c.err.Status {
			t.Errorf("%s: %d, Retry-After %q, want %q", c.err.Code, w.Code, got, c.want)
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

// TestProxyCommand runs the command as a shell would, and curl against it.
func TestProxyCommand(t *testing.T) {
	s, err := service()
	if err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(s)
	defer api.Close()
	secret, wallet := newSecretKey(t, s, api.URL)
	a, _, errOut := testApp(map[string]string{"SIGIL_SECRET_KEY": secret, "SIGIL_API_URL": api.URL})
	r, w := io.Pipe()
	a.out = w
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	exit := make(chan int, 1)
	go func() { exit <- run(ctx, a, []string{"proxy", "--listen", "127.0.0.1:0"}) }()
	address, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err, errOut)
	}
	body := `{"wallet_id":"` + wallet + `","network":"base","message":"hello"}`
	res, err := http.Post(strings.TrimSpace(address)+"/v1/s2s/sign", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 || res.Header.Get("Sigil-Verified") != "true" || !strings.Contains(string(got), `"signature":"0x`) {
		t.Errorf("%d %s %v", res.StatusCode, got, err)
	}
	if strings.Contains(string(got), secret[10:60]) {
		t.Error("the secret was sent")
	}
	stop()
	if code := <-exit; code != exitOK {
		t.Errorf("exit %d: %s", code, errOut)
	}
}

// newSecretKey makes an organisation with a key and a wallet.
func newSecretKey(t *testing.T, s *clienttest.Service, address string) (secret, wallet string) {
	t.Helper()
	key, err := adminkey.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := client.NewAdmin(client.AdminConfig{BaseURL: address, Keys: []ed25519.PrivateKey{key}})
	if err != nil {
		t.Fatal(err)
	}
	org, err := admin.CreateOrganization(t.Context(), client.NewOrganization{Name: "Proxied", Quorum: 1, TEEs: []client.TEE{s.TEE()},
		Admins: []client.AdminKey{{Name: "root", PublicKey: hex.EncodeToString(key[32:])}}})
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"*"}
	k, err := admin.CreateKey(t.Context(), org.Genesis, org.StateKey, client.NewKey{Name: "k", Wallets: all, Networks: all, Methods: all, Expires: time.Now().Add(time.Hour)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Config{BaseURL: address, SecretKey: k.Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.Wallets().Create(t.Context(), client.NewWallet{})
	if err != nil {
		t.Fatal(err)
	}
	return k.Reveal(), w.ID
}

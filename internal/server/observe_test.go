package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/test/secrets"
	"github.com/sigilkeys/sigil/test/stack"
)

func debugLog(to io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(to, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// lines reads the log's lines with that message.
func lines(t *testing.T, log *secrets.Buffer, msg string) (out []map[string]any) {
	t.Helper()
	for s := bufio.NewScanner(bytes.NewReader(log.Bytes())); s.Scan(); {
		var line map[string]any
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v", s.Bytes(), err)
		}
		if line["msg"] == msg {
			out = append(out, line)
		}
	}
	return out
}

// Each request has one line, which has the id of its answer.
func TestAccessLog(t *testing.T) {
	log := &secrets.Buffer{}
	s := stack.Start(t, stack.Options{Log: debugLog(log)})
	owner := s.NewOwner()
	token := s.NewKey(owner, nil)
	unsigned := func(method, path string) *http.Request {
		r, err := http.NewRequest(method, s.API.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	org := owner.Genesis.OrganizationID.String()
	pub := token.PublicKey()
	for _, c := range []struct {
		request *http.Request
		want    map[string]any
	}{
		{s.Request(token, "POST", "/v1/s2s/wallets", `{}`), map[string]any{"method": "POST", "route": "/v1/s2s/wallets", "status": 201.0, "organization": org, "key": authority.KeyID(pub)}},
		{s.Request(token, "GET", "/v1/orgs/"+org, ""), map[string]any{"method": "GET", "route": "/v1/orgs/{org}", "status": 200.0, "organization": org, "key": authority.KeyID(pub)}},
		{unsigned("GET", "/v1/networks"), map[string]any{"method": "GET", "route": "/v1/networks", "status": 200.0}},
		{unsigned("GET", "/v1/receipts/x"), map[string]any{"route": "/v1/receipts/{id}", "status": 401.0, "code": "signature_missing"}},
		{unsigned("GET", "/healthz"), map[string]any{"route": "/healthz", "status": 200.0, "level": "DEBUG"}},
		{unsigned("GET", "/v1/planted-in-the-path"), map[string]any{"method": "", "route": "", "status": 404.0, "code": "not_found"}},
		{unsigned("GET", "/v1//planted-in-the-path"), map[string]any{"route": "", "status": 404.0, "code": "not_found"}},
		{unsigned("DELETE", "/v1/networks"), map[string]any{"route": "", "status": 405.0, "code": "method_not_allowed"}},
	} {
		before := len(lines(t, log, "request"))
		res, err := http.DefaultClient.Do(c.request)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		var got []map[string]any
		for end := time.Now().Add(10 * time.Second); len(got) == 0 && time.Now().Before(end); { // the line follows the answer
			got = lines(t, log, "request")[before:]
		}
		if len(got) != 1 {
			t.Errorf("%s: %d lines", c.request.URL.Path, len(got))
			continue
		}
		c.want["request"] = res.Header.Get("Sigil-Request-Id")
		for field, want := range c.want {
			if got[0][field] != want {
				t.Errorf("%s: %s is %v, want %v", c.request.URL.Path, field, got[0][field], want)
			}
		}
		for _, field := range []string{"organization", "key", "code"} {
			if _, has := got[0][field]; has && c.want[field] == nil {
				t.Errorf("%s: has a field %s: %v", c.request.URL.Path, field, got[0])
			}
		}
	}
}

// planted puts a marker of its own in each part of a request that a caller
// writes.
func planted(t *testing.T, base *http.Request) []*http.Request {
	t.Helper()
	var out []*http.Request
	add := func(edit func(r *http.Request, mark string)) {
		r := base.Clone(t.Context())
		edit(r, fmt.Sprintf("PLANTED%02dqX7", len(out)))
		out = append(out, r)
	}
	header := func(name, format string) {
		add(func(r *http.Request, m string) { r.Header.Set(name, fmt.Sprintf(format, m)) })
	}
	body := func(format string) {
		add(func(r *http.Request, m string) {
			text := fmt.Sprintf(format, m)
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		})
	}
	header("Authorization", "Bearer %s")
	header("Authorization", "Bearer sk_live_%s")
	header("Authorization", "Basic %s")
	header("Idempotency-Key", "%s")
	header("Idempotency-Key", `"%s"`)
	header("Signature", "sigil=:%s:")
	header("Signature-Input", "%s")
	header("Content-Digest", "sha-256=:%s:")
	header("Content-Type", "application/%s")
	header("User-Agent", "%s")
	header("Cookie", "session=%s")
	header("X-Forwarded-For", "%s")
	header("Sigil-Request-Id", "%s")
	header("Traceparent", "00-%s")
	body(`{"%s":1}`)
	body(`{"wallet_id":"%s"}`)
	body(`{"wallet_id":"00000000-0000-4000-8000-000000000000","network":"%s","message":"x"}`)
	body(`%s`)
	body("{\"message\":\"%s\xff\"}")
	body(`{"message":%s}`)
	add(func(r *http.Request, m string) { r.URL.RawQuery = "secret=" + m })
	add(func(r *http.Request, m string) { r.URL.Path += "/" + m })
	add(func(r *http.Request, m string) { r.URL.Path = "/v1/s2s/wallets/" + m; r.Method = "GET" })
	add(func(r *http.Request, m string) { r.URL.Path = "/v1/attestation/" + m; r.Method = "GET" })
	add(func(r *http.Request, m string) { r.URL.User = nil; r.Host = m + ".example" })
	return out
}

// The log at its most talkative holds nothing that a caller sent or got:
// markers in every part of a request, real tokens, request signatures, and the
// signatures made.
func TestLogHoldsNoSecrets(t *testing.T) {
	log, found := secretsInLog(t, func(h http.Handler, _ *slog.Logger) http.Handler { return h })
	if len(found) > 0 {
		t.Errorf("the log holds %q", found)
	}
	if n := len(lines(t, log, "request")); n < 30 {
		t.Errorf("%d requests were logged: this test looks in the wrong place", n)
	}
}

// A server that logs what it is sent is found out.
func TestLoggedSecretsAreFound(t *testing.T) {
	_, found := secretsInLog(t, func(h http.Handler, log *slog.Logger) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			log.Debug("careless", "host", r.Host, "url", r.URL.String(), "header", r.Header, "body", strings.ToValidUTF8(string(body), "?"))
			h.ServeHTTP(w, r)
		})
	})
	if len(found) < 25 {
		t.Errorf("only %q are found in a log that has them all", found)
	}
}

func secretsInLog(t *testing.T, wrap func(http.Handler, *slog.Logger) http.Handler) (log *secrets.Buffer, found []string) {
	t.Helper()
	log = &secrets.Buffer{}
	s := stack.Start(t, stack.Options{Log: debugLog(log), WrapHandler: func(h http.Handler) http.Handler { return wrap(h, debugLog(log)) }})
	owner := s.NewOwner()
	token := s.NewKey(owner, nil)
	var w api.Wallet
	s.Do(s.Request(token, "POST", "/v1/s2s/wallets", `{}`), 201, &w)
	bearer := s.NewKey(owner, func(g *authority.Grant) {
		g.Bearer = true
		g.Policy.Wallets, g.Policy.Methods = []string{w.ID}, []string{"signMessage"}
	})
	sign := fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"PLANTEDmessage"}`, w.ID)
	requests := planted(t, s.Request(token, "POST", "/v1/s2s/sign", sign))
	good := s.Request(token, "POST", "/v1/s2s/sign", sign)
	raw := s.Request(token, "POST", "/v1/s2s/sign", sign)
	raw.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + bearer.Reveal()}}
	secretTexts := map[string]string{"request signature": good.Header.Get("Signature"), "token": token.Reveal(), "bearer token": bearer.Reveal(), "message": "PLANTEDmessage"}
	for i, r := range append(requests, good, raw) {
		if i < len(requests) {
			secretTexts[fmt.Sprintf("marker %d", i)] = fmt.Sprintf("PLANTED%02dqX7", i)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var e struct{ Data api.Signature }
		if err := json.NewDecoder(res.Body).Decode(&e); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if i >= len(requests) {
			if res.StatusCode != 200 {
				t.Fatalf("a request that should pass: %d", res.StatusCode)
			}
			secretTexts["signature made"] = e.Data.Signature
		}
	}
	s.API.Close() // the last lines are written
	all := log.Bytes()
	for name, text := range secretTexts {
		if bytes.Contains(all, []byte(text)) {
			found = append(found, name)
		}
	}
	return log, found
}

// panicking is a store with a defect.
type panicking struct{ store.Store }

func (panicking) Ready(context.Context) error { panic("PLANTEDpanic") }

// A panic costs its caller an error with a request id, and nobody else
// anything; the log says where it was, and not with what.
func TestPanic(t *testing.T) {
	log := &secrets.Buffer{}
	s := stack.Start(t, stack.Options{Log: debugLog(log), WrapStore: func(st store.Store) store.Store { return panicking{st} }})
	for range 2 {
		res, err := http.Get(s.API.URL + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if id := res.Header.Get("Sigil-Request-Id"); res.StatusCode != 500 || id == "" || !strings.Contains(string(body), id) || strings.Contains(string(body), "PLANTED") {
			t.Errorf("%d %q %s", res.StatusCode, id, body)
		}
	}
	said := lines(t, log, "a request panicked")
	if len(said) != 2 || !strings.Contains(fmt.Sprint(said[0]["stack"]), "panicking") || bytes.Contains(log.Bytes(), []byte("PLANTED")) {
		t.Errorf("the log says %v", said)
	}
}

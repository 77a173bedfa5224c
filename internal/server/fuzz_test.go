package server_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/server"
	"github.com/sigilkeys/sigil/internal/store"
)

func decodeBody(res *http.Response, v any) error {
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

// heard gathers what isn't as described, for a fuzz target, which can't fail
// its testing.F from within.
type heard struct {
	mu   sync.Mutex // guards text
	text []string
}

func (h *heard) report(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text = append(h.text, fmt.Sprintf(format, args...))
}

func (h *heard) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer func() { h.text = nil }()
	return h.text
}

// live are the ids of this run, by the names under which seeds have them.
func (s *scene) live() []string {
	return []string{"{org}", s.owner.Genesis.OrganizationID.String(), "{wallet}", s.wallet.ID, "{receipt}", s.wallet.Receipt.ID,
		"{evidence}", s.evidence, "{grant}", s.grant}
}

func (s *scene) named(text string) string {
	pairs := s.live()
	for i := 0; i < len(pairs); i += 2 {
		text = strings.ReplaceAll(text, pairs[i+1], pairs[i])
	}
	return text
}

// FuzzHandler sends anything to the whole handler, signed or not. Whatever it
// is, the reply is as api/openapi.yaml describes it, in an envelope, and never
// 500.
func FuzzHandler(f *testing.F) {
	var told heard
	s := newSceneOn(f, func(s store.Store) store.Store { return s }, told.report)
	for _, r := range server.RoutesForTest() {
		path, body := s.named(s.path(r)), s.named(s.body(r))
		f.Add(r.Method, path, "", "", "", []byte(body), true)
		f.Add(r.Method, path, "limit=10&offset=0", "Authorization", "Bearer sk_live_x", []byte(body), false)
		f.Add("POST", path, "", "Idempotency-Key", "one", []byte(`{"label":"x","genesis":{},"grant":{}}`), true)
	}
	sign := func(more string) []byte {
		return []byte(`{"wallet_id":"{wallet}","network":"solana","message":"hi"` + more + `}`)
	}
	f.Add("POST", "/v1/s2s/sign", "", "", "", sign(`,"message_encoding":"hex"`), true)
	f.Add("POST", "/v1/s2s/sign", "", "", "", sign(`,"message_format":"solana-offchain-v1","required_signatories":["x"]`), true)
	f.Add("POST", "/v1/s2s/sign", "", "", "", sign(`,"message_format":"solana-offchain-v0","application_domain":"1","content_format":"ascii"`), true)
	f.Add("POST", "/v1/s2s/sign/batch", "", "", "", []byte(`{"items":[null,{"wallet_id":"{wallet}","network":"base","message":"hi"},{"x":[]}]}`), true)
	f.Add("POST", "/v1/s2s/sign", "", "", "", []byte(`{"wallet_id":"{wallet}","network":"base","transaction":"0x02ef82210507830f42408405f5e100825208945aaeb6053f3e94c9b9a09f33669435e7ef1beaed872386f26fc1000080c0"}`), true)
	f.Add("POST", "/v1/s2s/transactions/decode", "", "", "", []byte(`{"wallet_id":"{wallet}","network":"base","transaction":"0x02c0"}`), true)
	f.Add("PATCH", "/v1/s2s/wallets/{wallet}", "", "", "", []byte(`{"label":"x","archived":false}`), true)
	f.Add("GET", "/v1/s2s/wallets", "label_prefix=x&address=0x00&created_after=2026-01-31T12:00:00%2B01:00&archived=all", "", "", []byte(nil), true)
	f.Add("GET", "/v1/log/inclusion", "size=1&receipt=00000000-0000-4000-8000-000000000001", "", "", []byte(nil), true)
	f.Add("GET", "/v1/log/consistency", "from=1&to=2", "", "", []byte(nil), true)
	f.Add("GET", "/v1/log/entries", "from=0&limit=100", "", "", []byte(nil), true)
	f.Fuzz(func(t *testing.T, method, path, query, header, value string, body []byte, signed bool) {
		fill := strings.NewReplacer(s.live()...)
		req := s.fuzzed(method, fill.Replace(path), query, header, fill.Replace(value), fill.Replace(string(body)), signed)
		if req == nil {
			t.Skip("not HTTP")
		}
		reply := httptest.NewRecorder()
		s.API.Config.Handler.ServeHTTP(reply, req)
		for _, fault := range told.take() {
			t.Error(fault)
		}
		var env api.Envelope
		if err := json.Unmarshal(reply.Body.Bytes(), &env); err != nil || (env.Error == nil) == (string(env.Data) == "null") {
			t.Errorf("%d %.300q isn't an envelope: %v", reply.Code, reply.Body, err)
		}
		if reply.Code == http.StatusInternalServerError {
			t.Errorf("%s %s?%s %.500q: %s", method, path, query, body, s.log)
		}
	})
}

// fuzzed makes a request as it comes out of net/http, nil for what net/http
// wouldn't let through.
func (s *scene) fuzzed(method, path, query, header, value, body string, signed bool) *http.Request {
	target := path
	if query != "" {
		target += "?" + query
	}
	u, err := url.ParseRequestURI(target)
	if err != nil || !strings.HasPrefix(path, "/") || !regexp.MustCompile(`^[A-Z]{1,10}$`).MatchString(method) || strings.ContainsAny(target, " #") {
		return nil
	}
	req, err := http.NewRequest(method, s.API.URL, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil
	}
	req.URL, req.RequestURI, req.RemoteAddr = u, target, "127.0.0.1:1"
	if header != "" {
		if !regexp.MustCompile(`^[A-Za-z0-9-]+$`).MatchString(header) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
			return nil
		}
		req.Header.Set(header, value)
	}
	if req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if !signed {
		return req
	}
	id, err := canon.NewUUID(rand.Reader)
	if err != nil {
		return nil
	}
	a := authority.Request{Method: method, Path: u.EscapedPath(), Query: u.RawQuery, Body: []byte(body), Created: s.Now().Unix(), ID: id,
		IdempotencyKey: req.Header.Get("Idempotency-Key")}
	if h, err := a.Sign(s.token.RequestKey()); err == nil {
		for name, values := range h {
			req.Header[name] = values
		}
	}
	return req
}

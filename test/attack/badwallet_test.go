package attack

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/test/stack"
)

// resigned is a request with the parts of a request signature that the SDKs
// never send.
func (s *scene) resigned(t *testing.T, path, body string, edit func(*authority.Request)) *http.Request {
	t.Helper()
	req := s.Request(s.token, "POST", path, body)
	h, err := authority.ParseSignatureHeaders(req.Header)
	if err != nil {
		t.Fatal(err)
	}
	r := authority.Request{Method: "POST", Path: path, Body: []byte(body), Created: h.Created, ID: h.ID}
	edit(&r)
	if req.Header, err = r.Sign(s.token.RequestKey()); err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	return req
}

// Bad input to the making of wallets: a code, a sentence, and not one row.
func TestBadInputMakesNoWallet(t *testing.T) {
	dir := t.TempDir()
	s := newScene(t, stack.Options{DataDir: dir})
	const path, good = "/v1/s2s/wallets", `{"label":"fine"}`
	create := func(body string) *http.Request { return s.Request(s.token, "POST", path, body) }
	altered := func(edit func(*http.Request)) *http.Request { r := create(good); edit(r); return r }
	expired := s.NewKey(s.owner, func(g *authority.Grant) { g.NotBefore, g.Expires = 1, s.Now().Unix()-1 })
	used := s.resigned(t, path, good, func(r *authority.Request) { r.IdempotencyKey = "used" })
	if status, reply, _ := answer(t, used); status != 201 {
		t.Fatalf("canary: %d %s", status, reply)
	}
	h, err := authority.ParseSignatureHeaders(used.Header)
	if err != nil {
		t.Fatal(err)
	}
	before := decided(t, dir)
	for name, c := range map[string]struct {
		req    *http.Request
		status int
		code   api.Code
	}{
		"no body":            {create(""), 400, api.CodeMalformedJSON},
		"no object":          {create(`"x"`), 400, api.CodeInvalidArgument},
		"cut":                {create(`{"label":"x"`), 400, api.CodeMalformedJSON},
		"two objects":        {create(good + good), 400, api.CodeMalformedJSON},
		"unknown field":      {create(`{"label":"x","export":true}`), 400, api.CodeUnknownField},
		"duplicate field":    {create(`{"label":"x","label":"y"}`), 400, api.CodeDuplicateField},
		"mistyped field":     {create(`{"label":7}`), 400, api.CodeInvalidArgument},
		"control character":  {create(`{"label":"a\u0007"}`), 400, api.CodeInvalidArgument},
		"bad UTF-8":          {create("{\"label\":\"\xc3\x28\"}"), 400, api.CodeInvalidUTF8},
		"oversized":          {create(`{"label":"` + strings.Repeat("x", 64<<10) + `"}`), 413, api.CodeBodyTooLarge},
		"oversized, chunked": {altered(func(r *http.Request) { setBody(r, strings.Repeat(" ", 65<<10)); r.ContentLength = -1 }), 413, api.CodeBodyTooLarge},
		"query":              {s.Request(s.token, "POST", path+"?limit=1", good), 400, api.CodeInvalidArgument},
		"unsigned":           {altered(func(r *http.Request) { r.Header = http.Header{"Content-Type": {"application/json"}} }), 401, api.CodeSignatureMissing},
		"signature cut":      {altered(func(r *http.Request) { r.Header.Set("Signature", "sig=:AAAA:") }), 401, api.CodeSignatureInvalid},
		"two signatures":     {altered(func(r *http.Request) { r.Header.Add("Signature", r.Header.Get("Signature")) }), 401, api.CodeSignatureInvalid},
		"body exchanged":     {altered(func(r *http.Request) { setBody(r, `{"label":"mine"}`) }), 401, api.CodeSignatureInvalid},
		"key header added":   {altered(func(r *http.Request) { r.Header.Set("Idempotency-Key", "mine") }), 401, api.CodeSignatureInvalid},
		"expired key":        {s.Request(expired, "POST", path, good), 401, api.CodeKeyExpired},
		"late":               {s.resigned(t, path, good, func(r *authority.Request) { r.Created -= 62 }), 401, api.CodeClockSkew},
		"early":              {s.resigned(t, path, good, func(r *authority.Request) { r.Created += 62 }), 401, api.CodeClockSkew},
		"request id used":    {s.resigned(t, path, `{"label":"other"}`, func(r *authority.Request) { r.ID = h.ID }), 409, api.CodeRequestIDConflict},
		"request id used to sign": {s.resigned(t, "/v1/s2s/sign", signBody(s.one.ID, "base", "pay"), func(r *authority.Request) { r.ID = h.ID }),
			409, api.CodeRequestIDConflict},
		"Idempotency-Key used": {s.resigned(t, path, `{"label":"other"}`, func(r *authority.Request) { r.IdempotencyKey = "used" }), 409, api.CodeIdempotencyConflict},
		"Idempotency-Key used to sign": {s.resigned(t, "/v1/s2s/sign", signBody(s.one.ID, "base", "pay"), func(r *authority.Request) { r.IdempotencyKey = "used" }),
			409, api.CodeIdempotencyConflict},
	} {
		status, reply, e := answer(t, c.req)
		if e == nil || status != c.status || e.Code != c.code {
			t.Errorf("%s: %d %.200s, want %d %s", name, status, reply, c.status, c.code)
		} else if len(e.Message) < 10 || strings.Contains(e.Message, "\n") {
			t.Errorf("%s: not a sentence: %q", name, e.Message)
		}
	}
	if after := decided(t, dir); after != before {
		t.Errorf("bad input changed the store: %s became %s", before, after)
	}
}

// The very same request for a wallet gets the very same answer and makes one
// wallet: 32 times at once, and after the TEE's window.
func TestOneWalletHoweverOften(t *testing.T) {
	var offset atomic.Int64
	dir := t.TempDir()
	s := newScene(t, stack.Options{DataDir: dir, Now: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }})
	const path, body = "/v1/s2s/wallets", `{"label":"once"}`
	req := s.Request(s.token, "POST", path, body)
	again := func() []byte {
		c := req.Clone(t.Context())
		setBody(c, body)
		status, reply, _ := answer(t, c)
		if status != 201 {
			t.Errorf("%d %.200s", status, reply)
		}
		return reply
	}
	replies := make([][]byte, 32)
	var group sync.WaitGroup
	for i := range replies {
		group.Go(func() { replies[i] = again() })
	}
	group.Wait()
	rows := decided(t, dir)
	offset.Store(int64(61 * time.Second))
	for _, r := range append(replies[1:], again()) {
		if !bytes.Equal(r, replies[0]) {
			t.Fatalf("the same request got two answers:\n%s\n%s", replies[0], r)
		}
	}
	if after := decided(t, dir); after != rows || !strings.Contains(rows, "3 wallets") {
		t.Errorf("%s became %s", rows, after)
	}
}

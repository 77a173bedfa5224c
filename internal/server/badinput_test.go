package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/server"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/test/stack"
)

// writes counts what changes the store.
type writes struct {
	store.Store
	n atomic.Int64
}

func (w *writes) CreateOrganization(ctx context.Context, o *store.Organization) error {
	w.n.Add(1)
	return w.Store.CreateOrganization(ctx, o)
}

func (w *writes) CreateGrant(ctx context.Context, g *store.Grant) error {
	w.n.Add(1)
	return w.Store.CreateGrant(ctx, g)
}

func (w *writes) Revoke(ctx context.Context, r *store.Revocation) error {
	w.n.Add(1)
	return w.Store.Revoke(ctx, r)
}

func (w *writes) Commit(ctx context.Context, b []store.CommitBatch) ([][]store.Commit, error) {
	w.n.Add(1)
	return w.Store.Commit(ctx, b)
}

// logged is a log's text, safe to read while it is written.
type logged struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// scene is a stack with two organisations; the stranger's key is of the other.
type scene struct {
	*stack.Stack
	writes          *writes
	log             *logged
	owner           *stack.Owner
	token, stranger *authority.Token
	wallet          api.Wallet
	evidence        string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{writes: &writes{}, log: &logged{}}
	s.Stack = stack.Start(t, stack.Options{
		Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		WrapStore: func(under store.Store) store.Store {
			s.writes.Store = under
			return s.writes
		}})
	s.owner = s.NewOwner()
	s.token, s.stranger = s.NewKey(s.owner, nil), s.NewKey(s.NewOwner(), nil)
	s.Do(s.Request(s.token, "POST", "/v1/s2s/wallets", `{}`), 201, &s.wallet)
	var a api.Attestation
	s.Do(s.Request(s.token, "GET", "/v1/attestation", ""), 200, &a)
	s.evidence = a.Evidence.ID
	return s
}

// path fills in ids that exist.
func (s *scene) path(r server.RouteForTest) string {
	id := s.wallet.ID
	switch {
	case strings.HasPrefix(r.Path, "/v1/receipts"):
		id = s.wallet.Receipt.ID
	case strings.HasPrefix(r.Path, "/v1/attestation"):
		id = s.evidence
	}
	return strings.NewReplacer("{org}", s.owner.Genesis.OrganizationID.String(), "{id}", id, "{level}", "0", "{index}", "0").Replace(r.Path)
}

func body(method string) string {
	if method != "GET" {
		return "{}"
	}
	return ""
}

// refused sends a request that must be refused with the code.
func (s *scene) refused(t *testing.T, name string, req *http.Request, want ...api.Code) {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	var env api.Envelope
	if err := json.Unmarshal(raw, &env); err != nil || env.Error == nil || string(env.Data) != "null" {
		t.Errorf("%s: %d %.200q isn't a refusal: %v", name, res.StatusCode, raw, err)
		return
	}
	if !slices.Contains(want, env.Error.Code) {
		t.Errorf("%s: %d %s (%s), want %v", name, res.StatusCode, env.Error.Code, env.Error.Message, want)
	}
	for _, spec := range api.Specs() {
		if spec.Code == env.Error.Code && spec.Status != res.StatusCode {
			t.Errorf("%s: status %d for %s", name, res.StatusCode, env.Error.Code)
		}
	}
	if _, err := canon.ParseUUID(res.Header.Get("Sigil-Request-Id")); err != nil {
		t.Errorf("%s: reply without a request id", name)
	}
	if res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: reply is %s", name, res.Header.Get("Content-Type"))
	}
}

// Each route refuses what is wrong with every route, and nothing changes.
func TestEveryRouteRefusesBadInput(t *testing.T) {
	s := newScene(t)
	before := s.writes.n.Load()
	for _, r := range server.RoutesForTest() {
		t.Run(r.Method+strings.ReplaceAll(r.Path, "/", "_"), func(t *testing.T) {
			s.badForm(t, r)
			if r.Method != "GET" {
				s.badJSON(t, r)
			}
			if r.Signed {
				s.badSignature(t, r)
			}
			s.badPath(t, r)
		})
	}
	if after := s.writes.n.Load(); after != before {
		t.Errorf("bad input wrote %d times", after-before)
	}
}

func (s *scene) badForm(t *testing.T, r server.RouteForTest) {
	at := s.path(r)
	for _, m := range []string{"PUT", "DELETE", "PATCH", "OPTIONS", "BREW"} {
		if m == "PATCH" && strings.HasPrefix(r.Path, "/v1/s2s/wallets/") { // bulk is an id to it
			continue
		}
		s.refused(t, m, s.Request(s.token, m, at, ""), api.CodeMethodNotAllowed)
	}
	large := strings.Repeat(" ", server.MaxBody+1)
	s.refused(t, "oversized", s.Request(s.token, r.Method, at, large), api.CodeBodyTooLarge)
	chunked := s.Request(s.token, r.Method, at, large)
	chunked.ContentLength, chunked.GetBody = -1, nil
	s.refused(t, "oversized, length not announced", chunked, api.CodeBodyTooLarge)
	if r.Method == "GET" {
		s.refused(t, "body", s.Request(s.token, r.Method, at, "{}"), api.CodeBodyTooLarge)
		return
	}
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset", "application/jsonx"} {
		req := s.Request(s.token, r.Method, at, "{}")
		req.Header["Content-Type"] = []string{media}
		s.refused(t, "Content-Type "+media, req, api.CodeUnsupportedMediaType)
	}
}

func (s *scene) badJSON(t *testing.T, r server.RouteForTest) {
	for _, c := range []struct {
		body string
		want api.Code
	}{
		{"", api.CodeMalformedJSON}, {"{", api.CodeMalformedJSON}, {"{}{}", api.CodeMalformedJSON}, {"{} x", api.CodeMalformedJSON},
		{"{'a':1}", api.CodeMalformedJSON}, {"\ufeff{}", api.CodeMalformedJSON},
		{"null", api.CodeInvalidArgument}, {" null\n", api.CodeInvalidArgument}, {"[]", api.CodeInvalidArgument}, {"7", api.CodeInvalidArgument}, {`"x"`, api.CodeInvalidArgument},
		{`{"memo":1}`, api.CodeUnknownField}, {`{"":1}`, api.CodeUnknownField}, {`{"label ":"x"}`, api.CodeUnknownField},
		{"{\"a\xff\":1}", api.CodeInvalidUTF8}, {"\xff", api.CodeInvalidUTF8},
	} {
		s.refused(t, "body "+c.body, s.Request(s.token, r.Method, s.path(r), c.body), c.want)
	}
	// Members of this route's own: twice, and in another case.
	member := map[string]string{"/v1/orgs": "genesis", "/v1/orgs/{org}/api-keys": "grant", "/v1/orgs/{org}/revocations": "revocation",
		"/v1/s2s/wallets": "label", "/v1/s2s/sign": "network", "/v1/s2s/sign/batch": "items", "/v1/s2s/wallets/bulk": "items", "/v1/s2s/wallets/{id}": "label"}[r.Path]
	value := `"x"`
	if member == "items" {
		value = `[{}]`
	}
	if member == "" {
		t.Errorf("the test doesn't know a member of %s", r.Path)
	}
	for b, want := range map[string]api.Code{
		`{"` + member + `":` + value + `,"` + member + `":` + value + `}`: api.CodeDuplicateField,
		`{"` + strings.ToUpper(member) + `":` + value + `}`:               api.CodeUnknownField,
		`{"` + member + `":}`:               api.CodeMalformedJSON,
		`{"` + member + `":` + value + `,}`: api.CodeMalformedJSON,
	} {
		s.refused(t, "body "+b, s.Request(s.token, r.Method, s.path(r), b), want)
	}
	if r.Document {
		for _, b := range []string{"{}", `{"` + member + `":null}`, `{"` + member + `":"x"}`, `{"` + member + `":{"payloadType":"x","payload":"","signatures":[]}}`} {
			s.refused(t, "document "+b, s.Request(s.token, r.Method, s.path(r), b), api.CodeDocumentInvalid)
		}
		return
	}
	s.refused(t, "mistyped", s.Request(s.token, r.Method, s.path(r), `{"`+member+`":7}`), api.CodeInvalidArgument)
}

func (s *scene) badSignature(t *testing.T, r server.RouteForTest) {
	good := func() *http.Request { return s.Request(s.token, r.Method, s.path(r), s.body(r)) }
	with := func(edit func(http.Header)) *http.Request {
		req := good()
		edit(req.Header)
		return req
	}
	unknown, err := authority.NewToken(authority.SecretKey, s.owner.Genesis.Digest, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	input := func(old, new string) func(http.Header) {
		return func(h http.Header) {
			h.Set("Signature-Input", strings.Replace(h.Get("Signature-Input"), old, new, 1))
		}
	}
	for name, c := range map[string]struct {
		req  *http.Request
		want api.Code
	}{
		"unsigned":            {with(func(h http.Header) { h.Del("Signature"); h.Del("Signature-Input") }), api.CodeSignatureMissing},
		"no Signature":        {with(func(h http.Header) { h.Del("Signature") }), api.CodeSignatureMissing},
		"no Signature-Input":  {with(func(h http.Header) { h.Del("Signature-Input") }), api.CodeSignatureMissing},
		"two Signatures":      {with(func(h http.Header) { h.Add("Signature", h.Get("Signature")) }), api.CodeSignatureInvalid},
		"two Signature-Input": {with(func(h http.Header) { h.Add("Signature-Input", h.Get("Signature-Input")) }), api.CodeSignatureInvalid},
		"garbage":             {with(func(h http.Header) { h.Set("Signature", "x") }), api.CodeSignatureInvalid},
		"another signature":   {with(func(h http.Header) { h.Set("Signature", "sig=:"+strings.Repeat("A", 86)+"==:") }), api.CodeSignatureInvalid},
		"another nonce":       {with(input(`nonce="`, `nonce="f`)), api.CodeSignatureInvalid},
		"another tag":         {with(input(`sigil-v1`, `sigil-v2`)), api.CodeSignatureInvalid},
		"components less":     {with(input(` "@query"`, ``)), api.CodeSignatureInvalid},
		"parameter more":      {with(input(`;alg=`, `;expires=1;alg=`)), api.CodeSignatureInvalid},
		"created edited":      {with(input(`created=1`, `created=2`)), api.CodeSignatureInvalid},
		"unknown key":         {s.Request(unknown, r.Method, s.path(r), s.body(r)), api.CodeInvalidKey},
		"not bearer":          {with(func(h http.Header) { h.Set("Authorization", "Basic eDp5") }), api.CodeTokenInvalid},
		"late":                {s.requestAt(t, r, -61*time.Second), api.CodeClockSkew},
		"early":               {s.requestAt(t, r, 62*time.Second), api.CodeClockSkew},
		"of another path":     {s.moved(good()), api.CodeSignatureInvalid},
	} {
		if r.Path == "/v1/orgs/{org}" || r.Path == "/v1/orgs/{org}/api-keys" {
			if name == "not bearer" {
				continue // takes signatures alone
			}
		}
		s.refused(t, name, c.req, c.want)
	}
	bearer := good()
	bearer.Header = http.Header{"Authorization": {"Bearer " + s.token.Reveal()}, "Content-Type": {"application/json"}}
	s.refused(t, "bearer that the grant doesn't allow", bearer, api.CodeBearerNotAllowed, api.CodeSignatureMissing)
}

// body is one that gets as far as the signature.
func (s *scene) body(r server.RouteForTest) string {
	sign := `{"wallet_id":"` + s.wallet.ID + `","network":"base","message":"hi"}`
	switch {
	case r.Method == "GET":
		return ""
	case strings.HasSuffix(r.Path, "/sign"):
		return sign
	case strings.HasSuffix(r.Path, "/batch"):
		return `{"items":[` + sign + `,` + sign + `]}`
	case strings.HasSuffix(r.Path, "/bulk"):
		return `{"items":[{},{}]}`
	}
	return "{}"
}

func (s *scene) requestAt(t *testing.T, r server.RouteForTest, off time.Duration) *http.Request {
	t.Helper()
	req := s.Request(s.token, r.Method, s.path(r), s.body(r))
	id, err := canon.NewUUID(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := authority.Request{Method: r.Method, Path: s.path(r), Body: []byte(s.body(r)), Created: s.Now().Add(off).Unix(), ID: id}
	h, err := a.Sign(s.token.RequestKey())
	if err != nil {
		t.Fatal(err)
	}
	h.Set("Content-Type", "application/json")
	req.Header = h
	return req
}

// moved carries a signature that was made for another path.
func (s *scene) moved(req *http.Request) *http.Request {
	other := s.Request(s.token, req.Method, "/v1/elsewhere", "")
	other.URL, other.Body, other.ContentLength = req.URL, req.Body, req.ContentLength
	return other
}

func (s *scene) badPath(t *testing.T, r server.RouteForTest) {
	at := s.path(r)
	for _, p := range []string{"/" + at, at + "/", at + "/.", "/x/.." + at, strings.Replace(at, "/", "//", 1)} {
		s.refused(t, "path "+p, s.Request(s.token, r.Method, p, body(r.Method)), api.CodeNotFound)
	}
	if !strings.Contains(r.Path, "{") {
		return
	}
	fill := func(id string) string {
		return strings.NewReplacer("{org}", id, "{id}", id, "{level}", id, "{index}", id).Replace(r.Path)
	}
	malformed := []string{"x", "00000000-0000-4000-8000-00000000000", "..%2f..", strings.Repeat("f", 300)}
	if !strings.Contains(r.Path, "attestation") {
		malformed = append(malformed, strings.ToUpper(s.owner.Genesis.OrganizationID.String()))
	}
	for _, id := range malformed {
		req := s.Request(s.token, r.Method, fill(strings.ReplaceAll(id, "%2f", ".")), body(r.Method))
		s.refused(t, "id "+id, req, api.CodeInvalidArgument, api.CodeDocumentInvalid)
	}
	if r.Document {
		return // what it says is checked before which organisation it is for
	}
	// Unknown ids and those of another organisation look alike.
	none := []api.Code{api.CodeWalletNotFound, api.CodeReceiptNotFound, api.CodeOrganizationNotFound, api.CodeEvidenceNotFound, api.CodeTileNotFound, api.CodeLedgerEmpty}
	unknown := "00000000-0000-4000-8000-000000000001"
	if strings.Contains(r.Path, "attestation") {
		unknown = strings.Repeat("0", 64)
	}
	if strings.Contains(r.Path, "tiles") {
		unknown = "7"
	}
	s.refused(t, "unknown id", s.Request(s.token, r.Method, fill(unknown), body(r.Method)), none...)
	if r.Signed {
		s.refused(t, "another organisation's id", s.Request(s.stranger, r.Method, at, body(r.Method)), none...)
	}
}

// Lists take limit and offset within bounds, and nothing else.
func TestPages(t *testing.T) {
	s := newScene(t)
	keys := "/v1/orgs/" + s.owner.Genesis.OrganizationID.String() + "/api-keys"
	for _, at := range []string{"/v1/s2s/wallets", keys} {
		for _, q := range []string{"limit=0", "limit=201", "limit=-1", "limit=x", "limit=", "limit=1&limit=2", "offset=-1", "offset=99999999999999999999", "page=2", "limit=1;offset=1", "limit=%zz", "Limit=1"} {
			s.refused(t, at+"?"+q, s.Request(s.token, "GET", at+"?"+q, ""), api.CodeInvalidArgument)
		}
		var out api.List[json.RawMessage]
		s.Do(s.Request(s.token, "GET", at+"?limit=200&offset=1", ""), 200, &out)
		if out.Total != 1 || len(out.Items) != 0 || out.Limit != 200 || out.Offset != 1 {
			t.Errorf("%s: %+v", at, out)
		}
	}
}

// What authenticates is in no log and no reply, whatever goes wrong with it.
func TestSecretsAreNotLogged(t *testing.T) {
	s := newScene(t)
	secret := s.token.Reveal()
	spoiled := secret[:len(secret)-3] + "aaa"
	var replies bytes.Buffer
	for _, value := range []string{"Bearer " + secret, "Bearer " + spoiled, "bearer " + secret, secret, "Bearer  " + secret, "Bearer " + secret + " x", "Basic " + secret} {
		for _, r := range server.RoutesForTest() {
			req := s.Request(s.token, r.Method, s.path(r), s.body(r))
			req.Header.Set("Authorization", value)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(&replies, res.Body); err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if err := res.Header.Write(&replies); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Canary: the log is one, and is looked at.
	if !strings.Contains(s.log.String(), "link to the TEE is up") {
		t.Fatal("nothing was logged")
	}
	for where, text := range map[string]string{"log": s.log.String(), "replies": replies.String()} {
		for _, part := range []string{secret[:24], secret[30:60], spoiled[8:40]} {
			if strings.Contains(text, part) {
				t.Errorf("the %s have a part of the token", where)
			}
		}
	}
}

package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
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
	"github.com/sigilkeys/sigil/test/spec"
	"github.com/sigilkeys/sigil/test/stack"
)

// writes counts what changed the store.
type writes struct {
	store.Store
	n atomic.Int64
}

func (w *writes) done(err error) error {
	if err == nil {
		w.n.Add(1)
	}
	return err
}

func (w *writes) CreateOrganization(ctx context.Context, o *store.Organization) error {
	return w.done(w.Store.CreateOrganization(ctx, o))
}

func (w *writes) CreateGrant(ctx context.Context, g *store.Grant) error {
	return w.done(w.Store.CreateGrant(ctx, g))
}

func (w *writes) Revoke(ctx context.Context, r *store.Revocation) error {
	return w.done(w.Store.Revoke(ctx, r))
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
	spec            *spec.Spec
	owner, other    *stack.Owner
	token, stranger *authority.Token
	wallet          api.Wallet
	evidence        string
	grant           string // digest of the token's
}

func newScene(t *testing.T) *scene {
	t.Helper()
	return newSceneOn(t, func(s store.Store) store.Store { return s }, nil)
}

// newSceneOn has a store in between, and tells what isn't as described;
// nil fails the test.
func newSceneOn(t testing.TB, wrap func(store.Store) store.Store, undescribed func(string, ...any)) *scene {
	t.Helper()
	s := &scene{writes: &writes{}, log: &logged{}}
	s.Stack = stack.Start(t, stack.Options{
		Undescribed: undescribed, Ledger: true,
		Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		WrapStore: func(under store.Store) store.Store {
			s.writes.Store = wrap(under)
			return s.writes
		}})
	var err error
	if s.spec, err = spec.Load(); err != nil {
		t.Fatal(err)
	}
	s.owner, s.other = s.NewOwner(), s.NewOwner()
	s.token, s.stranger = s.NewKey(s.owner, nil), s.NewKey(s.other, nil)
	s.Do(s.Request(s.token, "POST", "/v1/s2s/wallets", `{}`), 201, &s.wallet)
	var a api.Attestation
	s.Do(s.Request(s.token, "GET", "/v1/attestation", ""), 200, &a)
	s.evidence = a.Evidence.ID
	var keys api.List[api.Key]
	s.Do(s.Request(s.token, "GET", "/v1/orgs/"+s.owner.Genesis.OrganizationID.String()+"/api-keys", ""), 200, &keys)
	s.grant = keys.Items[0].GrantDigest
	s.Do(s.Request(s.stranger, "POST", "/v1/s2s/wallets", `{}`), 201, nil)
	s.AwaitLedger(s.token, 1)
	s.AwaitLedger(s.stranger, 1)
	return s
}

// path fills in ids that exist.
func (s *scene) path(r server.RouteForTest) string {
	id := s.wallet.ID
	if f := rows()[r.Method+" "+r.Path].id; f != nil {
		id = f(s)
	}
	return strings.NewReplacer("{org}", s.owner.Genesis.OrganizationID.String(), "{id}", id, "{level}", "0", "{index}", "0").Replace(r.Path)
}

// body is one that gets as far as it can.
func (s *scene) body(r server.RouteForTest) string {
	if f := rows()[r.Method+" "+r.Path].body; f != nil {
		return f(s)
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
			s.badQuery(t, r)
			for _, fault := range s.foreign(t, r) {
				t.Error(fault)
			}
		})
	}
	if after := s.writes.n.Load(); after != before {
		t.Errorf("bad input wrote %d times", after-before)
	}
}

func (s *scene) badForm(t *testing.T, r server.RouteForTest) {
	at := s.path(r)
	for _, m := range []string{"PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "BREW"} {
		if s.spec.Serves(m, r.Path) {
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
	members := s.spec.Members(r.Method, r.Path)
	if len(members) == 0 {
		t.Errorf("openapi.yaml describes no members of %s %s", r.Method, r.Path)
	}
	for member, types := range members {
		s.badMember(t, r, member, types)
	}
}

// badMember spoils one member of a body: its name, its number, its type.
func (s *scene) badMember(t *testing.T, r server.RouteForTest, member string, types []string) {
	value := `"x"`
	switch {
	case slices.Contains(types, "array"):
		value = `["x"]`
	case slices.Contains(types, "boolean"):
		value = `true`
	}
	for b, want := range map[string]api.Code{
		`{"` + member + `":` + value + `,"` + member + `":` + value + `}`: api.CodeDuplicateField,
		`{"` + strings.ToUpper(member) + `":"x"}`:                         api.CodeUnknownField,
		`{"` + member + ` ":"x"}`:                                         api.CodeUnknownField,
		`{"` + member + `":}`:                                             api.CodeMalformedJSON,
		`{"` + member + `":` + value + `,}`:                               api.CodeMalformedJSON,
		`{"` + member + `":null}`:                                         api.CodeInvalidArgument,
		"{\"" + member + "\":\"\xff\"}":                                   api.CodeInvalidUTF8,
		`{"` + member + `":"\ud800"}`:                                     api.CodeMalformedJSON,
	} {
		s.refused(t, "body "+b, s.Request(s.token, r.Method, s.path(r), b), want)
	}
	for kind, literal := range map[string]string{"string": `"x"`, "integer": "7", "number": "7.5", "boolean": "true", "array": "[7]", "object": `{"a":1}`} {
		b := `{"` + member + `":` + literal + `}`
		if slices.Contains(types, kind) && kind != "array" && kind != "object" || s.spec.TakesBody(r.Method, r.Path, b) {
			continue
		}
		s.refused(t, "mistyped "+member, s.Request(s.token, r.Method, s.path(r), b), api.CodeInvalidArgument, api.CodeDocumentInvalid)
	}
	if r.Document {
		for _, b := range []string{"{}", `{"` + member + `":{"payloadType":"x","payload":"","signatures":[]}}`} {
			s.refused(t, "document "+b, s.Request(s.token, r.Method, s.path(r), b), api.CodeDocumentInvalid)
		}
	}
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
	for _, p := range []string{"/" + at, at + "/", at + "/.", "/x/.." + at, strings.Replace(at, "/", "//", 1), "/v1" + at, strings.ToUpper(at)} {
		s.refused(t, "path "+p, s.Request(s.token, r.Method, p, s.body(r)), api.CodeNotFound)
	}
	if !strings.Contains(r.Path, "{") {
		return
	}
	malformed := []string{"x", "00000000-0000-4000-8000-00000000000", "..", strings.Repeat("f", 300), strings.ToUpper(strings.Repeat("f", 64))}
	for _, id := range malformed {
		fill := strings.NewReplacer("{org}", id, "{id}", id, "{level}", id, "{index}", id).Replace(r.Path)
		s.refused(t, "id "+id, s.Request(s.token, r.Method, fill, s.body(r)), api.CodeInvalidArgument, api.CodeNotFound)
	}
}

// badQuery: parameters that the route doesn't take, that stand twice, that
// aren't a query.
func (s *scene) badQuery(t *testing.T, r server.RouteForTest) {
	at := s.path(r)
	queries := []string{"x=1", "x", "=", "=1", "%zz", "a;b", "x=1&x=1", "%ff=1", "limits=1", "Limit=1", "challenges=" + strings.Repeat("0", 64)}
	for _, name := range r.Query {
		queries = append(queries, name, name+"=", name+"=1&"+name+"=1", name+"=true&"+name+"=true", strings.ToUpper(name)+"=1", name+"[]=1", name+"%00=1", name+"=%ff")
		for _, v := range []string{"x", "-1", "0", "\x00", " 1", "+1", "01", "1e1", "1.0", "0x1", "null", "TRUE", strings.Repeat("9", 400),
			"9007199254740992", "1969-12-31T23:59:59Z", "2026-01-31", "2026-01-31T24:00:00Z", "2026-01-31T1:00:00Z", "2026-01-31T12:00:00,5Z", "2026-01-31t12:00:00z",
			strings.ToUpper(s.owner.Genesis.OrganizationID.String()), strings.Repeat("ü", 51)} {
			if !s.spec.TakesQuery(r.Method, r.Path, name, v) {
				queries = append(queries, name+"="+url.QueryEscape(v))
			}
		}
	}
	for _, q := range queries {
		s.refused(t, "query "+q, s.Request(s.token, r.Method, at+"?"+q, s.body(r)), api.CodeInvalidArgument)
	}
}

// foreign: what another organisation has looks as if it weren't there.
func (s *scene) foreign(t *testing.T, r server.RouteForTest) (faults []string) {
	row, ok := rows()[r.Method+" "+r.Path]
	if !ok {
		t.Fatalf("%s %s has no row in rows_test.go", r.Method, r.Path)
	}
	if named := s.names(r); named != (row.foreign != nil) && row.public == "" {
		t.Errorf("the route names ids: %v, but its row has foreign ones: %v; or say why they are public", named, row.foreign != nil)
	}
	if row.foreign == nil {
		return nil
	}
	for _, c := range row.foreign(s) {
		theirs, none := s.answer(t, c.theirs), s.answer(t, c.none)
		if theirs.status != http.StatusNotFound || theirs.code != none.code || theirs.status != none.status || theirs.message != none.message {
			faults = append(faults, fmt.Sprintf("%s: %+v, and for one that nobody has %+v; want the same, 404", c.name, theirs, none))
		}
	}
	return faults
}

// leaky is a store that forgets whose things it is asked for.
type leaky struct {
	store.Store
	owner atomic.Pointer[canon.UUID]
}

func (l *leaky) whose(asked canon.UUID) canon.UUID {
	if o := l.owner.Load(); o != nil {
		return *o
	}
	return asked
}

func (l *leaky) Wallet(ctx context.Context, org, id canon.UUID) (*store.Wallet, error) {
	return l.Store.Wallet(ctx, l.whose(org), id)
}

func (l *leaky) EntryOf(ctx context.Context, org, id canon.UUID) (uint64, error) {
	return l.Store.EntryOf(ctx, l.whose(org), id)
}

func (l *leaky) Decision(ctx context.Context, org, id canon.UUID) (*store.Decision, error) {
	return l.Store.Decision(ctx, l.whose(org), id)
}

// Canary: where the store doesn't look at the organisation, each route that
// trusts it for that shows.
func TestForeignIsCaught(t *testing.T) {
	l := &leaky{}
	s := newSceneOn(t, func(under store.Store) store.Store { l.Store = under; return l }, nil)
	owner := s.owner.Genesis.OrganizationID
	l.owner.Store(&owner)
	for _, r := range server.RoutesForTest() {
		leaks := slices.Contains([]string{"/v1/receipts/{id}", "/v1/s2s/wallets/{id}", "/v1/s2s/sign", "/v1/s2s/sign/batch", "/v1/s2s/transactions/decode", "/v1/log/inclusion"}, r.Path)
		if faults := s.foreign(t, r); leaks != (len(faults) > 0) {
			t.Errorf("%s %s: %v", r.Method, r.Path, faults)
		}
	}
}

// names reports whether a route names something by its id: in the path, in the
// query, or in the body.
func (s *scene) names(r server.RouteForTest) bool {
	for _, member := range s.spec.Names(r.Method, r.Path) {
		if strings.HasSuffix(member, "_id") || strings.HasSuffix(member, "_ids") {
			return true
		}
	}
	for _, q := range r.Query {
		if s.spec.TakesQuery(r.Method, r.Path, q, nobodys) && !s.spec.TakesQuery(r.Method, r.Path, q, "x") {
			return true
		}
	}
	return strings.Contains(r.Path, "{") || r.Document
}

// refusal is how a request was refused, without the ids that it named.
type refusal struct {
	status  int
	code    api.Code
	message string
}

func (s *scene) answer(t *testing.T, req *http.Request) refusal {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var env api.Envelope
	if err := json.NewDecoder(res.Body).Decode(&env); err != nil {
		t.Fatal(err)
	}
	status := res.StatusCode
	if env.Error == nil { // of a batch, what became of its one item
		var b api.Batch
		if err := json.Unmarshal(env.Data, &b); err != nil || len(b.Items) != 1 || b.Items[0].Error == nil {
			return refusal{status: status}
		}
		status, env.Error = b.Items[0].Status, b.Items[0].Error
	}
	id := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{64}`)
	return refusal{status, env.Error.Code, id.ReplaceAllString(env.Error.Message, "ID")}
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

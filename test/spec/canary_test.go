package spec_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/test/spec"
	"github.com/sigilkeys/sigil/test/stack"
)

// said gathers what is reported.
type said struct {
	mu   sync.Mutex // guards text
	text []string
}

func (s *said) report(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, format)
	for _, a := range args {
		if err, ok := a.(error); ok {
			s.text = append(s.text, err.Error())
		}
	}
}

func (s *said) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.text = nil }()
	return strings.Join(s.text, "\n")
}

// edited is a server whose replies, and the requests that it gets, are edited.
type edited struct {
	next    http.Handler
	request func(*http.Request)
	status  int
	reply   func(string) string
	header  func(http.Header)
}

func (e *edited) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	if e.request != nil {
		e.request(r)
	}
	kept := httptest.NewRecorder()
	e.next.ServeHTTP(kept, r)
	text, status := kept.Body.String(), kept.Code
	if e.reply != nil {
		text = e.reply(text)
	}
	if e.status != 0 {
		status = e.status
	}
	for name, values := range kept.Header() {
		w.Header()[name] = values
	}
	if e.header != nil {
		e.header(w.Header())
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

// Canary: a server that drifts from the description by one member, bound,
// status, code or check is caught, in both directions.
func TestDriftIsCaught(t *testing.T) {
	described, err := spec.Load()
	if err != nil {
		t.Fatal(err)
	}
	var honest http.Handler
	s := stack.Start(t, stack.Options{WrapHandler: func(h http.Handler) http.Handler { honest = h; return h }, Undescribed: func(string, ...any) {}})
	token := s.NewKey(s.NewOwner(), nil)
	var w api.Wallet
	s.Do(s.Request(token, "POST", "/v1/s2s/wallets", `{"label":"x"}`), 201, &w)
	wallet := func() *http.Request { return s.Request(token, "GET", "/v1/s2s/wallets/"+w.ID, "") }
	sign := func(body string) *http.Request { return s.Request(token, "POST", "/v1/s2s/sign", body) }
	good := signBody(w.ID, "hi")
	stamp := strings.TrimSuffix(w.CreatedAt.UTC().Format(time.RFC3339Nano), "Z") // Z" alone may also end an address
	swap := func(old, new string) func(string) string {
		return func(text string) string {
			if !strings.Contains(text, old) {
				t.Errorf("%s isn't in %s", old, text)
			}
			return strings.Replace(text, old, new, 1)
		}
	}
	for name, c := range map[string]struct {
		edit edited
		req  *http.Request
		want string
	}{
		"honest":                 {edited{}, wallet(), ""},
		"honest refusal":         {edited{}, sign("{"), ""},
		"unknown member":         {edited{reply: swap(`"label"`, `"note":"x","label"`)}, wallet(), "additional properties 'note'"},
		"unknown beside data":    {edited{reply: swap(`{"data"`, `{"meta":{},"data"`)}, wallet(), "additional properties 'meta'"},
		"member gone":            {edited{reply: swap(`"label":"x",`, ``)}, wallet(), "missing property 'label'"},
		"member twice":           {edited{reply: swap(`"label":"x",`, `"label":"x","label":"x",`)}, wallet(), "stands twice"},
		"member null":            {edited{reply: swap(`"label":"x"`, `"label":null`)}, wallet(), "want string"},
		"member mistyped":        {edited{reply: swap(`"label":"x"`, `"label":7`)}, wallet(), "want string"},
		"upper-case hex":         {edited{reply: swap(`"secp256k1":"0`, `"secp256k1":"A`)}, wallet(), "does not match pattern"},
		"time without a zone":    {edited{reply: swap(stamp+`Z"`, stamp+`"`)}, wallet(), "date-time"},
		"unknown curve":          {edited{reply: swap(`"secp256k1":`, `"p256":`)}, wallet(), "p256"},
		"no error beside data":   {edited{reply: swap(`,"error":null`, ``)}, wallet(), "missing property 'error'"},
		"undescribed status":     {edited{status: 202}, wallet(), "status 202 isn't described"},
		"wrong success":          {edited{status: 201}, wallet(), "status 201 isn't described"},
		"other content type":     {edited{header: func(h http.Header) { h.Set("Content-Type", "text/html") }}, wallet(), "of type"},
		"no request id":          {edited{header: func(h http.Header) { h.Del("Sigil-Request-Id") }}, wallet(), "no Sigil-Request-Id"},
		"not JSON":               {edited{reply: func(string) string { return "oops" }}, wallet(), "not one JSON value"},
		"empty":                  {edited{reply: func(string) string { return "" }}, wallet(), "not one JSON value"},
		"code of another status": {edited{reply: swap("malformed_json", "clock_skew")}, sign("{"), "x-error-codes"},
		"code of another route":  {edited{reply: swap("wallet_not_found", "receipt_not_found")}, s.Request(token, "GET", "/v1/s2s/wallets/00000000-0000-4000-8000-000000000001", ""), "x-error-codes"},
		"unknown code":           {edited{reply: swap("malformed_json", "odd")}, sign("{"), "x-error-codes"},
		"two lines of message":   {edited{reply: swap("isn't one", `isn't\none`)}, sign("{"), "does not match pattern"},
		"served on a POST path":  {edited{request: func(r *http.Request) { r.Method = "GET" }}, s.Request(token, "POST", "/v1/networks", "{}"), ""},
		// Lax: the server takes what the description refuses.
		"takes an unknown member": {edited{request: body(good)}, sent(sign(good), strings.Replace(good, "{", `{"memo":1,`, 1)), "served, though"},
		"takes a member twice":    {edited{request: body(good)}, sent(sign(good), strings.Replace(good, "{", `{"network":"base",`, 1)), "served, though"},
		"takes any type":          {edited{request: func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }}, typed(sign(good)), "served, though"},
		"takes a large limit":     {edited{request: func(r *http.Request) { r.URL.RawQuery = "" }}, s.Request(token, "GET", "/v1/networks?limit=9", ""), "served, though"},
		"takes no signature":      {edited{next: always(`{"data":{"items":[],"total":0,"limit":50,"offset":0},"error":null}`)}, unsigned(s.Request(token, "GET", "/v1/s2s/wallets", "")), "served, though"},
		// Strict: it refuses what the description takes.
		"refuses a known member": {edited{request: body(`{"labels":"y"}`)}, s.Request(token, "POST", "/v1/s2s/wallets", `{"label":"y"}`), "though the description takes"},
		"refuses a good query":   {edited{request: func(r *http.Request) { r.URL.RawQuery = "limit=0" }}, s.Request(token, "GET", "/v1/attestation?challenge="+strings.Repeat("0", 64), ""), "though the description takes"},
	} {
		var told said
		edit := c.edit
		if edit.next == nil {
			edit.next = honest
		}
		c.req.RemoteAddr = "127.0.0.1:1" // keys are bound to addresses
		described.Watch(&edit, told.report).ServeHTTP(httptest.NewRecorder(), c.req)
		if name == "served on a POST path" {
			c.want = "no such method"
		}
		switch text := told.take(); {
		case c.want == "" && text != "":
			t.Errorf("%s: %s", name, text)
		case !strings.Contains(text, c.want):
			t.Errorf("%s isn't caught: %q, want %q", name, text, c.want)
		}
	}
}

// body has a server read another body than was sent.
func body(text string) func(*http.Request) {
	return func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(text)) }
}

func always(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Sigil-Request-Id", "00000000-0000-4000-8000-000000000001")
		_, _ = io.WriteString(w, text)
	})
}

// sent is a request with another body than the signed one.
func sent(r *http.Request, text string) *http.Request {
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	return r
}

func typed(r *http.Request) *http.Request {
	r.Header.Set("Content-Type", "text/plain")
	return r
}

func unsigned(r *http.Request) *http.Request {
	r.Header.Del("Signature")
	return r
}

// A description that says less than it seems to is refused.
func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"misspelt keyword":     {"maxLength: 100", "maxLenght: 100", "maxLenght"},
		"misspelt in a query":  {"maximum: 200, default", "maximun: 200, default", "maximun"},
		"misspelt member":      {"required: true\n        content", "requierd: true\n        content", "requierd"},
		"dangling reference":   {"responses/BadRequest'", "responses/BadRequests'", "BadRequests"},
		"dangling schema":      {"schemas/WalletReply'", "schemas/WaletReply'", "WaletReply"},
		"code of no spec":      {"[malformed_json,", "[malformed_yaml,", "malformed_yaml"},
		"code missing":         {"        '404': [wallet_not_found]\n", "", "x-error-codes"},
		"no example":           {"examples: { recorded: { $ref: '#/components/examples/SignBatch' } }", "examples: {}", "no example"},
		"parameter not in it":  {"  /v1/receipts/{id}:", "  /v1/receipts/{receipt}:", "id"},
		"member twice":         {"operationId: sign\n", "operationId: sign\n      operationId: sign2\n", "already defined"},
		"unused component":     {"    Limit: { name: limit", "    Limit2: { name: limit, in: query, schema: { type: integer } }\n    Limit: { name: limit", "Limit2"},
		"default for refusals": {"        '500': { $ref: '#/components/responses/Internal' }", "        default: { $ref: '#/components/responses/Internal' }", "no status"},
	} {
		text := strings.Replace(api.OpenAPI(), c.old, c.new, 1)
		if text == api.OpenAPI() {
			t.Errorf("%s: %q isn't in the file", name, c.old)
			continue
		}
		if _, err := spec.Parse(text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

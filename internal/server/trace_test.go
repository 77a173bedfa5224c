package server_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/tracing"
	"github.com/sigilkeys/sigil/test/secrets"
	"github.com/sigilkeys/sigil/test/stack"
)

// collected is an OpenTelemetry collector.
type collected struct {
	*httptest.Server
	mu    sync.Mutex // guards the fields below
	raw   bytes.Buffer
	spans []*otlp.Span
}

func collect(t *testing.T) *collected {
	t.Helper()
	c := &collected{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var in collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &in)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.raw.Write(body)
		for _, rs := range in.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				c.spans = append(c.spans, ss.Spans...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// traced sends one request for a signature through a stack that is traced.
func traced(t *testing.T, sample float64, proxies []netip.Prefix, parent string) (c *collected, status int, known map[string]string) {
	t.Helper()
	c = collect(t)
	tracer, err := tracing.New(t.Context(), tracing.Config{Endpoint: c.URL, Sample: sample, Version: "v1", Log: debugLog(&secrets.Buffer{})})
	if err != nil {
		t.Fatal(err)
	}
	s := stack.Start(t, stack.Options{Tracer: tracer, TrustedProxies: proxies})
	owner := s.NewOwner()
	token := s.NewKey(owner, nil)
	var w api.Wallet
	s.Do(s.Request(token, "POST", "/v1/s2s/wallets", `{}`), 201, &w)
	r := s.Request(token, "POST", "/v1/s2s/sign", fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"PLANTEDmessage"}`, w.ID))
	if parent != "" {
		r.Header.Set("Traceparent", parent)
	}
	known = map[string]string{"message": "PLANTEDmessage", "request signature": r.Header.Get("Signature"), "token": token.Reveal(),
		"organisation": owner.Genesis.OrganizationID.String(), "wallet": w.ID}
	a := send(t, r)
	s.API.Close()
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c, a.status, known
}

func attributes(s *otlp.Span) map[string]string {
	out := map[string]string{}
	for _, a := range s.Attributes {
		out[a.Key] = a.Value.GetStringValue()
		if a.Value.GetStringValue() == "" {
			out[a.Key] = fmt.Sprint(a.Value.GetIntValue())
		}
	}
	return out
}

// A signature's trace is the request, the decision within it, and the TEE's
// part and the commit within that; and it names nobody.
func TestTrace(t *testing.T) {
	c, status, known := traced(t, 1, nil, "00-11111111111111111111111111111111-2222222222222222-01")
	if status != 200 {
		t.Fatal(status)
	}
	var root *otlp.Span
	byName := map[string]*otlp.Span{}
	for _, s := range c.spans {
		if s.Name == "POST /v1/s2s/sign" {
			root = s
		}
	}
	if root == nil {
		t.Fatalf("no span of the request among %d", len(c.spans))
	}
	for _, s := range c.spans {
		if bytes.Equal(s.TraceId, root.TraceId) {
			byName[s.Name] = s
		}
	}
	for child, parent := range map[string]string{"signing.Decide": "POST /v1/s2s/sign", "tee.Decide": "signing.Decide", "signing.Commit": "signing.Decide"} {
		if byName[child] == nil || !bytes.Equal(byName[child].ParentSpanId, byName[parent].SpanId) {
			t.Errorf("%s isn't within %s", child, parent)
		}
	}
	if a := attributes(root); a["http.route"] != "/v1/s2s/sign" || a["http.response.status_code"] != "200" || len(a["sigil.request_id"]) != 36 {
		t.Errorf("%v", a)
	}
	if len(root.ParentSpanId) != 0 {
		t.Error("a stranger's trace was joined")
	}
	for name, text := range known {
		if bytes.Contains(c.raw.Bytes(), []byte(text)) {
			t.Errorf("traces hold the %s", name)
		}
	}
}

// A trusted proxy's trace is joined, and its word on sampling holds.
func TestTraceOfAProxy(t *testing.T) {
	const id = "11111111111111111111111111111111"
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	c, _, _ := traced(t, 0, loopback, "00-"+id+"-2222222222222222-01")
	if len(c.spans) != 4 {
		t.Fatalf("%d spans, want the 4 of the one request that is traced", len(c.spans))
	}
	for _, s := range c.spans {
		if hex.EncodeToString(s.TraceId) != id {
			t.Errorf("%s is of another trace", s.Name)
		}
	}
	if c, _, _ := traced(t, 0, nil, "00-"+id+"-2222222222222222-01"); len(c.spans) != 0 {
		t.Errorf("a stranger had %d spans made", len(c.spans))
	}
}

func TestTracingConfigIsRefused(t *testing.T) {
	for _, cfg := range []tracing.Config{{Endpoint: "127.0.0.1:4318"}, {Endpoint: "ftp://x"}, {Endpoint: "http://u:p@x"}, {Endpoint: "http://x", Sample: 2}, {Endpoint: "http://x", Sample: -1}} {
		if _, err := tracing.New(t.Context(), cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}

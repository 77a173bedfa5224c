package server_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/ratelimit"
	"github.com/sigilkeys/sigil/internal/server"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/test/stack"
)

// slow is a rate that gives nothing back during a test.
func slow(burst int) ratelimit.Rate { return ratelimit.Rate{PerSecond: 0.001, Burst: burst} }

// answer is a reply's status, code and Retry-After.
type answer struct {
	status int
	code   api.Code
	wait   int
}

func send(t *testing.T, r *http.Request) answer {
	t.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var e api.Envelope
	if err := json.NewDecoder(res.Body).Decode(&e); err != nil {
		t.Fatal(err)
	}
	a := answer{status: res.StatusCode}
	if e.Error != nil {
		a.code = e.Error.Code
	}
	if res.Header.Get("Sigil-Request-Id") == "" {
		t.Errorf("%s: no request id", r.URL.Path)
	}
	if after := res.Header.Get("Retry-After"); after != "" {
		if a.wait, err = strconv.Atoi(after); err != nil || a.wait < 1 {
			t.Errorf("Retry-After %q", after)
		}
	}
	if (a.wait > 0) != (a.status == 429 || a.status == 503) {
		t.Errorf("%s: %d with Retry-After %d", r.URL.Path, a.status, a.wait)
	}
	return a
}

// counting counts the decisions that the TEE made.
type counting struct {
	store.Store
	decisions atomic.Int64
}

func (c *counting) Commit(ctx context.Context, rows []store.CommitBatch) ([][]store.Commit, error) {
	for _, r := range rows {
		c.decisions.Add(int64(len(r.Decisions)))
	}
	return c.Store.Commit(ctx, rows)
}

// limitStack is a stack with limits, a key and a wallet, which took one token
// of the key's and the organisation's budget.
type limitStack struct {
	*stack.Stack
	owner *stack.Owner
	token *authority.Token
	sign  string // body
	now   atomic.Int64
	count counting
}

func (s *limitStack) move(d time.Duration) { s.now.Add(int64(d)) }

func limitedStack(t *testing.T, limits *server.Limits) *limitStack {
	t.Helper()
	s := &limitStack{}
	s.now.Store(time.Now().UnixNano())
	s.Stack = stack.Start(t, stack.Options{Limits: limits, Now: func() time.Time { return time.Unix(0, s.now.Load()) },
		WrapStore: func(st store.Store) store.Store { s.count.Store = st; return &s.count }})
	s.owner = s.NewOwner()
	s.token = s.NewKey(s.owner, nil)
	var w api.Wallet
	s.Do(s.Request(s.token, "POST", "/v1/s2s/wallets", `{}`), 201, &w)
	s.sign = fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"hello"}`, w.ID)
	return s
}

func (s *limitStack) signWith(t *testing.T, token *authority.Token) answer {
	t.Helper()
	return send(t, s.Request(token, "POST", "/v1/s2s/sign", s.sign))
}

// A key over its budget is refused before the TEE is asked, and told when to
// come again: then, and not a second earlier, it passes. Another key of the
// organisation isn't touched, until the organisation's budget ends.
func TestKeyAndOrganizationLimits(t *testing.T) {
	rates := server.NoRates()
	rates.Key, rates.Organization = ratelimit.Rate{PerSecond: 0.05, Burst: 5}, slow(8)
	s := limitedStack(t, server.NewLimits(rates, nil))
	other := s.NewKey(s.owner, nil)
	for i := range 4 {
		if a := s.signWith(t, s.token); a.status != 200 {
			t.Fatalf("request %d: %+v", i, a)
		}
	}
	before := s.count.decisions.Load()
	over := answer{429, api.CodeRateLimited, 20}
	for range 3 {
		if a := s.signWith(t, s.token); a != over {
			t.Errorf("over the key's budget: %+v", a)
		}
	}
	if a := send(t, s.Request(s.token, "GET", "/v1/s2s/wallets", "")); a != over {
		t.Errorf("reading over the key's budget: %+v", a)
	}
	if n := s.count.decisions.Load(); n != before {
		t.Errorf("the TEE decided %d requests over the budget", n-before)
	}
	s.move(19 * time.Second)
	if a := s.signWith(t, s.token); a != (answer{429, api.CodeRateLimited, 1}) {
		t.Errorf("a second early: %+v", a)
	}
	s.move(time.Second)
	if a := s.signWith(t, s.token); a.status != 200 {
		t.Errorf("after Retry-After: %+v", a)
	}
	for i := range 2 { // 6 of the organisation's 8 are gone
		if a := s.signWith(t, other); a.status != 200 {
			t.Errorf("another key's request %d: %+v", i, a)
		}
	}
	if a := s.signWith(t, other); a.code != api.CodeRateLimited {
		t.Errorf("over the organisation's budget: %+v", a)
	}
	if a := s.signWith(t, s.NewKey(s.NewOwner(), nil)); a.code != api.CodeWalletNotFound {
		t.Errorf("another organisation: %+v", a)
	}
}

// A batch costs its key and organisation a token for each item: it is let in by
// one, and what comes after it waits for the rest.
func TestBatchesAreChargedByItem(t *testing.T) {
	for name, c := range map[string]struct{ key, org ratelimit.Rate }{
		"key":          {ratelimit.Rate{PerSecond: 0.1, Burst: 6}, ratelimit.Rate{Off: true}},
		"organization": {ratelimit.Rate{Off: true}, ratelimit.Rate{PerSecond: 0.1, Burst: 6}},
	} {
		t.Run(name, func(t *testing.T) {
			rates := server.NoRates()
			rates.Key, rates.Organization = c.key, c.org
			s := limitedStack(t, server.NewLimits(rates, nil)) // a wallet: 1 of 6
			batch := func(items int) *http.Request {
				return s.Request(s.token, "POST", signBatch, `{"items":[`+strings.Repeat(s.sign+",", items-1)+s.sign+`]}`)
			}
			if a := send(t, batch(4)); a.status != 200 {
				t.Fatalf("four items: %+v", a)
			}
			late := batch(20)
			if a := send(t, batch(11)); a.status != 200 { // the last token, and ten that are owed
				t.Fatalf("eleven items: %+v", a)
			}
			if a := s.signWith(t, s.token); a != (answer{429, api.CodeRateLimited, 110}) {
				t.Errorf("after the batches: %+v", a)
			}
			s.move(110 * time.Second)
			if a := s.signWith(t, s.token); a.status != 200 {
				t.Errorf("after Retry-After: %+v", a)
			}
			s.move(4 * time.Minute)
			// Whoever has an old batch can send it again, and nobody owes that.
			send(t, late)
			for i := range 5 {
				if a := s.signWith(t, s.token); a.status != 200 {
					t.Errorf("request %d after a stranger's repetition: %+v", i, a)
				}
			}
		})
	}
}

// forged is a request that names the key and isn't signed by it.
func (s *limitStack) forged(t *testing.T) *http.Request {
	t.Helper()
	r := s.Request(s.token, "POST", "/v1/s2s/sign", s.sign)
	r.Body = io.NopCloser(strings.NewReader(strings.Replace(s.sign, "hello", "hullo", 1)))
	return r
}

// Whoever knows a key's id can't use up its budget: half of the burst is only
// for requests that verify. The others are charged to where they come from.
func TestForgersCannotUseUpABudget(t *testing.T) {
	rates := server.NoRates()
	rates.Key, rates.Address = slow(20), slow(100)
	limits := server.NewLimits(rates, nil)
	s := limitedStack(t, limits)
	for range 40 {
		if a := send(t, s.forged(t)); a.status != 401 {
			t.Fatalf("a forged request: %+v", a)
		}
	}
	for i := range 9 {
		if a := s.signWith(t, s.token); a.status != 200 {
			t.Fatalf("the holder's request %d after 40 forged ones: %+v", i, a)
		}
	}
	refused := 0
	for range 100 {
		if a := send(t, s.forged(t)); a.code == api.CodeRateLimited {
			refused++
		}
	}
	if refused == 0 {
		t.Error("the forger isn't limited by address")
	}
}

// neverLow has nothing verified before it is charged.
type neverLow struct{ ratelimit.Lease[string] }

func (neverLow) Low(string, time.Time) bool { return false }

// Without the check the holder is shut out, so the test above would see it.
func TestForgersWouldUseUpABudget(t *testing.T) {
	rates := server.NoRates()
	rates.Key = slow(20)
	limits := server.NewLimits(rates, nil)
	limits.Key = neverLow{limits.Key}
	s := limitedStack(t, limits)
	for range 40 {
		send(t, s.forged(t))
	}
	if a := s.signWith(t, s.token); a.code != api.CodeRateLimited {
		t.Errorf("the holder: %+v", a)
	}
}

// What proves no key is limited by client address, the probes apart: a load
// balancer mustn't take a replica out because of others' requests.
func TestAddressLimit(t *testing.T) {
	rates := server.NoRates()
	rates.Address = slow(6) // organisation and key take two
	s := limitedStack(t, server.NewLimits(rates, nil))
	get := func(path string) *http.Request {
		r, err := http.NewRequest("GET", s.API.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	stranger, err := authority.NewToken(authority.SecretKey, s.owner.Genesis.Digest, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range []*http.Request{get("/v1/networks"), get("/v1/attestation"), get("/v1/s2s/wallets"), s.Request(stranger, "POST", "/v1/s2s/sign", s.sign)} {
		if a := send(t, r); a.code == api.CodeRateLimited {
			t.Fatalf("request %d: %+v", i, a)
		}
	}
	for _, r := range []*http.Request{get("/v1/networks"), get("/v1/s2s/wallets"), s.Request(stranger, "GET", "/v1/s2s/wallets", "")} {
		if a := send(t, r); a != (answer{429, api.CodeRateLimited, 1000}) {
			t.Errorf("%s over the address's budget: %+v", r.URL.Path, a)
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if a := send(t, get(path)); a.status != 200 {
			t.Errorf("%s: %+v", path, a)
		}
	}
	if a := s.signWith(t, s.token); a.status != 200 {
		t.Errorf("a key from the same address: %+v", a)
	}
}

// What is refused before anybody is identified costs its address a token.
func TestEarlyRefusalsAreCharged(t *testing.T) {
	rates := server.NoRates()
	rates.Address = slow(2)
	s := limitedStack(t, server.NewLimits(rates, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}))
	for i, c := range []struct {
		method, path, media, body string
		code                      api.Code
	}{
		{"GET", "/v1/nowhere", "", "", api.CodeNotFound},
		{"GET", "/v1//networks", "", "", api.CodeNotFound},
		{"DELETE", "/v1/networks", "", "", api.CodeMethodNotAllowed},
		{"GET", "/v1/networks?x=1", "", "", api.CodeInvalidArgument},
		{"GET", "/v1/networks", "", "{}", api.CodeBodyTooLarge},
		{"POST", "/v1/s2s/sign", "application/json", strings.Repeat(" ", server.MaxBody+1), api.CodeBodyTooLarge},
		{"POST", "/v1/s2s/sign", "text/plain", "{}", api.CodeUnsupportedMediaType},
	} {
		from := fmt.Sprintf("192.0.2.%d", i)
		request := func() *http.Request {
			r, err := http.NewRequest(c.method, s.API.URL+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", c.media)
			r.Header.Set("X-Forwarded-For", from)
			return r
		}
		for n := range 2 {
			if a := send(t, request()); a.code != c.code {
				t.Errorf("%s %s, request %d: %+v, want %s", c.method, c.path, n, a, c.code)
			}
		}
		if a := send(t, request()); a != (answer{429, api.CodeRateLimited, 1000}) {
			t.Errorf("%s %s over the address's budget: %+v", c.method, c.path, a)
		}
		r := s.Request(s.token, "POST", "/v1/s2s/sign", s.sign)
		r.Header.Set("X-Forwarded-For", from)
		if a := send(t, r); a.status != 200 {
			t.Errorf("a key from the same address: %+v", a)
		}
	}
}

// X-Forwarded-For counts as far as trusted proxies wrote it.
func TestClientAddress(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	l := server.NewLimits(server.DefaultRates(), trusted)
	for _, c := range []struct {
		remote    string
		forwarded []string
		want      string
	}{
		{"192.0.2.1:5", nil, "192.0.2.1/32"},
		{"[::ffff:192.0.2.1]:5", nil, "192.0.2.1/32"},
		{"[2001:db8:1:2:3::4]:5", nil, "2001:db8:1:2::/64"},
		{"[fe80::1%eth0]:5", nil, "fe80::/64"},
		{"192.0.2.1:5", []string{"198.51.100.7"}, "192.0.2.1/32"},
		{"10.1.1.1:5", []string{"198.51.100.7"}, "198.51.100.7/32"},
		{"10.1.1.1:5", []string{"203.0.113.9, 198.51.100.7"}, "198.51.100.7/32"},
		{"10.1.1.1:5", []string{"203.0.113.9, 198.51.100.7,10.2.2.2"}, "198.51.100.7/32"},
		{"10.1.1.1:5", []string{"203.0.113.9", "198.51.100.7"}, "198.51.100.7/32"},
		{"10.1.1.1:5", []string{"10.3.3.3"}, "10.3.3.3/32"},
		{"10.1.1.1:5", []string{"198.51.100.7, nonsense"}, "10.1.1.1/32"},
		{"10.1.1.1:5", nil, "10.1.1.1/32"},
		{"[fd00::1]:5", []string{"2001:db8:9::1"}, "2001:db8:9::/64"},
		{"@", nil, "invalid Prefix"},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": c.forwarded}}
		if got := l.AddressForTest(r).String(); got != c.want {
			t.Errorf("%s, forwarded %q: %s, want %s", c.remote, c.forwarded, got, c.want)
		}
	}
}

package confspace_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/sigilkeys/sigil/attest/attesttest"
	"github.com/sigilkeys/sigil/attest/confspace"
)

// published is what an issuer serves, at issuerURL: a transport without a
// network, so that tests run in fake time. The fields change between calls.
type published struct {
	mu       sync.Mutex
	keys     string        // body of /jwks
	header   http.Header   // of /jwks
	down     bool          // refuses connections
	slow     time.Duration // takes so long
	requests map[string]int
}

func (p *published) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.requests[r.URL.Path]++
	slow, down, body, header := p.slow, p.down, p.keys, p.header
	p.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	switch {
	case down:
		return nil, errors.New("connection refused")
	case r.URL.Path == "/.well-known/openid-configuration":
		body, header = `{"issuer":"`+issuerURL+`","jwks_uri":"`+issuerURL+`/jwks"}`, nil
	case r.URL.Path != "/jwks":
		return nil, errors.New("no such document")
	}
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: 200, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (p *published) set(change func(*published)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *published) fetches() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests["/jwks"]
}

func jwks(t testing.TB, i *attesttest.Issuer) string {
	t.Helper()
	b, err := i.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// publish serves the keys of the first issuer and makes a source of them. The
// tokens of the second have unknown key ids until its keys are published.
func publish(t *testing.T, change func(*confspace.KeySourceConfig)) (*published, *confspace.KeySource) {
	t.Helper()
	p := &published{keys: jwks(t, issuers()[0]), requests: map[string]int{}}
	cfg := confspace.KeySourceConfig{Issuer: issuerURL, KeyHosts: []string{"issuer.test"}, Client: &http.Client{Transport: p}, Now: time.Now}
	if change != nil {
		change(&cfg)
	}
	s, err := confspace.NewKeySource(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p, s
}

func oidc(t testing.TB, i *attesttest.Issuer) string {
	t.Helper()
	return must(t)(i.OIDC(payload(t, workload())))
}

func accepts(t *testing.T, s *confspace.KeySource, token string) {
	t.Helper()
	c, err := s.Verify(t.Context(), token, [32]byte{}, start)
	if err != nil {
		t.Fatal(err)
	}
	if err := confspace.Validate(c, expectation(), start); err != nil {
		t.Fatal(err)
	}
}

func refuses(t *testing.T, s *confspace.KeySource, token string, want confspace.Reason) {
	t.Helper()
	_, err := s.Verify(t.Context(), token, [32]byte{}, start)
	wantReason(t, err, want)
}

func TestKeySourceFollowsRotation(t *testing.T) {
	first, second := oidc(t, issuers()[0]), oidc(t, issuers()[1])
	synctest.Test(t, func(t *testing.T) {
		p, s := publish(t, nil)
		accepts(t, s, first)
		accepts(t, s, first)
		if p.fetches() != 1 || p.requests["/.well-known/openid-configuration"] != 1 {
			t.Fatalf("%v fetches for two tokens", p.requests)
		}
		refuses(t, s, second, confspace.ReasonUnknownKey)
		if p.fetches() != 1 {
			t.Fatal("fetched again within the interval")
		}
		// The new key is published; the old one is retired at once.
		p.set(func(p *published) { p.keys = jwks(t, issuers()[1]) })
		time.Sleep(10 * time.Second)
		accepts(t, s, second)
		refuses(t, s, first, confspace.ReasonUnknownKey)
	})
}

// A key that the issuer has withdrawn is used no longer than the bound and
// while the fetch that it begins is under way, though no token with another one
// asks for a fetch.
func TestKeySourceDropsRetiredKey(t *testing.T) {
	first := oidc(t, issuers()[0])
	for name, c := range map[string]struct {
		header http.Header
		kept   time.Duration
	}{
		"nothing said": {nil, time.Minute},
		"five minutes": {http.Header{"Cache-Control": {"public, max-age=300, must-revalidate"}}, 5 * time.Minute},
		"a year":       {http.Header{"Cache-Control": {"max-age=31536000"}}, time.Hour},
		"beyond u64":   {http.Header{"Cache-Control": {"max-age=99999999999999999999999"}}, time.Minute},
		"none":         {http.Header{"Cache-Control": {"max-age=0"}}, time.Minute},
		"no-store":     {http.Header{"Cache-Control": {"max-age=3000", "no-store"}}, time.Minute},
		"negative":     {http.Header{"Cache-Control": {"max-age=-1"}}, time.Minute},
		"the smallest": {http.Header{"Cache-Control": {"max-age=600, max-age=3600"}}, 10 * time.Minute},
		"aged":         {http.Header{"Cache-Control": {"max-age=600"}, "Age": {"240"}}, 6 * time.Minute},
		"bad age":      {http.Header{"Cache-Control": {"max-age=600"}, "Age": {"-1"}}, time.Minute},
		"quoted, case": {http.Header{"Cache-Control": {`Max-Age="600"`}}, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := publish(t, nil)
				p.header = c.header
				accepts(t, s, first)
				p.set(func(p *published) { p.keys = jwks(t, issuers()[1]) })
				time.Sleep(c.kept - time.Nanosecond)
				accepts(t, s, first)
				synctest.Wait()
				if n := p.fetches(); n != 1 {
					t.Errorf("%d fetches while the keys are fresh", n)
				}
				p.set(func(p *published) { p.slow = time.Second })
				time.Sleep(time.Nanosecond)
				accepts(t, s, first) // begins the fetch, of two documents
				time.Sleep(2*time.Second - time.Nanosecond)
				accepts(t, s, first)
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				refuses(t, s, first, confspace.ReasonUnknownKey)
			})
		})
	}
}

func TestKeySourceFloodCostsBoundedFetches(t *testing.T) {
	first, flood := oidc(t, issuers()[0]), strings.Split(oidc(t, issuers()[1]), ".")
	synctest.Test(t, func(t *testing.T) {
		p, s := publish(t, nil)
		p.header = http.Header{"Cache-Control": {"max-age=3600"}}
		for n := range 6000 { // ten minutes of ten a second
			refuses(t, s, b64(fmt.Sprintf(`{"alg":"RS256","kid":"%d"}`, n))+"."+flood[1]+"."+flood[2], confspace.ReasonUnknownKey)
			time.Sleep(100 * time.Millisecond)
		}
		if n := p.fetches(); n > 60 {
			t.Fatalf("%d fetches in ten minutes", n)
		}
		before := p.fetches()
		accepts(t, s, first)
		for _, kid := range []string{"", strings.Repeat("k", 129)} {
			time.Sleep(time.Minute)
			refuses(t, s, b64(`{"alg":"RS256","kid":"`+kid+`"}`)+"."+flood[1]+"."+flood[2], confspace.ReasonUnknownKey)
		}
		// Neither do tokens that aren't any.
		for _, token := range []string{"", "a.b.c", b64(`{"alg":"none","kid":"x"}`) + ".e30.", must(t)(issuers()[0].PKI([]byte("{}")))} {
			if _, err := s.Verify(t.Context(), token, [32]byte{}, start); err == nil {
				t.Error("accepted")
			}
		}
		if p.fetches() != before {
			t.Error("tokens that no key could verify had keys fetched")
		}
	})
}

func TestKeySourceOutlivesOutageWithinBound(t *testing.T) {
	first, second := oidc(t, issuers()[0]), oidc(t, issuers()[1])
	for name, outage := range map[string]func(*published){
		"refused":  func(p *published) { p.down = true },
		"garbage":  func(p *published) { p.keys = "<html>sign in</html>" },
		"no key":   func(p *published) { p.keys = `{"keys":[]}` },
		"hanging":  func(p *published) { p.slow = time.Hour },
		"too slow": func(p *published) { p.slow = 10*time.Second + 1 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := publish(t, func(c *confspace.KeySourceConfig) { c.MaxStale = 2 * time.Hour })
				began := time.Now()
				accepts(t, s, first)
				p.set(outage)
				time.Sleep(2*time.Hour - 30*time.Second)
				accepts(t, s, first)
				refuses(t, s, second, confspace.ReasonKeysUnavailable) // it may be new
				time.Sleep(time.Until(began.Add(2 * time.Hour)))
				refuses(t, s, first, confspace.ReasonKeysUnavailable)
				// Back: at most the interval later.
				p.set(func(p *published) { p.down, p.slow, p.keys = false, 0, jwks(t, issuers()[0]) })
				time.Sleep(10 * time.Second)
				accepts(t, s, first)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		p, s := publish(t, nil)
		p.down = true
		refuses(t, s, first, confspace.ReasonKeysUnavailable)
		refuses(t, s, first, confspace.ReasonKeysUnavailable)
		if n := p.requests["/.well-known/openid-configuration"]; n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// An issuer that takes requests and doesn't answer holds up nobody whose key is
// at hand, for as long as the keys may serve at all; there is still one fetch at
// a time. A token that no key at hand verifies waits for it.
func TestKeySourceHangingIssuerDelaysNobody(t *testing.T) {
	first, second := oidc(t, issuers()[0]), oidc(t, issuers()[1])
	synctest.Test(t, func(t *testing.T) {
		p, s := publish(t, func(c *confspace.KeySourceConfig) { c.MaxStale = 2 * time.Hour })
		accepts(t, s, first)
		discoveries := func() int {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.requests["/.well-known/openid-configuration"]
		}
		before := discoveries()
		p.set(func(p *published) { p.slow = time.Hour })
		timed := func(what string, want time.Duration, f func()) {
			t.Helper()
			began := time.Now()
			if f(); time.Since(began) != want {
				t.Errorf("%s waited %v, want %v", what, time.Since(began), want)
			}
		}
		time.Sleep(time.Minute)
		for range 60 { // five minutes of an outage
			timed("a token of a key at hand", 0, func() { accepts(t, s, first) })
			time.Sleep(5 * time.Second)
		}
		if n := discoveries() - before; n < 20 || n > 31 {
			t.Errorf("%d fetches in five minutes, want one at a time, each of 10 s", n)
		}
		time.Sleep(time.Minute)
		timed("a token of an unknown key", 10*time.Second, func() { refuses(t, s, second, confspace.ReasonKeysUnavailable) })
		time.Sleep(2 * time.Hour)
		timed("a token when the keys are too old", 10*time.Second, func() { refuses(t, s, first, confspace.ReasonKeysUnavailable) })
		// Back, and the key was withdrawn meanwhile.
		p.set(func(p *published) { p.slow, p.keys = 0, jwks(t, issuers()[1]) })
		time.Sleep(10 * time.Second)
		refuses(t, s, first, confspace.ReasonUnknownKey)
		accepts(t, s, second)
	})
}

// A machine that slept has the wall clock go on and the monotonic one stand:
// the keys are as old as the wall says.
func TestKeySourceMachineSlept(t *testing.T) {
	first := oidc(t, issuers()[0])
	awake, slept := time.Now(), time.Duration(0)
	p, s := publish(t, func(c *confspace.KeySourceConfig) { c.Now = func() time.Time { return afterSleep(awake, slept) } })
	accepts(t, s, first)
	p.set(func(p *published) { p.down = true })
	slept = 7 * time.Hour
	if at := afterSleep(awake, slept); at.Sub(awake) != 0 || at.Round(0).Sub(awake.Round(0)) != slept {
		t.Fatalf("canary: this clock doesn't do what a sleeping machine's does: %v", at)
	}
	refuses(t, s, first, confspace.ReasonKeysUnavailable)
}

// afterSleep is t with the wall clock further by whole seconds, and the same
// monotonic reading. Package time makes no such value by itself; its first word
// has the wall's seconds from bit 30 on.
func afterSleep(t time.Time, d time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) += uint64(d/time.Second) << 30
	return t
}

// A clock that is set back makes no key young again, and stops no fetch.
func TestKeySourceClockSetBack(t *testing.T) {
	first := oidc(t, issuers()[0])
	synctest.Test(t, func(t *testing.T) {
		var back time.Duration
		p, s := publish(t, func(c *confspace.KeySourceConfig) { c.Now = func() time.Time { return time.Now().Add(-back) } })
		accepts(t, s, first)
		p.set(func(p *published) { p.down = true })
		back = 24 * time.Hour
		refuses(t, s, first, confspace.ReasonKeysUnavailable)
		p.set(func(p *published) { p.down = false })
		time.Sleep(10 * time.Second)
		accepts(t, s, first)
	})
}

func TestKeySourceOneFetchForAll(t *testing.T) {
	first := oidc(t, issuers()[0])
	synctest.Test(t, func(t *testing.T) {
		p, s := publish(t, nil)
		p.slow = time.Second
		leaving, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { // begins the fetch, and doesn't wait for its end
			_, err := s.Verify(leaving, first, [32]byte{}, start)
			wantReason(t, err, confspace.ReasonKeysUnavailable)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the cause isn't told: %v", err)
			}
		})
		synctest.Wait()
		for range 100 {
			all.Go(func() { accepts(t, s, first) })
		}
		synctest.Wait()
		leave()
		all.Wait()
		if p.fetches() != 1 || p.requests["/.well-known/openid-configuration"] != 1 {
			t.Fatalf("%v requests for 101 callers", p.requests)
		}
	})
}

// The keys of one issuer verify no token that names another.
func TestKeySourceBindsIssuer(t *testing.T) {
	p := strings.Replace(string(payload(t, workload())), issuerURL, "https://accounts.google.com", 1)
	token := must(t)(issuers()[0].OIDC([]byte(p)))
	_, s := publish(t, nil)
	refuses(t, s, token, confspace.ReasonIssuer)

	// PKI tokens need the root and no keys.
	pki := must(t)(issuers()[0].PKI(payload(t, workload())))
	refuses(t, s, pki, confspace.ReasonUntrusted)
	if _, err := s.Verify(t.Context(), pki, issuers()[0].RootSHA256(), start); err != nil {
		t.Fatal(err)
	}
}

// Documents of a hostile server or of who stands between, over a real
// connection: none gives a key.
func TestKeySourceHostileDocuments(t *testing.T) {
	good := jwks(t, issuers()[0])
	token := oidc(t, issuers()[0])
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("the other host was asked")
		_, _ = io.WriteString(w, good)
	}))
	defer elsewhere.Close()
	type server struct {
		discovery func(http.ResponseWriter, *http.Request, string)
		keys      http.HandlerFunc
	}
	document := func(format string, args ...any) func(http.ResponseWriter, *http.Request, string) {
		return func(w http.ResponseWriter, _ *http.Request, self string) {
			_, _ = io.WriteString(w, strings.ReplaceAll(fmt.Sprintf(format, args...), "SELF", self))
		}
	}
	honest := document(`{"issuer":"SELF","jwks_uri":"SELF/jwks"}`)
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
	}
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for name, c := range map[string]server{
		"other issuer":  {discovery: document(`{"issuer":"https://evil.test","jwks_uri":"SELF/jwks"}`)},
		"no issuer":     {discovery: document(`{"jwks_uri":"SELF/jwks"}`)},
		"issuer prefix": {discovery: document(`{"issuer":"SELF/x","jwks_uri":"SELF/jwks"}`)},
		"issuer twice":  {discovery: document(`{"issuer":"https://evil.test","issuer":"SELF","jwks_uri":"SELF/jwks"}`)},
		"other host":    {discovery: document(`{"issuer":"SELF","jwks_uri":"%s/jwks"}`, elsewhere.URL)},
		"host as user":  {discovery: document(`{"issuer":"SELF","jwks_uri":"SELF@%s/jwks"}`, strings.TrimPrefix(elsewhere.URL, "https://"))},
		"no address":    {discovery: document(`{"issuer":"SELF"}`)},
		"plain http": {discovery: func(w http.ResponseWriter, r *http.Request, self string) {
			document(`{"issuer":"SELF","jwks_uri":"http://%s/jwks"}`, r.Host)(w, r, self)
		}},
		"query":          {discovery: document(`{"issuer":"SELF","jwks_uri":"SELF/jwks?a=b"}`)},
		"huge discovery": {discovery: document(`{"issuer":"SELF","jwks_uri":"SELF/jwks","x":"%s"}`, strings.Repeat("x", 64<<10))},
		"garbage":        {discovery: document("\xff\x00")},
		"discovery moved": {discovery: func(w http.ResponseWriter, r *http.Request, _ string) {
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		}},
		"discovery absent": {discovery: func(w http.ResponseWriter, r *http.Request, _ string) { http.NotFound(w, r) }},
		"keys moved": {keys: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusMovedPermanently)
		}},
		"keys moved nearby": {keys: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/.well-known/openid-configuration", http.StatusTemporaryRedirect)
		}},
		"huge keys":    {keys: text(good + strings.Repeat(" ", 64<<10))},
		"garbage keys": {keys: text("<html>")},
		"no keys":      {keys: text(`{"keys":[]}`)},
		"keys of status": {keys: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, good)
		}},
		"slow discovery": {discovery: func(w http.ResponseWriter, r *http.Request, _ string) { hang(w, r) }},
		"slow keys": {keys: func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, good[:100])
			w.(http.Flusher).Flush()
			hang(w, r)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.discovery == nil {
				c.discovery = honest
			}
			if c.keys == nil {
				c.keys = text(good)
			}
			var srv *httptest.Server
			mux := http.NewServeMux()
			mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) { c.discovery(w, r, srv.URL) })
			mux.HandleFunc("/jwks", c.keys)
			srv = httptest.NewTLSServer(mux)
			defer srv.Close()
			timeout := 10 * time.Second
			if strings.HasPrefix(name, "slow") {
				timeout = 50 * time.Millisecond
			}
			s, err := confspace.NewKeySource(confspace.KeySourceConfig{Issuer: srv.URL, Client: srv.Client(), Now: time.Now, Timeout: timeout,
				KeyHosts: []string{strings.TrimPrefix(srv.URL, "https://")}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.KeysFor(t.Context(), token)
			wantReason(t, err, confspace.ReasonKeysUnavailable)
			t.Log(err)
		})
	}
}

// Canary of the above: the same server, honest; and with the address pinned,
// where the discovery document isn't asked.
func TestKeySourceHonestDocuments(t *testing.T) {
	var srv *httptest.Server
	mux := http.NewServeMux()
	asked := 0
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = io.WriteString(w, `{"issuer":"`+srv.URL+`/","jwks_uri":"`+srv.URL+`/jwks","x":1}`)
	})
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, jwks(t, issuers()[0])) })
	srv = httptest.NewTLSServer(mux)
	defer srv.Close()
	for _, cfg := range []confspace.KeySourceConfig{
		{KeyHosts: []string{strings.TrimPrefix(srv.URL, "https://")}}, {KeysURL: srv.URL + "/jwks"},
	} {
		cfg.Issuer, cfg.Client, cfg.Now = srv.URL, srv.Client(), time.Now
		s, err := confspace.NewKeySource(cfg)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := s.KeysFor(t.Context(), oidc(t, issuers()[0]))
		if err != nil || keys == nil {
			t.Fatal(err)
		}
	}
	if asked != 1 {
		t.Errorf("the discovery document was asked %d times, want once: the second source pins the address", asked)
	}
}

func TestKeySourceConfigRefused(t *testing.T) {
	good := confspace.KeySourceConfig{Issuer: confspace.GoogleIssuer, Client: &http.Client{}, Now: time.Now}
	if _, err := confspace.NewKeySource(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*confspace.KeySourceConfig){
		"zero":           func(c *confspace.KeySourceConfig) { *c = confspace.KeySourceConfig{} },
		"no client":      func(c *confspace.KeySourceConfig) { c.Client = nil },
		"no clock":       func(c *confspace.KeySourceConfig) { c.Now = nil },
		"no issuer":      func(c *confspace.KeySourceConfig) { c.Issuer = "" },
		"plain http":     func(c *confspace.KeySourceConfig) { c.Issuer = "http://issuer.test" },
		"user":           func(c *confspace.KeySourceConfig) { c.Issuer = "https://a@issuer.test" },
		"query":          func(c *confspace.KeySourceConfig) { c.Issuer = "https://issuer.test/?a" },
		"fragment":       func(c *confspace.KeySourceConfig) { c.Issuer = "https://issuer.test/#" },
		"no host pinned": func(c *confspace.KeySourceConfig) { c.Issuer = issuerURL },
		"empty host":     func(c *confspace.KeySourceConfig) { c.KeyHosts = []string{""} },
		"keys over http": func(c *confspace.KeySourceConfig) { c.KeysURL = "http://www.googleapis.com/x" },
		"timeout":        func(c *confspace.KeySourceConfig) { c.Timeout = time.Hour },
		"stale for long": func(c *confspace.KeySourceConfig) { c.MaxStale = 25 * time.Hour },
		"negative":       func(c *confspace.KeySourceConfig) { c.MaxStale = -1 },
	} {
		cfg := good
		change(&cfg)
		if _, err := confspace.NewKeySource(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if !strings.HasPrefix(confspace.GoogleKeysURL, "https://"+confspace.GoogleKeyHost+"/") {
		t.Error("Google's keys aren't at Google's host")
	}
}

// Whatever bytes come as a key set, the result is usable or refused.
func FuzzKeySet(f *testing.F) {
	f.Add([]byte(jwks(f, issuers()[0])))
	f.Add([]byte(`{"keys":[{"kty":"RSA","alg":"RS256","use":"sig","kid":"a","n":"","e":"AQAB"}]}`))
	token := oidc(f, issuers()[1])
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := confspace.ParseKeySet(data)
		if (set == nil) == (err == nil) {
			t.Fatal("neither a set nor an error")
		}
		if err != nil {
			return
		}
		_, err = confspace.Verify(token, confspace.Trust{Keys: set}, start)
		var r *confspace.Refusal
		if err != nil && !errors.As(err, &r) {
			t.Fatalf("error is no refusal: %v", err)
		}
	})
}

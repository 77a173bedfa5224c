package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/server"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/test/stack"
)

// crowdStack is a stack behind a load balancer on this machine, so that a test
// can have requests come from anywhere.
func crowdStack(t *testing.T, most int, wrap func(store.Store) store.Store) *stack.Stack {
	t.Helper()
	here := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	return stack.Start(t, stack.Options{MaxRequests: most, WrapStore: wrap, TrustedProxies: here,
		Limits: server.NewLimits(server.NoRates(), here)})
}

// unfinished sends a request whose body of two bytes doesn't come, and returns
// once it is waited for. It isn't ok if the request is refused.
func unfinished(t *testing.T, s *stack.Stack, from string) (c net.Conn, ok bool) {
	t.Helper()
	c, err := net.Dial("tcp", s.API.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := fmt.Fprintf(c, "POST /v1/orgs HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: %s\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n", from); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReaderSize(c, len("HTTP/1.1 100 Continue\r\n\r\n")).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return c, strings.HasPrefix(line, "HTTP/1.1 100 ")
}

func ask(t *testing.T, s *stack.Stack, method, path, body, from string) answer {
	t.Helper()
	r, err := http.NewRequest(method, s.API.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Forwarded-For", from)
	return send(t, r)
}

var overloaded = answer{429, api.CodeOverloaded, 1}

// Callers who send their bodies slowly hold no more than MaxRequests; the next
// is refused before its body is read, while what has none is served.
func TestBodiesBeingReadAreBounded(t *testing.T) {
	const most = 3
	s := crowdStack(t, most, nil)
	var slow []net.Conn
	for i := range most {
		c, ok := unfinished(t, s, fmt.Sprintf("192.0.2.%d", i))
		if !ok {
			t.Fatalf("caller %d is refused", i)
		}
		slow = append(slow, c)
	}
	if _, ok := unfinished(t, s, "192.0.2.99"); ok {
		t.Error("one too many is waited for")
	}
	if a := ask(t, s, "POST", "/v1/orgs", "{}", "192.0.2.99"); a != overloaded {
		t.Errorf("one too many: %+v", a)
	}
	for _, path := range []string{"/healthz", "/v1/networks"} {
		if a := ask(t, s, "GET", path, "", "192.0.2.1"); a.status != 200 {
			t.Errorf("%s: %+v", path, a)
		}
	}
	for _, c := range slow {
		if _, err := io.WriteString(c, "{}"); err != nil {
			t.Fatal(err)
		}
		reply, err := io.ReadAll(c)
		if err != nil || !strings.Contains(string(reply), string(api.CodeDocumentInvalid)) {
			t.Errorf("one that waited: %s %v", reply, err)
		}
	}
	if n := s.Server.ReadingForTest(); n != 0 {
		t.Errorf("%d places are still taken", n)
	}
	if a := ask(t, s, "POST", "/v1/orgs", "{}", "192.0.2.99"); a.code != api.CodeDocumentInvalid {
		t.Errorf("after the crowd: %+v", a)
	}
}

// shutOut has one address send requests that it doesn't end, as many as there
// are places, and returns what becomes of another's signed request then.
func shutOut(t *testing.T, s *stack.Stack, most int) (held int, other, same answer) {
	t.Helper()
	token := s.NewKey(s.NewOwner(), nil)
	for range most + 1 {
		if _, ok := unfinished(t, s, "198.51.100.7"); ok {
			held++
		}
	}
	r := s.Request(token, "POST", "/v1/s2s/wallets", `{}`)
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	return held, send(t, r), ask(t, s, "POST", "/v1/orgs", "{}", "198.51.100.7")
}

// However many requests one address leaves unfinished, another's pass.
func TestUnfinishedBodiesShutNobodyOut(t *testing.T) {
	const most = 160
	s := crowdStack(t, most, nil)
	held, other, same := shutOut(t, s, most)
	if held == 0 || held > most/16 {
		t.Errorf("one address holds %d of %d places", held, most)
	}
	if other.status != 201 {
		t.Errorf("another address's signed request: %+v", other)
	}
	if same != overloaded {
		t.Errorf("one more of the same address: %+v", same)
	}
	// Many addresses have to be very many.
	for i := range 40 {
		for range 10 {
			unfinished(t, s, fmt.Sprintf("203.0.113.%d", i))
		}
	}
	if a := ask(t, s, "POST", "/v1/orgs", "{}", "192.0.2.1"); a.code != api.CodeDocumentInvalid {
		t.Errorf("another address's request, with 41 in the crowd: %+v", a)
	}
}

// Canary: where one address may take all places, it shuts the others out.
func TestUnfinishedBodiesWouldShutOut(t *testing.T) {
	const most = 40
	s := crowdStack(t, most, nil)
	s.Server.LooseForTest()
	held, other, _ := shutOut(t, s, most)
	if held != most || other != overloaded {
		t.Errorf("%d of %d places held, and another address's signed request: %+v", held, most, other)
	}
}

// stuck doesn't answer for one piece of evidence until it is let go.
type stuck struct {
	store.Store
	arrived, letGo chan struct{}
}

var errStuck = errors.New("stuck")

func (s *stuck) Evidence(ctx context.Context, id [32]byte) (*store.Evidence, error) {
	if id != [32]byte{} {
		return s.Store.Evidence(ctx, id)
	}
	s.arrived <- struct{}{}
	<-s.letGo
	return nil, errStuck
}

// More requests than MaxRequests aren't in work at a time; the probes still
// answer.
func TestRequestsInWorkAreBounded(t *testing.T) {
	const most = 3
	db := &stuck{arrived: make(chan struct{}), letGo: make(chan struct{})}
	s := crowdStack(t, most, func(st store.Store) store.Store { db.Store = st; return db })
	answers := make(chan int, most)
	for range most {
		go func() {
			res, err := http.Get(s.API.URL + "/v1/attestation/" + strings.Repeat("00", 32))
			if err != nil {
				answers <- 0
				return
			}
			_ = res.Body.Close()
			answers <- res.StatusCode
		}()
		<-db.arrived
	}
	if a := ask(t, s, "GET", "/v1/networks", "", "192.0.2.1"); a != overloaded {
		t.Errorf("one too many: %+v", a)
	}
	if a := ask(t, s, "GET", "/healthz", "", "192.0.2.1"); a.status != 200 {
		t.Errorf("the probe: %+v", a)
	}
	close(db.letGo)
	for range most {
		if status := <-answers; status != 503 {
			t.Errorf("one that waited: %d", status)
		}
	}
	if a := ask(t, s, "GET", "/v1/networks", "", "192.0.2.1"); a.status != 200 {
		t.Errorf("after the crowd: %+v", a)
	}
}

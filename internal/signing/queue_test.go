package signing_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
)

// hold keeps the next commit from ending, and so everything behind it.
func (s *scene) hold() (release func()) {
	held := make(chan struct{})
	s.store.set(func(f *faulty) { f.committed = func() { <-held } })
	return func() { close(held) }
}

// waitInFlight waits until so many requests are in work.
func (s *scene) waitInFlight(t *testing.T, n int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); s.Signing.InFlight() != n; <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%d requests are in work, want %d", s.Signing.InFlight(), n)
		}
	}
}

// later sends requests that are answered when what holds them is released.
func later(t *testing.T, requests []*http.Request) <-chan string {
	t.Helper()
	said := make(chan string, len(requests))
	for _, r := range requests {
		go func() {
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				said <- err.Error()
				return
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			said <- fmt.Sprint(res.StatusCode, " ", string(body))
		}()
	}
	return said
}

// While nothing gets through, as many requests wait as may; the next is
// refused at once, with its Retry-After. One organisation fills half of the
// queue, no more. Then all that waited are answered.
func TestQueueIsBoundedAndShared(t *testing.T) {
	s := newScene(t)
	s.Signing.SetMaxInFlight(6)
	owner := s.NewOwner()
	token := s.NewKey(owner, nil)
	other := func() *http.Request {
		return s.Request(token, "POST", "/v1/s2s/wallets", `{}`)
	}
	refused := func(whose string, r *http.Request) {
		t.Helper()
		began := time.Now()
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode != 429 || !strings.Contains(string(body), string(api.CodeOverloaded)) || res.Header.Get("Retry-After") != "1" {
			t.Errorf("%s: %d %s, Retry-After %q", whose, res.StatusCode, body, res.Header.Get("Retry-After"))
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("%s: refused after %v, that isn't early", whose, d)
		}
	}
	release := s.hold()
	first := later(t, []*http.Request{s.sign("a"), s.sign("b"), s.sign("c")})
	s.waitInFlight(t, 3)
	refused("over an organisation's half", s.sign("d"))
	second := later(t, []*http.Request{other(), other(), other()})
	s.waitInFlight(t, 6)
	refused("over the whole", s.Request(s.NewKey(s.NewOwner(), nil), "POST", "/v1/s2s/wallets", `{}`))
	release()
	for i := range 6 {
		from := first
		if i >= 3 {
			from = second
		}
		if got := <-from; !strings.HasPrefix(got, "20") {
			t.Errorf("one that waited: %s", got)
		}
	}
	s.waitInFlight(t, 0)
	if got := <-later(t, []*http.Request{s.sign("d")}); !strings.HasPrefix(got, "200") {
		t.Errorf("after the crowd: %s", got)
	}
}

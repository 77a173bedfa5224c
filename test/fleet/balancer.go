package fleet

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Balancer is an http.RoundTripper that sends each request to a control plane
// that says that it is ready. As a load balancer does, it asks them now and
// then, and doesn't repeat a request: that is the client's.
type Balancer struct {
	probe *http.Client
	over  *http.Transport

	mu    sync.Mutex // guards the fields below
	all   []string
	ready []string
	turn  int
}

// probeEvery is how often it asks.
const probeEvery = 20 * time.Millisecond

// NewBalancer returns one that asks until ctx ends.
func NewBalancer(ctx context.Context, controls ...*Process) *Balancer {
	b := &Balancer{probe: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * time.Second}, over: &http.Transport{MaxIdleConnsPerHost: 64}}
	b.Set(controls...)
	go func() {
		defer b.over.CloseIdleConnections()
		for ctx.Err() == nil {
			b.look()
			time.Sleep(probeEvery)
		}
	}()
	return b
}

// Set says which control planes there are.
func (b *Balancer) Set(controls ...*Process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = nil
	for _, p := range controls {
		b.all = append(b.all, p.Address)
	}
	b.ready = slices.DeleteFunc(b.ready, func(a string) bool { return !slices.Contains(b.all, a) })
}

// Ready returns how many take requests.
func (b *Balancer) Ready() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.ready)
}

func (b *Balancer) look() {
	b.mu.Lock()
	all := slices.Clone(b.all)
	b.mu.Unlock()
	var ready []string
	for _, a := range all {
		res, err := b.probe.Get("http://" + a + "/readyz")
		if err != nil {
			continue
		}
		if res.Body.Close() == nil && res.StatusCode == http.StatusOK {
			ready = append(ready, a)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ready = slices.DeleteFunc(ready, func(a string) bool { return !slices.Contains(b.all, a) })
}

// RoundTrip implements http.RoundTripper.
func (b *Balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	b.mu.Lock()
	if len(b.ready) == 0 {
		b.mu.Unlock()
		return nil, errors.New("no control plane is ready")
	}
	b.turn++
	host := b.ready[b.turn%len(b.ready)]
	b.mu.Unlock()
	out := r.Clone(r.Context())
	out.URL.Host, out.Host = host, ""
	return b.over.RoundTrip(out)
}

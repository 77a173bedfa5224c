package signing

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sigilkeys/sigil/internal/teelink"
)

// LinkState is what a link is about.
type LinkState string

// States of a link.
const (
	LinkConnecting LinkState = "connecting" // nobody answers, or not yet
	LinkRefused    LinkState = "refused"    // who answers isn't accepted
	LinkUp         LinkState = "up"
	LinkSlow       LinkState = "slow" // up, but asked only where no other is
	LinkDraining   LinkState = "draining"
)

// LinkStatus is one link's health.
type LinkStatus struct {
	Index    int // its place, from 0; a place that became free is used again
	State    LinkState
	Failures int           // attempts to connect that failed since the last that went well
	Asked    int           // requests in work
	Latency  time.Duration // of the last answered probe
}

// health is what a link's probes and attempts found. It has no lock of its
// own: each value stands alone.
type health struct {
	failures atomic.Int32
	refused  atomic.Bool  // the last attempt failed for the peer's evidence
	slow     atomic.Bool  // a probe waits for longer than slowAfter
	latency  atomic.Int64 // nanoseconds
}

func (h *health) failed(err error) {
	h.failures.Add(1)
	h.refused.Store(errors.Is(err, errRefused))
}

func (h *health) admitted() {
	h.failures.Store(0)
	h.refused.Store(false)
	h.slow.Store(false)
}

const (
	probeEvery = time.Second
	// slowAfter is when requests go to others.
	slowAfter = time.Second
	// deadAfter is when a connection that still stands is given up: a workload
	// that is stopped or cut off answers nobody, and what it was asked is asked
	// of another then. It is longer than a KMS may take, behind which a probe
	// queues when all of the link's requests wait for it.
	deadAfter = 15 * time.Second
)

// probe asks the workload a small thing again and again, and closes the
// connection when it doesn't answer.
func (l *Link) probe(ctx context.Context, c *teelink.Client) {
	t := time.NewTicker(probeEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.Done():
			return
		case <-t.C:
		}
		if !l.probeOnce(ctx, c) {
			return
		}
	}
}

func (l *Link) probeOnce(ctx context.Context, c *teelink.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, deadAfter)
	defer cancel()
	began := time.Now()
	late := time.AfterFunc(slowAfter, func() { l.health.slow.Store(true) })
	defer late.Stop()
	_, err := c.Hello(ctx)
	var answered *teelink.RemoteError
	switch {
	case err == nil || errors.As(err, &answered):
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		l.Log.Warn("the TEE doesn't answer: the link is cut", "tee", l.Address, "after", deadAfter.String())
		c.Close()
		return false
	default:
		return false // it is down, or the link ends
	}
	late.Stop()
	l.health.slow.Store(false)
	l.health.latency.Store(int64(time.Since(began)))
	return true
}

// status is the link's part of a LinkStatus.
func (l *Link) status() LinkStatus {
	s := LinkStatus{State: LinkConnecting, Failures: int(l.health.failures.Load()), Latency: time.Duration(l.health.latency.Load())}
	switch {
	case l.connection() == nil && l.health.refused.Load():
		s.State = LinkRefused
	case l.connection() == nil:
	case l.health.slow.Load():
		s.State = LinkSlow
	default:
		s.State = LinkUp
	}
	return s
}

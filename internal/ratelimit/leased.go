package ratelimit

import (
	"context"
	"sync"
	"time"
)

// Shared keeps what processes share.
type Shared interface {
	// ChangeBudget has change make the new state of a budget from the stored
	// one, nil at first, and the store's clock. Changes of one budget come one
	// after the other; change may be called again if one didn't happen. A
	// budget needn't survive a crash of the store.
	ChangeBudget(ctx context.Context, id [32]byte, change func(state []byte, now time.Time) ([]byte, error)) error
}

// askTime bounds one question to Shared.
const askTime = 5 * time.Second

// Leased are budgets that processes share. Each takes tokens out of the shared
// budget in blocks of a sixteenth of the burst, before it needs them, and
// hands them out by itself. The sum is never over the budget; it may be under
// it by what the others hold. A budget with a burst below sixteen has no such
// blocks, and neither has a ninth process: each of its tokens is asked for.
type Leased[K comparable] struct {
	shared Shared
	id     func(K) [32]byte
	who    Holder
	off    bool
	terms  terms // zero: nothing is allowed
	max    int

	trusting bool // Low is false where no block is held: a canary of tests

	mu    sync.Mutex // guards the fields below, and each lease
	held  map[K]*lease
	swept time.Time // when leases that ended were last dropped
}

// lease is what this process has of one budget.
type lease struct {
	tokens int64
	until  time.Time // tokens are void from then on
	dry    time.Time // there are none before
	low    bool
	debt   int64 // tokens that were used and have to come first

	most    int64         // tokens that may be kept
	waiting int64         // callers
	asking  chan struct{} // closed when the question under way is answered; nil: none is
	err     error         // of the last question
}

// NewLeased returns Leased of one rate, at most max of them; id names a
// caller's budget in what is shared.
func NewLeased[K comparable](r Rate, max int, shared Shared, who Holder, id func(K) [32]byte) *Leased[K] {
	l := &Leased[K]{shared: shared, id: id, who: who, off: r.Off, max: max, held: map[K]*lease{}}
	if r.PerSecond > 0 && r.Burst > 0 {
		l.terms = termsOf(r)
	}
	return l
}

// Take implements Lease. It waits for the first block alone, and for the next
// where callers are faster than it comes.
func (l *Leased[K]) Take(ctx context.Context, k K, now time.Time) (wait time.Duration, err error) {
	if l.off {
		return 0, nil
	}
	if l.terms.step == 0 {
		return time.Hour, nil // the zero Rate: never
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.find(k, now)
	if h.waiting == 0 && h.good(now) {
		h.tokens--
		if h.tokens < l.terms.block/2 && h.asking == nil && !now.Before(h.dry) {
			l.ask(k, h, now)
		}
		return 0, nil
	}
	h.waiting++
	defer func() {
		h.waiting--
		h.keep()
	}()
	return l.await(ctx, k, h, now)
}

// await takes a token once there is one. The lock is held, but while it waits.
func (l *Leased[K]) await(ctx context.Context, k K, h *lease, now time.Time) (time.Duration, error) {
	for {
		if h.tokens > 0 && (h.until.IsZero() || h.good(now)) {
			h.tokens--
			return 0, nil
		}
		if h.asking == nil {
			if wait := h.dry.Sub(now); wait > 0 {
				return wait, nil
			}
			l.ask(k, h, now)
		}
		answered := h.asking
		l.mu.Unlock()
		select {
		case <-answered:
		case <-ctx.Done():
		}
		l.mu.Lock()
		switch {
		case h.tokens > 0:
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case h.err != nil:
			return 0, h.err
		}
	}
}

// ask has the shared budget asked for a block, and for a token for each who
// waits. The lock is held.
func (l *Leased[K]) ask(k K, h *lease, now time.Time) {
	answered := make(chan struct{})
	h.asking = answered
	if !h.good(now) {
		h.tokens = 0
	}
	w := wish{who: l.who, now: h.waiting + h.debt, later: max(0, h.most-h.tokens)}
	go func() {
		// Whoever asked may go; the answer is for all who wait.
		ctx, cancel := context.WithTimeout(context.Background(), askTime)
		defer cancel()
		g, err := l.question(ctx, k, w)
		l.mu.Lock()
		defer l.mu.Unlock()
		defer close(answered)
		h.asking, h.err = nil, err
		if err == nil {
			h.got(l.terms, w, g, now)
		}
	}()
}

func (l *Leased[K]) question(ctx context.Context, k K, w wish) (g grant, err error) {
	err = l.shared.ChangeBudget(ctx, l.id(k), func(state []byte, now time.Time) ([]byte, error) {
		a, err := decodeAccount(state)
		if err != nil {
			return nil, err
		}
		g = a.take(l.terms, w, now)
		return a.encode(), nil
	})
	return g, err
}

// good says whether there is a token that may be kept.
func (h *lease) good(now time.Time) bool { return h.tokens > 0 && now.Before(h.until) }

// got adds what was granted for a wish of that time. Where it was less than
// wished for, the next question waits until half a block has come together.
func (h *lease) got(t terms, w wish, g grant, asked time.Time) {
	h.low, h.until, h.dry = g.low, time.Time{}, time.Time{}
	if g.holds {
		h.until = asked.Add(leaseLife)
	} else {
		h.tokens = 0 // those that it held before
	}
	h.tokens += g.tokens
	h.pay()
	switch {
	case g.tokens == 0 && !g.holds:
		h.dry = asked.Add(g.wait)
	case g.holds && g.tokens < w.now+w.later:
		h.dry = asked.Add(max(g.wait, time.Duration(t.step*t.block/2)))
	}
	h.keep()
}

// pay takes what is owed from what there is.
func (h *lease) pay() {
	paid := min(h.debt, h.tokens)
	h.debt -= paid
	h.tokens -= paid
}

// keep drops what may not be held once nobody waits for it.
func (h *lease) keep() {
	switch {
	case h.waiting > 0:
	case h.until.IsZero():
		h.tokens = 0
	default:
		h.tokens = min(h.tokens, h.most)
	}
}

// Give implements Lease.
func (l *Leased[K]) Give(k K, now time.Time) {
	if l.off {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if h, ok := l.held[k]; ok && now.Before(h.until) && h.tokens < h.most {
		h.tokens++
	}
}

// Owe implements Lease. What this process doesn't hold it asks for.
func (l *Leased[K]) Owe(k K, n int, now time.Time) {
	if l.off || l.terms.step == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.find(k, now)
	if !h.good(now) && h.waiting == 0 {
		h.tokens = 0
	}
	h.debt += int64(n)
	h.pay()
	if h.debt > 0 && h.asking == nil && !now.Before(h.dry) {
		l.ask(k, h, now)
	}
}

// Low implements Lease, as of the last block. Where no block is held it is true:
// whoever comes then has one taken from the shared budget, most of which is void
// when the lease ends, so a stranger who came now and then would drain it.
func (l *Leased[K]) Low(k K, now time.Time) bool {
	if l.off {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h, ok := l.held[k]
	if !ok || !now.Before(h.until) {
		return !l.trusting
	}
	return h.low || h.debt > 0
}

// find returns the lease of k. One for which there is no room is forgotten
// after its question. The lock is held.
func (l *Leased[K]) find(k K, now time.Time) *lease {
	if h, ok := l.held[k]; ok {
		return h
	}
	if len(l.held) >= l.max && now.Sub(l.swept) >= time.Duration(sweepInterval) {
		l.swept = now
		for k, h := range l.held {
			if h.waiting == 0 && h.asking == nil && !now.Before(h.until) && !now.Before(h.dry) {
				delete(l.held, k)
			}
		}
	}
	if len(l.held) >= l.max {
		return &lease{}
	}
	h := &lease{most: l.terms.block}
	l.held[k] = h
	return h
}

// Package ratelimit bounds how often somebody may ask. A budget is a token
// bucket: it holds Burst tokens, gets PerSecond new ones a second, and each
// request takes one.
//
// What it's for: that one caller doesn't take the service away from the
// others. It isn't part of what the TEE enforces: whoever runs the control
// plane can lift it.
//
// Memory is bounded. A bucket that has filled up again is the same as none,
// so those are dropped; and while more callers are active than there is room
// for, those without a bucket share one.
package ratelimit

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Rate is a budget. The zero value allows nothing.
type Rate struct {
	PerSecond float64
	Burst     int
	Off       bool // no limit at all
}

// String returns what ParseRate reads.
func (r Rate) String() string {
	if r.Off {
		return "off"
	}
	return strconv.FormatFloat(r.PerSecond, 'f', -1, 64) + ":" + strconv.Itoa(r.Burst)
}

// Bounds that keep the arithmetic exact.
const (
	maxPerSecond = 1_000_000
	minPerSecond = 0.001
	maxBurst     = 1_000_000
)

// ParseRate reads "PER-SECOND:BURST", "PER-SECOND" alone (the burst is two
// seconds' worth), or "off".
func ParseRate(s string) (Rate, error) {
	if s == "off" {
		return Rate{Off: true}, nil
	}
	rate, burst, both := strings.Cut(s, ":")
	per, err := strconv.ParseFloat(rate, 64)
	if err != nil || !(per >= minPerSecond && per <= maxPerSecond) {
		return Rate{}, fmt.Errorf("%.40q isn't a rate: want requests per second (%g to %d), as in 100 or 100:200, or off", s, minPerSecond, maxPerSecond)
	}
	r := Rate{PerSecond: per, Burst: int(math.Ceil(2 * per))}
	if both {
		r.Burst, err = strconv.Atoi(burst)
	}
	if err != nil || r.Burst < 1 || both && r.Burst > maxBurst {
		return Rate{}, fmt.Errorf("%.40q isn't a rate: the burst must be 1 to %d requests", s, maxBurst)
	}
	r.Burst = min(r.Burst, maxBurst)
	return r, nil
}

// Lease is where budgets are kept: Own are those of one process, Leased those
// that processes share.
type Lease[K comparable] interface {
	// Take takes one token of k's budget. If there is none it returns how
	// long it takes until there is, if nobody else asks; 0 means taken. It is
	// called in the path of every request, and mustn't wait as a rule. An error
	// says that the budget isn't known.
	Take(ctx context.Context, k K, now time.Time) (wait time.Duration, err error)
	// Give puts a token back that was taken and not used.
	Give(k K, now time.Time)
	// Owe takes n tokens, those that aren't there as well: nobody gets one until
	// they have come.
	Owe(k K, n int, now time.Time)
	// Low reports whether less than half of the burst is left, or how much is
	// isn't known: only callers who are verified may take of it then.
	Low(k K, now time.Time) bool
}

// Own are Buckets as a Lease, which never waits and has no errors.
type Own[K comparable] struct{ *Buckets[K] }

// Take implements Lease.
func (o Own[K]) Take(_ context.Context, k K, now time.Time) (time.Duration, error) {
	return o.Buckets.Take(k, now), nil
}

// Buckets are the budgets of one process.
//
// A bucket is one number (GCRA, the generic cell rate algorithm): the time at
// which it will be full again. A token moves it by 1/PerSecond, and it may be
// ahead of now by the time of Burst tokens.
type Buckets[K comparable] struct {
	off   bool
	step  int64 // nanoseconds that a token takes to come; 0: none come
	ahead int64 // of a full burst
	max   int

	mu     sync.Mutex // guards the fields below
	full   map[K]int64
	shared int64 // bucket of those for whom there is no room
	swept  int64 // when the full ones were last dropped
}

// MaxBuckets is room for every caller of a busy day: about 6 MB.
const MaxBuckets = 65_536

// sweepInterval is how often the full ones are looked for at most: it costs
// some milliseconds.
const sweepInterval = int64(time.Second)

// NewBuckets returns Buckets of one rate, at most max of them.
func NewBuckets[K comparable](r Rate, max int) *Buckets[K] {
	b := &Buckets[K]{off: r.Off, max: max, full: map[K]int64{}}
	if r.PerSecond > 0 && r.Burst > 0 {
		b.step = int64(float64(time.Second) / r.PerSecond)
		b.ahead = b.step * int64(r.Burst)
	}
	return b
}

// Take takes one token, or returns how long it takes until there is one.
func (b *Buckets[K]) Take(k K, now time.Time) time.Duration {
	if b.off {
		return 0
	}
	if b.step == 0 {
		return time.Hour // the zero Rate: never
	}
	t := now.UnixNano()
	b.mu.Lock()
	defer b.mu.Unlock()
	at, own := b.find(k, t)
	at = max(at, t) + b.step
	if wait := at - t - b.ahead; wait > 0 {
		return time.Duration(wait)
	}
	b.put(k, at, own)
	return 0
}

// Give implements Lease.
func (b *Buckets[K]) Give(k K, now time.Time) {
	if b.off || b.step == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if at, ok := b.full[k]; ok {
		b.full[k] = at - b.step
	} else {
		b.shared -= b.step
	}
}

// Owe implements Lease.
func (b *Buckets[K]) Owe(k K, n int, now time.Time) {
	if b.off || b.step == 0 {
		return
	}
	t := now.UnixNano()
	b.mu.Lock()
	defer b.mu.Unlock()
	at, own := b.find(k, t)
	b.put(k, max(at, t)+int64(n)*b.step, own)
}

// Low implements Lease.
func (b *Buckets[K]) Low(k K, now time.Time) bool {
	if b.off {
		return false
	}
	t := now.UnixNano()
	b.mu.Lock()
	defer b.mu.Unlock()
	at, ok := b.full[k]
	if !ok && len(b.full) >= b.max {
		at = b.shared
	}
	return at-t >= b.ahead/2
}

// find returns when k's bucket is full, and whether it is its own. The lock
// is held.
func (b *Buckets[K]) find(k K, t int64) (at int64, own bool) {
	if at, ok := b.full[k]; ok {
		return at, true
	}
	if len(b.full) >= b.max && t-b.swept >= sweepInterval {
		b.swept = t
		for k, at := range b.full {
			if at <= t {
				delete(b.full, k)
			}
		}
	}
	if len(b.full) >= b.max {
		return b.shared, false
	}
	return t, true
}

func (b *Buckets[K]) put(k K, at int64, own bool) {
	if own {
		b.full[k] = at
	} else {
		b.shared = at
	}
}

// Len returns how many buckets are kept.
func (b *Buckets[K]) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.full)
}

package ratelimit

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

const (
	// maxHolders is how many processes may hold tokens of one budget.
	maxHolders = 8
	// blockShare is the part of a burst that one of them may hold: all of them
	// together at most half of it.
	blockShare = 2 * maxHolders
	// leaseLife is how long a process may keep what it holds; the account waits
	// longer than that, by leaseGrace, before it forgets that it does.
	leaseLife  = 30 * time.Second
	leaseGrace = 10 * time.Second

	accountFormat = 1
	accountHead   = 1 + 8 + 1 // format, full, number of holders
	holderSize    = 16 + 8
)

// Holder names a process that shares budgets: random, new at each start.
type Holder [16]byte

// account is a budget as processes share it: a bucket as in Buckets, and who
// may hold tokens that were taken from it and not used yet. What may be held
// is kept free in the bucket, so that a burst never is more than the budget's,
// whoever has the tokens.
type account struct {
	full    int64 // Unix nanoseconds
	holders []holding
}

type holding struct {
	who   Holder
	until int64 // Unix nanoseconds; forgotten then
}

func (a *account) encode() []byte {
	b := binary.BigEndian.AppendUint64([]byte{accountFormat}, uint64(a.full))
	b = append(b, byte(len(a.holders)))
	for _, h := range a.holders {
		b = binary.BigEndian.AppendUint64(append(b, h.who[:]...), uint64(h.until))
	}
	return b
}

// decodeAccount reads what encode wrote; nothing is a full bucket.
func decodeAccount(b []byte) (*account, error) {
	a := &account{}
	if len(b) == 0 {
		return a, nil
	}
	if len(b) < accountHead || b[0] != accountFormat || b[9] > maxHolders || len(b) != accountHead+int(b[9])*holderSize {
		return nil, fmt.Errorf("a stored budget of %d bytes isn't one of format %d", len(b), accountFormat)
	}
	a.full = int64(binary.BigEndian.Uint64(b[1:]))
	for rest := b[accountHead:]; len(rest) > 0; rest = rest[holderSize:] {
		a.holders = append(a.holders, holding{Holder(rest[:16]), int64(binary.BigEndian.Uint64(rest[16:]))})
	}
	return a, nil
}

// terms are a Rate in integers.
type terms struct {
	step  int64 // nanoseconds that a token takes to come
	burst int64
	block int64 // what one process may hold
	loose bool  // what is held isn't kept free: a canary of tests
}

func termsOf(r Rate) terms {
	return terms{step: int64(float64(time.Second) / r.PerSecond), burst: int64(r.Burst), block: int64(r.Burst) / blockShare}
}

// wish is what a process asks of an account.
type wish struct {
	who   Holder
	now   int64 // of those who wait for a token
	later int64 // to hold, beside these
}

// grant is what it gets.
type grant struct {
	tokens int64
	holds  bool          // what isn't used at once may be kept for leaseLife
	wait   time.Duration // no token: until there is one, if nobody else asks
	low    bool          // less than half of the burst is left
}

// take grants tokens at a time of the account's clock.
func (a *account) take(t terms, w wish, now time.Time) grant {
	at := now.UnixNano()
	// A clock that was set back must not close the bucket for longer than it
	// takes to fill.
	a.full = min(max(a.full, at), at+t.step*t.burst)
	g := grant{holds: a.hold(t, w.who, at)}
	ahead := t.step * t.burst
	if !t.loose {
		ahead -= t.step * t.block * int64(len(a.holders))
	}
	want := w.now
	if g.holds {
		want += w.later
	}
	g.tokens = max(0, min(want, (at+ahead-a.full)/t.step))
	if g.tokens == 0 {
		g.wait = time.Duration(a.full + t.step - at - ahead)
	}
	a.full += g.tokens * t.step
	g.low = a.full-at >= t.step*t.burst/2
	return g
}

// hold notes who may hold tokens, if there is room for it.
func (a *account) hold(t terms, who Holder, at int64) bool {
	a.holders = slices.DeleteFunc(a.holders, func(h holding) bool { return h.until <= at || h.who == who })
	if t.block == 0 || len(a.holders) == maxHolders {
		return false
	}
	a.holders = append(a.holders, holding{who, at + int64(leaseLife+leaseGrace)})
	return true
}

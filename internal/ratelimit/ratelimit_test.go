package ratelimit_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/ratelimit"
)

var start = time.Unix(1_800_000_000, 0)

func TestParseRate(t *testing.T) {
	for text, want := range map[string]ratelimit.Rate{
		"100":     {PerSecond: 100, Burst: 200},
		"100:1":   {PerSecond: 100, Burst: 1},
		"0.5":     {PerSecond: 0.5, Burst: 1},
		"0.001:7": {PerSecond: 0.001, Burst: 7},
		"1000000": {PerSecond: 1e6, Burst: 1e6},
		"off":     {Off: true},
	} {
		got, err := ratelimit.ParseRate(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v %v", text, got, err)
		}
		if again, err := ratelimit.ParseRate(got.String()); err != nil || again != got {
			t.Errorf("%q reads back as %+v %v", got, again, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "NaN", "Inf", "1e9", "5:0", "5:-1", "5:x", "5:2000000", "5:", ":5", "Off", "5/10", "0.0001"} {
		if got, err := ratelimit.ParseRate(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// The zero Rate is no permission.
func TestZeroRateAllowsNothing(t *testing.T) {
	b := ratelimit.NewBuckets[string](ratelimit.Rate{}, 10)
	if wait := b.Take("a", start); wait <= 0 {
		t.Error("taken")
	}
}

// A burst, then as many as come back, and the wait that is told is the wait
// that is needed: not a nanosecond less.
func TestBurstThenRate(t *testing.T) {
	b := ratelimit.NewBuckets[string](ratelimit.Rate{PerSecond: 10, Burst: 5}, 10)
	now := start
	for i := range 5 {
		if wait := b.Take("a", now); wait != 0 {
			t.Fatalf("token %d: wait %v", i, wait)
		}
	}
	for range 20 {
		wait := b.Take("a", now)
		if wait <= 0 || wait > 100*time.Millisecond {
			t.Fatalf("wait %v, want up to 100 ms", wait)
		}
		if early := b.Take("a", now.Add(wait-1)); early != 1 {
			t.Fatalf("a nanosecond early: %v", early)
		}
		now = now.Add(wait)
		if again := b.Take("a", now); again != 0 {
			t.Fatalf("after the wait: %v", again)
		}
	}
	if wait := b.Take("b", now); wait != 0 {
		t.Errorf("somebody else waits %v", wait)
	}
	b.Give("a", now)
	if wait := b.Take("a", now); wait != 0 {
		t.Errorf("a token that was given back: wait %v", wait)
	}
}

// Whatever the times at which they come, never more pass than the budget:
// Burst + PerSecond * the time that went by, in any window.
func TestNeverOverBudget(t *testing.T) {
	rate := ratelimit.Rate{PerSecond: 50, Burst: 7}
	b := ratelimit.NewBuckets[int](rate, 4)
	random := rand.New(rand.NewPCG(1, 2))
	now := start
	var passed []time.Time
	for range 20_000 {
		now = now.Add(time.Duration(random.Int64N(int64(15 * time.Millisecond))))
		if b.Take(0, now) == 0 {
			passed = append(passed, now)
		}
	}
	for i := range passed {
		for j := i; j < min(i+200, len(passed)); j++ {
			if most := float64(rate.Burst) + rate.PerSecond*passed[j].Sub(passed[i]).Seconds() + 1e-6; float64(j-i+1) > most {
				t.Fatalf("%d passed within %v, at most %.2f may", j-i+1, passed[j].Sub(passed[i]), most)
			}
		}
	}
	// And no fewer than nearly that, or it would be no budget.
	if want := rate.PerSecond * now.Sub(start).Seconds() * 0.99; float64(len(passed)) < want {
		t.Errorf("only %d passed, want %.0f", len(passed), want)
	}
}

// A clock that is set back doesn't open the bucket, and one that jumps ahead
// fills it once.
func TestClockJumps(t *testing.T) {
	b := ratelimit.NewBuckets[int](ratelimit.Rate{PerSecond: 1, Burst: 2}, 4)
	b.Take(0, start)
	b.Take(0, start)
	if b.Take(0, start.Add(-time.Hour)) == 0 {
		t.Error("an hour back: taken")
	}
	later, n := start.Add(time.Hour), 0
	for b.Take(0, later) == 0 {
		n++
	}
	if n != 2 {
		t.Errorf("an hour later: %d taken, want the burst of 2", n)
	}
}

// What is owed has to come before the next token does.
func TestOwe(t *testing.T) {
	b := ratelimit.NewBuckets[int](ratelimit.Rate{PerSecond: 1, Burst: 10}, 4)
	b.Take(0, start)
	b.Owe(0, 99, start)
	if wait := b.Take(0, start); wait != 91*time.Second {
		t.Errorf("with 90 owed: wait %v", wait)
	}
	if !b.Low(0, start) {
		t.Error("not low")
	}
	if wait := b.Take(0, start.Add(91*time.Second)); wait != 0 {
		t.Errorf("after the wait: %v", wait)
	}
	off := ratelimit.NewBuckets[int](ratelimit.Rate{Off: true}, 4)
	if off.Owe(0, 99, start); off.Take(0, start) != 0 {
		t.Error("no limit, and yet owed")
	}
}

func TestLow(t *testing.T) {
	b := ratelimit.NewBuckets[int](ratelimit.Rate{PerSecond: 1, Burst: 10}, 4)
	taken := 0
	for !b.Low(0, start) {
		if b.Take(0, start) != 0 {
			t.Fatal("empty before it was low")
		}
		taken++
	}
	if taken != 5 {
		t.Errorf("low after %d of 10", taken)
	}
}

// However many come, there are at most max buckets: the others share one, and
// get their own as soon as somebody's is full again.
func TestMemoryIsBounded(t *testing.T) {
	const most = 1000
	b := ratelimit.NewBuckets[int](ratelimit.Rate{PerSecond: 1, Burst: 3}, most)
	passed := 0
	for k := range 50 * most {
		if b.Take(k, start) == 0 {
			passed++
		}
	}
	if n := b.Len(); n != most {
		t.Errorf("%d buckets, want %d", n, most)
	}
	if passed != most+3 {
		t.Errorf("%d passed, want %d and a shared burst of 3", passed, most)
	}
	if b.Take(1, start) != 0 {
		t.Error("one with a bucket of its own suffers from the crowd")
	}
	later := start.Add(10 * time.Second)
	for range 3 {
		if wait := b.Take(-1, later); wait != 0 {
			t.Errorf("when the others' are full again: wait %v", wait)
		}
	}
	if n := b.Len(); n != 1 {
		t.Errorf("%d buckets are left, want 1", n)
	}
}

func TestConcurrentTakes(t *testing.T) {
	b := ratelimit.NewBuckets[int](ratelimit.Rate{PerSecond: 0.001, Burst: 100}, 4)
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				if b.Take(0, start) == 0 {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := passed.Load(); n != 100 {
		t.Errorf("%d passed, want 100", n)
	}
}

func BenchmarkTake(b *testing.B) {
	x := ratelimit.NewBuckets[[16]byte](ratelimit.Rate{PerSecond: 1e6, Burst: 1e6}, ratelimit.MaxBuckets)
	k := [16]byte{1}
	for range b.N {
		x.Take(k, start)
	}
}

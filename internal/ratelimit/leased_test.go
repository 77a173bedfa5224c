package ratelimit_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigilkeys/sigil/internal/ratelimit"
)

// shelf is Shared in memory, which takes a while for each answer.
type shelf struct {
	mu     sync.Mutex
	slow   time.Duration
	broken error
	states map[[32]byte][]byte
	asked  int
}

func (s *shelf) ChangeBudget(ctx context.Context, id [32]byte, change func([]byte, time.Time) ([]byte, error)) error {
	s.mu.Lock()
	slow := s.slow
	s.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked++; s.broken != nil {
		return s.broken
	}
	state, err := change(s.states[id], time.Now())
	if err == nil {
		s.states[id] = state
	}
	return err
}

// answer is what comes from now on.
func (s *shelf) answer(err error, slow time.Duration) {
	settle()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken, s.slow = err, slow
}

func (s *shelf) questions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func newShelf() *shelf { return &shelf{slow: time.Millisecond, states: map[[32]byte][]byte{}} }

func (s *shelf) replica(rate ratelimit.Rate, n byte) *ratelimit.Leased[string] {
	return ratelimit.NewLeased(rate, 100, s, ratelimit.Holder{n}, func(k string) [32]byte { return sha256.Sum256([]byte(k)) })
}

func take(t *testing.T, l ratelimit.Lease[string]) (wait time.Duration) {
	t.Helper()
	wait, err := l.Take(t.Context(), "a", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return wait
}

// settle lets questions be answered, or given up.
func settle() { time.Sleep(10 * time.Second) }

// most is the largest number by which a window of passed goes over the budget.
func most(rate ratelimit.Rate, passed []time.Time) (over float64) {
	for i := range passed {
		for j := i; j < len(passed); j++ {
			may := float64(rate.Burst) + rate.PerSecond*passed[j].Sub(passed[i]).Seconds() + 1e-6
			if over = max(over, float64(j-i+1)-may); passed[j].Sub(passed[i]) > 20*time.Second {
				break
			}
		}
	}
	return over
}

// play has replicas take tokens for a minute, each in its own way: quiet for
// long, then all at once. One in a while is started anew.
func play(t *testing.T, rate ratelimit.Rate, replicas int, seed uint64, edit func(*ratelimit.Leased[string]) *ratelimit.Leased[string]) (passed []time.Time) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := newShelf()
		var all []*ratelimit.Leased[string]
		for i := range replicas {
			all = append(all, edit(s.replica(rate, byte(i))))
		}
		end := time.Now().Add(time.Minute)
		for next := byte(replicas); time.Now().Before(end); {
			switch random.IntN(40) {
			case 0: // long enough for a full bucket
				time.Sleep(time.Duration(random.Int64N(int64(10 * time.Second))))
			case 1:
				next++
				all[random.IntN(replicas)] = edit(s.replica(rate, next))
			case 2: // all at once
				for range 2 * rate.Burst {
					if take(t, all[random.IntN(replicas)]) == 0 {
						passed = append(passed, time.Now())
					}
				}
			}
			if take(t, all[random.IntN(replicas)]) == 0 {
				passed = append(passed, time.Now())
			}
			time.Sleep(time.Duration(random.Int64N(int64(20 * time.Millisecond))))
		}
		settle()
	})
	return passed
}

// However many processes share a budget, and however they take turns, never
// more pass than it allows in any window. Canary: accounts that don't keep free
// what others hold.
func TestSharedBudgetIsNeverExceeded(t *testing.T) {
	same := func(l *ratelimit.Leased[string]) *ratelimit.Leased[string] { return l }
	caught := 0.0
	for _, rate := range []ratelimit.Rate{{PerSecond: 50, Burst: 200}, {PerSecond: 100, Burst: 33}, {PerSecond: 20, Burst: 7}, {PerSecond: 5, Burst: 1}} {
		for _, replicas := range []int{1, 3, ratelimit.MaxHolders + 3} {
			for seed := range uint64(3) {
				passed := play(t, rate, replicas, seed, same)
				if over := most(rate, passed); over > 0 {
					t.Errorf("%v, %d replicas, seed %d: %.2f more than allowed", rate, replicas, seed, over)
				}
				if len(passed) < rate.Burst {
					t.Errorf("%v, %d replicas, seed %d: only %d passed", rate, replicas, seed, len(passed))
				}
				if rate.Burst >= 33 && replicas > 1 {
					passed := play(t, rate, replicas, seed, ratelimit.Unreserved)
					caught = max(caught, most(rate, passed))
				}
			}
		}
	}
	if caught <= 0 {
		t.Error("canary: what others hold isn't kept free, and no window shows it")
	}
}

// Callers that always want more get the whole rate, and few questions are asked
// for it.
func TestSharedBudgetIsUsed(t *testing.T) {
	rate := ratelimit.Rate{PerSecond: 1000, Burst: 2000}
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		all := []*ratelimit.Leased[string]{s.replica(rate, 1), s.replica(rate, 2), s.replica(rate, 3)}
		passed := 0
		begin := time.Now()
		for time.Since(begin) < 20*time.Second {
			for _, l := range all {
				if take(t, l) == 0 {
					passed++
				}
			}
			time.Sleep(time.Millisecond)
		}
		if want := 20*1000 + 2000; passed > want || float64(passed) < 0.97*float64(want-3*2000/16) {
			t.Errorf("%d passed, want nearly %d", passed, want)
		}
		if asked := s.questions(); asked > passed/20 {
			t.Errorf("%d questions for %d tokens", asked, passed)
		}
		settle()
	})
}

// A caller within its budget meets the shared one once, and then in the
// background.
func TestBlockComesBeforeItIsNeeded(t *testing.T) {
	rate := ratelimit.Rate{PerSecond: 100, Burst: 320} // blocks of 20
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		s.slow = 50 * time.Millisecond
		l := s.replica(rate, 1)
		waited := 0
		for range 200 {
			begin := time.Now()
			if wait := take(t, l); wait != 0 {
				t.Fatalf("refused for %v", wait)
			}
			if time.Since(begin) > 0 {
				waited++
			}
			time.Sleep(20 * time.Millisecond)
		}
		if waited != 1 {
			t.Errorf("%d of 200 waited, want the first", waited)
		}
		settle()
	})
}

// A shared budget that isn't known lets nobody through, once what is held is
// used or too old; whoever doesn't want to wait may go.
func TestSharedBudgetUnknown(t *testing.T) {
	rate := ratelimit.Rate{PerSecond: 100, Burst: 160} // blocks of 10
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		l := s.replica(rate, 1)
		take(t, l)
		time.Sleep(time.Second)
		s.answer(errors.New("broken"), s.slow)
		for i := range 20 {
			_, err := l.Take(t.Context(), "a", time.Now())
			if known := i < 10; known != (err == nil) {
				t.Errorf("token %d: %v", i, err)
			}
		}
		s.answer(nil, s.slow)
		if wait := take(t, l); wait != 0 {
			t.Errorf("known again: %v", wait)
		}
		time.Sleep(ratelimit.LeaseLife)
		s.answer(errors.New("broken"), s.slow)
		if _, err := l.Take(t.Context(), "a", time.Now()); err == nil {
			t.Error("a token that was too old passed")
		}
		s.answer(nil, time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := l.Take(ctx, "b", time.Now()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("gone: %v", err)
		}
		if _, err := l.Take(t.Context(), "c", time.Now()); err == nil {
			t.Error("an answer that never comes")
		}
		s.answer(nil, 0)
		for id := range s.states {
			s.states[id] = []byte{9}
		}
		if _, err := l.Take(t.Context(), "a", time.Now()); err == nil {
			t.Error("a state of another format was taken")
		}
	})
}

// Many callers at once on one process, and one that gives back.
func TestSharedBudgetCrowd(t *testing.T) {
	rate := ratelimit.Rate{PerSecond: 1, Burst: 320} // blocks of 20: 300 pass
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		l := s.replica(rate, 1)
		var mu sync.Mutex
		passed := 0
		var crowd sync.WaitGroup
		for range 1000 {
			crowd.Go(func() {
				if take(t, l) == 0 {
					mu.Lock()
					passed++
					mu.Unlock()
				}
			})
		}
		crowd.Wait()
		if passed != 300 {
			t.Errorf("%d passed, want all but what others might hold: 300", passed)
		}
		if !l.Low("a", time.Now()) {
			t.Error("not low")
		}
		l.Give("a", time.Now())
		if wait := take(t, l); wait != 0 {
			t.Errorf("a token that was given back: wait %v", wait)
		}
		if wait := take(t, l); wait <= 0 || wait > 21*time.Second {
			t.Errorf("none left: wait %v", wait)
		}
		settle()
	})
}

// strangers has somebody who isn't verified come to two replicas whenever a
// lease has ended, where Low lets him, and returns how many of half the burst
// are left for whoever is.
func strangers(t *testing.T, edit func(*ratelimit.Leased[string]) *ratelimit.Leased[string]) (forged, left int) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		rate := ratelimit.Rate{PerSecond: 1, Burst: 1600}
		a, b := edit(s.replica(rate, 1)), edit(s.replica(rate, 2))
		for range 40 {
			for _, l := range []*ratelimit.Leased[string]{a, b} {
				if !l.Low("a", time.Now()) && take(t, l) == 0 {
					forged++
				}
			}
			time.Sleep(ratelimit.LeaseLife + time.Second)
		}
		for range rate.Burst / 2 {
			if take(t, a) == 0 {
				left++
			}
		}
		settle()
	})
	return forged, left
}

// A stranger can't have blocks taken that nobody uses.
func TestStrangersTakeNoBlocks(t *testing.T) {
	same := func(l *ratelimit.Leased[string]) *ratelimit.Leased[string] { return l }
	if forged, left := strangers(t, same); forged != 0 || left != 800 {
		t.Errorf("%d passed unverified, and %d of 800 are left", forged, left)
	}
	// Canary.
	if forged, left := strangers(t, ratelimit.Trusting); forged == 0 || left > 400 {
		t.Errorf("unknown is enough: %d passed unverified, and %d of 800 are left", forged, left)
	}
}

// What one replica lets through as a batch's items, all of them wait for.
func TestSharedBudgetOwed(t *testing.T) {
	for _, burst := range []int{8, 320} { // token by token, and in blocks
		synctest.Test(t, func(t *testing.T) {
			s, began := newShelf(), time.Now()
			rate := ratelimit.Rate{PerSecond: 1, Burst: burst}
			a, b := s.replica(rate, 1), s.replica(rate, 2)
			passed := 1 + 3*burst
			take(t, a)
			a.Owe("a", 3*burst, time.Now())
			if !a.Low("a", time.Now()) {
				t.Error("not low")
			}
			for time.Since(began) < time.Duration(6*burst)*time.Second {
				settle()
				for _, l := range []*ratelimit.Leased[string]{a, b} {
					for take(t, l) == 0 {
						passed++
					}
				}
			}
			// The other replica doesn't wait for more than the account has.
			if most := 7*burst + burst; passed > most || passed < 5*burst {
				t.Errorf("burst %d: %d passed, at most %d may", burst, passed, most)
			}
			settle()
		})
	}
}

// Once verified callers hold a block, the others needn't be verified while half
// of the burst is left, and from then on must.
func TestLeasedLow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, passed := newShelf().replica(ratelimit.Rate{PerSecond: 0.001, Burst: 320}, 1), 0
		if !l.Low("a", time.Now()) {
			t.Error("not low, before anything is known")
		}
		for take(t, l); !l.Low("a", time.Now()); passed++ {
			if take(t, l) != 0 {
				t.Fatal("empty before it is low")
			}
		}
		if passed < 100 || passed > 160 {
			t.Errorf("low after %d of 320", passed)
		}
		settle()
	})
}

func TestLeasedBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		id := func(k string) [32]byte { return sha256.Sum256([]byte(k)) }
		if wait, err := ratelimit.NewLeased(ratelimit.Rate{}, 9, s, ratelimit.Holder{}, id).Take(t.Context(), "a", time.Now()); err != nil || wait <= 0 {
			t.Errorf("the zero rate: %v %v", wait, err)
		}
		off := ratelimit.NewLeased(ratelimit.Rate{Off: true}, 9, s, ratelimit.Holder{}, id)
		if wait, err := off.Take(t.Context(), "a", time.Now()); err != nil || wait != 0 || off.Low("a", time.Now()) {
			t.Errorf("no limit: %v %v", wait, err)
		}
		if s.questions() != 0 {
			t.Error("asked for nothing")
		}
		// One more caller than there is room for is counted all the same.
		l := ratelimit.NewLeased(ratelimit.Rate{PerSecond: 0.01, Burst: 32}, 1, s, ratelimit.Holder{}, id)
		take(t, l)
		n := 0
		for range 100 {
			if wait, err := l.Take(t.Context(), "b", time.Now()); err != nil {
				t.Fatal(err)
			} else if wait == 0 {
				n++
			}
		}
		if n != 30 { // two are kept free for what it might hold
			t.Errorf("%d of 32 passed", n)
		}
		settle()
	})
}

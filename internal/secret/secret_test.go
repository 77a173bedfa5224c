package secret_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/secret"
)

func TestArena(t *testing.T) {
	a, err := secret.NewArena(3)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var got []int
	for range 3 {
		i, ok := a.Alloc()
		if !ok {
			t.Fatal("arena is short")
		}
		a.Slot(i)[0] = byte(i + 1)
		got = append(got, i)
	}
	if _, ok := a.Alloc(); ok {
		t.Fatal("a fourth slot of three")
	}
	for _, i := range got {
		if a.Slot(i)[0] != byte(i+1) {
			t.Fatal("slots overlap")
		}
	}
	a.Free(got[1])
	if a.Slot(got[1])[0] != 0 {
		t.Fatal("freed slot isn't wiped")
	}
	if i, ok := a.Alloc(); !ok || i != got[1] {
		t.Fatal("freed slot isn't given out again")
	}
}

func TestDoRuns(t *testing.T) {
	var out [4]byte
	secret.Do(func() { copy(out[:], "done") })
	if string(out[:]) != "done" {
		t.Fatal("f didn't run")
	}
}

func TestNudgerStops(t *testing.T) {
	ticks := make(chan struct{}, 1)
	tick := func() {
		select {
		case ticks <- struct{}{}:
		default:
		}
	}
	n := &secret.Nudger{}
	n.Touch()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { n.Run(ctx, time.Millisecond, tick); close(done) }()
	<-ticks
	cancel()
	<-done
}

// Each Touch is followed by two collections, and then there are none.
func TestNudgerCollects(t *testing.T) {
	var stats runtime.MemStats
	forced := func() uint32 {
		runtime.ReadMemStats(&stats)
		return stats.NumForcedGC
	}
	n := &secret.Nudger{}
	ctx, cancel := context.WithCancel(t.Context())
	ticks, seen := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(seen)
		n.Run(ctx, time.Millisecond, func() { ticks <- struct{}{} })
	}()
	after := func(k int) uint32 {
		for range k {
			<-ticks
		}
		return forced()
	}
	idle := after(3)
	if more := after(10); more != idle {
		t.Errorf("%d collections without a Touch", more-idle)
	}
	n.Touch()
	if got := after(10) - idle; got != 2 {
		t.Errorf("%d collections after a Touch, want 2", got)
	}
	go func() {
		for range ticks { // let Run go on until it sees the end
		}
	}()
	cancel()
	<-seen
	close(ticks)
}

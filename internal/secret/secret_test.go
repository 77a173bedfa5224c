package secret_test

import (
	"context"
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

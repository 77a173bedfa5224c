package kmstest

import (
	"slices"
	"testing"
)

// failed is a test that only notes what is said to it.
type failed struct {
	testing.TB
	errors int
}

func (f *failed) Helper()               {}
func (f *failed) Logf(string, ...any)   {}
func (f *failed) Errorf(string, ...any) { f.errors++ }

// A fault that isn't injected goes unnoticed only where it was announced.
func TestFaultNotInjectedFails(t *testing.T) {
	for _, c := range []struct {
		can, announced, injected bool
		errors                   int
	}{
		{true, false, true, 0}, {false, true, false, 0}, {false, false, false, 1}, {true, true, true, 1},
	} {
		var list []Fault
		if c.announced {
			list = append(list, Oversized)
		}
		h := Harness{Inject: func(f Fault, _ int) bool { return c.can || f != Oversized }, CannotInject: list}
		tb := &failed{TB: t}
		if got := h.inject(tb, Oversized, 1); got != c.injected || tb.errors != c.errors {
			t.Errorf("can %v, announced %v: injected %v with %d errors", c.can, c.announced, got, tb.errors)
		}
		if other := (&failed{TB: t}); !h.inject(other, Garbage, 1) || other.errors != 0 || slices.Contains(list, Garbage) {
			t.Errorf("another fault: %d errors", other.errors)
		}
	}
}

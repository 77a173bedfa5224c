package memory_test

import (
	"fmt"
	"testing"

	"github.com/sigilkeys/sigil/test/memory"
)

// failing counts the errors of a test that is expected to fail.
type failing struct {
	testing.TB
	errors []string
}

func (f *failing) Helper() {}

func (f *failing) Errorf(format string, args ...any) {
	f.errors = append(f.errors, fmt.Sprintf(format, args...))
}

// The canary: a byte over the bound is found, the bound isn't.
func TestBounded(t *testing.T) {
	var kept []byte
	for size, want := range map[int]int{100 << 10: 1, 80 << 10: 0} {
		f := &failing{TB: t}
		memory.Bounded(f, "made", 1<<10, func() { kept = make([]byte, size) })
		if len(f.errors) != want {
			t.Errorf("%d bytes: %q", len(kept), f.errors)
		}
	}
	if got := memory.Allocated(func() { kept = make([]byte, 1<<20) }); got < 1<<20 || got > 1<<20+1<<16 {
		t.Errorf("%d bytes for 1 MiB", got)
	}
}

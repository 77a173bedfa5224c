// Package memory holds decoders to the bound on what they allocate.
package memory

import (
	"runtime"
	"testing"
)

// Allocated returns how many bytes f allocates: the least of up to three runs,
// since what else runs in the process counts as well.
func Allocated(f func()) uint64 { return least(f, 0) }

// Bounded fails the test if f, which decodes what, of so many bytes, allocates
// over 16 times as many and 64 KiB.
func Bounded(t testing.TB, what string, size int, f func()) {
	t.Helper()
	most := uint64(16*size + 64<<10)
	if took := least(f, most); took > most {
		t.Errorf("%s: %d bytes allocated for %d, at most %d", what, took, size, most)
	}
}

// least is the least of three runs, or the first that is enough.
func least(f func(), enough uint64) uint64 {
	took := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		if took = min(took, after.TotalAlloc-before.TotalAlloc); took <= enough {
			break
		}
	}
	return took
}

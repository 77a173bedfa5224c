// Package secret keeps plaintext key material from staying behind in memory.
//
// Measured on Go 1.26: clearing buffers by hand leaves dozens of copies of a
// key in stack frames, register spills and dead heap objects. Code that
// touches key material therefore runs inside Do, which needs the build
// experiment runtimesecret; heap copies die at the next garbage collection,
// which a Nudger forces while keys are in use. What must live longer (cached
// DEKs) sits in an Arena: pages outside the Go heap, locked and left out of
// core dumps.
package secret

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// Wipe overwrites b with zeros.
func Wipe(b []byte) {
	clear(b)
	runtime.KeepAlive(b)
}

// Nudger runs the garbage collector soon after keys were in use, so that what
// Do allocated is erased at once and not at some later collection.
type Nudger struct {
	due atomic.Int32 // collections still to run
}

// collections after the last Touch: what a sync.Pool held is let go by the
// second one only.
const collections = 2

// Touch notes that key material was in use up to now. Call it when an
// operation with keys ends.
func (n *Nudger) Touch() { n.due.Store(collections) }

// Run collects garbage at the two intervals that follow a Touch, until ctx
// ends; each tick first calls tick, if not nil. 100 ms keeps the cost near 1 %
// of a core.
func (n *Nudger) Run(ctx context.Context, interval time.Duration, tick func()) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			runtime.GC()
			return
		case <-t.C:
			if tick != nil {
				tick()
			}
			// A Touch in between sets it to the full number again.
			if due := n.due.Load(); due > 0 {
				n.due.CompareAndSwap(due, due-1)
				runtime.GC()
			}
		}
	}
}

package teelink

import (
	"net"
	"runtime"
	"sync"
	"time"
)

// outbox queues frames for one connection. A single goroutine (run) owns the
// connection's write side; it takes all that is queued and writes it at once.
type outbox struct {
	mu     sync.Mutex // guards the fields below
	frames []byte
	items  []Item
	size   int // of items, in bytes
	closed error
	last   bool          // nothing more will be queued
	wake   chan struct{} // capacity 1: something is queued, or closed is set
}

// maxQueued bounds what may wait for a slow reader, in bytes. A peer that
// doesn't read loses its connection instead of the memory of this process.
const maxQueued = 64 << 20

// writeTimeout bounds one write.
const writeTimeout = 10 * time.Second

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// send queues an encoded frame.
func (o *outbox) send(f Frame) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed != nil {
		return o.closed
	}
	if len(o.frames) > maxQueued {
		o.closed = errSlowPeer
		o.signal()
		return o.closed
	}
	frames, err := AppendFrame(o.frames, f)
	if err != nil {
		return err
	}
	o.frames = frames
	o.signal()
	return nil
}

// add queues an item for the next batch.
func (o *outbox) add(it Item) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed != nil:
	case o.size > maxQueued:
		o.closed = errSlowPeer
	default:
		o.items = append(o.items, it)
		o.size += it.size()
	}
	o.signal()
}

func (o *outbox) close(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed == nil {
		o.closed = err
	}
	o.signal()
}

// finish lets run return nil once all that is queued has been written.
func (o *outbox) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = true
	o.signal()
}

// take swaps what is queued for the given empty buffers.
func (o *outbox) take(frames []byte, items []Item) (f []byte, i []Item, last bool, closed error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f, i = o.frames, o.items
	o.frames, o.items, o.size = frames, items, 0
	return f, i, o.last, o.closed
}

// run writes until the outbox is closed or a write fails. seal turns queued
// items into batch frames appended to dst; nil where there are none.
// Each write must end within writeTimeout: a peer that doesn't read loses the
// connection.
func (o *outbox) run(w net.Conn, seal func(dst []byte, items []Item) ([]byte, error)) error {
	var frames []byte
	var items []Item
	for range o.wake {
		// Whoever can run now goes first: their items join this flush. Under
		// load that makes batches; on an idle machine it costs nothing.
		runtime.Gosched()
		var last bool
		var closed error
		frames, items, last, closed = o.take(frames[:0], items[:0])
		if closed != nil {
			return closed
		}
		if len(items) > 0 {
			var err error
			if frames, err = seal(frames, items); err != nil {
				return err
			}
			clear(items)
		}
		if len(frames) > 0 {
			if err := w.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
				return err
			}
			if _, err := w.Write(frames); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
		if cap(frames) > 1<<20 {
			frames = nil // a burst's buffer isn't kept for ever
		}
	}
	return nil
}

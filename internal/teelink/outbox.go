package teelink

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
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

// maxGather bounds how long an item waits for others to share its batch.
const maxGather = 2 * time.Millisecond

// gather waits while more requests are in work than items are queued: what a
// batch costs (two signatures' time, a write here, a read and a transaction at
// the peer) is then spread over more of them. An item waits for at most as
// many others as its batch has, nobody waits on an idle link, and frames that
// are no items go at once.
func (o *outbox) gather(working *atomic.Int64) {
	// Whoever can run now goes first. On an idle machine it costs nothing.
	runtime.Gosched()
	if working == nil || !o.worthWaiting(working) {
		return
	}
	patience := time.NewTimer(maxGather)
	defer patience.Stop()
	for o.worthWaiting(working) {
		select {
		case <-o.wake:
		case <-patience.C:
			return
		}
	}
}

func (o *outbox) worthWaiting(working *atomic.Int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.items) > 0 && len(o.frames) == 0 && o.closed == nil && !o.last &&
		len(o.items) < MaxItems && working.Load() > int64(len(o.items))
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
// items into batch frames appended to dst, and working counts the requests that
// may still add one; both are nil where there are no items.
// Each write must end within writeTimeout: a peer that doesn't read loses the
// connection.
func (o *outbox) run(w net.Conn, working *atomic.Int64, seal func(dst []byte, items []Item) ([]byte, error)) error {
	var frames []byte
	var items []Item
	for range o.wake {
		o.gather(working)
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

package teelink

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// The writer waits for company only while more requests are in work than
// items are queued, and never for a request that takes long.
func TestWriterGathers(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	o := newOutbox()
	var working atomic.Int64
	var mu sync.Mutex
	var batches []int
	sealed := make(chan struct{}, 16)
	seal := func(dst []byte, items []Item) ([]byte, error) {
		mu.Lock()
		batches = append(batches, len(items))
		mu.Unlock()
		sealed <- struct{}{}
		return dst, nil
	}
	ended := make(chan error, 1)
	// Eight in work: the first four items go together at the earliest.
	working.Store(8)
	for range 4 {
		working.Add(-1)
		o.add(Item{})
	}
	go func() { ended <- o.run(here, &working, seal) }()
	<-sealed
	// Four that never end hold nothing back.
	working.Store(4)
	o.add(Item{})
	<-sealed
	o.finish()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if len(batches) != 2 || batches[0] != 4 || batches[1] != 1 {
		t.Fatalf("batches of %v items, want 4 and 1", batches)
	}
	for _, c := range []struct {
		items   int
		working int64
		frame   bool
		want    bool
	}{{0, 9, false, false}, {1, 0, false, false}, {1, 1, false, false}, {1, 2, false, true}, {4, 5, false, true}, {4, 4, false, false},
		{1, 2, true, false}, {MaxItems, 1000, false, false}} {
		o := newOutbox()
		for range c.items {
			o.add(Item{})
		}
		if c.frame {
			if err := o.send(Frame{Op: OpPutReply}); err != nil {
				t.Fatal(err)
			}
		}
		working.Store(c.working)
		if got := o.worthWaiting(&working); got != c.want {
			t.Errorf("%+v: waits %v", c, got)
		}
	}
}

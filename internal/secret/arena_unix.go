//go:build unix

package secret

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// maxSlots bounds an arena to 32 MiB.
const maxSlots = 1 << 20

// SlotSize is the size of an Arena's slots: one 256-bit key.
const SlotSize = 32

// Arena is a fixed number of 32-byte slots in pages of their own: locked into
// memory where the system allows it, left out of core dumps, wiped on Free.
type Arena struct {
	mem    []byte
	locked bool

	mu   sync.Mutex // guards free, and mem against Close
	free []int
}

// NewArena maps an arena of n slots.
func NewArena(n int) (*Arena, error) {
	if n <= 0 || n > maxSlots {
		return nil, fmt.Errorf("key arena of %d slots", n)
	}
	page := unix.Getpagesize()
	size := (n*SlotSize + page - 1) / page * page
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("map key arena: %w", err)
	}
	a := &Arena{mem: mem, locked: unix.Mlock(mem) == nil}
	excludeFromDumps(mem)
	for i := n - 1; i >= 0; i-- {
		a.free = append(a.free, i)
	}
	return a, nil
}

// Locked reports whether the pages are locked into memory.
func (a *Arena) Locked() bool { return a.locked }

// Alloc takes a free slot; false when there is none.
func (a *Arena) Alloc() (int, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.free) == 0 {
		return 0, false
	}
	i := a.free[len(a.free)-1]
	a.free = a.free[:len(a.free)-1]
	return i, true
}

// Slot returns the slot's memory.
func (a *Arena) Slot(i int) *[SlotSize]byte {
	return (*[SlotSize]byte)(a.mem[i*SlotSize : (i+1)*SlotSize])
}

// Free wipes a slot and gives it back.
func (a *Arena) Free(i int) {
	Wipe(a.Slot(i)[:])
	a.mu.Lock()
	defer a.mu.Unlock()
	a.free = append(a.free, i)
}

// Close wipes and unmaps the arena; it has no slots after that. No slot may
// be in use.
func (a *Arena) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mem == nil {
		return nil
	}
	mem := a.mem
	a.mem, a.free = nil, nil
	Wipe(mem)
	return unix.Munmap(mem)
}

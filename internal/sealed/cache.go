package sealed

import (
	"container/list"
	"fmt"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/internal/secret"
)

// Cache keeps unwrapped DEKs for a bounded time in a bounded number of locked
// slots. For so long a signature works after the image's KMS permission was
// taken away; both bounds are measured configuration.
type Cache struct {
	arena *secret.Arena
	life  time.Duration
	now   func() time.Time

	mu    sync.Mutex // guards the fields below, and the slots' contents
	order *list.List // of cached, oldest first
	byKey map[[32]byte]*list.Element
}

type cached struct {
	key   [32]byte
	slot  int
	until time.Time
}

// NewCache returns a cache of so many DEKs that live so long. It must be
// swept regularly for expired ones to be wiped.
func NewCache(entries int, life time.Duration, now func() time.Time) (*Cache, error) {
	if entries <= 0 || life <= 0 {
		return nil, fmt.Errorf("DEK cache of %d entries for %v: use none instead", entries, life)
	}
	arena, err := secret.NewArena(entries)
	if err != nil {
		return nil, err
	}
	return &Cache{arena: arena, life: life, now: now, order: list.New(), byKey: map[[32]byte]*list.Element{}}, nil
}

// Locked reports whether the slots are locked into memory.
func (c *Cache) Locked() bool { return c.arena.Locked() }

func (c *Cache) get(key [32]byte, dek *[32]byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return false
	}
	v := e.Value.(cached)
	if !c.now().Before(v.until) {
		c.drop(e)
		return false
	}
	*dek = *c.arena.Slot(v.slot)
	return true
}

// put remembers a DEK; its life counts from now and isn't extended by use.
func (c *Cache) put(key [32]byte, dek *[32]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[key]; ok {
		c.drop(e)
	}
	slot, ok := c.arena.Alloc()
	if !ok {
		c.drop(c.order.Front())
		if slot, ok = c.arena.Alloc(); !ok {
			return
		}
	}
	*c.arena.Slot(slot) = *dek
	c.byKey[key] = c.order.PushBack(cached{key, slot, c.now().Add(c.life)})
}

func (c *Cache) drop(e *list.Element) {
	if e == nil {
		return
	}
	v := e.Value.(cached)
	c.arena.Free(v.slot)
	delete(c.byKey, v.key)
	c.order.Remove(e)
}

// Sweep wipes what has expired.
func (c *Cache) Sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.order.Front(); e != nil && !c.now().Before(e.Value.(cached).until); e = c.order.Front() {
		c.drop(e)
	}
}

// Close wipes everything.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.order.Front(); e != nil; e = c.order.Front() {
		c.drop(e)
	}
	return c.arena.Close()
}

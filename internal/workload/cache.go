package workload

import (
	"container/list"
	"sync"
)

// cache keeps the most recently used verified objects by digest. It holds no
// secrets: sealed records and public documents only.
type cache[V any] struct {
	mu    sync.Mutex // guards both fields
	order *list.List // of entry[V], newest first
	byKey map[[32]byte]*list.Element
	max   int
}

type entry[V any] struct {
	key   [32]byte
	value V
}

func newCache[V any](max int) *cache[V] {
	return &cache[V]{order: list.New(), byKey: map[[32]byte]*list.Element{}, max: max}
}

func (c *cache[V]) get(key [32]byte) (v V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return v, false
	}
	c.order.MoveToFront(e)
	return e.Value.(entry[V]).value, true
}

func (c *cache[V]) put(key [32]byte, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[key]; ok {
		c.order.MoveToFront(e)
		return // content-addressed: the value is the same
	}
	c.byKey[key] = c.order.PushFront(entry[V]{key, v})
	if c.order.Len() > c.max {
		oldest := c.order.Back()
		delete(c.byKey, oldest.Value.(entry[V]).key)
		c.order.Remove(oldest)
	}
}

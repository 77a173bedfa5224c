package server

import (
	"net/netip"
	"sync"

	"github.com/sigilkeys/sigil/api"
)

// crowd are the requests whose body is being read. Nobody is known yet then,
// and whoever sends slowly stays for as long as the read timeout lets him: so
// one client address gets a small part of the places that are free, and there
// always are some for the others. What it can't do anything against is a
// crowd of as many addresses as there are places.
type crowd struct {
	most  int64
	loose bool // one address may take all places: a canary of tests

	mu   sync.Mutex // guards the fields below
	all  int64
	from map[netip.Prefix]int64
}

// crowdShare is the part of the free places that one address may hold.
const crowdShare = 16

func newCrowd(most int) *crowd {
	return &crowd{most: int64(most), from: map[netip.Prefix]int64{}}
}

// enter takes a place for an address, which leave gives back.
func (c *crowd) enter(a netip.Prefix) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	free := c.most - c.all
	share := max(1, free/crowdShare)
	if c.loose {
		share = c.most
	}
	switch {
	case free <= 0:
		return refuse(api.CodeOverloaded, "%d request bodies are being read", c.most)
	case c.from[a] >= share:
		return refuse(api.CodeOverloaded, "%d request bodies of this client address are being read", c.from[a])
	}
	c.all++
	c.from[a]++
	return nil
}

func (c *crowd) leave(a netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.from[a]--; c.from[a] == 0 {
		delete(c.from, a)
	}
}

func (c *crowd) len() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

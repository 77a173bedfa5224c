package signing

import (
	"sync"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
)

// DefaultMaxInFlight is how many requests may be in work: about a third of a
// second's for a TEE on two processors.
const DefaultMaxInFlight = 1024

// queue bounds the requests between arrival and reply: those that wait for a
// TEE, are decided, or wait for their commit. More are refused at once, so
// that who waits is answered in time and memory is bounded. One organisation
// gets half of it at most: what holds up its requests leaves room for others.
type queue struct {
	mu    sync.Mutex // guards the fields below
	max   int
	total int
	byOrg map[canon.UUID]int
}

// enter takes a place, or refuses; leave frees it.
func (q *queue) enter(org canon.UUID) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch n := q.byOrg[org]; {
	case q.total >= q.max:
		return refuse(api.CodeOverloaded, "more than %d requests are in work", q.max)
	case n >= max(1, q.max/2):
		return refuse(api.CodeOverloaded, "more than %d requests of this organisation are in work", n)
	default:
		q.total++
		q.byOrg[org] = n + 1
		return nil
	}
}

func (q *queue) leave(org canon.UUID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.total--
	if n := q.byOrg[org] - 1; n > 0 {
		q.byOrg[org] = n
	} else {
		delete(q.byOrg, org)
	}
}

// SetMaxInFlight changes how many requests may be in work, 1 at least.
func (s *Service) SetMaxInFlight(n int) {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	s.queue.max = max(1, n)
}

// InFlight returns how many requests are in work.
func (s *Service) InFlight() int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return s.queue.total
}

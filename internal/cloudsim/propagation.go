package cloudsim

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Changes of IAM and of keys spread through Google's cloud, in minutes as a
// rule. Here a change is in force everywhere after one delay, and nowhere
// before; past is what is needed for that: the states that have been
// replaced. A restart of the cloud forgets them, and ends every delay.
type past struct {
	until time.Time // when the state was replaced
	state *state
}

// maxPropagation bounds the delays that can be set, and how long replaced
// states are kept.
const maxPropagation = 10 * time.Minute

// remember keeps a state that is being replaced; s.mu is held.
func (s *Sim) remember(old *state) {
	now := s.cfg.Clock()
	s.history = append(s.history, past{now, old})
	for len(s.history) > 0 && now.Sub(s.history[0].until) > maxPropagation {
		s.history = s.history[1:]
	}
}

// current is the state as it was last changed.
func (s *Sim) current() *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// asOf is the state as it was a delay ago.
func (s *Sim) asOf(delay time.Duration) *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	then := s.cfg.Clock().Add(-delay)
	for _, p := range s.history {
		if p.until.After(then) {
			return p.state
		}
	}
	return s.state
}

func (s *Sim) iamDelay() time.Duration {
	return time.Duration(s.Knobs().IAMPropagation) * time.Millisecond
}

func (s *Sim) keyDelay() time.Duration {
	return time.Duration(s.Knobs().KeyPropagation) * time.Millisecond
}

// keyInForce is a key with the versions and the primary one that its servers
// know by now.
func (s *Sim) keyInForce(name string) (*Key, error) {
	name, _ = splitVersion(name)
	if key := s.asOf(s.keyDelay()).key(name); key != nil {
		return key, nil
	}
	return nil, status.Errorf(codes.NotFound, "CryptoKey %s not found.", name)
}

package cloudsim

import (
	"reflect"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Changes of IAM and of keys spread through Google's cloud, in minutes as a
// rule. Here a change is in force everywhere after the delay that was set when
// it was made, and nowhere before; turning the knob changes nothing for it.
// Changes of one kind don't overtake each other. A restart of the cloud
// forgets what is under way, and ends every delay.

// maxPropagation bounds the delays that can be set.
const maxPropagation = 10 * time.Minute

// timeline holds the state that is in force, and after it those that are to
// be one after the other, with their earliest instants.
type timeline []dated

type dated struct {
	from  time.Time
	state *state
}

// at returns the state in force, and forgets those before it.
func (l *timeline) at(now time.Time) *state {
	for len(*l) > 1 && !now.Before((*l)[1].from) {
		*l = (*l)[1:]
	}
	return (*l)[0].state
}

// replace makes a state the current one, and sends what it changes on its way:
// a change of one kind holds none of the other up. s.mu is held.
func (s *Sim) replace(next *state) {
	now := s.cfg.Clock()
	if !reflect.DeepEqual(s.state.policies(), next.policies()) {
		s.iam = append(s.iam, dated{now.Add(time.Duration(s.knobs.IAMPropagation) * time.Millisecond), next})
	}
	if !reflect.DeepEqual(s.state.versions(), next.versions()) {
		s.keys = append(s.keys, dated{now.Add(time.Duration(s.knobs.KeyPropagation) * time.Millisecond), next})
	}
	s.state = next
}

// policies is what IAM decides by, the STS's part of it included.
func (st *state) policies() any {
	bindings := map[string][]Binding{}
	for _, k := range st.Keys {
		bindings[k.Name] = k.Bindings
	}
	return []any{st.Releases, st.Pools, st.Deny, bindings}
}

// versions is what the servers of keys work with.
func (st *state) versions() any {
	var out []any
	for _, k := range st.Keys {
		out = append(out, k.Name, k.Primary, k.Versions)
	}
	return out
}

// current is the state as it was last changed.
func (s *Sim) current() *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// iamInForce is the state whose policies, pools and providers are in force.
func (s *Sim) iamInForce() *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.iam.at(s.cfg.Clock())
}

// keyInForce is a key with the versions and the primary one that its servers
// know by now.
func (s *Sim) keyInForce(name string) (*Key, error) {
	name, _ = splitVersion(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := s.keys.at(s.cfg.Clock()).key(name); key != nil {
		return key, nil
	}
	return nil, status.Errorf(codes.NotFound, "CryptoKey %s not found.", name)
}

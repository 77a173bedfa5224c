package signing

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
)

// Challenges has callers' challenges attested, all that came within a second
// under one Merkle root in one statement: however many ask, the platform makes
// one token a second. Callers check the path to the root by themselves.
type Challenges struct {
	ask func(root [32]byte) (*store.Evidence, error)
	now func() time.Time

	mu      sync.Mutex // guards the fields below
	waiting []*challenge
	open    int // not answered yet: those that wait and those of the round under way
	running bool
	last    time.Time // when the workload last answered
}

type challenge struct {
	value  [32]byte
	answer chan challengeAnswer // capacity 1: a caller who has gone blocks nobody
	tries  int                  // owned by run
}

type challengeAnswer struct {
	answer *ChallengeAnswer
	err    error
}

// ChallengeAnswer is evidence made after a challenge, with the proof of that.
type ChallengeAnswer struct {
	Evidence *store.Evidence // not archived: nothing but the answer refers to it
	Index    uint32
	Count    uint32
	Path     [][32]byte
}

// NewChallenges returns Challenges over a fleet.
func NewChallenges(f *Fleet) *Challenges { return &Challenges{ask: f.attestChallenges, now: f.Now} }

const (
	maxChallenges     = 10_000 // open; each holds some 200 bytes and a connection
	challengeInterval = time.Second
	// maxTries is how often a challenge is put to a workload that is busy with
	// another control plane's.
	maxTries = 8
)

// Waiting returns how many challenges aren't answered yet.
func (c *Challenges) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// Attest returns evidence whose statement covers the challenge.
func (c *Challenges) Attest(ctx context.Context, value [32]byte) (*ChallengeAnswer, error) {
	w := &challenge{value: value, answer: make(chan challengeAnswer, 1)}
	c.mu.Lock()
	if c.open >= maxChallenges {
		c.mu.Unlock()
		return nil, refuse(api.CodeOverloaded, "more than %d challenges wait to be attested", maxChallenges)
	}
	c.waiting, c.open = append(c.waiting, w), c.open+1
	if !c.running {
		c.running = true
		go c.run()
	}
	c.mu.Unlock()
	select {
	case a := <-w.answer:
		return a.answer, a.err
	case <-ctx.Done():
		return nil, refuse(api.CodeDeadlineExceeded, "the challenge wasn't attested in time; ask again")
	}
}

// run answers challenges, one round a second, until none waits.
func (c *Challenges) run() {
	for {
		c.mu.Lock()
		pause := min(c.last.Add(challengeInterval).Sub(c.now()), challengeInterval)
		c.mu.Unlock()
		time.Sleep(pause) // none if it's past
		c.mu.Lock()
		round := c.waiting
		c.waiting = nil
		if len(round) == 0 {
			c.running = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		again := c.answer(round)
		c.mu.Lock()
		c.last = c.now()
		c.waiting, c.open = append(again, c.waiting...), c.open-len(round)+len(again)
		c.mu.Unlock()
	}
}

// answer asks the workload once for the whole round; those to ask again for are
// returned.
func (c *Challenges) answer(round []*challenge) (again []*challenge) {
	leaves := make([][]byte, len(round))
	for i, w := range round {
		leaves[i] = w.value[:]
	}
	tree := receipt.NewTree(leaves)
	e, err := c.ask(tree.Root())
	var known *Error
	busy := errors.As(err, &known) && known.Code == api.CodeAttestationBusy
	for i, w := range round {
		if w.tries++; busy && w.tries < maxTries {
			again = append(again, w)
			continue
		}
		if err != nil {
			w.answer <- challengeAnswer{err: err}
			continue
		}
		w.answer <- challengeAnswer{answer: &ChallengeAnswer{Evidence: e, Index: uint32(i), Count: uint32(len(round)), Path: tree.Path(i)}}
	}
	return again
}

// attestChallenges has the connected workload attest the root. What comes back
// must be of the same instance: its statement in all but challenges and time.
func (l *Link) attestChallenges(ctx context.Context, c *teelink.Client, root [32]byte) (*store.Evidence, error) {
	known, err := l.Evidence()
	if err != nil {
		return nil, refuse(api.CodeTEEUnavailable, "no TEE workload is connected")
	}
	h, err := c.Attest(ctx, root)
	var refused *teelink.RemoteError
	switch {
	case errors.As(err, &refused) && (refused.Code == string(api.CodeAttestationBusy) || refused.Code == string(api.CodeAttestationUnavailable)):
		return nil, &Error{Code: api.Code(refused.Code), Message: refused.Message}
	case err != nil:
		return nil, refuse(api.CodeTEEUnavailable, "the TEE workload didn't answer")
	}
	st, err := receipt.DecodeStatement(h.Statement)
	if err == nil {
		err = sameInstance(st, known, c.LinkKey(), root)
	}
	if err == nil {
		err = l.validate(&h, st)
	}
	if err != nil {
		return nil, fmt.Errorf("evidence for challenges: %w", err)
	}
	return &store.Evidence{ID: st.Digest(), Statement: h.Statement, Token: string(h.Token), Release: h.Release, Version: h.Version, Stored: l.Now()}, nil
}

// sameInstance requires a statement that is the known one in all but time, with
// the challenges' root, and about this connection: known may be of the next.
func sameInstance(st *receipt.Statement, known *store.Evidence, link, root [32]byte) error {
	want, err := receipt.DecodeStatement(known.Statement)
	if err != nil {
		return err
	}
	want.LinkKey, want.Challenges, want.Issued = link, root, st.Issued
	if *st != *want {
		return errors.New("it is about something else")
	}
	return nil
}

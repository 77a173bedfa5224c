package signing

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
)

// FleetConfig is what the links of a fleet have in common. All but the
// addresses are required.
type FleetConfig struct {
	Addresses []string        // to begin with; see Fleet.Set
	Accept    []authority.TEE // reference values that each workload must meet
	Store     store.Store
	OnBatch   func(*teelink.Batch)
	Log       *slog.Logger
	Now       func() time.Time
}

// Fleet is the workloads that a control plane serves with, each over a link of
// its own: dialled, attested and told of revocations by itself. A request goes
// to one that is up; which one is of no matter to anybody, since they all open
// the same sealed shares, and what they decided the store compares.
//
// Two things stay with one workload, found from a key alone so that every
// control plane over the same workloads finds the same one: a new wallet, since
// a workload makes one of an id and two would make two; and an organisation's
// ledger, since a workload signs one history of it.
type Fleet struct {
	cfg FleetConfig

	mu      sync.Mutex                // held while members change; guards the fields below
	members atomic.Pointer[[]*member] // read without mu; a new slice for each change
	running context.Context           // of Run; nil before it
	ended   bool                      // Run ends: no member is started
	links   sync.WaitGroup            // of the members' goroutines
	turn    atomic.Uint32             // where the next look for a member begins
	upMu    sync.Mutex                // guards up
	up      chan struct{}             // closed and replaced when a link comes up; nil: nobody waits
}

// member is one workload. It leaves the fleet when its last request has.
type member struct {
	*Link
	index    int
	asking   atomic.Int64  // requests in work
	draining atomic.Bool   // no new request is given to it
	idle     chan struct{} // capacity 1: draining and asking are true and 0
	stop     context.CancelFunc
}

// maxMembers bounds a list of addresses.
const maxMembers = 64

// drainPatience is how long a drained workload's requests are waited for.
const drainPatience = 30 * time.Second

// NewFleet returns a fleet whose links come up once Run runs.
func NewFleet(cfg FleetConfig) *Fleet {
	f := &Fleet{cfg: cfg}
	f.members.Store(&[]*member{})
	f.Set(cfg.Addresses)
	return f
}

// Now is the clock of the control plane.
func (f *Fleet) Now() time.Time { return f.cfg.Now() }

func (f *Fleet) list() []*member { return *f.members.Load() }

// Run keeps the links until ctx ends.
func (f *Fleet) Run(ctx context.Context) {
	f.mu.Lock()
	f.running = ctx
	for _, m := range f.list() {
		f.start(m)
	}
	f.mu.Unlock()
	<-ctx.Done()
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.links.Wait()
}

// start runs a member's link; the caller holds mu, and Run runs.
func (f *Fleet) start(m *member) {
	ctx, stop := context.WithCancel(f.running)
	m.stop = stop
	f.links.Go(func() { m.Run(ctx) })
}

// Set changes which workloads there are. A new one serves when its evidence is
// accepted and it knows every revocation. One that isn't named any more gets no
// new request, and its link ends when those in work are answered.
func (f *Fleet) Set(addresses []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	var next []*member
	serving := map[string]bool{}
	for _, m := range f.list() {
		next = append(next, m)
		if m.draining.Load() {
			continue
		}
		if slices.Contains(addresses, m.Address) {
			serving[m.Address] = true
			continue
		}
		m.draining.Store(true)
		f.cfg.Log.Info("a TEE is drained", "tee", m.Address)
		f.links.Go(func() { f.drain(m) })
	}
	for _, a := range addresses {
		if serving[a] {
			continue
		}
		serving[a] = true
		m := f.member(a, next)
		next = append(next, m)
		if f.running != nil {
			f.start(m)
		}
	}
	f.members.Store(&next)
}

// member makes one in the first free place.
func (f *Fleet) member(address string, others []*member) *member {
	index := 0
	for slices.ContainsFunc(others, func(m *member) bool { return m.index == index }) {
		index++
	}
	return &member{index: index, idle: make(chan struct{}, 1), stop: func() {}, Link: &Link{
		Address: address, Accept: f.cfg.Accept, Store: f.cfg.Store, OnBatch: f.cfg.OnBatch, Log: f.cfg.Log, Now: f.cfg.Now, wake: f.woken,
	}}
}

// drain waits for what is in work and takes the member out.
func (f *Fleet) drain(m *member) {
	patience := time.NewTimer(drainPatience)
	defer patience.Stop()
	for end := false; m.asking.Load() > 0 && !end; {
		select {
		case <-m.idle:
		case <-patience.C:
			end = true
		case <-f.done():
			end = true
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m.stop()
	next := slices.DeleteFunc(slices.Clone(f.list()), func(other *member) bool { return other == m })
	f.members.Store(&next)
	f.cfg.Log.Info("a TEE has left", "tee", m.Address, "unanswered", m.asking.Load())
}

// done is closed when Run ends; before Run, never.
func (f *Fleet) done() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running == nil {
		return nil
	}
	return f.running.Done()
}

func (f *Fleet) woken() {
	f.upMu.Lock()
	defer f.upMu.Unlock()
	if f.up != nil {
		close(f.up)
		f.up = nil
	}
}

func (f *Fleet) wakeup() <-chan struct{} {
	f.upMu.Lock()
	defer f.upMu.Unlock()
	if f.up == nil {
		f.up = make(chan struct{})
	}
	return f.up
}

// want says which workload something may be asked of.
type want struct {
	op teelink.Op // that it must know
	// home, if set, names what stays with one workload.
	home []byte
}

// take finds a workload that is up, or waits a moment for one. Whoever takes
// one gives it back (member.give).
func (f *Fleet) take(ctx context.Context, w want) (*member, *teelink.Client, error) {
	if m, c := f.pick(w); m != nil {
		return m, c, nil
	}
	if f.complete() {
		return nil, nil, f.none()
	}
	const patience = 2 * time.Second
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		up := f.wakeup()
		if m, c := f.pick(w); m != nil {
			return m, c, nil
		}
		select {
		case <-up:
		case <-timeout.C:
			return nil, nil, f.none()
		case <-ctx.Done():
			return nil, nil, f.none()
		}
	}
}

// complete says whether every workload is up.
func (f *Fleet) complete() bool {
	return f.Up() && !slices.ContainsFunc(f.list(), func(m *member) bool { return !m.draining.Load() && m.connection() == nil })
}

// none says why there is no workload to ask.
func (f *Fleet) none() error {
	if f.Up() {
		return teelink.ErrOldPeer // those that are up don't know the operation
	}
	return ErrUnavailable
}

// pick takes the best workload that is up, if there is one.
func (f *Fleet) pick(w want) (*member, *teelink.Client) {
	for {
		m, c := f.best(w)
		if m == nil {
			return nil, nil
		}
		m.asking.Add(1)
		if !m.draining.Load() {
			return m, c
		}
		m.give() // it began to drain meanwhile
	}
}

// give says that what a member was taken for is done.
func (m *member) give() {
	if m.asking.Add(-1) == 0 && m.draining.Load() {
		select {
		case m.idle <- struct{}{}:
		default:
		}
	}
}

// best is the home of what has one, otherwise the one with the fewest requests
// in work; one that answers slowly only where there is no other.
func (f *Fleet) best(w want) (best *member, over *teelink.Client) {
	list := f.list()
	var top [sha256.Size]byte
	var least int64
	first := 0
	if len(list) > 1 && w.home == nil {
		first = int(f.turn.Add(1) % uint32(len(list)))
	}
	for i := range list {
		m := list[(first+i)%len(list)]
		if m.draining.Load() {
			continue
		}
		c := m.connection()
		if c == nil || !c.Knows(w.op) {
			continue
		}
		if w.home != nil {
			if score := homeScore(c.LinkKey(), w.home); best == nil || slices.Compare(score[:], top[:]) > 0 {
				best, over, top = m, c, score
			}
			continue
		}
		load := m.asking.Load()
		if m.health.slow.Load() {
			load += 1 << 32
		}
		if best == nil || load < least {
			best, over, least = m, c, load
		}
	}
	return best, over
}

// homeScore ranks the instances for a key (rendezvous hashing): when one comes
// or goes, only what it gains or had moves.
func homeScore(linkKey [32]byte, key []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(linkKey[:])
	h.Write(key)
	return [sha256.Size]byte(h.Sum(nil))
}

// Up says whether any accepted workload is connected.
func (f *Fleet) Up() bool {
	return slices.ContainsFunc(f.list(), func(m *member) bool { return !m.draining.Load() && m.connection() != nil })
}

// Evidence returns that of a connected instance, whichever.
func (f *Fleet) Evidence() (*store.Evidence, error) {
	for _, m := range f.list() {
		if e, err := m.Evidence(); err == nil && !m.draining.Load() {
			return e, nil
		}
	}
	return nil, ErrUnavailable
}

// Links returns each workload's link.
func (f *Fleet) Links() []*Link {
	var out []*Link
	for _, m := range f.list() {
		out = append(out, m.Link)
	}
	return out
}

// Status returns the health of each link.
func (f *Fleet) Status() []LinkStatus {
	var out []LinkStatus
	for _, m := range f.list() {
		s := m.status()
		s.Index, s.Asked = m.index, int(m.asking.Load())
		if m.draining.Load() {
			s.State = LinkDraining
		}
		out = append(out, s)
	}
	return out
}

// Revoked tells every connected instance of a revocation that was just stored.
// Nil means that none signs without knowing it: the link of one that doesn't
// answer is cut, and it is told before requests reach it again.
func (f *Fleet) Revoked(ctx context.Context, genesis, revocation []byte) error {
	list := f.list()
	errs := make([]error, len(list))
	var telling sync.WaitGroup
	for i, m := range list {
		telling.Go(func() { errs[i] = m.Revoked(ctx, genesis, revocation) })
	}
	telling.Wait()
	return errors.Join(errs...)
}

// Archive makes sure that the evidence for a statement is stored: an instance
// renews it now and then, and the first batch under it may come first.
//
// The statement must be of the instance that signed the batch.
func (f *Fleet) Archive(statement, instance [32]byte) error {
	e, err := f.evidenceFor(statement)
	if err != nil {
		return err
	}
	st, err := receipt.DecodeStatement(e.Statement)
	if err != nil {
		return err
	}
	if st.InstanceKey != instance {
		return errors.New("the batch isn't signed by the attested instance")
	}
	return nil
}

func (f *Fleet) evidenceFor(statement [32]byte) (*store.Evidence, error) {
	known := func() *store.Evidence {
		for _, m := range f.list() {
			if e := m.knows(statement); e != nil {
				return e
			}
		}
		return nil
	}
	if e := known(); e != nil {
		return e, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if e, err := f.cfg.Store.Evidence(ctx, statement); err == nil {
		return e, nil
	}
	// A batch doesn't say which link it came over.
	list := f.list()
	errs := make([]error, len(list))
	var asking sync.WaitGroup
	for i, m := range list {
		asking.Go(func() { errs[i] = m.refresh(ctx) })
	}
	asking.Wait()
	if e := known(); e != nil {
		return e, nil
	}
	return nil, errors.Join(append(errs, errors.New("no TEE has this evidence now"))...)
}

// Provision has a workload make an organisation's state key.
func (f *Fleet) Provision(ctx context.Context, genesis []byte) ([]byte, error) {
	m, c, err := f.take(ctx, want{op: teelink.OpProvision})
	if err != nil {
		return nil, err
	}
	defer m.give()
	return c.Provision(ctx, genesis)
}

// Checkpoint has a workload sign a ledger's head, always the same one while it
// is there, and hands it the state record if it wants it.
func (f *Fleet) Checkpoint(ctx context.Context, state []byte, in *teelink.Checkpoint) (string, error) {
	m, c, err := f.take(ctx, want{op: teelink.OpCheckpoint, home: in.State[:]})
	if err != nil {
		return "", err
	}
	defer m.give()
	return checkpoint(ctx, c, state, in)
}

// attestChallenges has a workload attest the root.
func (f *Fleet) attestChallenges(root [32]byte) (*store.Evidence, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	m, c, err := f.take(ctx, want{op: teelink.OpAttest})
	if err != nil {
		return nil, refuse(api.CodeTEEUnavailable, "no TEE workload is connected")
	}
	defer m.give()
	return m.attestChallenges(ctx, c, root)
}

// CheckAddresses refuses a list that no fleet can be made of.
func CheckAddresses(list []string) error {
	switch {
	case len(list) == 0:
		return errors.New("no TEE workload is named")
	case len(list) > maxMembers:
		return fmt.Errorf("%d TEE workloads are named, at most %d can be", len(list), maxMembers)
	}
	return nil
}

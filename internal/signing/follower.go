package signing

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/sigilkeys/sigil/internal/store"
)

// FollowEvery is how often a Follower looks. A revocation that another control
// plane acknowledged binds here within this and followPatience.
const (
	FollowEvery    = time.Second
	followPatience = 3 * time.Second
)

// Follower hears of revocations that other control planes over the same store
// took. Each tells its own caches and its own instances; a follower does the
// same with what they stored.
type Follower struct {
	store   store.Store
	signing *Service
	fleet   *Fleet
	log     *slog.Logger

	count int               // of revocations, when all were told; owned by Run
	told  map[[32]byte]bool // by grant; owned by Run
}

// NewFollower returns a follower that knows what is stored now. It must be
// made before the fleet runs: what is stored later is the follower's to tell,
// what was there the links tell each instance.
func NewFollower(ctx context.Context, s store.Store, sign *Service, fleet *Fleet, log *slog.Logger) (*Follower, error) {
	f := &Follower{store: s, signing: sign, fleet: fleet, log: log, told: map[[32]byte]bool{}}
	list, err := s.Revocations(ctx)
	if err != nil {
		return nil, fmt.Errorf("read revocations: %w", err)
	}
	for i := range list {
		f.told[list[i].Grant] = true
	}
	f.count = len(f.told)
	return f, nil
}

// Run follows until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	t := time.NewTicker(FollowEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := f.look(ctx); err != nil && ctx.Err() == nil {
			// Without knowing, nothing that was read before is relied on.
			f.signing.forgetKeys()
			f.log.Warn("can't follow revocations", "error", err)
		}
	}
}

func (f *Follower) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, followPatience)
	defer cancel()
	// Revocations are never deleted, so that their number tells of new ones.
	n, err := f.store.CountRevocations(ctx)
	if err != nil || n == f.count {
		return err
	}
	list, err := f.store.Revocations(ctx)
	if err != nil {
		return err
	}
	// Caches first: they take no network.
	for i := range list {
		if !f.told[list[i].Grant] {
			f.signing.ForgetGrant(list[i].Grant)
		}
	}
	for i := range list {
		r := &list[i]
		if f.told[r.Grant] {
			continue
		}
		o, err := f.store.Organization(ctx, r.Organization)
		if err != nil {
			return fmt.Errorf("read organisation of a revocation: %w", err)
		}
		if err := f.fleet.Revoked(ctx, o.Genesis, r.Envelope); err != nil {
			return fmt.Errorf("tell the TEE of a revocation: %w", err)
		}
		f.told[r.Grant] = true
	}
	f.count = len(list)
	return nil
}

package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
)

// Signer is the workload's end of checkpoints.
type Signer interface {
	// Checkpoint asks for a signature; state is the state record that the
	// request names, for a workload that doesn't hold it.
	Checkpoint(ctx context.Context, state []byte, in *teelink.Checkpoint) (note string, err error)
}

// Sequencer folds committed decisions into ledgers and keeps their heads
// signed. Any number of control planes may run one over the same database.
type Sequencer struct {
	Store  store.Store
	Signer Signer
	Log    *slog.Logger
	// Interval is between two looks, and so nearly the longest time that a
	// decision takes into the ledger. Default 500 ms.
	Interval time.Duration

	clean atomic.Int64 // when all was signed: unix nanoseconds of a round's begin
}

// Lag returns how long ago all decisions of the time were in signed ledgers:
// at most Interval and a round while all is well. Until the first round that
// goes well it counts from the start of Run.
func (s *Sequencer) Lag(now time.Time) time.Duration {
	return max(0, now.Sub(time.Unix(0, s.clean.Load())))
}

// Bounds of one round.
const (
	maxBatches = 256
	maxLedgers = 256
	// signTimeout bounds one ledger's dialogue with the workload.
	signTimeout = 15 * time.Second
)

// Run works until ctx ends.
func (s *Sequencer) Run(ctx context.Context) {
	interval := s.Interval
	if interval == 0 {
		interval = 500 * time.Millisecond
	}
	s.clean.Store(time.Now().UnixNano()) // the process begins without a lag of its own
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var said string
	var began time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case began = <-tick.C:
		}
		err := s.Round(ctx)
		if err == nil {
			s.clean.Store(began.UnixNano())
		}
		switch {
		case ctx.Err() != nil:
		case err == nil && said != "":
			s.Log.Info("ledgers are signed again")
			said = ""
		case err != nil && err.Error() != said:
			said = err.Error() // once, for as long as it stays the same
			s.Log.Warn("ledgers fall behind; nothing is lost, and it is tried again", "error", err)
		}
	}
}

// Round folds what waits and has the heads signed. What is wrong with one
// ledger doesn't keep the others from theirs.
func (s *Sequencer) Round(ctx context.Context) error {
	for {
		n, err := s.fold(ctx)
		switch {
		case errors.Is(err, store.ErrExists):
			continue // another control plane was faster: look again
		case err != nil:
			return fmt.Errorf("fold: %w", err)
		}
		if n < maxBatches {
			break
		}
	}
	ledgers, err := s.Store.Unnoted(ctx, canon.UUID{}, maxLedgers)
	if err != nil {
		return fmt.Errorf("find ledgers to sign: %w", err)
	}
	var failed []error
	for i := range ledgers {
		err := s.sign(ctx, &ledgers[i])
		if err == nil {
			continue
		}
		failed = append(failed, fmt.Errorf("checkpoint of organisation %s: %w", ledgers[i].Organization, err))
		var refused *teelink.RemoteError
		if !errors.Is(err, ErrForked) && !errors.As(err, &refused) {
			break // no workload, or no database: the others would only wait for it too
		}
	}
	return errors.Join(failed...)
}

// fold takes the oldest waiting batches into the ledgers, and returns how many.
func (s *Sequencer) fold(ctx context.Context) (int, error) {
	rows, err := s.Store.Unfolded(ctx, 0, maxBatches)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	byOrg := map[canon.UUID][]store.Decision{}
	for _, row := range rows {
		decisions, err := s.decisionsOf(ctx, row)
		if err != nil {
			return 0, err
		}
		for _, d := range decisions {
			byOrg[d.Organization] = append(byOrg[d.Organization], d)
		}
	}
	var ledgers []store.Growth
	for org, decisions := range byOrg {
		g, err := s.grow(ctx, org, decisions)
		if err != nil {
			return 0, err
		}
		ledgers = append(ledgers, *g)
	}
	// In one order everywhere, so that two folds don't wait for each other.
	slices.SortFunc(ledgers, func(a, b store.Growth) int { return slices.Compare(a.Organization[:], b.Organization[:]) })
	return len(rows), s.Store.Fold(ctx, rows, ledgers)
}

func (s *Sequencer) grow(ctx context.Context, org canon.UUID, decisions []store.Decision) (*store.Growth, error) {
	g := &store.Growth{Organization: org}
	tree := NewTree(ctx, s.Store, org)
	switch l, err := s.Store.Ledger(ctx, org); {
	case err == nil:
		g.From = l.Size
		agrees, err := s.agrees(ctx, tree, l)
		if err != nil {
			return nil, err
		}
		if !agrees {
			tree = NewTree(ctx, s.Store, org)
		}
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	leaves := make([][32]byte, len(decisions))
	for i := range decisions {
		g.Receipts = append(g.Receipts, decisions[i].ID)
		leaves[i] = receipt.LeafHash(decisions[i].Leaf)
	}
	var err error
	g.Tiles, err = tree.grow(g.From, leaves)
	return g, err
}

// ErrForked says that the workload has signed a head that isn't one of the
// stored ledger: the database was restored or altered, or the workload serves
// another one too.
var ErrForked = errors.New("the workload has signed a head that the stored ledger doesn't have")

// sign has the head signed, as often as it takes to cover all leaves.
func (s *Sequencer) sign(ctx context.Context, l *store.Ledger) error {
	ctx, cancel := context.WithTimeout(ctx, signTimeout)
	defer cancel()
	org, err := s.Store.Organization(ctx, l.Organization)
	if err != nil {
		return err
	}
	cert, err := receipt.StateCertificateOf(org.State)
	if err != nil {
		return fmt.Errorf("stored state record: %w", err)
	}
	tree := NewTree(ctx, s.Store, l.Organization)
	known := uint64(0) // size that the workload wants to see extended
	tries := 0         // since the last head that was stored
	for l.Noted < l.Size {
		if tries++; tries > 4 {
			return errors.New("the workload signs no head that covers the ledger")
		}
		c, note, err := s.ask(ctx, org, l, tree, cert.StateKey, known)
		if err != nil {
			return err
		}
		switch f, err := tree.Frontier(min(c.Size, l.Size)); {
		case err != nil:
			return err
		case c.Size > l.Size || f.Root() != c.Root:
			return ErrForked
		}
		if c.Size < l.Noted {
			known = c.Size
			continue
		}
		if err := s.Store.PutNote(ctx, l.Organization, c.Size, note); err != nil {
			return err
		}
		if c.Size > l.Noted {
			tries = 0
		}
		l.Note, l.Noted, known = note, c.Size, 0
	}
	return nil
}

// ask asks once, for as many leaves as fit.
func (s *Sequencer) ask(ctx context.Context, org *store.Organization, l *store.Ledger, tree *Tree, key [32]byte, known uint64) (*receipt.Checkpoint, string, error) {
	in := &teelink.Checkpoint{State: sha256.Sum256(org.State), Previous: l.Note}
	f, err := tree.Frontier(l.Noted)
	if err != nil {
		return nil, "", err
	}
	in.Frontier = f.Hashes()
	if in.Leaves, err = tree.Leaves(l.Noted, min(l.Size, l.Noted+teelink.MaxLeaves)); err != nil {
		return nil, "", err
	}
	if known > 0 {
		if in.FromKnown, err = tree.Consistency(known, l.Noted); err != nil {
			return nil, "", err
		}
	}
	note, err := s.Signer.Checkpoint(ctx, org.State, in)
	if err != nil {
		return nil, "", err
	}
	c, err := receipt.OpenCheckpoint(note, receipt.LedgerOrigin(l.Organization), key)
	return c, note, err
}

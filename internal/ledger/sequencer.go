package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
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

	folds             // what rounds of folding remember
	gaveUp canon.UUID // the ledger at which the last round gave up signing

	// Canaries of tests: it lets what is wrong with one ledger stop all, looks at
	// the first ledgers alone, tries as much as before after a timeout.
	frail, short, stubborn bool
}

// Lag returns how long ago all decisions of the time were in signed ledgers:
// at most Interval and a round while all is well. Until the first round that
// goes well it counts from the start of Run.
func (s *Sequencer) Lag(now time.Time) time.Duration {
	return max(0, now.Sub(time.Unix(0, s.clean.Load())))
}

// Bounds of a round's steps.
const (
	maxBatches   = 256  // that are listed at once
	maxDecisions = 4096 // of one fold
	maxLedgers   = 256  // that are listed at once
	maxSaid      = 8    // ledgers of which a round's error speaks
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
	var saidAt, began time.Time
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
		case err != nil && err.Error() != said && (said == "" || began.Sub(saidAt) > time.Minute):
			said, saidAt = err.Error(), began // once, for as long as it stays the same
			s.Log.Warn("ledgers fall behind; nothing is lost, and it is tried again", "error", err)
		}
	}
}

// Round folds what waits and has the heads signed. What is wrong with one
// ledger doesn't keep the others from theirs. One round runs at a time.
func (s *Sequencer) Round(ctx context.Context) error {
	return errors.Join(s.foldAll(ctx), s.signAll(ctx))
}

// signAll has heads signed, from the ledger on after that at which the last
// round gave up, so that no ledger is always behind the same one.
func (s *Sequencer) signAll(ctx context.Context) error {
	start := s.gaveUp
	s.gaveUp = canon.UUID{}
	failed, err := s.signFrom(ctx, start)
	if err == nil && !start.IsZero() {
		failed, err = s.signFrom(ctx, canon.UUID{})
	}
	return errors.Join(failed, err)
}

// signFrom signs for all organisations after one. What is wrong with ledgers
// comes back first; the second error is why it gave up.
func (s *Sequencer) signFrom(ctx context.Context, after canon.UUID) (failed, err error) {
	var list []error
	for {
		ledgers, err := s.Store.Unnoted(ctx, after, maxLedgers)
		if err != nil {
			return errors.Join(list...), fmt.Errorf("find ledgers to sign: %w", err)
		}
		for i := range ledgers {
			l := &ledgers[i]
			after = l.Organization
			err := s.signOrMend(ctx, l)
			if err == nil {
				continue
			}
			err = fmt.Errorf("checkpoint of organisation %s: %w", l.Organization, err)
			if errors.Is(err, errNoWorkload) || s.frail || s.down(ctx) {
				if !s.frail {
					s.gaveUp = after // the others would only wait for it too
				}
				return errors.Join(list...), err
			}
			if len(list) < maxSaid {
				list = append(list, err)
			}
		}
		if len(ledgers) < maxLedgers || s.short {
			return errors.Join(list...), nil
		}
	}
}

// down reports whether the database is what is wrong, not a row in it.
func (s *Sequencer) down(ctx context.Context) bool { return s.Store.Ready(ctx) != nil }

// signOrMend signs, and where that can't be, once more over mended tiles.
func (s *Sequencer) signOrMend(ctx context.Context, l *store.Ledger) error {
	err := s.sign(ctx, l)
	if err == nil || errors.Is(err, errNoWorkload) || s.frail {
		return err
	}
	_, mended, e := s.tree(ctx, l)
	if errors.Is(err, errTiles) && len(mended) == 0 {
		_, mended, e = s.mend(ctx, l) // so long that tree didn't look
	}
	if e != nil || len(mended) == 0 {
		return err
	}
	if e := s.Store.Fold(ctx, nil, []store.Growth{{Organization: l.Organization, From: l.Size, Tiles: mended}}); e != nil {
		return errors.Join(err, e)
	}
	return s.sign(ctx, l)
}

// errNoWorkload says that a workload gave no answer, of which no ledger is the
// cause.
var errNoWorkload = errors.New("no workload answers")

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
	var refused *teelink.RemoteError
	switch {
	case errors.As(err, &refused):
		return nil, "", err
	case err != nil:
		return nil, "", fmt.Errorf("%w: %w", errNoWorkload, err)
	}
	c, err := receipt.OpenCheckpoint(note, receipt.LedgerOrigin(l.Organization), key)
	return c, note, err
}

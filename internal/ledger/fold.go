package ledger

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/receipt"
)

// folds is what one round of folding leaves to the next.
//
// An organisation whose decisions can't be folded is set aside: its batches are
// passed over, so that others' go on, and stay on the list. A batch that has
// decisions of others too is folded in parts. While any are left, rounds begin
// with some of them and go on after them: what becomes visible late, among
// them, is found as well.
type folds struct {
	round  int
	most   int // decisions of one fold; fewer after one that failed
	aside  map[canon.UUID]*setAside
	passed int64 // batches up to it were all looked at; 0: none is left behind
	again  int64 // up to passed, where the look at those that are left goes on
	left   bool  // whether it has found any since it began
	healed bool  // whether somebody came back, and it all begins anew
	races  int   // in a row, that another fold won

	broken map[canon.UUID]broken // ledgers whose tiles couldn't be made anew
}

// broken says why, and until which round nobody reads all its entries again.
type broken struct {
	err   error
	until int
}

// setAside says why, and in which round it is tried again.
type setAside struct {
	err   error
	tries int
	due   int
	met   bool // since the look at what is left began
}

const (
	// maxRest is how many rounds an organisation waits at most: half a minute.
	maxRest = 60
	// maxRaces is how often in a row another fold wins, before it is looked for a
	// ledger whose size isn't that of its entries.
	maxRaces = 10
)

// foldAll takes what waits into the ledgers.
func (s *Sequencer) foldAll(ctx context.Context) error {
	s.round++
	s.races = 0
	if s.most == 0 {
		s.most = maxDecisions
	}
	if s.aside == nil {
		s.aside, s.broken = map[canon.UUID]*setAside{}, map[canon.UUID]broken{}
	}
	var failed []error
	if s.passed > 0 {
		if err := s.lookAgain(ctx, &failed); err != nil {
			return fmt.Errorf("fold: %w", err)
		}
	}
	at, left := s.passed, false
	s.healed = false
	for {
		p, err := s.take(ctx, at)
		if err != nil {
			return errors.Join(errors.Join(failed...), fmt.Errorf("fold: %w", err))
		}
		if p == nil {
			break
		}
		if p.err != nil {
			failed = append(failed, p.err)
		}
		at, left = p.at, left || p.left
		if s.healed {
			at, left, s.healed = 0, false, false
		} else if p.end {
			break // what came since is for the next round: heads wait too
		}
	}
	if left || s.passed > 0 {
		s.passed = at
	}
	return errors.Join(append(failed, s.resting()...)...)
}

// lookAgain looks at some of the batches that are left.
func (s *Sequencer) lookAgain(ctx context.Context, failed *[]error) error {
	p, err := s.take(ctx, s.again)
	switch {
	case err != nil:
		return err
	case p != nil && p.err != nil:
		*failed = append(*failed, p.err)
	}
	if s.healed {
		return nil
	}
	if p != nil {
		s.again, s.left = p.at, s.left || p.left
		if p.at < s.passed {
			return nil
		}
	}
	// All were looked at: whom none of them is of was folded elsewhere.
	for org, a := range s.aside {
		if !a.met {
			delete(s.aside, org)
		}
		a.met = false
	}
	if !s.left {
		s.passed = 0
	}
	s.again, s.left = 0, false
	return nil
}

// resting says who is set aside, in one order.
func (s *Sequencer) resting() []error {
	orgs := make([]canon.UUID, 0, len(s.aside))
	for org := range s.aside {
		orgs = append(orgs, org)
	}
	slices.SortFunc(orgs, func(a, b canon.UUID) int { return bytes.Compare(a[:], b[:]) })
	var list []error
	for _, org := range orgs[:min(len(orgs), maxSaid)] {
		list = append(list, fmt.Errorf("fold: organisation %s is set aside: %w", org, s.aside[org].err))
	}
	if n := len(orgs) - maxSaid; n > 0 {
		list = append(list, fmt.Errorf("fold: and %d other organisations", n))
	}
	return list
}

func (s *Sequencer) setAside(org canon.UUID, err error) {
	a := s.aside[org]
	if a == nil {
		a = &setAside{}
		s.aside[org] = a
	}
	a.err, a.met = err, true
	a.due = s.round + min(1<<min(a.tries, 16), maxRest)
	a.tries++
}

// rests reports whether an organisation is set aside and isn't tried yet.
func (s *Sequencer) rests(org canon.UUID) bool {
	a := s.aside[org]
	if a == nil {
		return false
	}
	a.met = true
	return s.round < a.due
}

// part is some of the batches that wait.
type part struct {
	at   int64 // all up to it were taken or passed over
	left bool  // some were passed over
	end  bool  // no more waited
	err  error // what went wrong with some
	done []int64

	decisions map[canon.UUID][]store.Decision
	rows      map[canon.UUID][]int64 // batches that they are of
}

// take folds some batches after a row, or nothing where it is nil.
func (s *Sequencer) take(ctx context.Context, after int64) (*part, error) {
	p, err := s.gather(ctx, after)
	if err != nil || p == nil {
		return nil, err
	}
	var ledgers []store.Growth
	n := 0
	for org, decisions := range p.decisions {
		g, err := s.grow(ctx, org, decisions)
		if err != nil {
			if s.frail || s.down(ctx) {
				return nil, err
			}
			s.setAside(org, err)
			p.left = true
			p.done = slices.DeleteFunc(p.done, func(row int64) bool { return slices.Contains(p.rows[org], row) })
			delete(p.rows, org)
			continue
		}
		ledgers = append(ledgers, *g)
		n += len(decisions)
	}
	if len(ledgers)+len(p.done) == 0 {
		return p, nil
	}
	// In one order everywhere, so that two folds don't wait for each other.
	slices.SortFunc(ledgers, func(a, b store.Growth) int { return bytes.Compare(a.Organization[:], b.Organization[:]) })
	err = s.Store.Fold(ctx, p.done, ledgers)
	switch {
	case err == nil:
		s.most, s.races = min(2*s.most, maxDecisions), 0
		s.back(ledgers)
		return p, nil
	case errors.Is(err, context.DeadlineExceeded) && n > 1:
		if !s.stubborn {
			s.most = n / 2 // too much for one transaction
		}
		return nil, err
	case s.frail, s.down(ctx):
		return nil, err
	}
	p.at, p.left, p.end = after, false, false // nothing of it happened: it is looked at again
	if errors.Is(err, store.ErrExists) {
		if s.races++; s.races <= maxRaces {
			return p, nil
		}
	} else {
		p.err = fmt.Errorf("fold: %w", err)
	}
	if s.races > 2*maxRaces || len(p.rows) == 0 {
		return nil, err // it isn't the organisations
	}
	return p, s.singly(ctx, p)
}

// back ends the rest of organisations that were folded: what is left of theirs
// is looked at from the beginning.
func (s *Sequencer) back(ledgers []store.Growth) {
	for i := range ledgers {
		if s.aside[ledgers[i].Organization] != nil {
			delete(s.aside, ledgers[i].Organization)
			s.passed, s.again, s.left, s.healed = 0, 0, false, true
		}
	}
}

// singly folds each organisation of a part by itself, to set aside those that
// can't be.
func (s *Sequencer) singly(ctx context.Context, p *part) error {
	for org, rows := range p.rows {
		var decisions []store.Decision
		for _, row := range rows {
			all, err := s.decisionsOf(ctx, row) // anew: some may be in the ledger by now
			if err != nil {
				return err
			}
			for i := range all {
				if all[i].Organization == org && len(decisions) < s.most {
					decisions = append(decisions, all[i])
				}
			}
		}
		if len(decisions) == 0 {
			continue
		}
		g, err := s.grow(ctx, org, decisions)
		if err == nil {
			err = s.Store.Fold(ctx, nil, []store.Growth{*g})
		}
		switch {
		case err == nil:
			s.back([]store.Growth{*g})
		case s.down(ctx):
			return err
		default:
			s.setAside(org, err)
		}
	}
	return nil
}

// gather reads batches after a row, as many as one fold takes.
func (s *Sequencer) gather(ctx context.Context, after int64) (*part, error) {
	rows, err := s.Store.Unfolded(ctx, after, maxBatches)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	p := &part{at: after, decisions: map[canon.UUID][]store.Decision{}, rows: map[canon.UUID][]int64{}}
	n := 0
	for _, row := range rows {
		decisions, err := s.decisionsOf(ctx, row)
		if err != nil {
			if s.frail || s.down(ctx) {
				return nil, err
			}
			p.err, p.left, p.at = cmp.Or(p.err, fmt.Errorf("fold: batch %d is passed over: %w", row, err)), true, row
			continue
		}
		whole := true
		for i := range decisions {
			org := decisions[i].Organization
			switch {
			case s.rests(org):
				whole, p.left = false, true
				continue
			case n == s.most:
				return p, nil // the rest of this batch is for the next fold
			}
			n++
			p.decisions[org] = append(p.decisions[org], decisions[i])
			if last := len(p.rows[org]) - 1; last < 0 || p.rows[org][last] != row {
				p.rows[org] = append(p.rows[org], row)
			}
		}
		if whole {
			p.done = append(p.done, row)
		}
		p.at = row
	}
	p.end = len(rows) < maxBatches
	return p, nil
}

func (s *Sequencer) grow(ctx context.Context, org canon.UUID, decisions []store.Decision) (*store.Growth, error) {
	l, err := s.Store.Ledger(ctx, org)
	if errors.Is(err, store.ErrNotFound) {
		l, err = &store.Ledger{Organization: org}, nil
	}
	if err != nil {
		return nil, err
	}
	g := &store.Growth{Organization: org, From: l.Size}
	leaves := make([][32]byte, len(decisions))
	for i := range decisions {
		g.Receipts = append(g.Receipts, decisions[i].ID)
		leaves[i] = receipt.LeafHash(decisions[i].Leaf)
	}
	tree, mended, err := s.tree(ctx, l)
	if err != nil {
		return nil, err
	}
	added, err := tree.grow(l.Size, leaves)
	if errors.Is(err, errTiles) && !s.frail {
		if tree, mended, err = s.mend(ctx, l); err == nil {
			added, err = tree.grow(l.Size, leaves)
		}
	}
	g.Tiles = append(slices.DeleteFunc(mended, func(t store.Tile) bool {
		return slices.ContainsFunc(added, func(a store.Tile) bool { return a.Level == t.Level && a.Index == t.Index })
	}), added...)
	return g, err
}

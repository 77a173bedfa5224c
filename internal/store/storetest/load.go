package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

// Load is commits from several goroutines, and what the store said of each.
// While it runs, a test breaks something; afterwards Audit compares.
type Load struct {
	org    canon.UUID
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu       sync.Mutex // guards outcomes
	outcomes map[[2]int]error
}

// StartLoad makes an organisation and loads the stores in turn.
func StartLoad(t *testing.T, writers int, stores ...store.Store) *Load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &Load{org: organization(t, stores[0], 1).ID, cancel: cancel, outcomes: map[[2]int]error{}}
	for w := range writers {
		s := stores[w%len(stores)]
		l.group.Go(func() {
			for n := 1; ctx.Err() == nil; n++ {
				_, err := s.Commit(ctx, []store.CommitBatch{l.batch(w, n)})
				l.mu.Lock()
				l.outcomes[[2]int{w, n}] = err
				l.mu.Unlock()
			}
		})
	}
	return l
}

const perBatch = 3

// batch is number n of writer w: two decisions, and one that makes a wallet.
func (l *Load) batch(w, n int) store.CommitBatch {
	b := store.CommitBatch{Batch: store.Batch{Instance: digest(byte(w)), Number: uint64(n), Signed: fmt.Appendf(nil, "%d/%d", w, n)}, Wallets: make([]*store.Wallet, perBatch)}
	for j := range perBatch {
		id := canon.UUID{byte(w), byte(n >> 16), byte(n >> 8), byte(n), byte(j), 15: 1}
		b.Batch.Hashes = append(b.Batch.Hashes, digest(byte(j)))
		b.Decisions = append(b.Decisions, store.Decision{ID: id, Organization: l.org, KeyID: keyID(1), RequestID: id, Leaf: make([]byte, 500), ResultKind: 1, Result: make([]byte, 100)})
	}
	last := b.Decisions[perBatch-1].ID
	b.Wallets[perBatch-1] = &store.Wallet{Organization: l.org, ID: last, Record: make([]byte, 300), Receipt: last, Created: at(int64(n))}
	return b
}

// Answered counts the commits that were acknowledged so far, and those whose
// outcome the store called unknown.
func (l *Load) Answered() (acknowledged, unknown int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, err := range l.outcomes {
		switch {
		case err == nil:
			acknowledged++
		case errors.Is(err, store.ErrUnknown):
			unknown++
		}
	}
	return acknowledged, unknown
}

// Stop ends the load and waits for its last commits.
func (l *Load) Stop() { l.cancel(); l.group.Wait() }

// Audit compares what is stored with what was said, after Stop: everything
// acknowledged is there, nothing that failed is, and what is unknown is there
// whole or not at all.
func (l *Load) Audit(ctx context.Context, s store.Store) (faults []error) {
	for at, outcome := range l.outcomes {
		b := l.batch(at[0], at[1])
		found := 0
		for j := range b.Decisions {
			switch err := l.find(ctx, s, &b, j); {
			case err == nil:
				found++
			case !errors.Is(err, store.ErrNotFound):
				faults = append(faults, fmt.Errorf("writer %d, batch %d: %w", at[0], at[1], err))
			}
		}
		switch {
		case found != 0 && found != perBatch:
			faults = append(faults, fmt.Errorf("writer %d, batch %d: %d of %d rows", at[0], at[1], found, perBatch))
		case outcome == nil && found == 0:
			faults = append(faults, fmt.Errorf("writer %d, batch %d was acknowledged and is lost", at[0], at[1]))
		case outcome != nil && !errors.Is(outcome, store.ErrUnknown) && found > 0:
			faults = append(faults, fmt.Errorf("writer %d, batch %d failed (%w) and is there", at[0], at[1], outcome))
		}
	}
	return faults
}

func (l *Load) find(ctx context.Context, s store.Store, b *store.CommitBatch, j int) error {
	d, err := s.DecisionByRequest(ctx, keyID(1), b.Decisions[j].RequestID)
	if err != nil {
		return err
	}
	stored, err := s.Batch(ctx, d.Batch)
	if err != nil {
		return fmt.Errorf("a decision without its batch: %v", err)
	}
	if d.Index != j || d.ID != b.Decisions[j].ID || !bytes.Equal(stored.Signed, b.Batch.Signed) {
		return errors.New("a decision is at another place")
	}
	if w := b.Wallets[j]; w != nil {
		if _, err := s.Wallet(ctx, l.org, w.ID); err != nil {
			return fmt.Errorf("a decision without its wallet: %v", err)
		}
	}
	return nil
}

// Acknowledged returns the commits that were acknowledged so far.
func (l *Load) Acknowledged() (list [][2]int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for at, err := range l.outcomes {
		if err == nil {
			list = append(list, at)
		}
	}
	return list
}

// AuditCopy compares a copy, taken while the load ran, with what had been
// acknowledged before it was begun: all of that is there, and whatever else is
// there is there whole. After Stop.
func (l *Load) AuditCopy(ctx context.Context, s store.Store, before [][2]int) (faults []error) {
	for _, at := range before {
		if n, err := l.count(ctx, s, at); err != nil || n != perBatch {
			faults = append(faults, fmt.Errorf("writer %d, batch %d was acknowledged before and isn't whole: %d rows, %w", at[0], at[1], n, err))
		}
	}
	for at := range l.outcomes {
		if n, err := l.count(ctx, s, at); err != nil || n != 0 && n != perBatch {
			faults = append(faults, fmt.Errorf("writer %d, batch %d is there in part: %d rows, %w", at[0], at[1], n, err))
		}
	}
	return faults
}

// count returns how many of a batch's decisions are there, each with what
// belongs to it.
func (l *Load) count(ctx context.Context, s store.Store, at [2]int) (n int, err error) {
	b := l.batch(at[0], at[1])
	for j := range b.Decisions {
		switch err := l.find(ctx, s, &b, j); {
		case err == nil:
			n++
		case !errors.Is(err, store.ErrNotFound):
			return n, err
		}
	}
	return n, nil
}

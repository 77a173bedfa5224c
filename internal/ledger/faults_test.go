package ledger_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

var errFault = errors.New("planted fault")

// fault makes the nth call of a name fail, before or after it is done.
type fault struct {
	call string
	nth  int
	done bool
	hit  bool
}

func (f *fault) set(call string, nth int, done bool) { *f = fault{call: call, nth: nth, done: done} }

// now counts a call, and says whether it fails, and whether after it is done.
func (f *fault) now(call string) (fail, done bool) {
	if f.call != call {
		return false, false
	}
	f.nth--
	if f.nth == -1 {
		f.hit = true
		return true, f.done
	}
	return false, false
}

// taken reports whether a fault was met, and takes it away.
func (f *fault) taken() bool { hit := f.hit; *f = fault{}; return hit }

// faultyStore is a real store some of whose calls fail.
type faultyStore struct {
	store.Store
	fault
	slow int // how many decisions a fold has no time for
}

func run[T any](f *fault, call string, do func() (T, error)) (T, error) {
	var none T
	fail, done := f.now(call)
	if fail && !done {
		return none, errFault
	}
	out, err := do()
	if fail {
		return none, errFault
	}
	return out, err
}

func (s *faultyStore) Unfolded(ctx context.Context, after int64, limit int) ([]int64, error) {
	return run(&s.fault, "unfolded", func() ([]int64, error) { return s.Store.Unfolded(ctx, after, limit) })
}

func (s *faultyStore) DecisionsOf(ctx context.Context, batch int64) ([]store.Decision, error) {
	return run(&s.fault, "decisions", func() ([]store.Decision, error) { return s.Store.DecisionsOf(ctx, batch) })
}

func (s *faultyStore) Fold(ctx context.Context, batches []int64, ledgers []store.Growth) error {
	n := 0
	for i := range ledgers {
		n += len(ledgers[i].Receipts)
	}
	if s.slow > 0 && n >= s.slow {
		return fmt.Errorf("timeout: %w", context.DeadlineExceeded)
	}
	_, err := run(&s.fault, "fold", func() (struct{}, error) { return struct{}{}, s.Store.Fold(ctx, batches, ledgers) })
	return err
}

func (s *faultyStore) Ledger(ctx context.Context, org canon.UUID) (*store.Ledger, error) {
	return run(&s.fault, "ledger", func() (*store.Ledger, error) { return s.Store.Ledger(ctx, org) })
}

func (s *faultyStore) Unnoted(ctx context.Context, after canon.UUID, limit int) ([]store.Ledger, error) {
	return run(&s.fault, "unnoted", func() ([]store.Ledger, error) { return s.Store.Unnoted(ctx, after, limit) })
}

func (s *faultyStore) Organization(ctx context.Context, id canon.UUID) (*store.Organization, error) {
	return run(&s.fault, "organization", func() (*store.Organization, error) { return s.Store.Organization(ctx, id) })
}

func (s *faultyStore) PutNote(ctx context.Context, org canon.UUID, size uint64, note string) error {
	_, err := run(&s.fault, "note", func() (struct{}, error) { return struct{}{}, s.Store.PutNote(ctx, org, size, note) })
	return err
}

func (s *faultyStore) Tile(ctx context.Context, org canon.UUID, level int, index uint64) (*store.Tile, error) {
	return run(&s.fault, "tile", func() (*store.Tile, error) { return s.Store.Tile(ctx, org, level, index) })
}

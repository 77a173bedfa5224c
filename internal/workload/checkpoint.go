package workload

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
)

// ledgers remembers the last head that this instance signed under each state
// key. A host can have another instance sign another history, until witnesses
// remember too; it can't have one instance sign two.
type ledgers struct {
	mu    sync.Mutex // guards byKey
	byKey map[[32]byte]*ledger
}

type ledger struct {
	users int // guarded by ledgers.mu; those in work

	mu   sync.Mutex          // held from the look at the last head to its replacement
	last *receipt.Checkpoint // guarded by mu; nil: none was signed
	note string              // guarded by mu; of the last
}

// maxLedgers bounds the memory, some 40 MB. Nothing is evicted: what is
// forgotten could be signed differently.
const maxLedgers = 1 << 16

// use returns the ledger of a state key, and what to call when done. One that
// has no signature by then is forgotten: a state record is taken from anybody,
// and only a signature shows that its key is there.
func (l *ledgers) use(stateKey [32]byte) (one *ledger, done func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one = l.byKey[stateKey]; one == nil {
		if len(l.byKey) >= maxLedgers {
			return nil, nil, remote("overloaded", "this instance remembers %d ledgers and can't take another", maxLedgers)
		}
		one = &ledger{}
		l.byKey[stateKey] = one
	}
	one.users++
	return one, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if one.users--; one.users == 0 && one.note == "" { // nobody else has it: its lock isn't needed
			delete(l.byKey, stateKey)
		}
	}, nil
}

// Checkpoint implements teelink.Handler. The root is derived here, from the
// previous head and the leaves that are added, so that a signed size is the
// number of the leaves under its root. The leaves' hashes are the host's: what
// a ledger holds, the receipts in it say.
func (s *Service) Checkpoint(ctx context.Context, in *teelink.Checkpoint) (string, error) {
	if _, err := s.attested(s.args.Now()); err != nil {
		return "", err
	}
	state, ok := s.objects.states.get(in.State)
	if !ok {
		return "", missing(in.State)
	}
	key := state.cert.StateKey
	l, done, err := s.ledgers.use(key)
	if err != nil {
		return "", err
	}
	defer done()
	l.mu.Lock()
	defer l.mu.Unlock()
	origin := receipt.LedgerOrigin(state.cert.Organization)
	previous := &receipt.Checkpoint{Origin: origin, Root: emptyRoot()}
	if in.Previous != "" {
		if previous, err = receipt.OpenCheckpoint(in.Previous, origin, key); err != nil {
			return "", remote("ledger_inconsistent", "the previous note: %v", err)
		}
	}
	if l.last != nil && l.last.Size != previous.Size && len(in.FromKnown) == 0 {
		return l.note, nil
	}
	next, err := l.extend(previous, in)
	if err != nil {
		return "", remote("ledger_inconsistent", "%v", err)
	}
	note, err := next.SignWith(key, s.certifier(ctx, state))
	if err != nil {
		return "", err
	}
	l.last, l.note = next, note
	return note, nil
}

func emptyRoot() [32]byte { return (&receipt.Frontier{}).Root() }

// extend checks that the previous head is the last one or extends it, and
// returns the head with the leaves added; the caller holds the lock.
func (l *ledger) extend(previous *receipt.Checkpoint, in *teelink.Checkpoint) (*receipt.Checkpoint, error) {
	if last := l.last; last != nil {
		if err := receipt.VerifyConsistency(last.Size, previous.Size, in.FromKnown, last.Root, previous.Root); err != nil {
			return nil, fmt.Errorf("from the head that was signed last: %w", err)
		}
	}
	f, err := receipt.NewFrontier(previous.Size, in.Frontier)
	if err != nil {
		return nil, err
	}
	if f.Root() != previous.Root {
		return nil, errors.New("the frontier isn't that of the previous head")
	}
	for _, h := range in.Leaves {
		f.Append(h)
	}
	if f.Size() == 0 {
		return nil, errors.New("an empty ledger has no head")
	}
	return &receipt.Checkpoint{Origin: previous.Origin, Size: f.Size(), Root: f.Root()}, nil
}

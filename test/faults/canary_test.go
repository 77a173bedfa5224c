package faults

import (
	"context"
	"testing"

	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/test/stack"
)

// A store that says that it wrote, and didn't, must be caught in a cell of each
// call that writes. (PutAddresses isn't among them: what it leaves out is found
// waiting by the same pass, and done.)
func TestLiesAreCaught(t *testing.T) {
	c, e := &clock{}, sqlite(t)
	first := newScene(t, e, stack.Options{}, c)
	ops := reachedBy()
	for _, call := range []string{"CreateOrganization", "CreateGrant", "PutUses", "Revoke", "SetWallet", "Commit", "Fold", "PutNote", "PutEvidence"} {
		t.Run(call, func(t *testing.T) {
			opt := stack.Options{Cloud: first.Cloud, TEE: first.Link.Address}
			if call == "PutEvidence" {
				opt.TEE = ""
			}
			s := newScene(t, e, opt, c)
			caught(t, s, &cell{call: call, op: ops[call][0], fault: lies, remedy: retry})
		})
	}
}

func caught(t *testing.T, s *scene, c *cell) {
	t.Helper()
	code, errs := s.run(c, storePlant{s.f, s})
	if len(errs) == 0 {
		t.Errorf("nothing is wrong with %s (%s)", c, code)
	} else {
		t.Logf("%s (%s): %v", c, code, errs[0])
	}
}

// weakened is a control plane's store with one of its defences taken away.
type weakened struct {
	store.Store
	commit func(batches []store.CommitBatch, out [][]store.Commit, err error) ([][]store.Commit, error)
}

func (w *weakened) Commit(ctx context.Context, batches []store.CommitBatch) ([][]store.Commit, error) {
	out, err := w.Store.Commit(ctx, batches)
	return w.commit(batches, out, err)
}

// What makes each cell pass is taken away once.
func TestDefencesAreNeeded(t *testing.T) {
	signs := []operation{{"sign", sign}, {"create wallet", createWallet}, {"sign, keyed", signKeyed}, {"sign batch", signBatch}}
	c, e := &clock{}, sqlite(t)
	for name, k := range map[string]struct {
		commit func([]store.CommitBatch, [][]store.Commit, error) ([][]store.Commit, error)
		fault  fault
	}{
		"an error is taken for success": {func(b []store.CommitBatch, out [][]store.Commit, err error) ([][]store.Commit, error) {
			if err != nil {
				return won(b), nil
			}
			return out, nil
		}, fails},
		"a repeat is signed anew": {func(b []store.CommitBatch, _ [][]store.Commit, err error) ([][]store.Commit, error) {
			return won(b), err
		}, doneThenFail},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, e, stack.Options{WrapStore: func(under store.Store) store.Store { return &weakened{under, k.commit} }}, c)
			for _, op := range signs {
				s.acked = nil // what is wrong of the one before
				caught(t, s, &cell{call: "Commit", op: op, fault: k.fault, remedy: retry})
			}
		})
	}
}

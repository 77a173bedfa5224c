package attack

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/clienttest"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/test/stack"
)

// hiding is a control plane's store that keeps a decision from the ledger.
type hiding struct {
	store.Store
	on atomic.Bool
}

func (h *hiding) DecisionsOf(ctx context.Context, batch int64) ([]store.Decision, error) {
	d, err := h.Store.DecisionsOf(ctx, batch)
	if err == nil && h.on.Load() && len(d) > 0 {
		d = d[1:]
	}
	return d, err
}

// A decision that a host keeps from the ledger is missed by whoever holds its
// receipt, and no proof can be made up for it.
func TestHiddenDecision(t *testing.T) {
	h := &hiding{}
	var alter atomic.Pointer[func(path string, data map[string]any)]
	s := newScene(t, stack.Options{Ledger: true,
		WrapStore: func(db store.Store) store.Store { h.Store = db; return h },
		WrapHandler: func(next http.Handler) http.Handler {
			return clienttest.Rewrite(next, func(path string, data map[string]any) {
				if f := alter.Load(); f != nil {
					(*f)(path, data)
				}
			})
		}})
	sign := func() *client.SignResult {
		t.Helper()
		r, err := s.client.Sign(t.Context(), client.SignRequest{WalletID: s.one.ID, Network: "base", Message: "pay"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	head := func(size uint64) *client.LedgerHead {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if l, err := s.client.LedgerHead(t.Context()); err == nil && l.Size == size {
				return l
			}
		}
		t.Fatalf("no checkpoint of %d entries", size)
		return nil
	}
	shown := sign()
	old := head(3) // two wallets and a signature
	h.on.Store(true)
	hidden := sign()
	for { // folded without it
		if rows, err := s.Store.Unfolded(t.Context(), 0, 1); err == nil && len(rows) == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	h.on.Store(false)
	sign()
	now := head(4)

	if index, err := s.client.Included(t.Context(), now, shown.Receipt); err != nil || index != 2 {
		t.Error(index, err)
	}
	var refused *client.APIError
	if _, err := s.client.Included(t.Context(), now, hidden.Receipt); !errors.As(err, &refused) || refused.Code != api.CodeReceiptNotFound {
		t.Error("a hidden decision:", err)
	}
	ledgerError := func(name string, err error) {
		t.Helper()
		var v *client.VerificationError
		if !errors.As(err, &v) || v.Code != client.CodeLedger {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The proof of another entry, for the hidden one.
	show := func(path string, data map[string]any) {
		if path == "/v1/log/inclusion" {
			data["index"] = 3
		}
	}
	alter.Store(&show)
	_, err := s.client.Included(t.Context(), now, shown.Receipt)
	ledgerError("a proof for another place", err)
	wrong := func(path string, data map[string]any) {
		if path == "/v1/log/consistency" {
			data["path"] = []any{}
		}
	}
	alter.Store(&wrong)
	ledgerError("no proof of consistency", s.client.Extends(t.Context(), now, old.Note))
	alter.Store(nil)
	if err := s.client.Extends(t.Context(), now, old.Note); err != nil {
		t.Error(err)
	}
	stale := func(path string, data map[string]any) {
		if path == "/v1/log/checkpoint" {
			data["note"], data["size"] = old.Note, old.Size
		}
	}
	alter.Store(&stale)
	back, err := s.client.LedgerHead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ledgerError("an older checkpoint than the last", s.client.Extends(t.Context(), back, now.Note))
}

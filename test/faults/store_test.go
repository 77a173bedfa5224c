package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

// fault is a way for a call to go wrong.
type fault string

const (
	none         fault = ""
	fails        fault = "fail"           // nothing is done
	doneThenFail fault = "done-then-fail" // it is done, and the answer is lost
	slow         fault = "slow"           // nobody waits for the answer any more
	garbage      fault = "garbage"        // the answer is another one
	lies         fault = "lie"            // it says that it was done: what no check may miss
)

// flaw is what is wrong with an answer that is garbage.
type flaw string

const (
	flipped flaw = "flipped" // a bit of it
	cut     flaw = "cut"     // its end is missing
	foreign flaw = "foreign" // it is of another row
)

var errCut = errors.New("planted: the connection is gone")

// faulty is a real store one of whose calls goes wrong.
type faulty struct {
	store.Store

	mu    sync.Mutex // guards the fields below
	call  string
	fault fault
	flaw  flaw
	left  int            // calls that go wrong yet
	hits  int            // calls that did
	met   chan struct{}  // closed at the first of them
	gone  chan struct{}  // closed when nobody waits for a slow call
	work  sync.WaitGroup // calls that met the fault
	other neighbour
}

// neighbour are rows that have nothing to do with those that are asked for.
type neighbour struct {
	org, wallet, request, receipt canon.UUID
	sibling                       canon.UUID // another wallet of the same organisation
	keyID                         string
	batch                         int64
}

// plan has the next n calls of a method go wrong.
func (f *faulty) plan(call string, as fault, flaw flaw, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call, f.fault, f.flaw, f.left, f.hits = call, as, flaw, n, 0
	f.met, f.gone = make(chan struct{}), make(chan struct{})
}

// leave says that nobody waits for a slow call any more.
func (f *faulty) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.gone:
	default:
		close(f.gone)
	}
}

// reached is closed when a call has met the fault.
func (f *faulty) reached() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.met
}

// heal ends the fault, waits for the calls that met it, and returns how many
// there were.
func (f *faulty) heal() int {
	f.mu.Lock()
	f.call, f.left = "", 0
	hits := f.hits
	f.mu.Unlock()
	f.work.Wait()
	return hits
}

// take is what becomes of one call.
func (f *faulty) take(call string) (as fault, bad flaw, gone chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.call != call || f.left == 0 {
		return none, "", nil
	}
	f.left--
	f.work.Add(1)
	if f.hits++; f.hits == 1 {
		close(f.met)
	}
	return f.fault, f.flaw, f.gone
}

func (f *faulty) done(as fault) {
	if as != none {
		f.work.Done()
	}
}

// neighbours returns the rows that garbage is taken from.
func (f *faulty) neighbours() neighbour {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.other
}

// read is a call that only reads; garble alters its answer.
func read[T any](ctx context.Context, f *faulty, call string, do func(context.Context) (T, error), garble func(T, flaw) (T, error)) (T, error) {
	var nothing T
	as, bad, gone := f.take(call)
	defer f.done(as)
	switch as {
	case fails:
		return nothing, errCut
	case slow:
		wait(ctx, gone)
	}
	out, err := do(ctx)
	switch {
	case as == doneThenFail:
		return nothing, errCut
	case as == garbage && err == nil:
		return garble(out, bad)
	case as == garbage && bad == foreign && errors.Is(err, store.ErrNotFound):
		return garble(out, bad)
	}
	return out, err
}

// wait is a call that takes longer than anybody waits.
func wait(ctx context.Context, gone chan struct{}) {
	select {
	case <-gone:
	case <-ctx.Done():
	}
}

// write is a call that is answered by an error or none. Garbage is the wrong
// one, of nothing that was done.
func (f *faulty) write(ctx context.Context, call string, do func(context.Context) error) error {
	as, bad, gone := f.take(call)
	defer f.done(as)
	switch as {
	case fails:
		return errCut
	case garbage:
		return map[flaw]error{flipped: store.ErrExists, cut: store.ErrNotFound, foreign: store.ErrContradiction}[bad]
	case lies:
		return nil
	case slow:
		wait(ctx, gone)
	}
	err := do(ctx)
	if as == doneThenFail {
		return errors.Join(fmt.Errorf("%w: %w", store.ErrUnknown, errCut), err)
	}
	return err
}

func (f *faulty) CreateOrganization(ctx context.Context, o *store.Organization) error {
	return f.write(ctx, "CreateOrganization", func(ctx context.Context) error { return f.Store.CreateOrganization(ctx, o) })
}

func (f *faulty) Organization(ctx context.Context, id canon.UUID) (*store.Organization, error) {
	return read(ctx, f, "Organization", func(ctx context.Context) (*store.Organization, error) { return f.Store.Organization(ctx, id) }, f.organization)
}

func (f *faulty) CreateGrant(ctx context.Context, g *store.Grant) error {
	return f.write(ctx, "CreateGrant", func(ctx context.Context) error { return f.Store.CreateGrant(ctx, g) })
}

func (f *faulty) GrantByKeyID(ctx context.Context, keyID string) (*store.Grant, error) {
	return read(ctx, f, "GrantByKeyID", func(ctx context.Context) (*store.Grant, error) { return f.Store.GrantByKeyID(ctx, keyID) }, f.grant)
}

func (f *faulty) Grants(ctx context.Context, org canon.UUID, p store.Page) ([]store.Grant, int, error) {
	out, err := read(ctx, f, "Grants", func(ctx context.Context) (page[store.Grant], error) { return paged(f.Store.Grants(ctx, org, p)) }, f.grants)
	return out.rows, out.total, err
}

func (f *faulty) PutUses(ctx context.Context, uses map[string]time.Time) error {
	return f.write(ctx, "PutUses", func(ctx context.Context) error { return f.Store.PutUses(ctx, uses) })
}

func (f *faulty) Revoke(ctx context.Context, r *store.Revocation) error {
	return f.write(ctx, "Revoke", func(ctx context.Context) error { return f.Store.Revoke(ctx, r) })
}

func (f *faulty) Revocations(ctx context.Context) ([]store.Revocation, error) {
	return read(ctx, f, "Revocations", func(ctx context.Context) ([]store.Revocation, error) { return f.Store.Revocations(ctx) }, f.revocations)
}

func (f *faulty) CountRevocations(ctx context.Context) (int, error) {
	return read(ctx, f, "CountRevocations", func(ctx context.Context) (int, error) { return f.Store.CountRevocations(ctx) }, number)
}

func (f *faulty) ClaimAnswer(ctx context.Context, a *store.Answer, expired time.Time) (*store.Answer, error) {
	return read(ctx, f, "ClaimAnswer", func(ctx context.Context) (*store.Answer, error) { return f.Store.ClaimAnswer(ctx, a, expired) }, answer)
}

func (f *faulty) PutAnswer(ctx context.Context, a *store.Answer) (*store.Answer, error) {
	return read(ctx, f, "PutAnswer", func(ctx context.Context) (*store.Answer, error) { return f.Store.PutAnswer(ctx, a) }, answer)
}

func (f *faulty) Wallet(ctx context.Context, org, id canon.UUID) (*store.Wallet, error) {
	return read(ctx, f, "Wallet", func(ctx context.Context) (*store.Wallet, error) { return f.Store.Wallet(ctx, org, id) }, f.wallet)
}

func (f *faulty) Wallets(ctx context.Context, org canon.UUID, w store.WalletFilter, p store.Page) ([]store.Wallet, int, error) {
	out, err := read(ctx, f, "Wallets", func(ctx context.Context) (page[store.Wallet], error) { return paged(f.Store.Wallets(ctx, org, w, p)) }, f.wallets)
	return out.rows, out.total, err
}

func (f *faulty) SetWallet(ctx context.Context, org, id canon.UUID, c store.WalletChange) error {
	return f.write(ctx, "SetWallet", func(ctx context.Context) error { return f.Store.SetWallet(ctx, org, id, c) })
}

func (f *faulty) Unaddressed(ctx context.Context, limit int) ([]store.Wallet, error) {
	return read(ctx, f, "Unaddressed", func(ctx context.Context) ([]store.Wallet, error) { return f.Store.Unaddressed(ctx, limit) }, f.walletList)
}

func (f *faulty) PutAddresses(ctx context.Context, wallets []store.Wallet) error {
	return f.write(ctx, "PutAddresses", func(ctx context.Context) error { return f.Store.PutAddresses(ctx, wallets) })
}

func (f *faulty) Commit(ctx context.Context, batches []store.CommitBatch) ([][]store.Commit, error) {
	as, bad, gone := f.take("Commit")
	defer f.done(as)
	switch as {
	case fails:
		return nil, errCut
	case lies:
		return won(batches), nil
	case slow:
		wait(ctx, gone)
	}
	out, err := f.Store.Commit(ctx, batches)
	switch as {
	case doneThenFail:
		return nil, errors.Join(fmt.Errorf("%w: %w", store.ErrUnknown, errCut), err)
	case garbage:
		return f.results(out, bad)
	}
	return out, err
}

// won is what a store says that has stored all.
func won(batches []store.CommitBatch) [][]store.Commit {
	out := make([][]store.Commit, len(batches))
	for i := range batches {
		for j := range batches[i].Decisions {
			out[i] = append(out[i], store.Commit{Won: true, Stored: &batches[i].Decisions[j]})
		}
	}
	return out
}

func (f *faulty) DecisionByRequest(ctx context.Context, keyID string, request canon.UUID) (*store.Decision, error) {
	return read(ctx, f, "DecisionByRequest", func(ctx context.Context) (*store.Decision, error) {
		return f.Store.DecisionByRequest(ctx, keyID, request)
	}, f.decision)
}

func (f *faulty) DecisionByIdempotency(ctx context.Context, keyID string, digest [32]byte) (*store.Decision, error) {
	return read(ctx, f, "DecisionByIdempotency", func(ctx context.Context) (*store.Decision, error) {
		return f.Store.DecisionByIdempotency(ctx, keyID, digest)
	}, f.decision)
}

func (f *faulty) Decision(ctx context.Context, org, id canon.UUID) (*store.Decision, error) {
	return read(ctx, f, "Decision", func(ctx context.Context) (*store.Decision, error) { return f.Store.Decision(ctx, org, id) }, f.decision)
}

func (f *faulty) Batch(ctx context.Context, row int64) (*store.Batch, error) {
	return read(ctx, f, "Batch", func(ctx context.Context) (*store.Batch, error) { return f.Store.Batch(ctx, row) }, f.batch)
}

func (f *faulty) Unfolded(ctx context.Context, after int64, limit int) ([]int64, error) {
	return read(ctx, f, "Unfolded", func(ctx context.Context) ([]int64, error) { return f.Store.Unfolded(ctx, after, limit) }, f.rows)
}

func (f *faulty) DecisionsOf(ctx context.Context, batch int64) ([]store.Decision, error) {
	return read(ctx, f, "DecisionsOf", func(ctx context.Context) ([]store.Decision, error) { return f.Store.DecisionsOf(ctx, batch) }, f.decisions)
}

func (f *faulty) Fold(ctx context.Context, batches []int64, ledgers []store.Growth) error {
	return f.write(ctx, "Fold", func(ctx context.Context) error { return f.Store.Fold(ctx, batches, ledgers) })
}

func (f *faulty) Ledger(ctx context.Context, org canon.UUID) (*store.Ledger, error) {
	return read(ctx, f, "Ledger", func(ctx context.Context) (*store.Ledger, error) { return f.Store.Ledger(ctx, org) }, f.ledger)
}

func (f *faulty) Unnoted(ctx context.Context, after canon.UUID, limit int) ([]store.Ledger, error) {
	return read(ctx, f, "Unnoted", func(ctx context.Context) ([]store.Ledger, error) { return f.Store.Unnoted(ctx, after, limit) }, f.ledgers)
}

func (f *faulty) PutNote(ctx context.Context, org canon.UUID, size uint64, note string) error {
	return f.write(ctx, "PutNote", func(ctx context.Context) error { return f.Store.PutNote(ctx, org, size, note) })
}

func (f *faulty) Tile(ctx context.Context, org canon.UUID, level int, index uint64) (*store.Tile, error) {
	return read(ctx, f, "Tile", func(ctx context.Context) (*store.Tile, error) { return f.Store.Tile(ctx, org, level, index) }, f.tile)
}

func (f *faulty) Entries(ctx context.Context, org canon.UUID, from uint64, limit int) ([]store.Decision, error) {
	return read(ctx, f, "Entries", func(ctx context.Context) ([]store.Decision, error) { return f.Store.Entries(ctx, org, from, limit) }, f.decisions)
}

func (f *faulty) EntryOf(ctx context.Context, org, receipt canon.UUID) (uint64, error) {
	return read(ctx, f, "EntryOf", func(ctx context.Context) (uint64, error) { return f.Store.EntryOf(ctx, org, receipt) }, number)
}

func (f *faulty) Events(ctx context.Context, org canon.UUID, e store.EventFilter, p store.Page) ([]store.Event, int, error) {
	out, err := read(ctx, f, "Events", func(ctx context.Context) (page[store.Event], error) { return paged(f.Store.Events(ctx, org, e, p)) }, events)
	return out.rows, out.total, err
}

func (f *faulty) AuditOlder(ctx context.Context, limit int) (int, error) {
	return read(ctx, f, "AuditOlder", func(ctx context.Context) (int, error) { return f.Store.AuditOlder(ctx, limit) }, number)
}

func (f *faulty) PutEvidence(ctx context.Context, e *store.Evidence) error {
	return f.write(ctx, "PutEvidence", func(ctx context.Context) error { return f.Store.PutEvidence(ctx, e) })
}

func (f *faulty) Evidence(ctx context.Context, id [32]byte) (*store.Evidence, error) {
	return read(ctx, f, "Evidence", func(ctx context.Context) (*store.Evidence, error) { return f.Store.Evidence(ctx, id) }, evidence)
}

func (f *faulty) Ready(ctx context.Context) error {
	return f.write(ctx, "Ready", func(ctx context.Context) error { return f.Store.Ready(ctx) })
}

package ledger_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/ledger"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
)

// world is a real store with organisations whose state keys a signer holds.
type world struct {
	t      *testing.T
	dir    string
	store  *faultyStore
	signer *signer
	seq    *ledger.Sequencer
	n      uint64            // batches so far
	leaves map[byte][][]byte // by organisation, in order of their commits
}

func newWorld(t *testing.T, orgs ...byte) *world {
	t.Helper()
	dir := t.TempDir()
	db, err := sqlitestore.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w := &world{t: t, dir: dir, store: &faultyStore{Store: db}, signer: &signer{heads: map[[32]byte]*receipt.Checkpoint{}}, leaves: map[byte][][]byte{}}
	w.seq = &ledger.Sequencer{Store: w.store, Signer: w.signer, Log: slog.New(slog.DiscardHandler)}
	for _, o := range orgs {
		w.add(org(o))
	}
	return w
}

// add makes an organisation, whose first byte names its key.
func (w *world) add(id canon.UUID) {
	w.t.Helper()
	cert := &receipt.StateCertificate{Organization: id, StateKey: public(id[0]), Release: "r", Created: 1}
	signed, err := cert.Sign(key(id[0]))
	if err != nil {
		w.t.Fatal(err)
	}
	record := &receipt.StateRecord{Certificate: signed, TEEShare: []byte{1}, ProviderShare: []byte{1}}
	row := &store.Organization{ID: id, Genesis: id[:], Digest: [32]byte(append(id[:], make([]byte, 16)...)), State: record.Encode(), Created: time.Unix(1, 0)}
	if err := w.store.CreateOrganization(w.t.Context(), row); err != nil {
		w.t.Fatal(err)
	}
}

func org(b byte) canon.UUID { return canon.UUID{b, 15: 1} }

func key(b byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(slices.Repeat([]byte{b}, 32)) }

func public(b byte) [32]byte { return [32]byte(key(b)[32:]) }

// commit commits one batch with a decision for each named organisation.
func (w *world) commit(orgs ...byte) {
	w.t.Helper()
	w.n++
	b := store.CommitBatch{Batch: store.Batch{Instance: [32]byte{1}, Number: w.n, Signed: []byte{1}}, Wallets: make([]*store.Wallet, len(orgs))}
	for i, o := range orgs {
		id := canon.UUID{o, byte(w.n), byte(w.n >> 8), byte(w.n >> 16), byte(i), byte(i >> 8), 15: 9}
		leaf := fmt.Appendf(nil, "%d of %d, %d", i, w.n, o)
		w.leaves[o] = append(w.leaves[o], leaf)
		b.Batch.Hashes = append(b.Batch.Hashes, receipt.LeafHash(leaf))
		b.Decisions = append(b.Decisions, store.Decision{ID: id, Organization: org(o), KeyID: "00", RequestID: id, Leaf: leaf})
	}
	if _, err := w.store.Commit(w.t.Context(), []store.CommitBatch{b}); err != nil {
		w.t.Fatal(err)
	}
}

// check requires that the ledger is exactly the organisation's decisions, that
// its checkpoint covers them, and that proofs of it verify.
func (w *world) check(o byte) {
	w.t.Helper()
	want := w.leaves[o]
	l, err := w.store.Ledger(w.t.Context(), org(o))
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := receipt.OpenCheckpoint(l.Note, receipt.LedgerOrigin(org(o)), public(o))
	if err != nil {
		w.t.Fatal(err)
	}
	if n := uint64(len(want)); l.Size != n || l.Noted != n || c.Size != n || c.Root != receipt.TreeHash(want) {
		w.t.Fatalf("ledger of %d leaves, %d in the checkpoint, want %d, or another root", l.Size, c.Size, n)
	}
	entries, err := w.store.Entries(w.t.Context(), org(o), 0, len(want)+1)
	if err != nil || len(entries) != len(want) {
		w.t.Fatal(len(entries), err)
	}
	tree := ledger.NewTree(w.t.Context(), w.store, org(o))
	for i := 0; i < len(want); i += 1 + len(want)/40 {
		if string(entries[i].Leaf) != string(want[i]) {
			w.t.Fatalf("entry %d is another decision", i)
		}
		path, err := tree.Inclusion(uint64(i), c.Size)
		if err == nil {
			err = receipt.VerifyInclusion(receipt.LeafHash(want[i]), uint64(i), c.Size, path, c.Root)
		}
		if err != nil {
			w.t.Fatalf("inclusion of %d: %v", i, err)
		}
		path, err = tree.Consistency(uint64(i), c.Size)
		if err == nil {
			err = receipt.VerifyConsistency(uint64(i), c.Size, path, receipt.TreeHash(want[:i]), c.Root)
		}
		if err != nil {
			w.t.Fatalf("consistency from %d: %v", i, err)
		}
	}
}

func (w *world) round() {
	w.t.Helper()
	if err := w.seq.Round(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// Ledgers of many sizes, across the borders of tiles and of what one request
// to the workload holds.
func TestLedgers(t *testing.T) {
	w := newWorld(t, 1, 2)
	for _, batches := range []int{1, 1, 2, 3, 249, 1, 300, 1} { // 256 and 512 are borders
		for range batches {
			w.commit(1)
		}
		w.commit(2, 1, 2)
		w.round()
		w.check(1)
		w.check(2)
	}
	many := slices.Repeat([]byte{1}, 250)
	for range 24 {
		w.commit(many...)
	}
	w.round() // 6,000 leaves at once: three requests
	w.check(1)
	w.round() // nothing to do
	if asked := w.signer.asked; asked > 25 {
		t.Errorf("the workload was asked %d times", asked)
	}
	for range 60 {
		w.commit(many...)
	}
	w.round() // 15,000: as many requests as it takes
	w.check(1)
}

// Each call that a round makes fails, or fails after it was done; the next
// round sets all right, and the whole state is checked each time.
func TestFaults(t *testing.T) {
	for _, call := range []string{"unfolded", "decisions", "ledger", "fold", "tile", "unnoted", "organization", "note", "checkpoint"} {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, done %v", call, done), func(t *testing.T) {
				w := newWorld(t, 1, 2)
				w.commit(1, 2, 1)
				w.round()
				for nth := range 3 {
					w.commit(2)
					w.commit(1, 1)
					w.store.set(call, nth, done)
					w.signer.set(call, nth, done)
					err := w.seq.Round(t.Context())
					hit := w.store.taken() || w.signer.taken()
					if hit != (err != nil) || nth == 0 && !hit {
						t.Fatalf("call %d: hit %v, %v", nth, hit, err)
					}
					w.round()
					w.check(1)
					w.check(2)
				}
			})
		}
	}
}

// A workload that signed what the stored ledger doesn't have is said so, and
// its head isn't stored; another organisation's ledger goes on.
func TestForked(t *testing.T) {
	w := newWorld(t, 1, 2)
	w.commit(1, 2)
	w.round()
	old := w.signer.heads[public(1)]
	w.signer.heads[public(1)] = &receipt.Checkpoint{Origin: old.Origin, Size: 3, Root: [32]byte{7}}
	w.commit(1, 2)
	w.commit(1, 2)
	if err := w.seq.Round(t.Context()); !errors.Is(err, ledger.ErrForked) {
		t.Fatal(err)
	}
	w.check(2)
	if l, err := w.store.Ledger(t.Context(), org(1)); err != nil || l.Noted != 1 {
		t.Errorf("%+v %v", l, err)
	}
	// Where it has signed less than is stored, it is shown the proof.
	w.signer.heads[public(1)] = old
	w.round()
	w.check(1)
	w.commit(1)
	w.commit(1)
	w.signer.heads[public(1)] = old // another instance signed what came after
	w.round()
	w.check(1)
	// And where it has signed more than it could answer, its head is taken.
	w.commit(1)
	w.signer.set("checkpoint", 0, true)
	if err := w.seq.Round(t.Context()); err == nil {
		t.Fatal("no fault")
	}
	w.commit(1)
	w.round()
	w.check(1)
}

func TestRunStops(t *testing.T) {
	w := newWorld(t, 1)
	w.seq.Interval = time.Millisecond
	w.commit(1)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.seq.Run(ctx); close(done) }()
	for {
		if l, err := w.store.Ledger(t.Context(), org(1)); err == nil && l.Noted == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	stop()
	<-done
	w.check(1)
}

// signer does what the workload does (package workload has the real one; the
// two meet in the tests of the whole stack).
type signer struct {
	fault
	heads map[[32]byte]*receipt.Checkpoint
	asked int
	// refuse is the first byte of organisations for whom it refuses, and hang of
	// those for whom it gives no answer.
	refuse, hang byte
}

func (s *signer) Checkpoint(_ context.Context, state []byte, in *teelink.Checkpoint) (string, error) {
	s.asked++
	fail, done := s.now("checkpoint")
	if fail && !done {
		return "", errFault
	}
	note, err := s.sign(state, in)
	if fail {
		return "", errFault
	}
	return note, err
}

func (s *signer) sign(state []byte, in *teelink.Checkpoint) (string, error) {
	cert, err := receipt.StateCertificateOf(state)
	if err != nil {
		return "", err
	}
	switch cert.Organization[0] {
	case s.refuse:
		return "", &teelink.RemoteError{Code: "release_not_accepted", Message: "refused"}
	case s.hang:
		return "", context.DeadlineExceeded
	}
	priv := key(cert.Organization[0])
	previous := &receipt.Checkpoint{Origin: receipt.LedgerOrigin(cert.Organization), Root: (&receipt.Frontier{}).Root()}
	if in.Previous != "" {
		if previous, err = receipt.OpenCheckpoint(in.Previous, previous.Origin, cert.StateKey); err != nil {
			return "", err
		}
	}
	if last := s.heads[cert.StateKey]; last != nil {
		if last.Size != previous.Size && len(in.FromKnown) == 0 {
			return last.Sign(priv), nil
		}
		if err := receipt.VerifyConsistency(last.Size, previous.Size, in.FromKnown, last.Root, previous.Root); err != nil {
			return "", &teelink.RemoteError{Code: "ledger_inconsistent", Message: err.Error()}
		}
	}
	f, err := receipt.NewFrontier(previous.Size, in.Frontier)
	if err != nil || f.Root() != previous.Root {
		return "", &teelink.RemoteError{Code: "ledger_inconsistent", Message: "frontier"}
	}
	for _, l := range in.Leaves {
		f.Append(l)
	}
	next := &receipt.Checkpoint{Origin: previous.Origin, Size: f.Size(), Root: f.Root()}
	s.heads[cert.StateKey] = next
	return next.Sign(priv), nil
}

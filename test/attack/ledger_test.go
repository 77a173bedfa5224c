package attack

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/stack"
)

// history is a ledger that a host makes up.
type history struct{ leaves [][32]byte }

func newHistory(name string, n int) *history {
	h := &history{}
	for i := range n {
		h.leaves = append(h.leaves, receipt.LeafHash(fmt.Appendf(nil, "%s %d", name, i)))
	}
	return h
}

func (h *history) log(t *testing.T) tlog.HashReaderFunc {
	t.Helper()
	var all []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, err error) {
		for _, i := range indexes {
			out = append(out, all[i])
		}
		return out, nil
	})
	for i := range h.leaves {
		hashes, err := tlog.StoredHashesForRecordHash(int64(i), h.leaves[i], reader)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, hashes...)
	}
	return reader
}

func (h *history) root(t *testing.T, n int) [32]byte {
	t.Helper()
	root, err := tlog.TreeHash(int64(n), h.log(t))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func (h *history) proof(t *testing.T, from, to int) (path [][32]byte) {
	t.Helper()
	proof, err := tlog.ProveTree(int64(to), int64(from), h.log(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range proof {
		path = append(path, p)
	}
	return path
}

// ledgerScene is an organisation whose state record a workload holds.
type ledgerScene struct {
	t      *testing.T
	client *teelink.Client
	org    *store.Organization
	key    [32]byte // state public key
}

func newLedgerScene(t *testing.T, s *stack.Stack, owner *stack.Owner) *ledgerScene {
	t.Helper()
	client, err := s.Link.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	org, err := s.Store.Organization(t.Context(), owner.Genesis.OrganizationID)
	if err != nil {
		t.Fatal(err)
	}
	l := &ledgerScene{t: t, client: client, org: org, key: owner.State}
	l.put()
	return l
}

func (l *ledgerScene) put() {
	l.t.Helper()
	if err := l.client.Put(l.t.Context(), []teelink.Object{{Kind: teelink.ObjectStateRecord, Bytes: l.org.State}}); err != nil {
		l.t.Fatal(err)
	}
}

// ask asks for a signature over the history at a size, on top of a note.
func (l *ledgerScene) ask(h *history, previous string, size int, edit func(*teelink.Checkpoint)) (*receipt.Checkpoint, string, error) {
	l.t.Helper()
	in := &teelink.Checkpoint{State: sha256.Sum256(l.org.State), Previous: previous}
	from := uint64(0)
	if previous != "" {
		from = l.open(previous).Size
	}
	f := &receipt.Frontier{}
	for i := range size {
		if uint64(i) == from {
			in.Frontier = f.Hashes()
		}
		if uint64(i) >= from {
			in.Leaves = append(in.Leaves, h.leaves[i])
		}
		f.Append(h.leaves[i])
	}
	if from == uint64(size) {
		in.Frontier = f.Hashes()
	}
	if edit != nil {
		edit(in)
	}
	note, err := l.client.Checkpoint(l.t.Context(), in)
	if err != nil {
		return nil, "", err
	}
	return l.open(note), note, nil
}

func (l *ledgerScene) open(note string) *receipt.Checkpoint {
	l.t.Helper()
	c, err := receipt.OpenCheckpoint(note, receipt.LedgerOrigin(l.org.ID), l.key)
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// signed asks and requires the head of exactly that history and size.
func (l *ledgerScene) signed(h *history, previous string, size int, edit func(*teelink.Checkpoint)) string {
	l.t.Helper()
	c, note, err := l.ask(h, previous, size, edit)
	if err != nil || c.Size != uint64(size) || c.Root != h.root(l.t, size) {
		l.t.Fatalf("%+v %v", c, err)
	}
	return note
}

// A host can't have an instance sign a ledger that isn't the one it signed
// before, with more at its end, nor a size that isn't the number of leaves.
func TestRewrittenLedger(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	owner, other := s.NewOwner(), s.NewOwner()
	l, foreign := newLedgerScene(t, s, owner), newLedgerScene(t, s, other)
	honest, rewritten := newHistory("honest", 20), newHistory("rewritten", 20)
	ask := func(h *history, previous string, size int, edit func(*teelink.Checkpoint)) error {
		_, _, err := l.ask(h, previous, size, edit)
		return err
	}

	if err := ask(honest, "", 7, func(in *teelink.Checkpoint) { in.State = [32]byte{1} }); !isRemote(err, "objects_missing") {
		t.Error("an unknown state record:", err)
	}
	if err := ask(honest, "", 0, nil); !isRemote(err, "ledger_inconsistent") {
		t.Error("an empty ledger:", err)
	}
	first := l.signed(honest, "", 7, nil)
	foreignNote := foreign.signed(honest, "", 7, nil)
	for name, err := range map[string]error{
		"another frontier":            ask(rewritten, first, 12, nil),
		"frontier left out":           ask(honest, first, 12, func(in *teelink.Checkpoint) { in.Frontier = nil }),
		"frontier of another size":    ask(honest, first, 12, func(in *teelink.Checkpoint) { in.Frontier = in.Frontier[1:] }),
		"stored note altered":         ask(honest, first, 12, func(in *teelink.Checkpoint) { in.Previous = strings.Replace(first, "\n7\n", "\n6\n", 1) }),
		"another organisation's note": ask(honest, first, 12, func(in *teelink.Checkpoint) { in.Previous = foreignNote }),
		"no note":                     ask(honest, first, 12, func(in *teelink.Checkpoint) { in.Previous = "note" }),
		"a proof of nothing":          ask(honest, first, 12, func(in *teelink.Checkpoint) { in.FromKnown = [][32]byte{{1}} }),
		"smaller, with a proof":       ask(rewritten, "", 12, func(in *teelink.Checkpoint) { in.FromKnown = [][32]byte{{1}} }),
	} {
		if !isRemote(err, "ledger_inconsistent") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// From the beginning again: what comes back is what it signed, not more.
	for name, h := range map[string]*history{"honest": honest, "rewritten": rewritten} {
		if _, note, err := l.ask(h, "", 12, nil); err != nil || note != first {
			t.Errorf("%s, from the beginning: %q %v", name, note, err)
		}
	}
	// The refused left nothing behind: the honest one goes on, once and again.
	next := l.signed(honest, first, 12, nil)
	if again := l.signed(honest, next, 12, nil); again != next {
		t.Error("two signatures over one head differ")
	}
}

// Instances go by the stored note, and one that signed before sees to it that
// its own head is extended. One that never did and is shown no note has nothing
// to go by: that is the limit until witnesses remember the newest head.
func TestLedgerOfTwoInstances(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	l := newLedgerScene(t, s, s.NewOwner())
	one := l.client
	honest, rewritten := newHistory("honest", 20), newHistory("rewritten", 20)
	first := l.signed(honest, "", 5, nil)

	fresh := stack.Start(t, stack.Options{Cloud: s.Cloud, Digest: s.Digest})
	two, err := fresh.Link.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.client = two
	l.put()
	if _, _, err := l.ask(rewritten, first, 9, nil); !isRemote(err, "ledger_inconsistent") {
		t.Error("another instance rewrites what it is shown:", err)
	}
	second := l.signed(honest, first, 9, nil)

	l.client = one
	if _, note, err := l.ask(honest, second, 12, nil); err != nil || note != first {
		t.Errorf("without a proof from its own head: %q %v", note, err)
	}
	if _, _, err := l.ask(honest, second, 12, func(in *teelink.Checkpoint) { in.FromKnown = rewritten.proof(t, 5, 9) }); !isRemote(err, "ledger_inconsistent") {
		t.Error("with a proof of another history:", err)
	}
	l.signed(honest, second, 12, func(in *teelink.Checkpoint) { in.FromKnown = honest.proof(t, 5, 9) })

	third := stack.Start(t, stack.Options{Cloud: s.Cloud, Digest: s.Digest})
	if l.client, err = third.Link.Client(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.put()
	forked := l.signed(rewritten, "", 15, nil)
	// Its fork is of no use where the other was seen.
	l.client = one
	if _, _, err := l.ask(rewritten, forked, 16, func(in *teelink.Checkpoint) { in.FromKnown = rewritten.proof(t, 12, 15) }); !isRemote(err, "ledger_inconsistent") {
		t.Error("an instance takes a fork of what it signed:", err)
	}
}

func isRemote(err error, code string) bool {
	var e *teelink.RemoteError
	return errors.As(err, &e) && e.Code == code
}

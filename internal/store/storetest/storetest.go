// Package storetest is the conformance suite of store.Store: every engine
// passes it, against its real files or server.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

// Engine opens stores for the suite.
type Engine struct {
	// Open opens a new, empty store.
	Open func(t *testing.T) store.Store
	// Reopen closes a store, as a crash would where the engine can, and opens
	// it again on the same data.
	Reopen func(t *testing.T, s store.Store) store.Store
	// Replica opens the same data a second time beside a store, as another
	// process; nil where only one can.
	Replica func(t *testing.T, s store.Store) store.Store
}

// Run runs the suite.
func Run(t *testing.T, e Engine) {
	for name, f := range map[string]func(*testing.T, Engine){
		"Organizations": organizations, "Grants": grants, "Revocations": revocations, "Commit": commit,
		"Conflicts": conflicts, "Concurrent": concurrent, "Crossed": crossed, "Atomic": atomic, "Tenants": tenants, "Evidence": evidence, "AnyText": anyText,
		"Ledgers": ledgers, "RacingFolds": racingFolds, "PartialFolds": partialFolds, "Audit": audit, "FindWallets": findWallets, "ChangeWallets": changeWallets, "Answers": answers,
	} {
		t.Run(name, func(t *testing.T) { f(t, e) })
	}
}

func id(b byte) canon.UUID { return canon.UUID{b, 15: 1} }

func digest(b byte) [32]byte { return [32]byte{b, 31: 1} }

func at(sec int64) time.Time { return time.Unix(1764000000+sec, 0).UTC() }

func keyID(b byte) string { return fmt.Sprintf("%032x", b) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// organization stores one organisation.
func organization(t *testing.T, s store.Store, b byte) *store.Organization {
	t.Helper()
	o := &store.Organization{ID: id(b), Genesis: []byte{b}, Digest: digest(b), State: []byte{b, b}, Created: at(0)}
	must(t, s.CreateOrganization(t.Context(), o))
	return o
}

func organizations(t *testing.T, e Engine) {
	s := e.Open(t)
	o := organization(t, s, 1)
	if err := s.CreateOrganization(t.Context(), o); !errors.Is(err, store.ErrExists) {
		t.Fatalf("again: %v", err)
	}
	s = e.Reopen(t, s)
	got, err := s.Organization(t.Context(), o.ID)
	must(t, err)
	if got.Digest != o.Digest || !bytes.Equal(got.State, o.State) || !got.Created.Equal(o.Created) {
		t.Fatalf("%+v", got)
	}
	if _, err := s.Organization(t.Context(), id(2)); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("unknown: %v", err)
	}
	must(t, s.Ready(t.Context()))
}

func grant(org *store.Organization, b byte) *store.Grant {
	return &store.Grant{Organization: org.ID, ID: id(b), KeyID: keyID(b), Digest: digest(b), Envelope: []byte{b}, Created: at(int64(b))}
}

func grants(t *testing.T, e Engine) {
	s := e.Open(t)
	o := organization(t, s, 1)
	for b := byte(1); b <= 3; b++ {
		must(t, s.CreateGrant(t.Context(), grant(o, b)))
	}
	if err := s.CreateGrant(t.Context(), grant(o, 2)); !errors.Is(err, store.ErrExists) {
		t.Fatalf("again: %v", err)
	}
	other := grant(o, 9)
	other.KeyID = keyID(2) // another grant for the same credential
	if err := s.CreateGrant(t.Context(), other); !errors.Is(err, store.ErrExists) {
		t.Fatalf("same credential: %v", err)
	}
	if err := s.CreateGrant(t.Context(), grant(&store.Organization{ID: id(7)}, 8)); err == nil || errors.Is(err, store.ErrExists) {
		t.Fatalf("grant of no organisation: %v", err)
	}
	s = e.Reopen(t, s)
	must(t, s.PutUses(t.Context(), map[string]time.Time{keyID(2): at(9), keyID(1): at(1)}))
	must(t, s.PutUses(t.Context(), map[string]time.Time{keyID(2): at(8), keyID(1): at(2)}))
	list, total, err := s.Grants(t.Context(), o.ID, store.Page{Limit: 2, Offset: 1})
	must(t, err)
	if total != 3 || len(list) != 2 || list[0].KeyID != keyID(2) || !list[0].Used.Equal(at(9)) || !list[1].Used.IsZero() {
		t.Fatalf("%d %+v", total, list)
	}
	if _, err := s.GrantByKeyID(t.Context(), keyID(5)); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("unknown: %v", err)
	}
}

func revocations(t *testing.T, e Engine) {
	s := e.Open(t)
	o := organization(t, s, 1)
	must(t, s.CreateGrant(t.Context(), grant(o, 1)))
	r := &store.Revocation{Organization: o.ID, Grant: digest(1), Envelope: []byte("r"), At: at(5)}
	must(t, s.Revoke(t.Context(), r))
	must(t, s.Revoke(t.Context(), r)) // again is no error
	if err := s.Revoke(t.Context(), &store.Revocation{Organization: o.ID, Grant: digest(9), At: at(5)}); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("unknown grant: %v", err)
	}
	if err := s.Revoke(t.Context(), &store.Revocation{Organization: id(2), Grant: digest(1), At: at(5)}); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("grant of another organisation: %v", err)
	}
	s = e.Reopen(t, s)
	g, err := s.GrantByKeyID(t.Context(), keyID(1))
	must(t, err)
	list, err := s.Revocations(t.Context())
	must(t, err)
	n, err := s.CountRevocations(t.Context())
	must(t, err)
	if !g.Revoked.Equal(at(5)) || len(list) != 1 || n != 1 || list[0].Grant != digest(1) {
		t.Fatalf("%v %+v", g.Revoked, list)
	}
}

// batch is number n of an instance, with decisions of the given bytes; a
// decision over 100 makes a wallet.
func batch(org canon.UUID, n uint64, decisions ...byte) store.CommitBatch {
	b := store.CommitBatch{Batch: store.Batch{Instance: digest(200), Number: n, Signed: []byte{byte(n)}}}
	for _, d := range decisions {
		b.Batch.Hashes = append(b.Batch.Hashes, digest(d))
		b.Decisions = append(b.Decisions, store.Decision{ID: id(d), Organization: org, KeyID: keyID(1), RequestID: id(d), Leaf: []byte{d}, ResultKind: 1, Result: []byte{d, d}})
		var w *store.Wallet
		if d > 100 {
			w = &store.Wallet{Organization: org, ID: id(d), Record: []byte{d}, Label: "wallet", Receipt: id(d), Created: at(int64(d))}
		}
		b.Wallets = append(b.Wallets, w)
	}
	return b
}

func commit(t *testing.T, e Engine) {
	s := e.Open(t)
	o := organization(t, s, 1)
	out, err := s.Commit(t.Context(), []store.CommitBatch{batch(o.ID, 1, 1, 2, 101), batch(o.ID, 2, 3)})
	must(t, err)
	for _, list := range out {
		for _, c := range list {
			if !c.Won {
				t.Fatal("lost without a rival")
			}
		}
	}
	s = e.Reopen(t, s)
	d, err := s.DecisionByRequest(t.Context(), keyID(1), id(2))
	must(t, err)
	b, err := s.Batch(t.Context(), d.Batch)
	must(t, err)
	if d.Index != 1 || d.ID != id(2) || b.Number != 1 || len(b.Hashes) != 3 || b.Hashes[1] != digest(2) || !bytes.Equal(d.Leaf, []byte{2}) {
		t.Fatalf("%+v %+v", d, b)
	}
	byID, err := s.Decision(t.Context(), o.ID, id(2))
	must(t, err)
	if byID.RequestID != id(2) || byID.KeyID != keyID(1) {
		t.Fatalf("%+v", byID)
	}
	w, err := s.Wallet(t.Context(), o.ID, id(101))
	must(t, err)
	if w.Label != "wallet" || w.Receipt != id(101) {
		t.Fatalf("%+v", w)
	}
	list, total, err := s.Wallets(t.Context(), o.ID, store.WalletFilter{}, store.Page{Limit: 10})
	must(t, err)
	if total != 1 || len(list) != 1 {
		t.Fatal(total, list)
	}
}

// A request id, and an Idempotency-Key, mean one decision for ever; the loser
// is told the winner, and its wallet isn't stored.
func conflicts(t *testing.T, e Engine) {
	s := e.Open(t)
	o := organization(t, s, 1)
	first := batch(o.ID, 1, 1)
	first.Decisions[0].Idempotency = digest(77)
	_, err := s.Commit(t.Context(), []store.CommitBatch{first})
	must(t, err)

	same := batch(o.ID, 2, 102)
	same.Decisions[0].RequestID = id(1)
	key := batch(o.ID, 3, 103)
	key.Decisions[0].Idempotency = digest(77)
	otherKey := batch(o.ID, 4, 104)
	otherKey.Decisions[0].KeyID, otherKey.Decisions[0].RequestID = keyID(2), id(1)
	out, err := s.Commit(t.Context(), []store.CommitBatch{same, key, otherKey})
	must(t, err)
	for i, want := range []bool{false, false, true} {
		if out[i][0].Won != want || !want && out[i][0].Stored.ID != id(1) {
			t.Fatalf("%d: %+v", i, out[i][0])
		}
	}
	for _, b := range []byte{102, 103} {
		if _, err := s.Wallet(t.Context(), o.ID, id(b)); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("a loser's wallet is there: %v", err)
		}
	}
	// Twice in one commit: the first wins.
	twice := batch(o.ID, 5, 111, 112)
	twice.Decisions[1].RequestID = id(111)
	out, err = s.Commit(t.Context(), []store.CommitBatch{twice})
	must(t, err)
	if !out[0][0].Won || out[0][1].Won || out[0][1].Stored.ID != id(111) {
		t.Fatalf("%+v", out[0])
	}
	if _, err := s.Wallet(t.Context(), o.ID, id(112)); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("a loser's wallet is there: %v", err)
	}
	d, err := s.DecisionByIdempotency(t.Context(), keyID(1), digest(77))
	must(t, err)
	if d.ID != id(1) {
		t.Fatal("winner replaced")
	}
	if _, err := s.DecisionByIdempotency(t.Context(), keyID(2), digest(77)); !errors.Is(err, store.ErrNotFound) {
		t.Fatal("another key's Idempotency-Key found")
	}
}

// Many commits of one request id at once: one wins, all are told the same.
func concurrent(t *testing.T, e Engine) {
	s := e.Open(t)
	o := organization(t, s, 1)
	const rivals = 16
	var group sync.WaitGroup
	won := make([]bool, rivals)
	told := make([]canon.UUID, rivals)
	for i := range rivals {
		group.Go(func() {
			b := batch(o.ID, uint64(i+1), byte(i+1))
			b.Decisions[0].RequestID = id(99)
			out, err := s.Commit(context.Background(), []store.CommitBatch{b})
			if err != nil {
				t.Error(err)
				return
			}
			won[i], told[i] = out[0][0].Won, out[0][0].Stored.ID
		})
	}
	group.Wait()
	winners := 0
	for i := range rivals {
		if won[i] {
			winners++
		}
		if told[i] != told[0] {
			t.Error("rivals are told different winners")
		}
	}
	if winners != 1 {
		t.Fatalf("%d winners", winners)
	}
}

// Commits that meet each other's request ids in opposite orders, as those of
// two control planes do: each id has one winner, and nobody fails.
func crossed(t *testing.T, e Engine) {
	s := e.Open(t)
	stores := []store.Store{s, s}
	if e.Replica != nil {
		stores[1] = e.Replica(t, s)
	}
	for _, err := range Crossed(t, stores[0], stores[1]) {
		t.Error(err)
	}
}

const (
	rivals   = 8
	subjects = 100 // what they are rivals for: request ids, then Idempotency-Keys
)

// rival is a commit of every subject, in one order or the other.
func rival(org canon.UUID, i int) store.CommitBatch {
	b := batch(org, uint64(i+1))
	b.Wallets, b.Batch.Hashes = make([]*store.Wallet, subjects), make([][32]byte, subjects)
	for j := range subjects {
		n := j
		if i%2 == 1 {
			n = subjects - 1 - j
		}
		d := store.Decision{ID: canon.UUID{byte(n + 1), byte(i + 1), 15: 1}, Organization: org, KeyID: keyID(1), RequestID: id(byte(n + 1)), Leaf: []byte{byte(n)}, ResultKind: 1}
		if n >= subjects/2 {
			// Request ids before the others, with the keys in one order or the
			// other: where an engine locks by request id, it meets a deadlock.
			d.RequestID, d.Idempotency = canon.UUID{0, byte(j), byte(i + 1), 15: 1}, digest(byte(n+1))
		}
		b.Decisions = append(b.Decisions, d)
	}
	return b
}

// Crossed makes an organisation and has two stores over the same data commit
// rivals to each other's requests. It returns what is wrong then.
func Crossed(t *testing.T, one, two store.Store) (faults []error) {
	t.Helper()
	o := organization(t, one, 1)
	var group sync.WaitGroup
	var mu sync.Mutex // guards the results
	var won [subjects]int
	var told [subjects]map[canon.UUID]int // winners named
	for i := range rivals {
		group.Go(func() {
			b := rival(o.ID, i)
			out, err := []store.Store{one, two}[i/2%2].Commit(context.Background(), []store.CommitBatch{b})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				faults = append(faults, fmt.Errorf("rival %d: %w", i, err))
				return
			}
			for j, c := range out[0] {
				n := b.Decisions[j].Leaf[0]
				if told[n] == nil {
					told[n] = map[canon.UUID]int{}
				}
				told[n][c.Stored.ID]++
				if c.Won {
					won[n]++
				}
			}
		})
	}
	group.Wait()
	for n := range subjects {
		d, err := two.DecisionByRequest(t.Context(), keyID(1), id(byte(n+1)))
		if n >= subjects/2 {
			d, err = two.DecisionByIdempotency(t.Context(), keyID(1), digest(byte(n+1)))
		}
		if err != nil || won[n] != 1 || told[n][d.ID] != rivals {
			faults = append(faults, fmt.Errorf("subject %d: %d won, told %v, stored %+v (%v)", n, won[n], told[n], d, err))
		}
	}
	return faults
}

// Text of callers is kept as it came: a row that an engine refused would fail
// everybody's commit.
func anyText(t *testing.T, e Engine) {
	s := e.Open(t)
	o := organization(t, s, 1)
	const text = "a\x00b\xffc \\x41 \u00e9\U0001f511'\""
	b := batch(o.ID, 1, 101)
	b.Decisions[0].Explanation, b.Wallets[0].Label = text, text
	_, err := s.Commit(t.Context(), []store.CommitBatch{b})
	must(t, err)
	d, err := s.Decision(t.Context(), o.ID, id(101))
	must(t, err)
	w, err := s.Wallet(t.Context(), o.ID, id(101))
	must(t, err)
	if d.Explanation != text || w.Label != text {
		t.Fatalf("%q %q", d.Explanation, w.Label)
	}
}

// A transaction that fails leaves nothing behind: the second batch repeats a
// number, so the first isn't stored either.
func atomic(t *testing.T, e Engine) {
	s := e.Open(t)
	o := organization(t, s, 1)
	_, err := s.Commit(t.Context(), []store.CommitBatch{batch(o.ID, 1, 1)})
	must(t, err)
	if _, err := s.Commit(t.Context(), []store.CommitBatch{batch(o.ID, 2, 105), batch(o.ID, 1, 3)}); err == nil {
		t.Fatal("a batch number was used twice")
	}
	s = e.Reopen(t, s)
	if _, err := s.DecisionByRequest(t.Context(), keyID(1), id(105)); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("half a transaction is there: %v", err)
	}
	if _, err := s.Wallet(t.Context(), o.ID, id(105)); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("half a transaction is there: %v", err)
	}
}

// Rows of another organisation are not found.
func tenants(t *testing.T, e Engine) {
	s := e.Open(t)
	one, two := organization(t, s, 1), organization(t, s, 2)
	_, err := s.Commit(t.Context(), []store.CommitBatch{batch(one.ID, 1, 101)})
	must(t, err)
	if _, err := s.Wallet(t.Context(), two.ID, id(101)); !errors.Is(err, store.ErrNotFound) {
		t.Error("wallet of another organisation found")
	}
	if _, err := s.Decision(t.Context(), two.ID, id(101)); !errors.Is(err, store.ErrNotFound) {
		t.Error("decision of another organisation found")
	}
	if list, total, err := s.Wallets(t.Context(), two.ID, store.WalletFilter{}, store.Page{Limit: 10}); err != nil || total != 0 || len(list) != 0 {
		t.Error("wallets of another organisation listed", err)
	}
}

func evidence(t *testing.T, e Engine) {
	s := e.Open(t)
	ev := &store.Evidence{ID: digest(1), Statement: []byte("s"), Token: "t", Release: "r", Version: "v", Stored: at(1)}
	must(t, s.PutEvidence(t.Context(), ev))
	must(t, s.PutEvidence(t.Context(), ev)) // again is no error
	s = e.Reopen(t, s)
	got, err := s.Evidence(t.Context(), ev.ID)
	must(t, err)
	if got.Token != "t" || !bytes.Equal(got.Statement, ev.Statement) || !got.Stored.Equal(ev.Stored) {
		t.Fatalf("%+v", got)
	}
	if _, err := s.Evidence(t.Context(), digest(2)); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("unknown: %v", err)
	}
}

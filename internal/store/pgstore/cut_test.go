package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
)

// scene is a database, a store behind a proxy, and one that nothing happens to.
type scene struct {
	database string
	proxy    *proxy
	store    *pgstore.Store
	direct   *pgstore.Store
	org      canon.UUID
	earlier  store.Decision
}

const keyOne = "00000000000000000000000000000001"

func newScene(t *testing.T, server *pgtest.Server, u pgstore.Unsafe) *scene {
	t.Helper()
	name := migrated(t, server)
	s := &scene{database: name, proxy: newProxy(t, server.Socket()), org: canon.UUID{9, 15: 9}}
	s.direct = open(t, pgstore.Config{DSN: server.DSN("sigil_app", name)})
	var err error
	if s.store, err = pgstore.OpenUnsafe(t.Context(), pgstore.Config{DSN: s.proxy.dsn("sigil_app", name)}, u); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.store.Close() })
	if err := s.direct.CreateOrganization(t.Context(), s.organization(s.org)); err != nil {
		t.Fatal(err)
	}
	first := s.batch(1 << 20)
	if _, err := s.direct.Commit(t.Context(), []store.CommitBatch{first}); err != nil {
		t.Fatal(err)
	}
	s.earlier = first.Decisions[0]
	return s
}

func (s *scene) organization(id canon.UUID) *store.Organization {
	return &store.Organization{ID: id, Genesis: []byte("g"), Digest: [32]byte(append(id[:], make([]byte, 16)...)), State: []byte("s"), Created: time.Unix(1764000000, 0)}
}

func number(n int, kind byte) canon.UUID {
	return canon.UUID{kind, byte(n >> 16), byte(n >> 8), byte(n), 15: 1}
}

// batch is one decision, and one that makes a wallet.
func (s *scene) batch(n int) store.CommitBatch {
	b := store.CommitBatch{Batch: store.Batch{Instance: [32]byte{1}, Number: uint64(n), Signed: fmt.Append(nil, n), Hashes: make([][32]byte, 2)}, Wallets: make([]*store.Wallet, 2)}
	for j := range 2 {
		id := number(n, byte(j+1))
		b.Decisions = append(b.Decisions, store.Decision{ID: id, Organization: s.org, KeyID: keyOne, RequestID: id, Leaf: []byte("leaf"), ResultKind: 1})
	}
	id := b.Decisions[1].ID
	b.Wallets[1] = &store.Wallet{Organization: s.org, ID: id, Record: []byte("w"), Receipt: id, Created: time.Unix(1764000000, 0)}
	return b
}

// operation is a write, and the check that it happened just once.
type operation struct {
	do    func(ctx context.Context, s *scene, n int) error
	check func(ctx context.Context, s *scene, n int) error
}

func operations() map[string]operation {
	return map[string]operation{
		"Commit":             {commitTwo, committedTwo},
		"CreateOrganization": {createOrganization, createdOrganization},
		"CreateGrant":        {createGrant, createdGrant},
		"Revoke":             {revoke, revoked},
		"PutEvidence":        {putEvidence, haveEvidence},
	}
}

// commitTwo commits two batches; the first decision of the second lost to one
// that was there before.
func commitTwo(ctx context.Context, s *scene, n int) error {
	batches := []store.CommitBatch{s.batch(2 * n), s.batch(2*n + 1)}
	batches[1].Decisions[0].RequestID = s.earlier.RequestID
	out, err := s.store.Commit(ctx, batches)
	if err != nil {
		return err
	}
	for i, want := range [][]bool{{true, true}, {false, true}} {
		for j, won := range want {
			c := out[i][j]
			if c.Won != won || won && c.Stored.ID != batches[i].Decisions[j].ID || !won && c.Stored.ID != s.earlier.ID {
				return fmt.Errorf("batch %d, decision %d: %+v", i, j, c)
			}
		}
	}
	return nil
}

func committedTwo(ctx context.Context, s *scene, n int) error {
	for i, want := range [][]bool{{true, true}, {false, true}} {
		for j, there := range want {
			b := s.batch(2*n + i)
			d, err := s.direct.Decision(ctx, s.org, b.Decisions[j].ID)
			if there != (err == nil) {
				return fmt.Errorf("batch %d, decision %d: %w", i, j, err)
			}
			if !there {
				continue
			}
			if stored, err := s.direct.Batch(ctx, d.Batch); err != nil || stored.Number != uint64(2*n+i) || d.Index != j {
				return fmt.Errorf("decision of batch %d stands in %+v (%v)", i, stored, err)
			}
		}
		if _, err := s.direct.Wallet(ctx, s.org, number(2*n+i, 2)); err != nil {
			return fmt.Errorf("wallet: %w", err)
		}
	}
	return nil
}

func createOrganization(ctx context.Context, s *scene, n int) error {
	return s.store.CreateOrganization(ctx, s.organization(number(n, 3)))
}

func createdOrganization(ctx context.Context, s *scene, n int) error {
	_, err := s.direct.Organization(ctx, number(n, 3))
	return err
}

func (s *scene) grant(n int, kind byte) *store.Grant {
	id := number(n, kind)
	return &store.Grant{Organization: s.org, ID: id, KeyID: fmt.Sprintf("%02x%030x", kind, n), Digest: [32]byte(append(id[:], make([]byte, 16)...)), Envelope: []byte("e"), Created: time.Unix(1764000000, 0)}
}

func createGrant(ctx context.Context, s *scene, n int) error {
	return s.store.CreateGrant(ctx, s.grant(n, 4))
}

func createdGrant(ctx context.Context, s *scene, n int) error {
	g, err := s.direct.GrantByKeyID(ctx, s.grant(n, 4).KeyID)
	if err == nil && !g.Revoked.IsZero() {
		err = errors.New("revoked")
	}
	return err
}

func revoke(ctx context.Context, s *scene, n int) error {
	g := s.grant(n, 5)
	if err := s.direct.CreateGrant(ctx, g); err != nil {
		return err
	}
	return s.store.Revoke(ctx, &store.Revocation{Organization: s.org, Grant: g.Digest, Envelope: []byte("r"), At: time.Unix(1764000001, 0)})
}

func revoked(ctx context.Context, s *scene, n int) error {
	g, err := s.direct.GrantByKeyID(ctx, s.grant(n, 5).KeyID)
	if err != nil {
		return err
	}
	list, err := s.direct.Revocations(ctx)
	if err != nil {
		return err
	}
	found := 0
	for _, r := range list {
		if r.Grant == g.Digest {
			found++
		}
	}
	if g.Revoked.IsZero() || found != 1 {
		return fmt.Errorf("revoked %v, %d revocations", g.Revoked, found)
	}
	return nil
}

func putEvidence(ctx context.Context, s *scene, n int) error {
	return s.store.PutEvidence(ctx, &store.Evidence{ID: [32]byte{byte(n)}, Statement: []byte("s"), Stored: time.Unix(1764000000, 0)})
}

func haveEvidence(ctx context.Context, s *scene, n int) error {
	_, err := s.direct.Evidence(ctx, [32]byte{byte(n)})
	return err
}

// cutEverywhere breaks the connection at each statement of an operation in
// turn. It returns how many statements there were, and what went wrong.
func (s *scene) cutEverywhere(ctx context.Context, op operation, kind cut, n *int) (positions int, faults []error) {
	for k := 1; ; k++ {
		*n++
		s.proxy.arm(k, kind)
		err := op.do(ctx, s, *n)
		fired := s.proxy.disarm()
		if err == nil {
			err = op.check(ctx, s, *n)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("cut %v statement %d: %w", kind, k, err))
		}
		if !fired {
			return k - 1, faults
		}
	}
}

// Wherever the connection breaks, the write happens just once and its caller
// hears so: a COMMIT whose answer never came is looked up.
func cuts(t *testing.T, server *pgtest.Server) {
	s := newScene(t, server, pgstore.Unsafe{})
	n := 0
	for name, op := range operations() {
		for _, kind := range []cut{cutBefore, cutAfter, cutLate} {
			t.Run(fmt.Sprint(name, "/", kind), func(t *testing.T) {
				positions, faults := s.cutEverywhere(t.Context(), op, kind, &n)
				for _, err := range faults {
					t.Error(err)
				}
				if positions < 3 { // at least begin, write, commit
					t.Errorf("cut at %d statements only", positions)
				}
				t.Logf("cut at %d statements", positions)
			})
		}
	}
	t.Run("OthersRows", func(t *testing.T) { othersRows(t, s, &n) })
	// The canary: a store that takes silence for failure, or for nothing.
	careless := newScene(t, server, pgstore.Unsafe{Careless: true})
	for _, name := range []string{"Commit", "CreateOrganization", "CreateGrant"} {
		for _, kind := range []cut{cutAfter, cutLate} {
			if _, faults := careless.cutEverywhere(t.Context(), operations()[name], kind, &n); len(faults) == 0 {
				t.Errorf("%s %v: a store that doesn't look up what became of COMMIT isn't caught", name, kind)
			}
		}
	}
}

// While the outcome of a write is in doubt, somebody else writes what
// conflicts with it. That isn't mistaken for the own write.
func othersRows(t *testing.T, s *scene, n *int) {
	for name, c := range map[string]struct {
		own, others func(n int) error
	}{
		"Commit": {
			func(n int) error {
				_, err := s.store.Commit(t.Context(), []store.CommitBatch{s.batch(n)})
				return err
			},
			func(n int) error {
				b := s.batch(n)
				b.Batch.Signed = []byte("another")
				_, err := s.direct.Commit(t.Context(), []store.CommitBatch{b})
				return err
			},
		},
		"CreateOrganization": {
			func(n int) error { return s.store.CreateOrganization(t.Context(), s.organization(number(n, 6))) },
			func(n int) error {
				o := s.organization(number(n, 6))
				o.State = []byte("another")
				return s.direct.CreateOrganization(t.Context(), o)
			},
		},
		"CreateGrant": {
			func(n int) error { return s.store.CreateGrant(t.Context(), s.grant(n, 7)) },
			func(n int) error {
				g := s.grant(n, 7)
				g.Digest[31] = 1
				return s.direct.CreateGrant(t.Context(), g)
			},
		},
	} {
		doubts := 0
		for k, fired := 1, true; fired; k++ {
			*n += 1000
			s.proxy.arm(k, cutBefore)
			var others error
			s.proxy.mu.Lock()
			s.proxy.after = func() { others = c.others(*n) }
			s.proxy.mu.Unlock()
			err := c.own(*n)
			if fired = s.proxy.disarm(); !fired {
				continue
			}
			if others != nil || !errors.Is(err, store.ErrExists) || errors.Is(err, store.ErrUnknown) {
				t.Errorf("%s, statement %d: own %v, others %v", name, k, err, others)
			}
			doubts++
		}
		if doubts < 3 {
			t.Errorf("%s: cut at %d statements only", name, doubts)
		}
	}
}

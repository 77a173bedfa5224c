package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

// tiny is how many wallets are many in tests.
const tiny = 20_000

// TestMain is the program where it starts itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-baseline" {
		main()
		return
	}
	os.Exit(m.Run())
}

// build makes the programs as they are deployed.
func build(t *testing.T) string {
	t.Helper()
	if _, err := cpuTime(os.Getpid()); err != nil {
		t.Skipf("%v: run the tests there", err)
	}
	dir := t.TempDir()
	for _, p := range []string{"sigil", "sigil-tee"} {
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, p), "../../cmd/"+p)
		cmd.Env = append(os.Environ(), "GOEXPERIMENT=runtimesecret", "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return dir
}

// TestReport takes every figure once, of little, and wherever files may be. The
// lookups check what they get; figures have to be there, and no more.
func TestReport(t *testing.T) {
	o := options{bin: build(t), ram: os.TempDir(), requests: 128, rounds: 1, wallets: tiny, lookups: 1, say: t.Logf}
	r, err := take(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, engine := range []string{sqlite, postgres} {
		for _, flushed := range []bool{true, false} {
			for _, clients := range []int{1, 64} {
				m := r.run(engine, flushed, clients)
				if m.Requests == 0 || m.PerSecond <= 0 || m.P50 <= 0 || m.Server <= 0 || m.TEE <= 0 || m.Baseline <= 0 || (m.Database > 0) != (engine == postgres) {
					t.Errorf("%s, flushed %v, %d clients: %+v", engine, flushed, clients, *m)
				}
			}
		}
	}
	if len(r.Wallets) != 2 || len(r.Wallets[0].Lookups) != 11 || len(r.Wallets[1].Lookups) != 11 {
		t.Errorf("lookups: %+v", r.Wallets)
	}
	for _, f := range r.Wallets {
		for _, l := range f.Lookups {
			if l.Failed != "" || l.Few <= 0 || l.Many <= 0 || l.Ratio <= 0 {
				t.Errorf("%s: %+v", f.Engine, l)
			}
		}
	}
	var out bytes.Buffer
	r.print(&out)
	for _, want := range []string{"fsync=on, synchronous_commit=on", "ratio, flushed to not", "first page over HTTP"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report doesn't say %q:\n%s", want, out.String())
		}
	}
}

// TestClones: what is measured is a database as it would have become wallet by
// wallet.
func TestClones(t *testing.T) {
	bin := build(t)
	for _, engine := range []string{sqlite, postgres} {
		t.Run(engine, func(t *testing.T) {
			ctx := t.Context()
			s := &side{population: population{many: tiny, few: handful}}
			p := &program{}
			t.Cleanup(p.end)
			dir, err := folder("")
			if err != nil {
				t.Fatal(err)
			}
			p.Cleanup(func() { _ = os.RemoveAll(dir) })
			server, err := walletServer(p, dir, engine)
			if err != nil {
				t.Fatal(err)
			}
			if s.installation, err = p.install(ctx, bin, dir, "stack", "", server); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.down() })
			if err := s.fill(ctx); err != nil {
				t.Fatal(err)
			}
			if s.store, err = s.open(ctx); err != nil {
				t.Fatal(err)
			}
			defer s.store.Close()
			s.holds(t, s.org, tiny)
			s.holds(t, s.guest, handful)
			s.lives(t)
		})
	}
}

// holds requires so many wallets on an organisation's pages, in order, as many
// as are counted and as there are rows, and each with its addresses.
func (s *side) holds(t *testing.T, org canon.UUID, want int) {
	t.Helper()
	seen := map[canon.UUID]bool{}
	var last store.Wallet
	for {
		page, total, err := s.store.Wallets(t.Context(), org, store.WalletFilter{Archived: store.Live}, store.Page{Limit: 1000, Offset: len(seen)})
		if err != nil || total != want {
			t.Fatalf("%d wallets are counted, not %d: %v", total, want, err)
		}
		if len(page) == 0 {
			break
		}
		for _, w := range page {
			if seen[w.ID] || w.Organization != org || !w.Created.After(last.Created) || w.Label <= last.Label || len(w.Record) < 1000 {
				t.Fatalf("wallet %d: %+v after %+v", len(seen), w, last)
			}
			seen[w.ID], last = true, w
		}
	}
	if len(seen) != want {
		t.Errorf("%d wallets on all pages, not %d", len(seen), want)
	}
	for _, id := range s.real {
		if org == s.org && !seen[id] {
			t.Errorf("the real wallet %s is gone", id)
		}
	}
	for query, want := range map[string]int{
		`SELECT COUNT(*) FROM wallets WHERE organization_id = $1`:                                          want,
		`SELECT COUNT(*) FROM wallet_addresses WHERE organization_id = $1`:                                 5 * want,
		`SELECT COUNT(DISTINCT wallet) FROM wallet_addresses WHERE organization_id = $1 AND address <> ''`: want,
	} {
		if got := s.count(t, query, org); got != want {
			t.Errorf("%s: %d, not %d", query, got, want)
		}
	}
}

func (s *side) count(t *testing.T, query string, org canon.UUID) (n int) {
	t.Helper()
	db, err := s.tables()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), query, org[:]).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// lives requires that rows still count themselves: those that are archived,
// and those that come.
func (s *side) lives(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	now := s.created(1)
	if err := s.store.SetWallet(ctx, s.org, s.wallets[7].id, store.WalletChange{Archived: &now}); err != nil {
		t.Fatal(err)
	}
	id := canon.UUID{1, 2, 3}
	_, err := s.store.Commit(ctx, []store.CommitBatch{{Batch: store.Batch{Instance: [32]byte{9}, Number: 1, Signed: []byte{1}, Hashes: make([][32]byte, 1)},
		Decisions: []store.Decision{{ID: id, Organization: s.org, KeyID: "00", RequestID: id, Leaf: []byte{1}}},
		Wallets:   []*store.Wallet{{Organization: s.org, ID: id, Record: []byte{1}, Created: s.created(tiny + 1)}}}})
	if err != nil {
		t.Fatal(err)
	}
	for state, want := range map[store.ArchiveState]int{store.Live: tiny, store.Archived: 1, store.AnyState: tiny + 1} {
		if _, n, err := s.store.Wallets(ctx, s.org, store.WalletFilter{Archived: state}, store.Page{Limit: 1}); err != nil || n != want {
			t.Errorf("state %d: %d wallets, not %d: %v", state, n, want, err)
		}
	}
}

// TestKept: a RAM disk's figures mustn't pass for a disk's, nor the other way.
func TestKept(t *testing.T) {
	const disk = "/proc" // no RAM disk, in any case
	ram, _ := inMemory(memory)
	for _, c := range []struct {
		dir, ram string
		fits     bool
	}{{disk, memory, ram}, {memory, memory, false}, {disk, disk, false}, {disk, "/nowhere", false}} {
		if err := kept(c.dir, c.ram); (err == nil) != c.fits {
			t.Errorf("%s and %s: %v", c.dir, c.ram, err)
		}
	}
}

func TestClonesAreRefused(t *testing.T) {
	for name, p := range map[string]population{"few for their front": {many: 3 * front}, "uneven": {many: 1001, few: 1000}} {
		if err := p.clone(context.Background(), &sql.Conn{}, sqlite); err == nil || errors.Is(err, sql.ErrConnDone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

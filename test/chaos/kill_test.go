package chaos

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	mrand "math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/bitcoin"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/chain/solana"
	"github.com/sigilkeys/sigil/internal/devstack"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
	"github.com/sigilkeys/sigil/test/stack"
	"github.com/sigilkeys/sigil/test/stored"
)

// build makes the programs as they are deployed.
func build(t *testing.T) string {
	t.Helper()
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

func TestKillUnderLoad(t *testing.T) {
	data := filepath.Join(t.TempDir(), "stack")
	up, l := killUnderLoad(t, stack.Number(t, "SIGIL_TEST_KILLS", 50), devstack.Config{Data: data}, nil)
	db, err := sqlitestore.Open(t.Context(), filepath.Join(data, "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l.verify(t, db, up.Info().OrganizationID)
	nothingSaid(t, up, data, db, &l.heard)
	noneHalfMade(t, filepath.Join(data, "db"))
}

// The same on PostgreSQL, which is killed too.
func TestKillDatabaseUnderLoad(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	name := server.NewDatabase()
	server.Exec(name, pgstore.RolesSQL())
	if _, err := pgstore.Migrate(t.Context(), server.DSN("sigil_owner", name)); err != nil {
		t.Fatal(err)
	}
	dsn := server.DSN("sigil_app", name)
	file := filepath.Join(t.TempDir(), "app.dsn")
	if err := os.WriteFile(file, []byte(dsn+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	kills := max(5, stack.Number(t, "SIGIL_TEST_KILLS", 50)/10)
	cfg := devstack.Config{Data: filepath.Join(t.TempDir(), "stack"), DatabaseFile: file}
	up, l := killUnderLoad(t, kills, cfg, func() { server.Kill(); server.Run() })
	s, err := pgstore.Open(t.Context(), pgstore.Config{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l.verify(t, s, up.Info().OrganizationID)
	nothingSaid(t, up, cfg.Data, s, &l.heard)
	db, err := sql.Open("pgx", dsn+"&search_path=sigil&sigil.organization=every")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := stored.ScanRows(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	report(t, rows)
}

// killUnderLoad runs a stack and kills each of its processes so many times
// while clients load it, then repeats requests. crash, if set, takes its turn.
func killUnderLoad(t *testing.T, kills int, cfg devstack.Config, crash func()) (s *devstack.Stack, l *load) {
	t.Helper()
	seed := stack.Number(t, "SIGIL_TEST_SEED", int(time.Now().UnixNano()%1e6))
	t.Logf("SIGIL_TEST_SEED=%d, %d kills", seed, kills)
	bin := build(t)
	cfg.TEEBinary, cfg.SigilBinary, cfg.Restart = filepath.Join(bin, "sigil-tee"), filepath.Join(bin, "sigil"), true
	s, err := devstack.Up(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	defer func() {
		if !closed {
			_ = s.Close()
		}
	}()
	l = newLoad(t, s)
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range 16 {
		clients.Go(func() { l.client(ctx, uint64(seed+i)) })
	}
	recoveries := killAll(t, s, l, kills, mrand.New(mrand.NewPCG(uint64(seed), 2)), crash)
	stop()
	clients.Wait()
	l.repeat(t)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	closed = true
	l.report(t, recoveries)
	return s, l
}

func newLoad(t *testing.T, s *devstack.Stack) *load {
	t.Helper()
	raw, err := os.ReadFile(s.Info().SecretKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	token, err := authority.ParseToken(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return &load{base: s.Info().APIBaseURL, key: token.RequestKey(), wallets: []string{s.Info().WalletID}, codes: map[string]int{}}
}

// killAll kills each process so many times, in turn, at random moments, and
// returns how long it took each time until the next signature.
func killAll(t *testing.T, s *devstack.Stack, l *load, kills int, random *mrand.Rand, crash func()) []time.Duration {
	t.Helper()
	victims := []string{"sigil-tee", "sigil-serve"}
	if crash != nil {
		victims = append(victims, "database")
	}
	var recoveries []time.Duration
	for i := range len(victims) * kills {
		name := victims[i%len(victims)]
		time.Sleep(time.Duration(50+random.IntN(250)) * time.Millisecond)
		began := time.Now()
		if name == "database" {
			crash()
		} else if pid := s.Info().PIDs[name]; pid <= 1 {
			t.Fatalf("%s has pid %d", name, pid)
		} else if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Logf("kill %s (%d): %v", name, pid, err) // between two lives
			continue
		}
		before := l.answered()
		for l.answered() < before+20 {
			if time.Since(began) > 40*time.Second {
				t.Fatalf("kill %d of %s: no recovery in 40 s; faults %v", i, name, l.faults)
			}
			time.Sleep(2 * time.Millisecond)
		}
		recoveries = append(recoveries, time.Since(began))
		if (i+1)%100 == 0 {
			t.Logf("%d of %d kills, %d answers", i+1, len(victims)*kills, l.answered())
		}
	}
	return recoveries
}

func (l *load) answered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.signatures) + len(l.created)
}

// repeat sends the last requests again: the same bytes must come back.
func (l *load) repeat(t *testing.T) {
	t.Helper()
	hc := &http.Client{Timeout: 10 * time.Second}
	list := append(slices.Clone(l.signatures[max(0, len(l.signatures)-40):]), l.created[max(0, len(l.created)-10):]...)
	list = append(list, l.signatures[0]) // older than the TEE's window in a long run
	for _, a := range list {
		status, reply, err := send(hc, l.base, a.sent)
		if err != nil || status >= 300 || !bytes.Equal(reply, a.reply) {
			t.Errorf("the same request gets another answer (%d, %v):\n%.300s\n%.300s", status, err, a.reply, reply)
		}
	}
	t.Logf("%d requests repeated, the same bytes each time", len(list))
}

func (l *load) report(t *testing.T, recoveries []time.Duration) {
	t.Helper()
	slices.Sort(recoveries)
	t.Logf("%d kills; %d signatures and %d wallets acknowledged; %d resends, %d requests given up; heard %v",
		len(recoveries), len(l.signatures), len(l.created), l.resent.Load(), l.refused.Load(), l.codes)
	t.Logf("20 answers after a kill: p50 %v, max %v", recoveries[len(recoveries)/2].Round(time.Millisecond), recoveries[len(recoveries)-1].Round(time.Millisecond))
	for _, f := range l.faults {
		t.Errorf("unexpected answer: %s", f)
	}
}

func registry(t *testing.T) *chain.Registry {
	t.Helper()
	n, err := chain.NewRegistry(bitcoin.Networks(), evm.Networks(), solana.Networks())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// verify compares everything that was acknowledged with the database, which
// nobody else uses any more.
func (l *load) verify(t *testing.T, db store.Store, organization string) {
	t.Helper()
	org, err := canon.ParseUUID(organization)
	if err != nil {
		t.Fatal(err)
	}
	lost := l.lost(t.Context(), &stored.Checker{Store: db, Networks: registry(t)}, org)
	for _, err := range lost[:min(len(lost), 10)] {
		t.Error(err)
	}
	t.Logf("%d acknowledged records checked, %d lost or altered", l.answered(), len(lost))
}

func (l *load) lost(ctx context.Context, c *stored.Checker, org canon.UUID) (errs []error) {
	for _, a := range l.signatures {
		if err := a.signature(ctx, c, org); err != nil {
			errs = append(errs, err)
		}
	}
	for _, a := range l.created {
		if err := a.wallet(ctx, c, org); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// forgetful acknowledges what it doesn't store, now and then: the canary.
type forgetful struct {
	store.Store
	n int
}

func (f *forgetful) Commit(ctx context.Context, batches []store.CommitBatch) ([][]store.Commit, error) {
	if f.n++; f.n%5 != 0 {
		return f.Store.Commit(ctx, batches)
	}
	out := make([][]store.Commit, len(batches))
	for i := range batches {
		for j := range batches[i].Decisions {
			out[i] = append(out[i], store.Commit{Won: true, Stored: &batches[i].Decisions[j]})
		}
	}
	return out, nil
}

func TestCheckerCatchesLostRecords(t *testing.T) {
	s := stack.Start(t, stack.Options{WrapStore: func(st store.Store) store.Store { return &forgetful{Store: st} }})
	owner := s.NewOwner()
	l := &load{base: s.API.URL, key: s.NewKey(owner, nil).RequestKey(), codes: map[string]int{}}
	hc := &http.Client{Timeout: 10 * time.Second}
	l.request(t.Context(), hc, "/v1/s2s/wallets", []byte(`{}`))
	if len(l.wallets) != 1 {
		t.Fatal(l.faults)
	}
	for i := range 12 {
		body, err := json.Marshal(map[string]string{"wallet_id": l.wallets[0], "network": "base", "message": fmt.Sprint(i)})
		if err != nil {
			t.Fatal(err)
		}
		l.request(t.Context(), hc, "/v1/s2s/sign", body)
	}
	lost := l.lost(t.Context(), &stored.Checker{Store: s.Store, Networks: s.Networks}, owner.Genesis.OrganizationID)
	if len(lost) < 2 || len(l.faults) > 0 {
		t.Fatalf("the checker finds %d of at least 2 lost records; faults %v", len(lost), l.faults)
	}
	t.Logf("caught: %v", lost[0])
}

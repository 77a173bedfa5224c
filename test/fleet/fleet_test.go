package fleet_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
	"github.com/sigilkeys/sigil/test/fleet"
)

// database makes an empty one, and opens it for the comparison at the end.
func database(t *testing.T) (file string, s store.Store) {
	t.Helper()
	server := pgtest.Start(t, pgtest.Options{})
	name := server.NewDatabase()
	server.Exec(name, pgstore.RolesSQL())
	if _, err := pgstore.Migrate(t.Context(), server.DSN("sigil_owner", name)); err != nil {
		t.Fatal(err)
	}
	dsn := server.DSN("sigil_app", name)
	file = filepath.Join(t.TempDir(), "app.dsn")
	if err := os.WriteFile(file, []byte(dsn+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := pgstore.Open(t.Context(), pgstore.Config{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return file, s
}

// scene is two control planes with the same two workloads.
type scene struct {
	*fleet.Fleet
	load     *fleet.Load
	balancer *fleet.Balancer
	tees     []*fleet.Process
	controls []*fleet.Process
}

func newScene(t *testing.T, file string) *scene {
	t.Helper()
	s := &scene{Fleet: fleet.New(t, file)}
	s.tees = []*fleet.Process{s.StartTEE("tee-0"), s.StartTEE("tee-1")}
	s.SetTEEs(s.tees...)
	s.controls = []*fleet.Process{s.StartControl("control-0"), s.StartControl("control-1")}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	s.balancer = fleet.NewBalancer(ctx, s.controls...)
	s.awaitReady(t, 2)
	s.load = fleet.NewLoad(t, s.Fleet, s.balancer)
	return s
}

func (s *scene) awaitReady(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); s.balancer.Ready() != n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d control planes are ready, want %d", s.balancer.Ready(), n)
		}
	}
}

// awaitSaid waits until all control planes have logged a text.
func (s *scene) awaitSaid(t *testing.T, text string) {
	t.Helper()
	for _, p := range s.controls {
		for deadline := time.Now().Add(time.Minute); !p.Says(text); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s doesn't say %q", p.Name, text)
			}
		}
	}
}

const (
	clients  = 12
	seed     = 1
	patience = time.Minute
)

// Under load a workload is killed, another added, one drained and stopped, and
// a control plane is replaced: no client's request fails, nothing that was
// acknowledged is lost, and the ledger of all of it verifies.
func TestReplicasUnderLoad(t *testing.T) {
	file, db := database(t)
	s := newScene(t, file)
	stop := s.load.Run(clients, seed)
	defer func() { stop() }()
	s.load.Await(200, patience)
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"a workload is killed", func() { s.tees[0].Kill() }},
		{"another is added, the dead one is taken off the list", func() {
			s.tees[0] = s.StartTEE("tee-2")
			s.SetTEEs(s.tees...)
			s.awaitSaid(t, "a TEE has left")
		}},
		{"one is drained and stopped", func() {
			s.SetTEEs(s.tees[0])
			s.awaitSaid(t, fmt.Sprintf(`"a TEE has left","tee":"%s","unanswered":0`, s.tees[1].Address))
			if err := s.tees[1].Stop(); err != nil {
				t.Error(err)
			}
			s.tees = s.tees[:1]
		}},
		{"a control plane is replaced", func() {
			s.controls = append(s.controls, s.StartControl("control-2"))
			s.balancer.Set(s.controls...)
			s.awaitReady(t, 3)
			old := s.controls[0]
			if err := old.Stop(); err != nil {
				t.Error(err)
			}
			s.controls = s.controls[1:]
			s.balancer.Set(s.controls...)
		}},
	} {
		before := s.load.Answered()
		step.do()
		s.load.Await(200, patience)
		t.Logf("%s: %d requests answered", step.name, s.load.Answered()-before)
		for _, err := range s.load.Failures() {
			t.Errorf("%s: a request fails: %v", step.name, err)
		}
	}
	stop()
	stop = func() {}
	s.finish(t, db, 3)
}

// finish checks what is left in the end.
func (s *scene) finish(t *testing.T, db store.Store, instances int) {
	t.Helper()
	for _, err := range s.load.Failures() {
		t.Error("a request fails: ", err)
	}
	lost := s.load.Lost(t.Context(), db)
	for _, err := range lost[:min(len(lost), 10)] {
		t.Error(err)
	}
	signed := s.load.Instances()
	if len(signed) != instances {
		t.Errorf("signatures are of %d instances, want %d: %v", len(signed), instances, signed)
	}
	report := s.load.Audited(t.Context())
	if report.Entries < uint64(s.load.Answered()) || len(report.Instances) < instances {
		t.Errorf("the ledger has %d entries of %d instances", report.Entries, len(report.Instances))
	}
	t.Logf("%d acknowledged, %d lost; the ledger has %d entries of %d instances and verifies", s.load.Answered(), len(lost), report.Entries, len(report.Instances))
}

// A control plane that is killed instead of drained does fail requests of
// clients that send once: the load sees failures.
func TestLoadSeesFailures(t *testing.T) {
	file, _ := database(t)
	s := newScene(t, file)
	stop := s.load.RunWithoutRetries(clients, seed)
	s.load.Await(100, patience)
	s.controls[0].Kill()
	s.load.Await(100, patience)
	stop()
	failed := s.load.Failures()
	if len(failed) == 0 {
		t.Fatal("canary: killing a control plane fails no request")
	}
	t.Logf("%d failures, as in: %v", len(failed), failed[0])
}

// What isn't stored is found: the check against another database loses all.
func TestLoadSeesLosses(t *testing.T) {
	file, _ := database(t)
	s := newScene(t, file)
	_, other := database(t)
	stop := s.load.Run(2, seed)
	s.load.Await(20, patience)
	stop()
	if lost := s.load.Lost(t.Context(), other); len(lost) != s.load.Answered() {
		t.Fatalf("canary: %d of %d are lost", len(lost), s.load.Answered())
	}
}

//go:build failover

package failover

import (
	"context"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/test/fleet"
	"github.com/sigilkeys/sigil/test/stack"
)

func version(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command(path, "--version").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first
}

// scene is two control planes and two workloads over a cluster, under load.
type scene struct {
	*cluster
	load *fleet.Load
	stop func()
}

const clients = 12

func newScene(t *testing.T, synchronous bool, seed int) *scene {
	t.Helper()
	s := &scene{cluster: startCluster(t, synchronous)}
	s.exec("postgres", "CREATE DATABASE sigil")
	s.exec("sigil", pgstore.RolesSQL())
	if _, err := pgstore.Migrate(t.Context(), s.dsn("sigil_owner", "sigil")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "app.dsn")
	if err := os.WriteFile(file, []byte(s.dsn("sigil_app", "sigil")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := fleet.New(t, file)
	f.SetTEEs(f.StartTEE("tee-0"), f.StartTEE("tee-1"))
	ctx, end := context.WithCancel(context.Background())
	t.Cleanup(end)
	b := fleet.NewBalancer(ctx, f.StartControl("control-0"), f.StartControl("control-1"))
	s.await("a control plane that is ready", func() bool { return b.Ready() == 2 })
	s.load = fleet.NewLoad(t, f, b)
	s.stop = s.load.Run(clients, uint64(seed))
	t.Cleanup(func() { s.stop() })
	s.load.Await(100, time.Minute)
	return s
}

// lost compares what was acknowledged with what the cluster has in the end.
func (s *scene) lost(t *testing.T) []error {
	t.Helper()
	s.stop()
	db, err := pgstore.Open(t.Context(), pgstore.Config{DSN: s.dsn("sigil_app", "sigil")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return s.load.Lost(t.Context(), db)
}

// failover kills the primary's machine under load, and waits until the service
// answers again. It returns how long nobody was answered, and until there was
// another primary.
func (s *scene) failover(t *testing.T) (silent, elected time.Duration, old *node) {
	t.Helper()
	old = s.primary()
	if old == nil {
		t.Fatal("there is no primary to kill")
	}
	began := time.Now()
	old.kill()
	last, count := time.Now(), s.load.Answered()
	after := 0 // answers since there is another primary
	looked := time.Now()
	for after < 200 {
		time.Sleep(time.Millisecond)
		if n := s.load.Answered(); n > count {
			silent = max(silent, time.Since(last))
			if elected > 0 {
				after += n - count
			}
			last, count = time.Now(), n
		}
		if elected == 0 && time.Since(looked) > 50*time.Millisecond {
			if s.primary() != nil {
				elected = time.Since(began)
			}
			looked = time.Now()
		}
		if time.Since(began) > 3*time.Minute {
			t.Fatalf("the service isn't back after %v; another primary after %v; failures %v", time.Since(began), elected, s.load.Failures())
		}
	}
	return silent, elected, old
}

// The primary's machine dies under load: another takes over, the control planes
// find it by themselves, and nothing that was acknowledged is lost.
func TestFailover(t *testing.T) {
	seed, times := stack.Number(t, "SIGIL_TEST_SEED", 1), stack.Number(t, "SIGIL_TEST_FAILOVERS", 5)
	s := newScene(t, true, seed)
	random := mrand.New(mrand.NewPCG(uint64(seed), 3))
	fmt.Printf("%s, %s, %s; 1 etcd, 3 PostgreSQL on one machine\n", version(t, program(t, "patroni", "patroni")), version(t, program(t, "etcd", "etcd-server")), version(t, filepath.Join(s.bin, "postgres")))
	fmt.Printf("ttl %d s, loop_wait %d s, retry_timeout %d s, synchronous_mode and _strict on, synchronous_commit on\n", ttl, loopWait, retryTimeout)
	fmt.Printf("2 control planes, 2 workloads, %d clients with the SDK's retries; SIGIL_TEST_SEED=%d\n", clients, seed)
	failed := 0
	for i := range times {
		time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
		before := s.load.Answered()
		silent, elected, old := s.failover(t)
		given := len(s.load.Failures())
		failed += given
		fmt.Printf("failover %d, of %s: another primary after %.1f s, nobody answered for %.1f s; %d answered, %d given up by their clients\n",
			i+1, old.name, elected.Seconds(), silent.Seconds(), s.load.Answered()-before, given)
		old.start()
		s.settled()
	}
	lost := s.lost(t)
	for _, err := range lost[:min(len(lost), 10)] {
		t.Error(err)
	}
	report := s.load.Audited(t.Context())
	fmt.Printf("%d acknowledged, %d lost; %d requests given up; no process of ours was restarted\n", s.load.Answered(), len(lost), failed)
	fmt.Printf("the ledger has %d entries of %d instances and verifies\n", report.Entries, len(report.Instances))
}

// The canary: without synchronous replication, and with standbys that have
// stopped to receive, the same failover loses acknowledged records, and that is
// seen.
func TestFailoverLosesWithoutSynchronousReplication(t *testing.T) {
	s := newScene(t, false, stack.Number(t, "SIGIL_TEST_SEED", 1))
	var receivers []int
	s.await("two standbys that receive", func() bool {
		receivers = nil
		for _, n := range s.nodes {
			for _, pid := range children(n.postmaster()) {
				if cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(string(cmdline), "walreceiver streaming") {
					receivers = append(receivers, pid)
				}
			}
		}
		return len(receivers) == 2
	})
	for _, pid := range receivers {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	s.load.Await(100, time.Minute)
	s.primary().kill()
	// What they hadn't read yet goes with them.
	for _, pid := range receivers {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	s.await("another primary", func() bool { return s.primary() != nil })
	lost := s.lost(t)
	if len(lost) == 0 {
		t.Fatal("canary: nothing is lost without synchronous replication")
	}
	fmt.Printf("canary, asynchronous replication that had stopped: %d of %d acknowledged are lost, and found missing\n", len(lost), s.load.Answered())
}

//go:build history

package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
	"github.com/sigilkeys/sigil/test/ports"
	"github.com/sigilkeys/sigil/test/stack"
)

// earlier builds the programs as they were at a commit of this repository.
func earlier(t *testing.T, commit string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	archive := exec.Command("sh", "-ec", `git -C ../.. archive "$1" | tar -x -C "$2"`, "sh", commit, dir)
	if out, err := archive.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", dir, "./cmd/sigil", "./cmd/sigil-tee")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOEXPERIMENT=runtimesecret", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

// startEarlierTEE starts an earlier workload, which doesn't say its port: it
// gets one in its configuration.
func (f *Fleet) startEarlierTEE(t *testing.T, program string) *Process {
	t.Helper()
	c, _ := stack.Config(t, f.Cloud, true)
	c.Listen = ports.Reserve(t)
	raw, err := json.Marshal(c)
	if err == nil {
		err = os.WriteFile(f.path("earlier.json"), raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := f.launch("tee-earlier", program, "--config", f.path("earlier.json"))
	f.await(p, func() bool { return p.Says(`"msg":"serving"`) })
	p.Address = c.Listen
	return p
}

// startEarlierControl starts an earlier control plane with a database of its
// own, and as few flags as it always had.
func (f *Fleet) startEarlierControl(t *testing.T, program string, tee *Process) *Process {
	t.Helper()
	address := ports.Reserve(t)
	p := f.launch("control-earlier", program, "serve", "--data", filepath.Join(f.dir, "earlier"), "--listen", address, "--tee", tee.Address, "--accept", f.path("accept.json"), "--open-registration")
	p.Address = address
	f.await(p, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			err = conn.Close()
		}
		return err == nil
	})
	return p
}

// through makes wallets and signatures, all verified by today's SDK.
func through(t *testing.T, f *Fleet, control *Process) *Load {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	b := NewBalancer(ctx, control)
	for deadline := time.Now().Add(time.Minute); b.Ready() == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s isn't ready: %s", control.Name, control.said())
		}
	}
	l := NewLoad(t, f, b)
	end := l.Run(2, 1)
	l.Await(60, time.Minute)
	end()
	for _, err := range l.Failures() {
		t.Error(err)
	}
	return l
}

// The programs of today with those of earlier commits, each way round. The
// commits are $SIGIL_TEST_HISTORY's.
func TestEarlierPrograms(t *testing.T) {
	commits := strings.Fields(os.Getenv("SIGIL_TEST_HISTORY"))
	if len(commits) == 0 {
		t.Fatal("name commits: SIGIL_TEST_HISTORY='HEAD~50 HEAD~10'")
	}
	server := pgtest.Start(t, pgtest.Options{})
	for _, commit := range commits {
		t.Run(commit, func(t *testing.T) {
			name := server.NewDatabase()
			server.Exec(name, pgstore.RolesSQL())
			if _, err := pgstore.Migrate(t.Context(), server.DSN("sigil_owner", name)); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "app.dsn")
			if err := os.WriteFile(file, []byte(server.DSN("sigil_app", name)), 0o600); err != nil {
				t.Fatal(err)
			}
			dir := earlier(t, commit)
			f := New(t, file)
			tee := f.startEarlierTEE(t, filepath.Join(dir, "sigil-tee"))
			f.SetTEEs(tee)
			control := f.StartControl("control")
			l := through(t, f, control)
			batch, head := l.newer(t)
			fmt.Printf("%s: its workload with today's control plane: %d answers; batch: %v; ledger: %v\n", commit, l.Answered(), short(batch), short(head))
			if control.Says("link to the TEE is down") {
				t.Error("the link flaps")
			}
			l = through(t, f, f.startEarlierControl(t, filepath.Join(dir, "sigil"), f.StartTEE("tee")))
			fmt.Printf("%s: its control plane with today's workload: %d answers\n", commit, l.Answered())
		})
	}
}

// newer asks for what earlier programs may not have.
func (l *Load) newer(t *testing.T) (batch, ledger error) {
	t.Helper()
	outcomes, batch := l.sdk.SignBatch(t.Context(), []client.SignRequest{{WalletID: l.wallets[0].ID, Network: "base", Message: "batch"}}, "")
	if batch == nil {
		batch = outcomes[0].Err
	}
	for range 30 {
		if _, ledger = l.sdk.LedgerHead(t.Context()); ledger == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return batch, ledger
}

func short(err error) string {
	var e *client.APIError
	switch {
	case err == nil:
		return "yes"
	case errors.As(err, &e):
		return fmt.Sprintf("%d %s", e.Status, e.Code)
	}
	return err.Error()
}

// Package fleet runs several workloads and several control planes over one
// PostgreSQL, each as a process of its own as it is deployed, with clients that
// load them through a balancer. Tests kill, add, drain and replace the
// processes, and compare in the end what was acknowledged with what is stored.
package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/test/ports"
	"github.com/sigilkeys/sigil/test/stack"
)

// Fleet is the ground that the processes run on: programs, cloud, one image,
// and the file that names the workloads.
type Fleet struct {
	Cloud  *cloudsim.Sim
	Digest string // of the workloads' image

	t        testing.TB
	dir      string
	database string // file with the DSN
	controls []*Process
}

// Process is one that runs.
type Process struct {
	Name    string
	Address string // of the link, or of the API

	t    testing.TB
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
	err  error         // how; read after done
}

// New builds the programs and starts a cloud that admits the workload's image.
// databaseFile holds the DSN of a migrated database.
func New(t testing.TB, databaseFile string) *Fleet {
	t.Helper()
	f := &Fleet{t: t, dir: t.TempDir(), database: databaseFile}
	for _, p := range []string{"sigil", "sigil-tee"} {
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(f.dir, p), "github.com/sigilkeys/sigil/cmd/"+p)
		cmd.Env = append(os.Environ(), "GOEXPERIMENT=runtimesecret", "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	var err error
	if f.Cloud, err = cloudsim.Start(cloudsim.Config{Dir: t.TempDir(), TokensPerSecond: -1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Cloud.Close() })
	// All workloads are the same image, so each takes a port that is free.
	c, _ := stack.Config(t, f.Cloud, true)
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	f.Digest = stack.MadeUpDigest("sigil-tee") // an image would have a port of its own
	accept, err := json.Marshal(f.Reference())
	if err == nil {
		err = errors.Join(os.WriteFile(f.path("tee.json"), config, 0o600), os.WriteFile(f.path("accept.json"), accept, 0o600),
			f.Cloud.SetImageDigest(f.Digest), f.Cloud.AdmitRelease(f.Digest))
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *Fleet) path(name string) string { return filepath.Join(f.dir, name) }

// Reference is what control planes and owners accept.
func (f *Fleet) Reference() authority.TEE {
	info := f.Cloud.Info()
	return authority.TEE{Kind: authority.KindConfidentialSpace, Issuer: info.IssuerURL, PKIRoot: info.PKIRootSHA256, Hardware: info.Hardware,
		ProjectID: info.ProjectID, ServiceAccount: info.ServiceAccount, ImageDigests: []string{f.Digest}, TEEKEK: info.TEEKey, ProviderKEK: info.ProviderKey}
}

// StartTEE starts a workload that must come up.
func (f *Fleet) StartTEE(name string) *Process {
	f.t.Helper()
	p := f.launch(name, f.path("sigil-tee"), "--config", f.path("tee.json"))
	f.await(p, func() bool {
		log, _ := os.ReadFile(p.log)
		for line := range bytes.Lines(log) {
			var said struct{ Msg, Address string }
			if json.Unmarshal(line, &said) == nil && said.Msg == "serving" {
				p.Address = said.Address
			}
		}
		return p.Address != ""
	})
	return p
}

// SetTEEs names the workloads anew, and has the control planes that run read
// it.
func (f *Fleet) SetTEEs(list ...*Process) {
	f.t.Helper()
	text := "# the workloads\n"
	for _, p := range list {
		text += p.Address + "\n"
	}
	next := f.path("tees.next")
	if err := errors.Join(os.WriteFile(next, []byte(text), 0o600), os.Rename(next, f.path("tees"))); err != nil {
		f.t.Fatal(err)
	}
	for _, p := range f.controls {
		if p.running() {
			p.signal(syscall.SIGHUP)
		}
	}
}

// StartControl starts a control plane that must listen; whether it is ready,
// the balancer finds. SetTEEs comes first.
func (f *Fleet) StartControl(name string) *Process {
	f.t.Helper()
	address := ports.Reserve(f.t)
	p := f.launch(name, f.path("sigil"), "serve", "--database-file", f.database, "--listen", address, "--tee-file", f.path("tees"), "--accept", f.path("accept.json"),
		"--open-registration", "--rate-org", "off", "--rate-key", "off", "--rate-address", "off", "--drain", "1s", "--log-level", "info")
	p.Address = address
	f.controls = append(f.controls, p)
	f.await(p, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			err = c.Close()
		}
		return err == nil
	})
	return p
}

func (f *Fleet) launch(name, program string, args ...string) *Process {
	f.t.Helper()
	p := &Process{Name: name, t: f.t, log: f.path(name + ".log"), done: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		f.t.Fatal(err)
	}
	defer out.Close()
	p.cmd = exec.Command(program, args...)
	p.cmd.Dir, p.cmd.Env = f.dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + f.dir}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.done) }()
	f.t.Cleanup(func() {
		p.Kill()
		if f.t.Failed() {
			f.t.Logf("%s said at last:\n%s", name, p.said())
		}
	})
	return p
}

func (f *Fleet) await(p *Process, up func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(time.Minute); !up(); {
		if time.Now().After(deadline) || !p.running() {
			f.t.Fatalf("%s doesn't come up:\n%s", p.Name, p.said())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// said is the end of its log.
func (p *Process) said() string {
	b, _ := os.ReadFile(p.log)
	return string(b[max(0, len(b)-3000):])
}

// Says reports whether the log has a text.
func (p *Process) Says(text string) bool {
	b, _ := os.ReadFile(p.log)
	return strings.Contains(string(b), text)
}

func (p *Process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *Process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal %s: %v", p.Name, err)
	}
}

// Kill ends it with SIGKILL, if it runs.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop ends it as an operator does.
func (p *Process) Stop() error {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(40 * time.Second):
		return fmt.Errorf("%s doesn't end", p.Name)
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.Name, p.err)
	}
	return nil
}

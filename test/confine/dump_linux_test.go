package confine

import (
	"bufio"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Users that own nothing.
const nobody, somebody = 65534, 65533

// open moves a placed workload to where every user may start it, if root
// tests: the workload and its attackers have no privileges.
func (p *placed) open(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/tmp", "sigil-confine") // above others, root's folders may be closed
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	program, err := os.ReadFile(p.program)
	if err != nil {
		t.Fatal(err)
	}
	p.program = filepath.Join(dir, "sigil-tee")
	socket := filepath.Join(dir, "launcher.sock")
	carry(t, "unix", socket, "unix", p.config.LauncherSocket)
	p.config.LauncherSocket, p.file = socket, filepath.Join(dir, "tee.json")
	if err := errors.Join(os.WriteFile(p.program, program, 0o700), os.Chmod(dir, 0o777), os.Chmod(socket, 0o666)); err != nil {
		t.Fatal(err)
	}
	p.measure(t)
	if err := errors.Join(os.Chmod(p.program, 0o755), os.Chmod(p.file, 0o644)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// keeper is one that runs.
type keeper struct {
	in      io.Writer
	answers *bufio.Scanner
	pid     int // of the program that it started
}

// startKeeper starts a keeper, and with it what it is to start, as a user if
// root tests.
func startKeeper(t *testing.T, dir string, user uint32, c charge) *keeper {
	t.Helper()
	program := filepath.Join(dir, "keeper") // where every user may start it
	if _, err := os.Stat(program); errors.Is(err, os.ErrNotExist) {
		self, err := os.ReadFile(os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.WriteFile(program, self, 0o700), os.Chmod(program, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env, cmd.Stderr = []string{roleVar + "=keeper", chargeVar + "=" + string(raw)}, os.Stderr
	cmd.Dir = dir
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil { // what it started goes with it
			t.Errorf("keeper: %v", err)
		}
	})
	k := &keeper{in: in, answers: bufio.NewScanner(out)}
	if len(c.Program) > 0 {
		k.answer(t, &k.pid)
		awaitServing(t, c.Output)
	}
	return k
}

func (k *keeper) answer(t *testing.T, v any) {
	t.Helper()
	if !k.answers.Scan() {
		t.Fatalf("the keeper is silent: %v", k.answers.Err())
	}
	if err := json.Unmarshal(k.answers.Bytes(), v); err != nil {
		t.Fatal(err)
	}
}

func (k *keeper) ask(t *testing.T, v any, verb string, n int) {
	t.Helper()
	if _, err := fmt.Fprintln(k.in, verb, n); err != nil {
		t.Fatal(err)
	}
	k.answer(t, v)
}

// textOf is where a program's text begins in memory.
func textOf(t *testing.T, program string) uint64 {
	t.Helper()
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := f.Section(".text")
	if s == nil || f.Type != elf.ET_EXEC {
		t.Fatal("the program isn't at fixed addresses: find its memory otherwise")
	}
	return s.Addr
}

// kept starts a placed workload under a keeper of the same user.
func kept(t *testing.T, p *placed) (*keeper, string) {
	t.Helper()
	dir := p.open(t)
	run := filepath.Join(dir, "run")
	if err := errors.Join(os.Mkdir(run, 0o700), os.Chmod(run, 0o777)); err != nil {
		t.Fatal(err)
	}
	c := charge{Program: []string{p.program, "--config", p.file}, Output: filepath.Join(dir, "out"), Dir: run, Address: textOf(t, p.program)}
	return startKeeper(t, dir, nobody, c), dir
}

// unhardened is a workload that doesn't ask the kernel for anything.
func unhardened() edits {
	return edits{"cmd/sigil-tee/serve.go": {`if err := secret.Harden(); err != nil {`, `if err := error(nil); err != nil {`}}
}

// Neither another user, nor the same user, nor the workload's own parent reads
// its memory, its environment or its files, or may trace it. (Root with
// CAP_SYS_PTRACE may: test/memscan is one.)
func TestMemoryIsClosed(t *testing.T) {
	p := place(t, build(t, nil))
	k, dir := kept(t, p)
	s := p.control(t)
	session(t, s)
	attackers := map[string]*keeper{"its parent, of the same user": k, "the same user": startKeeper(t, dir, nobody, charge{Address: textOf(t, p.program)})}
	if os.Getuid() == 0 {
		attackers["another user"] = startKeeper(t, dir, somebody, charge{Address: textOf(t, p.program)})
	} else {
		t.Run("another user", func(t *testing.T) { t.Skip("only root can be another user: run go test ./test/confine as root") })
	}
	for name, a := range attackers {
		var met map[string]string
		a.ask(t, &met, "attack", k.pid)
		if len(met) < 12 {
			t.Errorf("%s made %d attempts", name, len(met))
		}
		for way, err := range met {
			if !strings.Contains(err, "permission denied") && !strings.Contains(err, "operation not permitted") {
				t.Errorf("%s, by %s: %q", name, way, err)
			}
		}
		t.Logf("%s: %d ways tried", name, len(met))
	}
	session(t, s) // it wasn't hurt
}

// Canary: without the hardening its parent gets in each way.
func TestUnhardenedMemoryIsOpen(t *testing.T) {
	needsTracing(t)
	k, _ := kept(t, place(t, build(t, unhardened())))
	var met map[string]string
	k.ask(t, &met, "attack", k.pid)
	for way, err := range met {
		if err != "" {
			t.Errorf("refused for another reason than the hardening: %s: %s", way, err)
		}
	}
}

// needsTracing skips where nobody may trace anything.
func needsTracing(t *testing.T) {
	t.Helper()
	if b, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil && strings.TrimSpace(string(b)) > "1" {
		t.Skip("this kernel lets nobody trace: set sysctl kernel.yama.ptrace_scope=1")
	}
}

// A workload that is made to crash leaves no core, though its parent allows one
// of any size and the environment asks for it.
func TestNoCore(t *testing.T) {
	var core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil {
		t.Fatal(err)
	}
	if core.Max == 0 {
		core.Max = unix.RLIM_INFINITY // root may raise it
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &core); err != nil {
		t.Skip("no process may leave a core here: run ulimit -Hc unlimited before")
	}
	hardened, open := build(t, nil), build(t, unhardened())
	for _, signal := range []syscall.Signal{syscall.SIGABRT, syscall.SIGQUIT} {
		for name, program := range map[string]string{"hardened": hardened, "canary": open} {
			t.Run(fmt.Sprint(name, " ", signal), func(t *testing.T) {
				p := place(t, program)
				k, dir := kept(t, p)
				s := p.control(t)
				u := session(t, s)
				var e ended
				k.ask(t, &e, "signal", int(signal))
				t.Logf("%s; core %v, files %q", e.Status, e.Core, e.Files)
				if canary := name == "canary"; e.Core != canary || !canary && len(e.Files) > 0 {
					t.Errorf("core %v, files %q", e.Core, e.Files)
				}
				p.quiet(t, s, u, filepath.Join(dir, "out")) // stacks of a crash, with arguments
			})
		}
	}
}

package confine

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/test/stack"
)

// strace returns the tracer, which CI installs.
func strace(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil || runtime.GOOS != "linux" {
		t.Skip("strace isn't installed: apt-get install strace")
	}
	return path
}

// traced is a workload's process under strace.
type traced struct {
	cmd  *exec.Cmd
	file string // the trace
	out  string // file of its output
}

func startTraced(t *testing.T, program, config string) *traced {
	t.Helper()
	dir := t.TempDir()
	p := &traced{file: filepath.Join(dir, "trace"), out: filepath.Join(dir, "out")}
	out, err := os.Create(p.out)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.cmd = exec.Command(strace(t), "-f", "-ttt", "-qq", "-s", "300", "-e", watched, "-o", p.file, program, "--config", config)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The whole group: a program outlives its tracer. Gone already is as good.
	t.Cleanup(func() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) })
	awaitServing(t, p.out)
	return p
}

// stop ends the workload as an operator does, and returns the trace.
func (p *traced) stop(t *testing.T) string {
	t.Helper()
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.cmd.Process.Pid, p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(children)))
	if err != nil {
		t.Fatalf("children of strace: %q", children)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		b, _ := os.ReadFile(p.out)
		t.Fatalf("it didn't end cleanly: %v\n%s", err, b)
	}
	b, err := os.ReadFile(p.file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestWholeSession traces the workload from its start to its end: attestation,
// an organisation, wallets, signatures on both curves, a denial, challenges.
func TestWholeSession(t *testing.T) {
	strace(t)
	w := place(t, build(t, nil))
	p := startTraced(t, w.program, w.file)
	s := w.control(t)
	u := session(t, s)
	challenge, without := attested(t, s, u.token)
	trace := p.stop(t)
	w.quiet(t, s, u, p.out)

	c := w.config
	a := &allowed{listens: c.Listen, connects: []string{c.LauncherSocket, hostOf(t, c.STSURL), hostOf(t, c.KMSURL)}, reads: []string{
		w.file, "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "/proc/sys/net/core/somaxconn", "/sys/fs/cgroup/", "/proc/self/mountinfo", "/proc/self/cgroup",
		"/etc/localtime", // which the image hasn't
	}}
	if n := strings.Count(trace, "\n"); n < 100 || !strings.Contains(trace, "connect(") || !strings.Contains(trace, "openat(") {
		t.Fatalf("canary: a trace of %d lines is none of a session:\n%.2000s", n, trace)
	}
	if n := dials(t, trace, c.LauncherSocket, challenge); n != 1 {
		t.Errorf("the trace shows %d questions to the launcher for one challenge", n)
	}
	if n := dials(t, trace, c.LauncherSocket, without); n != 0 {
		t.Errorf("canary: %d questions to the launcher without a challenge", n)
	}
	for _, line := range a.faults(trace) {
		t.Error(line)
	}
	t.Logf("%d system calls looked at", strings.Count(trace, "\n"))
}

func hostOf(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(u.Host, "localhost", "127.0.0.1", 1)
}

// span is a stretch of time in which something was asked of the workload.
type span struct{ from, to time.Time }

func during(what func()) span {
	from := time.Now()
	what()
	return span{from, time.Now()}
}

// attested has the workload attested for a challenge, whose answer the SDK
// checks, and then asks for evidence without one. It returns when.
func attested(t *testing.T, s *stack.Stack, token *authority.Token) (challenge, without span) {
	t.Helper()
	c, err := client.New(client.Config{BaseURL: s.API.URL, SecretKey: token.Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	challenge = during(func() {
		if _, err := c.Attestation(t.Context()); err != nil {
			t.Error("attestation for a challenge:", err)
		}
	})
	return challenge, during(func() { s.Do(s.Request(token, "GET", "/v1/attestation", ""), 200, nil) })
}

// dials counts the connections to a socket in a stretch of a trace.
func dials(t *testing.T, trace, socket string, in span) (n int) {
	t.Helper()
	for line := range strings.Lines(trace) {
		m := call.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil || m[2] != "connect" || address(m[3]) != socket {
			continue
		}
		at, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatalf("a line without a time: %s", line)
		}
		if when := time.UnixMicro(int64(at * 1e6)); when.After(in.from) && when.Before(in.to) {
			n++
		}
	}
	return n
}

// session uses what the API has.
func session(t *testing.T, s *stack.Stack) *parties {
	t.Helper()
	u := &parties{owner: s.NewOwner()}
	u.token = s.NewKey(u.owner, nil)
	token := u.token
	for range 3 {
		var w api.Wallet
		s.Do(s.Request(token, "POST", "/v1/s2s/wallets", `{}`), 201, &w)
		for _, network := range []string{"base", "solana"} {
			for n := range 5 {
				var sig api.Signature
				s.Do(s.Request(token, "POST", "/v1/s2s/sign", fmt.Sprintf(`{"wallet_id":%q,"network":%q,"message":"m %d"}`, w.ID, network, n)), 200, &sig)
			}
		}
		s.Do(s.Request(token, "POST", "/v1/s2s/sign", fmt.Sprintf(`{"wallet_id":%q,"network":"base","message_encoding":"hex","message":"%064d"}`, w.ID, 1)), 403, nil)
	}
	return u
}

// The trace of programs that do what the workload may not, and lines of calls
// that these can't make.
func TestCheckSees(t *testing.T) {
	tracer := strace(t)
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ script, says string }{
		"writes":       {"echo x >" + filepath.Join(dir, "f"), "O_CREAT"},
		"appends":      {"echo x >>" + filepath.Join(dir, "f"), "O_APPEND"},
		"reads":        {"read x </etc/passwd", "/etc/passwd"},
		"connects":     {"exec 3<>/dev/tcp/127.0.0.1/" + port, "connect("},
		"starts":       {"/bin/true; true", "execve("},
		"forks":        {"(true); true", "clone"},
		"makes folder": {"mkdir " + filepath.Join(dir, "d"), "mkdir"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "trace")
			cmd := exec.Command(tracer, "-f", "-qq", "-s", "300", "-e", watched, "-o", file, "bash", "-c", c.script)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			trace, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			faults := strings.Join((&allowed{}).faults(string(trace)), "\n")
			if !strings.Contains(faults, c.says) {
				t.Errorf("not seen:\n%s", faults)
			}
		})
	}
	a := &allowed{listens: "127.0.0.1:1", connects: []string{"127.0.0.1:2"}, reads: []string{"/a", "/d/"}}
	for line, ok := range map[string]bool{
		`1 openat(AT_FDCWD, "/a", O_RDONLY|O_CLOEXEC) = 3`:                                                                  true,
		`1 openat(AT_FDCWD, "/d/e", O_RDONLY|O_CLOEXEC <unfinished ...>`:                                                    true,
		`1 openat(AT_FDCWD, "/ab", O_RDONLY|O_CLOEXEC) = 3`:                                                                 false,
		`1 openat(AT_FDCWD, "/a", O_RDWR|O_CLOEXEC) = 3`:                                                                    false,
		`1 openat(AT_FDCWD, "/a", O_RDONLY|O_CREAT) = 3`:                                                                    false,
		`1 connect(3, {sa_family=AF_INET, sin_port=htons(2), sin_addr=inet_addr("127.0.0.1")}, 16) = 0`:                     true,
		`1 connect(3, {sa_family=AF_INET, sin_port=htons(3), sin_addr=inet_addr("127.0.0.1")}, 16) = 0`:                     false,
		`1 connect(3, {sa_family=AF_INET, sin_port=htons(2), sin_addr=inet_addr("1.1.1.1")}, 16) = 0`:                       false,
		`1 connect(3, {sa_family=AF_UNIX, sun_path="/run/x"}, 9) = 0`:                                                       false,
		`1 bind(3, {sa_family=AF_INET, sin_port=htons(1), sin_addr=inet_addr("127.0.0.1")}, 16) = 0`:                        true,
		`1 bind(3, {sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr("127.0.0.1")}, 16) = 0`:                        false,
		`1 sendto(3, "x", 1, 0, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("8.8.8.8")}, 16) = 1`:            false,
		`1 socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, IPPROTO_UDP) = 3`:                                                       false,
		`1 socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) = 3`:                                                                 false,
		`1 clone(child_stack=0x1, flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM, tls=0) = 2`: true,
		`1 clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD}, 88) = 2`:                                               false,
		`1 unlink("/a") = 0`:                       false,
		`1 rename("/a", "/b") = 0`:                 false,
		`1 ptrace(PTRACE_ATTACH, 1) = 0`:           false,
		`1 memfd_create("x", 0) = 3`:               false,
		`1 io_uring_setup(1, {}) = 3`:              false,
		`1 process_vm_readv(1, NULL, 0, NULL) = 0`: false,
	} {
		if got := len(a.faults(line)) == 0; got != ok {
			t.Errorf("%s: allowed %v", line, got)
		}
	}
}

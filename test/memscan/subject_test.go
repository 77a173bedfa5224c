package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/devstack"
)

const (
	inFlight = 32
	wallets  = 4
)

// buildProgram compiles a program of cmd as the Makefile does, but for what
// the control builds change.
func buildProgram(t *testing.T, dir, name, experiment, tags string) string {
	t.Helper()
	bin := filepath.Join(dir, name)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-tags="+tags, "-o", bin, "../../cmd/"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOEXPERIMENT="+experiment)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return bin
}

// subject is a whole stack whose workload is to be scanned.
type subject struct {
	stack   *devstack.Stack
	data    string // the stack's folder
	pid     int    // of the workload
	key     *authority.Token
	wallets []string

	mu   sync.Mutex
	last []signature // guarded by mu while signing
}

// startSubject runs a stack with a few wallets. experiment and tags are those
// of the workload's build.
func startSubject(t *testing.T, experiment, tags string, noCache bool) *subject {
	t.Helper()
	if runtime.GOOS != "linux" || testing.Short() {
		t.Skip("needs /proc and half a minute: run it on Linux without -short")
	}
	bin := t.TempDir()
	data := filepath.Join(t.TempDir(), "stack")
	stack, err := devstack.Up(t.Context(), devstack.Config{
		Data: data, NoDEKCache: noCache,
		TEEBinary:   buildProgram(t, bin, "sigil-tee", experiment, tags),
		SigilBinary: buildProgram(t, bin, "sigil", "runtimesecret", ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stack.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	s := &subject{stack: stack, data: data, pid: stack.Info().PIDs["sigil-tee"]}
	s.requireMemory(t)
	raw, err := os.ReadFile(stack.Info().SecretKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	if s.key, err = authority.ParseToken(strings.TrimSpace(string(raw))); err != nil {
		t.Fatal(err)
	}
	s.createWallets(t)
	return s
}

// requireMemory skips where the scan would be refused.
func (s *subject) requireMemory(t *testing.T) {
	t.Helper()
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", s.pid))
	if err == nil {
		err = mem.Close()
	}
	if errors.Is(err, os.ErrPermission) {
		t.Skip("the workload isn't dumpable, so that only root with CAP_SYS_PTRACE reads its memory: run go test ./test/memscan as root")
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (s *subject) createWallets(t *testing.T) {
	t.Helper()
	c, err := client.New(client.Config{BaseURL: s.stack.Info().APIBaseURL, SecretKey: s.key.Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	s.wallets = []string{s.stack.Info().WalletID}
	for len(s.wallets) < wallets {
		w, err := c.Wallets().Create(t.Context(), client.NewWallet{Label: "scanned"})
		if err != nil {
			t.Fatal(err)
		}
		s.wallets = append(s.wallets, w.ID)
	}
}

// sign has n messages signed, as many at a time as inFlight: all wallets, and
// both curves by turns. Every one must succeed.
func (s *subject) sign(t *testing.T, n int) {
	t.Helper()
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: inFlight}, Timeout: 30 * time.Second}
	defer hc.CloseIdleConnections()
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make(chan error, inFlight)
	began := time.Now()
	for range inFlight {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				text, err := s.signOne(t.Context(), hc, s.request(i))
				if err != nil {
					errs <- err
					return
				}
				if i >= n-lastSignatures {
					s.keep(i, text)
				}
			}
		})
	}
	group.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
	t.Logf("%d signatures, %d in flight: %.1f s", n, inFlight, time.Since(began).Seconds())
}

// request returns the i-th request, without its answer.
func (s *subject) request(i int) signature {
	sig := signature{wallet: s.wallets[i/3%len(s.wallets)], network: []string{"base", "solana", "bitcoin"}[i%3], message: fmt.Sprint("scan ", i)}
	if sig.network == "bitcoin" {
		sig.format = chain.FormatBIP322P2TR // a Schnorr signature
	}
	return sig
}

func (s *subject) keep(i int, text string) {
	sig := s.request(i)
	sig.text = text
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = append(s.last, sig)
}

// signOne returns the signature in the network's text form.
func (s *subject) signOne(ctx context.Context, hc *http.Client, sig signature) (string, error) {
	body := fmt.Appendf(nil, `{"wallet_id":%q,"network":%q,"message":%q,"message_format":%q}`, sig.wallet, sig.network, sig.message, sig.format)
	id, err := canon.NewOrderedUUID(time.Now(), rand.Reader)
	if err != nil {
		return "", err
	}
	r := authority.Request{Method: http.MethodPost, Path: "/v1/s2s/sign", Body: body, Created: time.Now().Unix(), ID: id}
	req, err := http.NewRequestWithContext(ctx, r.Method, s.stack.Info().APIBaseURL+r.Path, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	if req.Header, err = r.Sign(s.key.RequestKey()); err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := hc.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d: %.300s", res.StatusCode, raw)
	}
	var reply struct {
		Data struct {
			Signature string `json:"signature"`
		} `json:"data"`
	}
	if err := json.Unmarshal(raw, &reply); err != nil {
		return "", err
	}
	return reply.Data.Signature, nil
}

// stop halts the workload where it is, and lets it go on at the test's end.
func (s *subject) stop(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(s.pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Kill(s.pid, syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
		if err != nil {
			t.Fatal(err)
		}
		// pid (name) state …, and the name may hold anything.
		if rest := stat[bytes.LastIndexByte(stat, ')')+1:]; bytes.HasPrefix(rest, []byte(" T")) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the workload doesn't stop")
		}
	}
}

// lockedPages returns the mappings that are locked into memory and left out
// of dumps, as ranges of addresses: the arenas.
func (s *subject) lockedPages(t *testing.T) [][2]uint64 {
	t.Helper()
	smaps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", s.pid))
	if err != nil {
		t.Fatal(err)
	}
	var out [][2]uint64
	var at [2]uint64
	for line := range strings.Lines(string(smaps)) {
		f := strings.Fields(line)
		if len(f) > 0 && f[0] == "VmFlags:" {
			flags := " " + strings.Join(f[1:], " ") + " "
			if strings.Contains(flags, " lo ") && strings.Contains(flags, " dd ") {
				out = append(out, at)
			}
			continue
		}
		if len(f) < 5 || strings.HasSuffix(f[0], ":") {
			continue
		}
		lo, hi, _ := strings.Cut(f[0], "-")
		start, err1 := strconv.ParseUint(lo, 16, 64)
		end, err2 := strconv.ParseUint(hi, 16, 64)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		at = [2]uint64{start, end}
	}
	return out
}

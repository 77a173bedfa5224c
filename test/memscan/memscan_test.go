package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/kms/gcpkms"
	"github.com/sigilkeys/sigil/internal/kms/kmstest"
	"github.com/sigilkeys/sigil/internal/sealed"
	"github.com/sigilkeys/sigil/test/memscan/scan"
)

// build compiles the victim, with or without the experiment.
func build(t *testing.T, experiment string) string {
	t.Helper()
	if runtime.GOOS != "linux" || testing.Short() {
		t.Skip("needs /proc and some seconds")
	}
	bin := filepath.Join(t.TempDir(), "victim")
	cmd := exec.Command("go", "build", "-o", bin, "./victim")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOEXPERIMENT="+experiment)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// recorder is a KEK that tells the test the DEKs.
type recorder struct {
	sealed.KEK
	deks [][32]byte
}

func (r *recorder) Unwrap(ctx context.Context, wrapped, aad []byte, dek *[32]byte) error {
	err := r.KEK.Unwrap(ctx, wrapped, aad, dek)
	r.deks = append(r.deks, *dek)
	return err
}

type token string

func (t token) Token(context.Context) (string, error) { return string(t), nil }

// process is a running victim that has done its job.
type process struct {
	pid     int
	result  result
	scanner *scan.Scanner
}

type result struct {
	Protected bool
	Seconds   float64
	Keys      []struct {
		Curve  uint8
		Shares [2][]byte
		AADs   [2][]byte
	}
}

// accessToken is no secret here but a control: 32 bytes that a victim must
// keep, so a scan that doesn't find them didn't work.
const accessToken = "control-EzB2kq7W4nTd9uXcR5vLs0aH"

// start runs a victim and learns its secrets by opening what it sealed.
func start(t *testing.T, bin, mode string, cache int) *process {
	t.Helper()
	server := kmstest.NewServer(accessToken)
	t.Cleanup(server.Close)
	cmd := exec.Command(bin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
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
		if err := cmd.Wait(); err != nil {
			t.Errorf("victim: %v: %s", err, stderr.String())
		}
	})
	job := map[string]any{"Mode": mode, "URL": server.URL, "Root": server.Certificate().Raw, "Token": accessToken,
		"KeyNames": [2]string{kmstest.KeyName(0), kmstest.KeyName(1)}, "Rounds": 100, "Cache": cache}
	if err := json.NewEncoder(in).Encode(job); err != nil {
		t.Fatal(err)
	}
	p := &process{pid: cmd.Process.Pid}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("victim says nothing: %v", err)
	}
	if err := json.Unmarshal(line, &p.result); err != nil {
		t.Fatal(err)
	}
	secrets := append(p.secrets(t, server), scan.Secret{Label: "control", Bytes: []byte(accessToken)})
	if p.scanner, err = scan.New(secrets); err != nil {
		t.Fatal(err)
	}
	return p
}

// secrets are key, shares and DEKs of each key that the victim made.
func (p *process) secrets(t *testing.T, server *kmstest.Server) []scan.Secret {
	t.Helper()
	var out []scan.Secret
	for _, k := range p.result.Keys {
		curve := keys.Curve(k.Curve)
		var shares [2][32]byte
		for i := range shares {
			client, err := gcpkms.New(gcpkms.Config{KeyName: kmstest.KeyName(i), BaseURL: server.URL, RootCAs: server.Roots(), Token: token(accessToken)})
			if err != nil {
				t.Fatal(err)
			}
			kek := &recorder{KEK: client}
			aad, err1 := sealed.DecodeAAD(k.AADs[i])
			s, err2 := sealed.DecodeShare(k.Shares[i])
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			if err := sealed.NewOpener(kek, nil).Open(t.Context(), sealed.NewPlace(aad), s, &shares[i]); err != nil {
				t.Fatal(err)
			}
			out = append(out, scan.Secret{Label: fmt.Sprintf("%v %v share", curve, aad.Role), Bytes: shares[i][:]},
				scan.Secret{Label: fmt.Sprintf("%v %v DEK", curve, aad.Role), Bytes: kek.deks[0][:]})
		}
		var priv [32]byte
		sealed.Combine(&shares[0], &shares[1], &priv)
		out = append(out, scan.Secret{Label: fmt.Sprintf("%v key", curve), Bytes: priv[:]})
	}
	return out
}

// hits scans and returns the copies of secrets, once the control was found.
func (p *process) hits(t *testing.T) []scan.Hit {
	t.Helper()
	r, err := p.scanner.Process(p.pid)
	if err != nil {
		t.Skip("the victim's memory can't be read here:", err)
	}
	hits := slices.DeleteFunc(r.Hits, func(h scan.Hit) bool { return h.Label == "control" })
	if len(hits) == len(r.Hits) {
		t.Error("scan is blind: it doesn't find what must be there")
	}
	return hits
}

func TestNoCopiesAfterOneSecond(t *testing.T) {
	p := start(t, build(t, "runtimesecret"), "protected", 0)
	if !p.result.Protected {
		t.Fatal("build without protection")
	}
	t.Logf("right after: %d copies", len(p.hits(t)))
	time.Sleep(time.Second) // the claim is about time
	report(t, p.hits(t))
}

func report(t *testing.T, hits []scan.Hit) {
	t.Helper()
	for _, h := range hits {
		t.Error("left behind:", h)
	}
}

// The cache holds DEKs in its own pages and nowhere else, until they expire.
func TestCachedDEKsInArenaOnly(t *testing.T) {
	p := start(t, build(t, "runtimesecret"), "protected", 3)
	time.Sleep(time.Second)
	deks := map[string]int{}
	for _, h := range p.hits(t) {
		if strings.HasSuffix(h.Label, "DEK") && h.Encoding == "raw" && strings.Contains(h.Mapping, " rw-p 00000000 00:00 0") {
			deks[h.Label]++
			continue
		}
		t.Error("outside of the arena:", h)
	}
	if len(deks) != 4 {
		t.Errorf("cached DEKs: %v", deks)
	}
	for l, n := range deks {
		if n != 1 {
			t.Errorf("%s is cached %d times", l, n)
		}
	}
	time.Sleep(3 * time.Second)
	report(t, p.hits(t))
}

// Canaries: signing outside secret.Do and a build without the experiment are
// both caught; else the tests above prove nothing.
func TestCanaries(t *testing.T) {
	for name, c := range map[string]struct{ experiment, mode string }{
		"outside secret.Do": {"runtimesecret", "leaky"},
		"plain build":       {"", "protected"},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, build(t, c.experiment), c.mode, 0)
			time.Sleep(time.Second)
			hits := p.hits(t)
			labels := map[string]int{}
			for _, h := range hits {
				labels[h.Label]++
			}
			t.Logf("%d copies: %v", len(hits), labels)
			if len(hits) == 0 {
				t.Error("nothing found: the scanner or the experiment is blind")
			}
		})
	}
}

func TestCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(file, []byte("key "+strings.Repeat("0123456789abcdef", 4)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := run([]string{"-pid", "-1", "-secrets", file}, io.Discard, io.Discard); code != 2 {
		t.Errorf("no such process: exit %d", code)
	}
	for _, bad := range []string{"", "key", "key xyz", "key 00 11"} {
		if _, err := readSecrets(strings.NewReader(bad)); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}

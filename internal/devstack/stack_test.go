package devstack

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/cloudsim"
)

// build makes the two programs as they are deployed.
func build(t *testing.T) (tee, sigil string) {
	t.Helper()
	// A path with a space: everything that starts a process must quote.
	dir := filepath.Join(t.TempDir(), "the programs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sigil-tee", "sigil"} {
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", filepath.Join(dir, name), "../../cmd/"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if name == "sigil-tee" && runtime.GOOS == "linux" {
			cmd.Env = append(cmd.Env, "GOEXPERIMENT=runtimesecret")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	return filepath.Join(dir, "sigil-tee"), filepath.Join(dir, "sigil")
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func readInfo(t *testing.T, dir string) Info {
	t.Helper()
	var i Info
	if err := json.Unmarshal(must(os.ReadFile(filepath.Join(dir, "dev.json")))(t), &i); err != nil {
		t.Fatal(err)
	}
	return i
}

func clientOf(t *testing.T, i Info) *client.Client {
	t.Helper()
	key := must(os.ReadFile(i.SecretKeyFile))(t)
	return must(client.New(client.Config{BaseURL: i.APIBaseURL, SecretKey: strings.TrimSpace(string(key))}))(t)
}

func TestStack(t *testing.T) {
	tee, sigil := build(t)
	cfg := Config{Data: filepath.Join(t.TempDir(), "a stack"), TEEBinary: tee, SigilBinary: sigil,
		Restart: true, Log: func(line string) { t.Log(line) }}
	first := firstStart(t, cfg)
	secondStart(t, cfg, first)
	otherImage(t, cfg)
	debugImage(t, cfg)
}

// firstStart provisions, signs, and has a killed workload started again.
func firstStart(t *testing.T, cfg Config) Info {
	s := must(Up(t.Context(), cfg))(t)
	i := readInfo(t, cfg.Data)
	if i.OrganizationID == "" || i.WalletID == "" || i.Addresses["base"] == "" || i.Addresses["solana"] == "" || len(i.PIDs) != 3 || len(i.Cloud) != 5 {
		t.Errorf("dev.json: %+v", i)
	}
	for _, file := range []string{i.SecretKeyFile, i.AdminKeyFile, i.Database, i.Cloud["launcher"]} {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
	c := clientOf(t, i)
	request := client.SignRequest{WalletID: i.WalletID, Network: "base", Message: "audit-log-2026-06"}
	before := must(c.Sign(t.Context(), request))(t)
	if _, err := Up(t.Context(), cfg); !errors.Is(err, ErrInUse) {
		t.Errorf("a folder in use: %v", err)
	}
	if got := readInfo(t, cfg.Data); got.PIDs[nameTEE] != i.PIDs[nameTEE] {
		t.Error("the refused start changed dev.json")
	}
	if err := syscall.Kill(i.PIDs[nameTEE], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	after := must(signAgain(t, c, request))(t)
	if after.Verified.Attested.InstanceKey == before.Verified.Attested.InstanceKey {
		t.Error("signed by the instance that was killed")
	}
	if got := readInfo(t, cfg.Data).PIDs[nameTEE]; got == i.PIDs[nameTEE] {
		t.Error("dev.json names the killed process")
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := os.Stat(filepath.Join(cfg.Data, "dev.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("dev.json outlives the stack: %v", err)
	}
	return i
}

// signAgain repeats until the new instance answers. While there is none, the
// control plane says so, and releases nothing.
func signAgain(t *testing.T, c *client.Client, r client.SignRequest) (*client.SignResult, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		res, err := c.Sign(ctx, r)
		var e *client.APIError
		if err == nil || ctx.Err() != nil || !errors.As(err, &e) || e.Status != http.StatusServiceUnavailable {
			return res, err
		}
	}
}

// secondStart finds everything again.
func secondStart(t *testing.T, cfg Config, first Info) {
	s := must(Up(t.Context(), cfg))(t)
	defer s.Close()
	i := s.Info()
	if i.OrganizationID != first.OrganizationID || i.WalletID != first.WalletID || i.APIBaseURL != first.APIBaseURL || i.Addresses["base"] != first.Addresses["base"] {
		t.Errorf("another stack than before: %+v, %+v", i, first)
	}
	must(clientOf(t, i).Sign(t.Context(), client.SignRequest{WalletID: i.WalletID, Network: "solana", Message: "again"}))(t)
}

// otherImage: one byte more is another image, which nobody accepts.
func otherImage(t *testing.T, cfg Config) {
	other := filepath.Join(t.TempDir(), "sigil-tee")
	program := must(os.ReadFile(cfg.TEEBinary))(t)
	if err := os.WriteFile(other, append(program, 'x'), 0o700); err != nil {
		t.Fatal(err)
	}
	cfg.TEEBinary = other
	if _, err := Up(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "another build of sigil-tee") {
		t.Errorf("another build: %v", err)
	}
}

// debugImage: the workload itself refuses to serve, with one line.
func debugImage(t *testing.T, cfg Config) {
	cfg.Restart = false
	s := must(Up(t.Context(), cfg))(t)
	defer s.Close()
	if err := s.Cloud().SetKnobs(cloudsim.Knobs{Debug: true}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(s.path("tee", nameTEE), "--config", configFile)
	cmd.Dir = s.path("tee")
	var lines strings.Builder
	cmd.Stdout, cmd.Stderr = &lines, &lines
	if err := cmd.Run(); err == nil || !strings.Contains(lines.String(), "debug image") || strings.Count(lines.String(), "\n") != 1 {
		t.Errorf("a debug image: %v\n%s", err, lines.String())
	}
	if err := syscall.Kill(s.Info().PIDs[nameServe], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "sigil-serve: signal: killed") {
		t.Errorf("a killed control plane: %v", err)
	}
}

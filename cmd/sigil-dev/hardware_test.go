package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/client"
)

// TestMain lets the test binary stand in for the program.
func TestMain(m *testing.M) {
	if os.Getenv("SIGIL_DEV_PROGRAM") == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

// models are the kinds of TEE, and what tokens call them.
func models() map[string]string {
	return map[string]string{"sev": "GCP_AMD_SEV", "sev-snp": "GCP_AMD_SEV_SNP", "tdx": "GCP_INTEL_TDX"}
}

// demoRun is the demo as a person runs it, in one folder.
type demoRun struct {
	bin, sdk, data string
}

func newDemoRun(t *testing.T, bin string) *demoRun {
	t.Helper()
	sdk, err := filepath.Abs(filepath.Join("..", "..", "sdk", "typescript"))
	if err != nil {
		t.Fatal(err)
	}
	return &demoRun{bin: bin, sdk: sdk, data: filepath.Join(t.TempDir(), "demo")}
}

// run returns what it printed; the error is that of its exit status.
func (d *demoRun) run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{"demo", "--data", d.data, "--sdk", d.sdk,
		"--tee-binary", filepath.Join(d.bin, "sigil-tee"), "--sigil-binary", filepath.Join(d.bin, "sigil")}, args...)...)
	cmd.Env = append(os.Environ(), "SIGIL_DEV_PROGRAM=1", "DEMO_ONCE=1", "NO_COLOR=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// file returns the one file of the name in the folder, or "".
func (d *demoRun) file(t *testing.T, name string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(d.data, "*", name))
	if err != nil || len(found) > 1 {
		t.Fatalf("%q, %v", found, err)
	}
	if len(found) == 0 {
		return ""
	}
	return found[0]
}

// attested verifies what the demo left behind, as an auditor does, and returns
// the hardware that the token in it names.
func (d *demoRun) attested(t *testing.T) string {
	t.Helper()
	genesis, err := os.ReadFile(d.file(t, "genesis.json"))
	if err != nil {
		t.Fatal(err)
	}
	digest, _, _, err := client.GenesisDigest(genesis)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(d.file(t, "receipt.json"))
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := client.ParseBundle(raw)
	if err != nil {
		t.Fatal(err)
	}
	r, err := bundle.Verify(digest)
	if err != nil {
		t.Fatal(err)
	}
	return r.Attested.Hardware
}

// refused requires that a run ended with the hardware's refusal and without a
// signature.
func refused(t *testing.T, what, model, stdout, stderr string, err error) {
	t.Helper()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("%s: ended with %v, want status 1", what, err)
	}
	if !strings.Contains(stderr, "hwmodel") || !strings.Contains(stderr, "evidence_refused") {
		t.Errorf("%s: %s isn't what is refused:\n%s", what, model, stderr)
	}
	if strings.Contains(stdout, "✓") || strings.Contains(stdout, "  signature  ") {
		t.Errorf("%s: shows a signature or an attestation:\n%s", what, stdout)
	}
}

// build makes the programs that the demo starts.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"sigil", "sigil-tee"} {
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, name), "../"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if runtime.GOOS == "linux" {
			cmd.Env = append(cmd.Env, "GOEXPERIMENT=runtimesecret")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return dir
}

// The demo on each kind of TEE: it shows an attestation of that kind, and the
// receipt that it leaves is of that kind. An owner who accepts only the other
// kinds gets nothing made; one whose wallet's machine becomes another kind,
// nothing signed: there the TypeScript SDK refuses.
func TestDemoOnEachHardware(t *testing.T) {
	if _, err := os.Stat(filepath.Join("..", "..", "sdk", "typescript", "dist", "index.js")); err != nil {
		t.Skip("the TypeScript SDK isn't built: run make sdk")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is missing: install Node 20")
	}
	bin := build(t)
	for kind, model := range models() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var others []string
			for other := range models() {
				if other != kind {
					others = append(others, other)
				}
			}
			any := newDemoRun(t, bin)
			stdout, stderr, err := any.run(t, "--hardware", kind)
			if err != nil {
				t.Fatalf("%v\n%s%s", err, stdout, stderr)
			}
			if n := strings.Count(stdout, "attestation   "); n != 1 || !strings.Contains(stdout, "✓ attestation   "+model+", production image") {
				t.Errorf("shows %d attestations, want one of %s:\n%s", n, model, stdout)
			}
			if got := any.attested(t); got != model {
				t.Errorf("the receipt is of %s, want %s", got, model)
			}

			foreign := newDemoRun(t, bin)
			stdout, stderr, err = foreign.run(t, "--hardware", kind, "--accept-hardware", strings.Join(others, ","))
			refused(t, "not accepted", model, stdout, stderr, err)
			if foreign.file(t, "receipt.json") != "" || foreign.file(t, "secret-key") != "" {
				t.Error("not accepted: a key or a receipt was made")
			}
		})
	}
	t.Run("another machine", func(t *testing.T) {
		t.Parallel()
		own := newDemoRun(t, bin)
		if stdout, stderr, err := own.run(t, "--hardware", "sev-snp", "--accept-hardware", "sev-snp,sev"); err != nil {
			t.Fatalf("canary: accepted, it is refused: %v\n%s%s", err, stdout, stderr)
		}
		before, err := os.ReadFile(own.file(t, "receipt.json"))
		if err != nil {
			t.Fatal(err)
		}
		stdout, stderr, err := own.run(t, "--hardware", "tdx")
		refused(t, "moved", models()["tdx"], stdout, stderr, err)
		if after, err := os.ReadFile(own.file(t, "receipt.json")); err != nil || !bytes.Equal(before, after) {
			t.Errorf("moved: another receipt, %v", err)
		}
	})
}

// A kind that there isn't is no kind, neither to be nor to accept.
func TestUnknownHardware(t *testing.T) {
	for _, flag := range []string{"--hardware", "--accept-hardware"} {
		d := &demoRun{bin: filepath.Dir(os.Args[0]), data: filepath.Join(t.TempDir(), "demo")}
		for _, name := range []string{"sigil", "sigil-tee"} { // never started
			if err := os.WriteFile(filepath.Join(d.data+name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var out, errs bytes.Buffer
		err := run(t.Context(), []string{"demo", "--data", d.data, flag, "sgx", "--sdk", t.TempDir(),
			"--tee-binary", d.data + "sigil-tee", "--sigil-binary", d.data + "sigil"}, &out, &errs)
		if err == nil || !strings.Contains(err.Error(), `hardware "sgx" is unknown`) {
			t.Errorf("%s sgx: %v", flag, err)
		}
	}
}

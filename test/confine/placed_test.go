package confine

import (
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/image"
	"github.com/sigilkeys/sigil/internal/teeconfig"
	"github.com/sigilkeys/sigil/test/ports"
	"github.com/sigilkeys/sigil/test/secrets"
	"github.com/sigilkeys/sigil/test/stack"
)

// edits are changes to the workload's source, by file: what stands there and
// what is built in its place. They make the canaries.
type edits map[string][]string

// build compiles the workload as it is deployed, but for the edits. The source
// itself stays as it is.
func build(t *testing.T, e edits) string {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "sigil-tee")
	args := []string{"build", "-trimpath", "-buildvcs=false", "-o", program}
	replaced := map[string]string{}
	for i, file := range slices.Sorted(maps.Keys(e)) {
		source, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		text := string(source)
		for pair := range slices.Chunk(e[file], 2) {
			if strings.Count(text, pair[0]) != 1 {
				t.Fatalf("%s doesn't have the line %q once: plant the fault elsewhere", file, pair[0])
			}
			text = strings.Replace(text, pair[0], pair[1], 1)
		}
		replaced[filepath.Join(root, file)] = filepath.Join(dir, string(rune('a'+i))+".go")
		if err := os.WriteFile(filepath.Join(dir, string(rune('a'+i))+".go"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if len(replaced) > 0 {
		raw, err := json.Marshal(map[string]any{"Replace": replaced})
		if err != nil {
			t.Fatal(err)
		}
		overlay := filepath.Join(dir, "overlay.json")
		if err := os.WriteFile(overlay, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.Command("go", append(args, "./cmd/sigil-tee")...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "GOEXPERIMENT=runtimesecret", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// placed is a workload that is measured and admitted, ready to be started.
type placed struct {
	sim             *cloudsim.Sim
	config          *teeconfig.Config
	program, digest string
	file            string         // the configuration
	log             secrets.Buffer // the control plane's
}

// place gives a program a cloud and a configuration without a DEK cache: the
// KMS is asked each time.
func place(t *testing.T, program string) *placed {
	t.Helper()
	p := &placed{sim: stack.NewCloud(t, stack.MadeUpDigest("none yet")), program: program, file: filepath.Join(t.TempDir(), "tee.json")}
	p.config, _ = stack.Config(t, p.sim, false)
	p.config.Listen = ports.Reserve(t)
	p.measure(t)
	return p
}

// measure writes the configuration, and has the cloud run and admit the image
// of it and the program.
func (p *placed) measure(t *testing.T) {
	t.Helper()
	raw, err := json.Marshal(p.config)
	if err != nil {
		t.Fatal(err)
	}
	bin, err := os.ReadFile(p.program)
	if err != nil {
		t.Fatal(err)
	}
	i, err := image.New(bin, raw, runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	p.digest = i.Digest
	if err := errors.Join(os.WriteFile(p.file, raw, 0o600), p.sim.SetImageDigest(i.Digest), p.sim.AdmitRelease(i.Digest)); err != nil {
		t.Fatal(err)
	}
}

// control starts a control plane for the running workload.
func (p *placed) control(t *testing.T) *stack.Stack {
	t.Helper()
	return stack.Start(t, stack.Options{Cloud: p.sim, Digest: p.digest, TEE: p.config.Listen,
		Log: slog.New(slog.NewJSONHandler(&p.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
}

// awaitServing waits until a workload says in the file of its output that it
// serves.
func awaitServing(t *testing.T, out string) {
	t.Helper()
	var b []byte
	for range 1500 {
		if b, _ = os.ReadFile(out); strings.Contains(string(b), `"msg":"serving"`) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("it doesn't serve: %s", b)
}

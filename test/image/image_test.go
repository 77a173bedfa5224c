// Package image tests the workload's container image as owners and the cloud
// meet it: built twice, carried by another tool, altered by one byte.
package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/image"
	"github.com/sigilkeys/sigil/test/ports"
	"github.com/sigilkeys/sigil/test/stack"
)

const root = "../.."

// copySource copies what Go builds from into a new folder.
func copySource(t *testing.T) string {
	t.Helper()
	to := t.TempDir()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); rel != "." && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "testdata" || rel == "bin" || rel == "dist" || rel == "sdk") {
				return fs.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func compile(t *testing.T, source string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "sigil-tee")
	if err := image.Compile(t.Context(), source, out); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// program is what this checkout builds, made once.
func program() func(t *testing.T) []byte {
	var once sync.Once
	var b []byte
	return func(t *testing.T) []byte {
		once.Do(func() { b = compile(t, root) })
		if b == nil {
			t.Fatal("sigil-tee couldn't be built")
		}
		return b
	}
}

// Two builds from two folders with two caches and no network are one image.
func TestBuildsAreTheSame(t *testing.T) {
	if testing.Short() {
		t.Skip("builds sigil-tee twice from nothing: run it without -short")
	}
	config, err := os.ReadFile(filepath.Join(root, "deploy/image/tee.json"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOPROXY", "off")
	var digests []string
	for dirty := range 2 {
		t.Setenv("GOCACHE", t.TempDir())
		if dirty == 1 { // what the environment and go env -w say must not show
			file := filepath.Join(t.TempDir(), "env")
			if err := os.WriteFile(file, []byte("GOFLAGS=-tags=fromfile\nGOFIPS140=latest\nGO111MODULE=off\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("GOENV", file)
			t.Setenv("GOAMD64", "v3")
			t.Setenv("GOEXPERIMENT", "")
			t.Setenv("GO111MODULE", "off")
			t.Setenv("GOROOT", t.TempDir())
			t.Setenv("CGO_ENABLED", "1")
		}
		i, err := image.New(compile(t, copySource(t)), config, image.Target)
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, i.Digest)
	}
	if digests[0] != digests[1] {
		t.Fatalf("two builds, two images: %v", digests)
	}
	t.Log("both", digests[0])
}

func TestProgramOnItsOwn(t *testing.T) {
	build := program()
	t.Run("flipped byte", func(t *testing.T) { flippedByte(t, build(t)) })
	t.Run("verified by the CLI", func(t *testing.T) { verified(t, build(t)) })
	t.Run("traps", func(t *testing.T) { traps(t, build(t)) })
	t.Run("bill of materials", func(t *testing.T) { materials(t, build(t)) })
	t.Run("carried by skopeo", func(t *testing.T) { carried(t, build(t)) })
}

// flippedByte runs the program in the emulated cloud, whose launcher measures
// what really runs: as it is it serves; with one bit of a text changed it is
// another image, to which the KMS gives nothing.
func flippedByte(t *testing.T, good []byte) {
	if runtime.GOOS != "linux" || runtime.GOARCH != image.Target {
		t.Skip("the image's program runs on linux/amd64 only")
	}
	sim := stack.NewCloud(t, stack.MadeUpDigest("none yet"))
	c, _ := stack.Config(t, sim, true)
	c.Listen = ports.Reserve(t)
	c.Development = false
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	admit := func(program []byte) string {
		i, err := image.New(program, config, image.Target)
		if err != nil {
			t.Fatal(err)
		}
		return i.Digest
	}
	if err := sim.AdmitRelease(admit(good)); err != nil {
		t.Fatal(err)
	}
	if out, err := launch(t, sim, good, config); err != nil || !strings.Contains(out, `"msg":"serving"`) {
		t.Fatalf("the image itself doesn't serve: %v\n%s", err, out)
	}
	const text = "sigil-tee is Sigil's TEE workload"
	at := bytes.Index(good, []byte(text))
	if at < 0 {
		t.Fatal("canary: the program lacks its usage text")
	}
	bad := bytes.Clone(good)
	bad[at] ^= 1
	out, err := launch(t, sim, bad, config)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || strings.Contains(out, "serving") || !strings.Contains(out, "attribute condition") {
		t.Fatalf("one byte flipped: %v\n%s", err, out)
	}
	t.Log(strings.TrimSpace(out))
}

// launch measures the two files as the launcher does and runs the program
// until it ends or serves.
func launch(t *testing.T, sim *cloudsim.Sim, program, config []byte) (string, error) {
	t.Helper()
	i, err := image.New(program, config, image.Target)
	if err != nil {
		t.Fatal(err)
	}
	if err := sim.SetImageDigest(i.Digest); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path, file := filepath.Join(dir, "sigil-tee"), filepath.Join(dir, "tee.json")
	if err := errors.Join(os.WriteFile(path, program, 0o700), os.WriteFile(file, config, 0o600)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, "--config", file)
	out := &untilServing{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case err := <-ended:
			tick.Stop()
			return out.String(), err
		case <-tick.C:
			if strings.Contains(out.String(), `"msg":"serving"`) {
				_ = cmd.Process.Signal(syscall.SIGTERM) // gone already is as good
			}
		}
	}
}

type untilServing struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (u *untilServing) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.buf.Write(p)
}

func (u *untilServing) String() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.buf.String()
}

// materials compares the bill of materials with what `go version -m` reads
// from the program.
func materials(t *testing.T, program []byte) {
	info, err := image.CheckProgram(program)
	if err != nil {
		t.Fatal(err)
	}
	i, err := image.New(program, []byte(`{"listen":":1"}`), image.Target)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := i.SBOM(info)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := i.SBOM(info); err != nil || !bytes.Equal(again, raw) {
		t.Fatal("the bill of materials isn't the same twice", err)
	}
	var bom struct {
		BOMFormat, SpecVersion string
		Metadata               struct {
			Component struct{ Hashes []struct{ Content string } }
		}
		Components []struct{ Type, Name, Version, PURL string }
	}
	if err := json.Unmarshal(raw, &bom); err != nil {
		t.Fatal(err)
	}
	if bom.BOMFormat != "CycloneDX" || bom.SpecVersion != "1.6" || "sha256:"+bom.Metadata.Component.Hashes[0].Content != i.Digest {
		t.Fatalf("%s", raw)
	}
	path := filepath.Join(t.TempDir(), "sigil-tee")
	if err := os.WriteFile(path, program, 0o700); err != nil {
		t.Fatal(err)
	}
	libraries := 0
	for line := range strings.Lines(string(run(t, "go", "version", "-m", path))) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "dep" {
			continue
		}
		libraries++
		if !bytes.Contains(raw, []byte(`"pkg:golang/`+f[1]+"@"+f[2]+`"`)) {
			t.Errorf("%s %s isn't listed", f[1], f[2])
		}
	}
	if want := libraries + 3; libraries == 0 || len(bom.Components) != want { // program, configuration, std
		t.Errorf("%d components for %d modules", len(bom.Components), libraries)
	}
}

// carried has a tool that shares no code with ours read the image and carry
// it elsewhere. Without being told to keep digests it compresses the layers:
// that is another image, and is refused.
func carried(t *testing.T, program []byte) {
	skopeo, err := exec.LookPath("skopeo")
	if err != nil {
		t.Skip("skopeo isn't installed: apt-get install skopeo")
	}
	config, err := os.ReadFile(filepath.Join(root, "deploy/image/tee.json"))
	if err != nil {
		t.Fatal(err)
	}
	i, err := image.New(program, config, image.Target)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	from := filepath.Join(dir, "image")
	if err := i.Write(from); err != nil {
		t.Fatal(err)
	}
	inspect := run(t, skopeo, "inspect", "oci:"+from)
	var seen struct {
		Digest       string
		Architecture string
		Os           string
		Labels       map[string]string
		Layers       []string
	}
	if err := json.Unmarshal(inspect, &seen); err != nil {
		t.Fatal(err)
	}
	if seen.Digest != i.Digest || seen.Architecture != image.Target || seen.Os != "linux" || len(seen.Layers) != 2 ||
		seen.Layers[0] != i.ProgramLayer || seen.Layers[1] != i.ConfigLayer || len(seen.Labels) != len(image.Labels()) {
		t.Fatalf("skopeo reads %+v", seen)
	}
	whole, packed := filepath.Join(dir, "whole"), filepath.Join(dir, "packed")
	run(t, skopeo, "copy", "--preserve-digests", "oci:"+from, "oci:"+whole)
	if o, err := image.Open(whole); err != nil || o.Digest != i.Digest {
		t.Fatal("carried with --preserve-digests:", err)
	}
	run(t, skopeo, "copy", "oci:"+from, "oci:"+packed)
	if _, err := image.Open(packed); err == nil {
		t.Fatal("an image with compressed layers passes")
	}
}

func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, stderr.String())
	}
	return out
}

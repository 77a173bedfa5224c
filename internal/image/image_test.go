package image_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/sigilkeys/sigil/internal/image"
)

const config = `{"format":"x","listen":"0.0.0.0:7420","project_id":"a"}`

func build(t testing.TB, program, config string) *image.Image {
	t.Helper()
	i, err := image.New([]byte(program), []byte(config), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// The digests of fixed files are fixed: owners have them in signed documents.
func TestDigestsAreFixed(t *testing.T) {
	i := build(t, "program", config)
	got := []string{i.Digest, i.ID, i.ProgramLayer, i.ConfigLayer}
	want := []string{
		"sha256:7e0ab7a6223e181dc4d66854f30a01ba8afda63e0c54519dbb187c81f66ccd62",
		"sha256:f49daf55ae8b19f744279dc4b101e575a04ce42afc7bb2f3e1aab37e5b682590",
		"sha256:92a853b42c195b9046c16b62196471666ed795185f7f5fe3d4705f58930fefcb",
		"sha256:0d2acacdb7b71728a17d49617887688049cfb48489ad7056591cdfe1ff9f0ca0",
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("the image's layout changed, which changes the digest of every release:\n%s", strings.Join(got, "\n"))
	}
}

func TestEveryByteShows(t *testing.T) {
	seen := map[string]bool{}
	other := strings.Replace(config, `"a"`, `"b"`, 1)
	for _, c := range [][2]string{{"ab", config}, {"ab", other}, {"ac", config}, {"ab ", config}, {"ab", config + " "}} {
		i := build(t, c[0], c[1])
		if seen[i.Digest] || i.Digest != build(t, c[0], c[1]).Digest {
			t.Errorf("%q: %s", c, i.Digest)
		}
		seen[i.Digest] = true
	}
	arm, err := image.New([]byte("ab"), []byte(config), "arm64")
	if err != nil || seen[arm.Digest] {
		t.Error("the architecture doesn't show", err)
	}
	if build(t, "ab", config).ProgramLayer != build(t, "ab", other).ProgramLayer {
		t.Error("the configuration shows in the program's layer")
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]string{
		"not JSON": `listen`, "no listen": `{}`, "no port": `{"listen":"0.0.0.0"}`, "port 0": `{"listen":":0"}`,
		"name": `{"listen":":https"}`, "zeros": `{"listen":":07420"}`, "big": `{"listen":":65536"}`, "list": `[]`,
	} {
		if _, err := image.New([]byte("p"), []byte(c), "amd64"); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	if _, err := image.New(nil, []byte(config), "amd64"); err == nil {
		t.Error("no program passes")
	}
	if _, err := image.New([]byte("p"), []byte(config), ""); err == nil {
		t.Error("no architecture passes")
	}
}

func write(t testing.TB, i *image.Image) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "image")
	if err := i.Write(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestWriteAndOpen(t *testing.T) {
	i := build(t, "program", config)
	dir := write(t, i)
	o, err := image.Open(dir)
	if err != nil || o.Digest != i.Digest || string(o.Program) != "program" || string(o.Config) != config {
		t.Fatal(o, err)
	}
	if err := i.Write(dir); err == nil {
		t.Error("wrote into a folder that holds an image")
	}
}

// indexOf is index.json of a manifest's digest and size and, after a comma,
// further members of its descriptor.
const indexOf = `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":%d%s}]}`

// entrance writes the two files that say where the image is.
func entrance(dir, index string) error {
	return errors.Join(os.WriteFile(filepath.Join(dir, "index.json"), []byte(index), 0o600),
		os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion": "1.0.0"}`), 0o600))
}

// layoutOf edits an image as JSON and with all digests made right again, as
// somebody does who wants another image to look like one of ours.
type layoutOf struct {
	manifest, config map[string]any
	layers           [][]byte
}

func (l *layoutOf) write(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "forged")
	blob := func(b []byte) (string, int) {
		d := sha256.Sum256(b)
		path := filepath.Join(dir, "blobs", "sha256", hex.EncodeToString(d[:]))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return "sha256:" + hex.EncodeToString(d[:]), len(b)
	}
	encode := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var layers []any
	for _, b := range l.layers {
		d, n := blob(b)
		layers = append(layers, map[string]any{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": d, "size": n})
	}
	d, n := blob(encode(l.config))
	l.manifest["config"] = map[string]any{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": d, "size": n}
	l.manifest["layers"] = layers
	d, n = blob(encode(l.manifest))
	if err := entrance(dir, fmt.Sprintf(indexOf, d, n, "")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func takeApart(t *testing.T, dir string) *layoutOf {
	read := func(digest string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:")))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	decode := func(b []byte, v any) {
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	type ref struct{ Digest string }
	var index struct{ Manifests []ref }
	decode(raw, &index)
	l := &layoutOf{}
	m := read(index.Manifests[0].Digest)
	decode(m, &l.manifest)
	var typed struct {
		Config ref
		Layers []ref
	}
	decode(m, &typed)
	decode(read(typed.Config.Digest), &l.config)
	for _, d := range typed.Layers {
		l.layers = append(l.layers, read(d.Digest))
	}
	return l
}

func TestOpenRefusesForgeries(t *testing.T) {
	extra := func() []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "etc/sigil/tee.json", Mode: 0o444, Size: 1})
		_, _ = w.Write([]byte("x"))
		_ = w.Close()
		return b.Bytes()
	}()
	inner := func(l *layoutOf) map[string]any { return l.config["config"].(map[string]any) }
	for name, edit := range map[string]func(*layoutOf){
		"third layer":      func(l *layoutOf) { l.layers = append(l.layers, extra) },
		"one layer":        func(l *layoutOf) { l.layers = l.layers[:1] },
		"layers swapped":   func(l *layoutOf) { l.layers[0], l.layers[1] = l.layers[1], l.layers[0] },
		"layer with more":  func(l *layoutOf) { l.layers[0] = append(bytes.Clone(l.layers[0][:len(l.layers[0])-1024]), extra...) },
		"layer of garbage": func(l *layoutOf) { l.layers[1] = bytes.Repeat([]byte{7}, 2000) },
		"entry point":      func(l *layoutOf) { inner(l)["Entrypoint"] = []string{"/sigil-tee", "--config", "/tmp/x"} },
		"command":          func(l *layoutOf) { inner(l)["Cmd"] = []string{"--config", "/tmp/x"} },
		"environment":      func(l *layoutOf) { inner(l)["Env"] = []string{"GODEBUG=x"} },
		"user":             func(l *layoutOf) { inner(l)["User"] = "1:1" },
		"volume":           func(l *layoutOf) { inner(l)["Volumes"] = map[string]any{"/etc": map[string]any{}} },
		"another port":     func(l *layoutOf) { inner(l)["ExposedPorts"].(map[string]any)["22/tcp"] = map[string]any{} },
		"cmd override": func(l *layoutOf) {
			inner(l)["Labels"].(map[string]any)["tee.launch_policy.allow_cmd_override"] = "true"
		},
		"env override": func(l *layoutOf) {
			inner(l)["Labels"].(map[string]any)["tee.launch_policy.allow_env_override"] = "GODEBUG"
		},
		"monitoring": func(l *layoutOf) {
			delete(inner(l)["Labels"].(map[string]any), "tee.launch_policy.hardened_monitoring")
		},
		"other layers": func(l *layoutOf) { l.config["rootfs"].(map[string]any)["diff_ids"] = []string{"sha256:00"} },
		"annotation":   func(l *layoutOf) { l.manifest["annotations"] = map[string]string{"a": "b"} },
		"architecture": func(l *layoutOf) { l.config["architecture"] = "s390x" },
		"escape signs": func(l *layoutOf) { l.config["architecture"] = "\x1b[2J\u202e" },
		"system":       func(l *layoutOf) { l.config["os"] = "windows" },
	} {
		t.Run(name, func(t *testing.T) {
			l := takeApart(t, write(t, build(t, "program", config)))
			edit(l)
			says, special := map[string]string{
				"third layer": "3 layers", "one layer": "1 layers", "layers swapped": "it has no /sigil-tee", "layer of garbage": "layer sha256",
				"architecture": "it is for", "escape signs": "it is for", "system": "it is for",
			}[name]
			if !special {
				says = "its manifest is"
			}
			if i, err := image.Open(l.write(t)); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("opened: %t, %v, want %q", i != nil, err, says)
			} else if strings.ContainsAny(err.Error(), "\x1b\u202e") {
				t.Errorf("the error has the image's control characters: %q", err)
			}
		})
	}
}

// An image that is whole, but for another machine than Confidential Space's.
func TestOpenWantsTheTarget(t *testing.T) {
	i, err := image.New([]byte("program"), []byte(config), "s390x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := image.Open(write(t, i)); err == nil || !strings.Contains(err.Error(), `"s390x"`) {
		t.Error("an image for s390x:", err)
	}
}

// Whoever makes the folder may put anything in the place of a file. Waiting
// for a pipe's writer would be for ever, so the test's own limit catches it.
func TestOpenReadsFilesOnly(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "index.json")
	big := `{"manifests":[` + strings.Repeat(" ", 1<<20) + `]}`
	for name, c := range map[string]struct {
		put  func(path string) error
		says string
	}{
		"pipe":         {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "regular file"},
		"folder":       {func(path string) error { return os.Mkdir(path, 0o700) }, "regular file"},
		"link outside": {func(path string) error { return os.Symlink(outside, path) }, "escapes"},
		"big":          {func(path string) error { return os.WriteFile(path, []byte(big), 0o600) }, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			i := build(t, "program", config)
			for _, file := range []string{"index.json", "blobs/sha256/" + strings.TrimPrefix(i.Digest, "sha256:")} {
				dir := write(t, i)
				path := filepath.Join(dir, file)
				b, err := os.ReadFile(path)
				if err := errors.Join(err, os.WriteFile(outside, b, 0o600), os.Remove(path), c.put(path)); err != nil {
					t.Fatal(err)
				}
				if _, err := image.Open(dir); err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: %v", file, err)
				}
			}
		})
	}
	pipe := filepath.Join(t.TempDir(), "image")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := image.Open(pipe); err == nil {
		t.Error("a pipe is an image")
	}
}

func TestOpenRefusesDamage(t *testing.T) {
	for name, edit := range map[string]func(t *testing.T, dir, blob string) error{
		"no index":     func(_ *testing.T, dir, _ string) error { return os.Remove(filepath.Join(dir, "index.json")) },
		"no manifest":  func(_ *testing.T, _, blob string) error { return os.Remove(blob) },
		"path outside": func(_ *testing.T, dir, _ string) error { return index(dir, "sha256:../../../etc/passwd") },
		"no digest":    func(_ *testing.T, dir, _ string) error { return index(dir, "") },
		"spaces":       func(_ *testing.T, _, blob string) error { return appendTo(blob, " ") },
		"no manifests": func(_ *testing.T, dir, _ string) error {
			return entrance(dir, `{"schemaVersion":2,"manifests":[]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := build(t, "program", config)
			dir := write(t, i)
			if err := edit(t, dir, filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(i.Digest, "sha256:"))); err != nil {
				t.Fatal(err)
			}
			if _, err := image.Open(dir); err == nil {
				t.Error("opened")
			}
		})
	}
}

func index(dir, digest string) error {
	return entrance(dir, fmt.Sprintf(indexOf, digest, 547, ""))
}

func appendTo(path, text string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, text...), 0o600)
}

func TestCheckProgramRefuses(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"text": []byte("program"), "another program": other, "nothing": nil} {
		if _, err := image.CheckProgram(b); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// FuzzOpen has Open read index, manifest and layer of foreign bytes.
func FuzzOpen(f *testing.F) {
	i := build(f, "program", config)
	dir := write(f, i)
	blob := func(digest string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:")))
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	ix, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ix, blob(i.Digest), blob(i.ID), blob(i.ProgramLayer), blob(i.ConfigLayer))
	f.Fuzz(func(t *testing.T, ix, manifest, config, program, measured []byte) {
		dir := write(t, i)
		if err := os.WriteFile(filepath.Join(dir, "index.json"), ix, 0o600); err != nil {
			t.Fatal(err)
		}
		for digest, b := range map[string][]byte{i.Digest: manifest, i.ID: config, i.ProgramLayer: program, i.ConfigLayer: measured} {
			if err := os.WriteFile(filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:")), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if o, err := image.Open(dir); err == nil && o.Digest != i.Digest {
			t.Fatalf("opened %s as %s", i.Digest, o.Digest)
		}
	})
}

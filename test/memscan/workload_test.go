package main

import (
	"debug/buildinfo"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/test/memscan/scan"
)

// controlTag makes secret.Do call straight through, with the experiment on.
const controlTag = "sigilcontrol"

// signatures is how many are made before the workload is scanned.
func signatures(t *testing.T) int {
	t.Helper()
	v := os.Getenv("SIGIL_MEMSCAN_SIGNATURES")
	if v == "" {
		return 3000
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 2*wallets {
		t.Fatalf("SIGIL_MEMSCAN_SIGNATURES=%q: give a number from %d", v, 2*wallets)
	}
	return n
}

// found is what a stopped workload and its folder hold.
type found struct {
	learned *learner
	memory  []scan.Hit
	arenas  [][2]uint64
}

// scanned has n messages signed and looks for every secret 1 s after the last
// one: in the memory of the workload, and in all files of the stack, its logs
// and its database among them.
func scanned(t *testing.T, s *subject, n int) *found {
	t.Helper()
	s.sign(t, n)
	time.Sleep(time.Second) // the claim is about time
	s.stop(t)
	f := &found{learned: s.learn(t)}
	f.arenas = s.lockedPages(t)
	scanner, err := scan.New(slices.Concat(f.learned.secrets, f.learned.public))
	if err != nil {
		t.Fatal(err)
	}
	r, err := scanner.Process(s.pid)
	if err != nil {
		t.Fatal(err)
	}
	all := len(r.Hits)
	f.memory = slices.DeleteFunc(r.Hits, isPublic)
	if all == len(f.memory) {
		t.Error("the scan is blind: it doesn't find the public keys of the wallets in use")
	}
	t.Logf("%d secrets in %d encodings: %d copies in %d MiB of memory (%d copies of public keys)",
		len(f.learned.secrets), len(scan.Encodings()), len(f.memory), r.Bytes>>20, all-len(f.memory))
	scanFiles(t, s.data, scanner)
	return f
}

func isPublic(h scan.Hit) bool { return strings.HasSuffix(h.Label, " public") }

// scanFiles reports each copy of a secret in a folder.
func scanFiles(t *testing.T, dir string, scanner *scan.Scanner) {
	t.Helper()
	var bytes, public int64
	logged := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		r, err := scanner.File(path)
		if err != nil {
			return err
		}
		bytes += r.Bytes
		logged = logged || d.Name() == "sigil-tee.log" && r.Bytes > 0
		for _, h := range r.Hits {
			if isPublic(h) {
				public++
				continue
			}
			t.Error("written down:", h)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if !logged || public == 0 {
		t.Errorf("the scan of the files is blind: log %v, %d copies of public keys", logged, public)
	}
	t.Logf("scanned %d MiB of files (%d copies of public keys)", bytes>>20, public)
}

// Without a cache, nothing of any key is left in the workload that signs in
// production, 1 s after the last signature.
func TestWorkloadKeepsNothing(t *testing.T) {
	s := startSubject(t, "runtimesecret", "", true)
	report(t, scanned(t, s, signatures(t)).memory)
}

// With the cache, the DEKs are in its pages, once each, and nothing else is
// anywhere.
func TestWorkloadKeepsDEKsInLockedPages(t *testing.T) {
	s := startSubject(t, "runtimesecret", "", false)
	f := scanned(t, s, signatures(t))
	copies := map[string]int{}
	for _, h := range f.memory {
		if strings.HasSuffix(h.Label, " DEK") && h.Encoding == "raw" && h.Whole && f.inArena(h) {
			copies[h.Label]++
			continue
		}
		t.Error("left behind:", h)
	}
	for label, n := range copies {
		if n != 1 {
			t.Errorf("%s is cached %d times", label, n)
		}
	}
	// Those of wallets are in use up to the end; the state key's may expire.
	if want := 4 * len(s.wallets); len(copies) < want {
		t.Errorf("%d DEKs are cached, want at least %d: %v", len(copies), want, copies)
	}
	t.Logf("%d DEKs, each once in locked pages that no dump shows", len(copies))
}

func (f *found) inArena(h scan.Hit) bool {
	return slices.ContainsFunc(f.arenas, func(a [2]uint64) bool { return h.Address >= a[0] && h.Address+32 <= a[1] })
}

// Canaries: the same scan flags a workload that signs outside secret.Do, with
// and without the experiment in its build.
func TestWorkloadCanaries(t *testing.T) {
	for name, c := range map[string]struct{ experiment, tags string }{
		"outside secret.Do": {"runtimesecret", controlTag},
		"plain build":       {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := scanned(t, startSubject(t, c.experiment, c.tags, true), 400)
			kinds := map[string]int{}
			for _, h := range f.memory {
				kinds[h.Label[strings.LastIndexByte(h.Label, ' ')+1:]]++
			}
			t.Logf("found %v", kinds)
			if len(f.memory) == 0 {
				t.Error("not flagged: the scanner or the experiment is blind")
			}
		})
	}
}

// The control's tag is in no release: neither in bin/sigil-tee nor in anything
// that builds it.
func TestControlTagIsNowhereElse(t *testing.T) {
	if !hasControlTag(t, buildProgram(t, t.TempDir(), "sigil-tee", "", controlTag)) {
		t.Error("blind: a build's record doesn't show the tag")
	}
	released := filepath.Join("..", "..", "bin", "sigil-tee")
	if _, err := os.Stat(released); errors.Is(err, fs.ErrNotExist) {
		released = buildProgram(t, t.TempDir(), "sigil-tee", "", "")
	}
	if hasControlTag(t, released) {
		t.Errorf("%s is the control", released)
	}
	if n := mentions(t, "../.."); n == 0 {
		t.Error("blind: the search doesn't find the tag in package secret")
	}
}

func hasControlTag(t *testing.T, program string) bool {
	t.Helper()
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool {
		return s.Key == "-tags" && strings.Contains(s.Value, controlTag)
	})
}

// mentions reports each file that has the tag and isn't package secret's or
// this test, and returns how many those are.
func mentions(t *testing.T, root string) (allowed int) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // another test's file, gone meanwhile
			}
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", ".cache", ".demo", "bin", "node_modules", "dist"}, d.Name()) {
			return fs.SkipDir
		}
		if info, err := d.Info(); err != nil || !info.Mode().IsRegular() || info.Size() > 4<<20 {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(data), controlTag) {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch dir := filepath.ToSlash(filepath.Dir(rel)); dir {
		case "internal/secret", "test/memscan":
			allowed++
		default:
			t.Errorf("%s names the control's build tag", rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return allowed
}

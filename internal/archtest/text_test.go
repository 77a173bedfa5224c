package archtest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The files speak of the project alone: no path of the machine that they were
// written on, no host that packages were fetched from. The patterns are put
// together here so that this file doesn't match itself.
func foreign() *regexp.Regexp {
	paths := `(^|[^A-Za-z0-9_.$}/-])/(` + strings.Join([]string{"wo" + "rk", "ro" + "ot", "fa" + "rm", "home/[a-z]+", "Users/[A-Za-z]+", "tmp/pl" + "an"}, "|") + `)/`
	hosts := strings.Join([]string{"registry\\.np" + "mjs", "proxy\\.gol" + "ang", "sum\\.gol" + "ang", "deb\\.deb" + "ian", "npm\\.pk" + "g\\.github"}, "|")
	return regexp.MustCompile(paths + "|" + hosts)
}

func TestFilesNameNoMachine(t *testing.T) {
	cmd := exec.Command("git", "ls-files", "-z")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Skip("not a git checkout: clone the repository to check the tracked files")
	}
	names := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
	if len(names) < 50 {
		t.Fatalf("git lists %d files: this test looks in the wrong place", len(names))
	}
	pattern := foreign()
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil || bytes.IndexByte(data, 0) >= 0 {
			continue // deleted but not yet committed, a submodule, or binary
		}
		for i, line := range strings.Split(string(data), "\n") {
			if m := pattern.FindString(line); m != "" {
				t.Errorf("%s:%d names a machine: %q", name, i+1, m)
			}
		}
	}
}

func TestForeignPatternBites(t *testing.T) {
	pattern := foreign()
	for _, bad := range []string{"see /wo" + "rk/main/x", `"/ro` + `ot/go"`, "https://registry.np" + "mjs.org/x", "(/ho" + "me/jane/x)"} {
		if !pattern.MatchString(bad) {
			t.Errorf("%q isn't found", bad)
		}
	}
	for _, good := range []string{"internal/workload", "docs/work/x", "https://example.com/root/x", "/run/container_launcher/x"} {
		if pattern.MatchString(good) {
			t.Errorf("%q is found", good)
		}
	}
}

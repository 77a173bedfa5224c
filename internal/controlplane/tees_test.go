package controlplane_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sigilkeys/sigil/internal/controlplane"
	"github.com/sigilkeys/sigil/test/ports"
)

// The file of workloads is read again when it is told to. One that can't be
// used is refused at the start, and changes nothing later.
func TestTEEFile(t *testing.T) {
	cfg := goodConfig(t)
	cfg.TEEAddresses, cfg.TEEFile = nil, filepath.Join(t.TempDir(), "tees")
	cfg.Metrics = ports.Reserve(t)
	reload := make(chan os.Signal)
	cfg.ReloadTEEs = reload
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(cfg.TEEFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one, two, three := ports.Reserve(t), ports.Reserve(t), ports.Reserve(t)
	bad := map[string]string{"empty": "\n# nobody\n", "no port": one + "\nlocalhost\n", "a word": "tee\n", "too many": strings.Repeat(one+"\n", 65)}
	for name, text := range bad {
		write(text)
		if err := controlplane.Run(t.Context(), cfg); err == nil {
			t.Errorf("%s: runs", name)
		}
	}
	write("# the first\n" + one + "\n\n")
	_, stop := start(t, cfg)
	links := func() int {
		t.Helper()
		_, text := fetch(t, "http://"+cfg.Metrics+"/metrics")
		return strings.Count(text, "\nsigil_tee_link_state{")
	}
	tell := func() {
		reload <- syscall.SIGHUP
		reload <- syscall.SIGHUP // is taken when the first has been dealt with
	}
	if n := links(); n != 1 {
		t.Errorf("%d links of 1", n)
	}
	write(one + "\n" + two + "\n" + three + "\n" + two + "\n")
	tell()
	if n := links(); n != 3 {
		t.Errorf("%d links of 3", n)
	}
	for name, text := range bad {
		write(text)
		tell()
		if n := links(); n != 3 {
			t.Errorf("%s: %d links of 3", name, n)
		}
	}
	if err := os.Remove(cfg.TEEFile); err != nil {
		t.Fatal(err)
	}
	tell()
	if n := links(); n != 3 {
		t.Errorf("no file: %d links of 3", n)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

package devstack

import (
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
)

func TestLockIsExclusive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dev.lock")
	f, err := lockFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockFile(path); !errors.Is(err, ErrInUse) {
		t.Errorf("a second lock: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f, err = lockFile(path)
	if err != nil {
		t.Fatalf("after the first was closed: %v", err)
	}
	f.Close()
}

func TestStateSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stack.json")
	st, err := loadState(path)
	if err != nil || st.Format != stateFormat || st.Image != "" {
		t.Fatalf("a new folder: %+v, %v", st, err)
	}
	st.APIPort, st.Genesis = 30001, []byte(`{"x":1}`)
	if err := st.save(path); err != nil {
		t.Fatal(err)
	}
	back, err := loadState(path)
	if err != nil || back.APIPort != 30001 || string(back.Genesis) != `{"x":1}` {
		t.Errorf("got %+v, %v", back, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for _, bad := range []string{"", "{}", `{"format":"sigil.dev-stack.v2"}`} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadState(path); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestReplaceLeavesTheOldOnFailure(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	if err := writeFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := copyProgram(filepath.Join(dir, "missing"), path); err == nil {
		t.Error("copied what isn't there")
	}
	if data, _ := os.ReadFile(path); string(data) != "old" {
		t.Errorf("now %q", data)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestDatabaseFile(t *testing.T) {
	if databaseFile != sqlitestore.FileName {
		t.Errorf("%q, the control plane calls it %q", databaseFile, sqlitestore.FileName)
	}
}

func TestPorts(t *testing.T) {
	s := &Stack{dir: t.TempDir(), cfg: Config{Random: rand.Reader}, state: state{Format: stateFormat}}
	if err := s.choosePorts(); err != nil {
		t.Fatal(err)
	}
	api, tee := s.state.APIPort, s.state.TEEPort
	if api == 0 || tee == 0 || api == tee {
		t.Fatalf("ports %d and %d", api, tee)
	}
	if err := s.choosePorts(); err != nil || s.state.APIPort != api || s.state.TEEPort != tee {
		t.Errorf("a later start: %d and %d, %v", s.state.APIPort, s.state.TEEPort, err)
	}
	l, err := net.Listen("tcp4", address(api))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := s.choosePorts(); err == nil || !strings.Contains(err.Error(), "taken") {
		t.Errorf("a taken port: %v", err)
	}
	for _, bad := range []int{-1, 65536, tee} {
		s.cfg.Port = bad
		if err := s.choosePorts(); err == nil {
			t.Errorf("port %d is taken for good", bad)
		}
	}
}

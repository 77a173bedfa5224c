package sqlitestore_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
)

const diskFullEnv = "SIGIL_TEST_DISK_FULL"

// one is a batch of one decision, large enough to fill a disk with.
func one(org canon.UUID, n int) store.CommitBatch {
	id := canon.UUID{byte(n), byte(n >> 8), 15: 1}
	return store.CommitBatch{
		Batch: store.Batch{Instance: [32]byte{1}, Number: uint64(n), Signed: []byte("signed"), Hashes: make([][32]byte, 1)},
		Decisions: []store.Decision{{ID: id, Organization: org, KeyID: "000102030405060708090a0b0c0d0e0f", RequestID: id, Leaf: make([]byte, 4096),
			ResultKind: 1, Result: make([]byte, 16<<10)}},
		Wallets: make([]*store.Wallet, 1),
	}
}

// A full disk, for real: the kernel refuses to let the files grow. Commits
// fail then and the store isn't ready, what was acknowledged stays, and when
// there is room again it is ready and works, without a restart.
func TestDiskFull(t *testing.T) {
	if dir := os.Getenv(diskFullEnv); dir != "" {
		fillDisk(t, dir)
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	// The limit is a process's: a child takes it.
	cmd := exec.Command(exe, "-test.run=^TestDiskFull$", "-test.v")
	cmd.Env = append(os.Environ(), diskFullEnv+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var acknowledged, failed int
	for line := range strings.Lines(string(out)) {
		_, _ = fmt.Sscanf(line, "acknowledged %d failed %d", &acknowledged, &failed)
	}
	if acknowledged == 0 || failed == 0 {
		t.Fatalf("the disk was never full:\n%s", out)
	}
}

func fillDisk(t *testing.T, dir string) {
	signal.Ignore(syscall.SIGXFSZ)
	s := open(t, dir)
	org := &store.Organization{ID: canon.UUID{15: 9}, Genesis: []byte("g"), Digest: [32]byte{1}, State: []byte("s")}
	if err := s.CreateOrganization(t.Context(), org); err != nil {
		t.Fatal(err)
	}
	limit := func(n uint64) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: ^uint64(0)}); err != nil {
			t.Skip("needs the right to lift its own limit again: ", err)
		}
	}
	limit(512 << 10)
	state := map[int]error{}
	failed := 0
	for n := 1; n <= 60; n++ {
		_, state[n] = s.Commit(t.Context(), []store.CommitBatch{one(org.ID, n)})
		if state[n] != nil {
			failed++
		}
	}
	// What Ready writes is smaller than a decision, and may fit a few times more.
	for n := 0; s.Ready(t.Context()) == nil; n++ {
		if _, err := s.Commit(t.Context(), []store.CommitBatch{one(org.ID, 200+n)}); n == 100 {
			t.Fatalf("ready on a full disk; a commit: %v", err)
		}
	}
	if err := s.Ready(t.Context()); err == nil {
		t.Fatal("ready again on a full disk")
	}
	limit(^uint64(0))
	for range 2 {
		if err := s.Ready(t.Context()); err != nil {
			t.Fatalf("there is room again, and nobody wrote: %v", err)
		}
	}
	if _, err := s.Commit(t.Context(), []store.CommitBatch{one(org.ID, 100)}); err != nil {
		t.Fatalf("there is room again: %v", err)
	}
	audit(t, s, state)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	audit(t, open(t, dir), state)
	fmt.Printf("acknowledged %d failed %d\n", len(state)-failed, failed)
}

// audit compares what is stored with what was acknowledged. What failed with
// an unknown outcome may be there; what failed otherwise may not.
func audit(t *testing.T, s *sqlitestore.Store, state map[int]error) {
	t.Helper()
	for n, outcome := range state {
		_, err := s.DecisionByRequest(t.Context(), "000102030405060708090a0b0c0d0e0f", one(canon.UUID{}, n).Decisions[0].RequestID)
		switch {
		case outcome == nil && err != nil:
			t.Errorf("%d was acknowledged and is lost: %v", n, err)
		case outcome != nil && !errors.Is(outcome, store.ErrUnknown) && !errors.Is(err, store.ErrNotFound):
			t.Errorf("%d failed (%v) and is there (%v)", n, outcome, err)
		}
	}
}

package devstack

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestProcessesDieWithTheirParent(t *testing.T) {
	live := listenForLives(t)
	parent := exec.Command(os.Args[0])
	parent.Env = []string{roleVar + "=parent " + live.l.Addr().String(), "LOG=" + filepath.Join(t.TempDir(), "log")}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	_, conn := live.next()
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	awaitEnd(t, conn)
}

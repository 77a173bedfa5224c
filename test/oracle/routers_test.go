package oracle

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

// TestRoutersAreAsRecorded: two libraries encode today what was recorded of
// routers' calls.
func TestRoutersAreAsRecorded(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "node", "routers.mjs")
	cmd.Dir, cmd.Stderr = "js", os.Stderr
	made, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: `make oracles` installs what it needs", err)
	}
	recorded, err := os.ReadFile("../../internal/chain/evm/testdata/routers.json")
	if err != nil || !bytes.Equal(made, recorded) {
		t.Errorf("%v: node test/oracle/js/routers.mjs writes something else", err)
	}
}

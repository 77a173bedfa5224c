package confine

import (
	"fmt"
	"os"
	"testing"
)

// roleVar has the test's program play a part in another process.
const roleVar = "SIGIL_CONFINE_ROLE"

func TestMain(m *testing.M) {
	role := map[string]func() error{"warden": runWarden, "keeper": runKeeper}[os.Getenv(roleVar)]
	if role == nil {
		os.Exit(m.Run())
	}
	if err := role(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

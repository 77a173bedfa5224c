//go:build unix && !linux

package secret

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func excludeFromDumps([]byte) {}

// Harden forbids core files; more needs Linux.
func Harden() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	return nil
}

package secret

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

func excludeFromDumps(mem []byte) { _ = unix.Madvise(mem, unix.MADV_DONTDUMP) }

// Harden makes the process neither dumpable nor traceable by other users and
// forbids core files. An error means that the system refused.
func Harden() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make process non-dumpable: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	// This one is an attribute of each thread. With cgo linked the runtime
	// can't reach them all; then those that come from this one inherit it.
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno == syscall.ENOTSUP {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("forbid new privileges: %w", err)
		}
	} else if errno != 0 {
		return fmt.Errorf("forbid new privileges: %w", errno)
	}
	return nil
}

//go:build !sigilcontrol && goexperiment.runtimesecret && linux && (amd64 || arm64)

package secret

import rtsecret "runtime/secret"

// Protected reports whether this build erases what Do used. It is a constant
// of the build: GOEXPERIMENT=runtimesecret on Linux.
func Protected() bool { return true }

// Do calls f. Registers and stack that f used are erased before Do returns;
// heap memory that f allocated is erased when the garbage collector finds it
// unreachable (see Nudger). f must copy results into memory of its caller,
// start no goroutine, make no cgo call, write no global and not panic with a
// secret.
func Do(f func()) { rtsecret.Do(f) }

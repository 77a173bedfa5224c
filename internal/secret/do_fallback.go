//go:build sigilcontrol || !(goexperiment.runtimesecret && linux && (amd64 || arm64))

// The tag sigilcontrol builds the control that test/memscan must flag: a
// workload that is built with the experiment and signs outside of it. It says
// that it isn't protected, like any build of this file.

package secret

// Protected reports whether this build erases what Do used. This one does
// not: sigil-tee refuses to serve with it unless its measured configuration
// says development.
func Protected() bool { return false }

// Do calls f without protection.
func Do(f func()) { f() }

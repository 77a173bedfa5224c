//go:build !(goexperiment.runtimesecret && linux && (amd64 || arm64))

package secret

// Protected reports whether this build erases what Do used. This one does
// not: sigil-tee refuses to serve with it unless its measured configuration
// says development.
func Protected() bool { return false }

// Do calls f without protection.
func Do(f func()) { f() }

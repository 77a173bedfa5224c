// Package ports gives tests addresses for programs that must be told where to
// listen before they run.
package ports

import "testing"

// Reserve returns an address on loopback ("127.0.0.1:n", TCP) on which nobody
// listens and that the system gives to nobody else until the test ends: not to
// a listener that takes any port, and not to an outgoing connection. A program
// that names it can listen there, any number of times in turn.
func Reserve(t testing.TB) string {
	t.Helper()
	address, err := reserve(t.Cleanup)
	if err != nil {
		t.Fatal(err)
	}
	return address
}

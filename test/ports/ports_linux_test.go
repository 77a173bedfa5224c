package ports_test

import (
	"net"
	"testing"

	"github.com/sigilkeys/sigil/test/ports"
)

// Nobody listens on a reserved port, nobody gets it by chance, and who names it
// listens there, twice in turn. The system's choice is made so often that a
// port that was found and let go comes up again.
func TestReserve(t *testing.T) {
	address := ports.Reserve(t)
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Fatal("somebody listens")
	}
	for range 2 {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		l.Close()
	}
	if comesUp(t, address) {
		t.Error("it was given to a listener that takes any port")
	}
	// Canary: another one, unless somebody else took it and keeps it.
	for tries := 0; !comesUp(t, letGo(t)); tries++ {
		if tries == 3 {
			t.Fatal("no port that was let go came up: this test sees nothing")
		}
	}
}

func letGo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// comesUp takes ports, one after the other, until the address is among them.
func comesUp(t *testing.T, address string) bool {
	t.Helper()
	for range 200_000 {
		if letGo(t) == address {
			return true
		}
	}
	return false
}

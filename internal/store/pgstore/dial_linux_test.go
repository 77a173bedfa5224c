package pgstore

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel gives a connection up as soon as was asked, not in its own time.
func TestSilentNetworkIsNoticed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg, err := parse("postgres://u@" + l.Addr().String() + "/x")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := cfg.ConnConfig.DialFunc(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	get := func(option int) (v int) {
		if cerr := raw.Control(func(fd uintptr) { v, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option) }); cerr != nil || err != nil {
			t.Fatal(cerr, err)
		}
		return v
	}
	unanswered, idle, interval, count := get(unix.TCP_USER_TIMEOUT), get(unix.TCP_KEEPIDLE), get(unix.TCP_KEEPINTVL), get(unix.TCP_KEEPCNT)
	if seconds := idle + interval*count; unanswered != int(lost.Milliseconds()) || seconds > int(lost.Seconds()) {
		t.Errorf("unanswered data for %d ms, silence for %d s", unanswered, seconds)
	}
}

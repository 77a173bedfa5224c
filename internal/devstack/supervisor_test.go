package devstack

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary plays the stack's processes: with roleVar set it does what
// the variable says instead of running tests.
const roleVar = "SIGIL_DEVSTACK_ROLE"

func TestMain(m *testing.M) {
	switch role, arg, _ := strings.Cut(os.Getenv(roleVar), " "); role {
	case "":
		os.Exit(m.Run())
	case "serve": // tells the address arg that it lives, until SIGTERM
		serveRole(arg)
	case "fail":
		fmt.Println("first line")
		fmt.Println("no attestation")
		os.Exit(3)
	case "parent": // starts a "serve" and lives until it is killed
		if err := newSupervisor(false, func(string) {}).start(self("serve "+arg, os.Getenv("LOG"))); err != nil {
			os.Exit(4)
		}
		select {}
	}
}

func serveRole(addr string) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		os.Exit(5)
	}
	fmt.Fprintf(conn, "%d\n", os.Getpid())
	<-stop
	os.Exit(0)
}

func self(role, log string) command {
	return command{name: nameTEE, path: os.Args[0], env: []string{roleVar + "=" + role}, log: log}
}

// lives is where "serve" processes report.
type lives struct {
	t *testing.T
	l net.Listener
}

func listenForLives(t *testing.T) lives {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return lives{t, l}
}

// next waits for the next process, and returns its id and a connection that
// ends with it.
func (v lives) next() (pid int, conn net.Conn) {
	v.t.Helper()
	_ = v.l.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second))
	conn, err := v.l.Accept()
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fscanf(conn, "%d\n", &pid); err != nil {
		v.t.Fatal(err)
	}
	return pid, conn
}

func awaitEnd(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := io.ReadAll(conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("the process lives: %v", err)
	}
}

func TestStopAsks(t *testing.T) {
	live := listenForLives(t)
	v := newSupervisor(false, func(line string) { t.Log(line) })
	if err := v.start(self("serve "+live.l.Addr().String(), filepath.Join(t.TempDir(), "log"))); err != nil {
		t.Fatal(err)
	}
	pid, conn := live.next()
	if got := v.pids(); got[nameTEE] != pid || got[nameDev] != os.Getpid() {
		t.Errorf("pids %v, want %d", got, pid)
	}
	if err := v.stop(nameServe, nameTEE); err != nil {
		t.Errorf("stop: %v", err)
	}
	awaitEnd(t, conn)
	select {
	case err := <-v.failed:
		t.Errorf("an asked end is reported: %v", err)
	default:
	}
}

func TestEndIsReportedWithTheLastLine(t *testing.T) {
	v := newSupervisor(false, func(string) {})
	if err := v.start(self("fail", filepath.Join(t.TempDir(), "log"))); err != nil {
		t.Fatal(err)
	}
	err := <-v.failed
	if err == nil || !strings.Contains(err.Error(), "sigil-tee: exit status 3: no attestation") {
		t.Errorf("got %v", err)
	}
	if err := v.stop(nameTEE); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestMissingProgram(t *testing.T) {
	v := newSupervisor(true, func(string) {})
	err := v.start(command{name: nameTEE, path: filepath.Join(t.TempDir(), "none"), log: filepath.Join(t.TempDir(), "log")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestRestart(t *testing.T) {
	live := listenForLives(t)
	v := newSupervisor(true, func(string) {})
	changed := make(chan map[string]int, 8)
	v.onRestart(func() error { changed <- v.pids(); return nil })
	if err := v.start(self("serve "+live.l.Addr().String(), filepath.Join(t.TempDir(), "log"))); err != nil {
		t.Fatal(err)
	}
	first, conn := live.next()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, conn)
	second, conn := live.next()
	if first == second {
		t.Error("the same process")
	}
	if got := (<-changed)[nameTEE]; got != second {
		t.Errorf("told of %d, it is %d", got, second)
	}
	if err := v.stop(nameTEE); err != nil {
		t.Errorf("stop: %v", err)
	}
	awaitEnd(t, conn)
}

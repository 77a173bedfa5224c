// Package pgtest runs a real PostgreSQL for a test, or a program that measures,
// in a folder of its own, and kills it the hard way. Servers end with the test.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Superuser is the role that may do anything.
const Superuser = "postgres"

// nobody runs the server where the test is root, which PostgreSQL refuses to be.
const nobody = 65534

// T is what a server needs of the test that starts it; a testing.TB has it.
type T interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Skip(args ...any)
	Cleanup(func())
}

// Options change a server; the zero value flushes as a real one does.
type Options struct {
	// Dir is where the server's folder is made; default that of temporary files.
	Dir string
	// Settings are "name=value" for the server's command line.
	Settings []string
	// Address is where it listens besides its socket, as in "127.0.0.1:5432"
	// (test/ports): anybody may come.
	Address string
	// Certificate and Key, in PEM, have it speak TLS at Address, and let nobody
	// come without unless Plain is set.
	Certificate, Key []byte
	Plain            bool
}

// Server is a running PostgreSQL.
type Server struct {
	t         T
	opt       Options
	bin       string        // folder of its programs
	dir       string        // of data and socket
	port      string        // of Address, and in the socket's name
	cmd       *exec.Cmd     // of the postmaster; nil when it isn't running
	exited    chan struct{} // closed when cmd has ended
	databases atomic.Int32
}

// Start starts an empty server. Without the programs, the test is skipped.
func Start(t T, opt Options) *Server {
	t.Helper()
	s := place(t, opt)
	s.run("initdb", "-D", s.data(), "-U", Superuser, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions")
	if opt.Certificate != nil {
		s.useTLS()
	}
	s.Run()
	return s
}

// useTLS writes the certificate, and says who may connect.
func (s *Server) useTLS() {
	s.t.Helper()
	kind := "hostssl"
	if s.opt.Plain {
		kind = "host"
	}
	for name, content := range map[string][]byte{
		"server.crt": s.opt.Certificate, "server.key": s.opt.Key, "pg_hba.conf": []byte("local all all trust\n" + kind + " all all 127.0.0.1/32 trust\n"),
	} {
		path := filepath.Join(s.data(), name)
		err := os.WriteFile(path, content, 0o600)
		if err == nil && os.Geteuid() == 0 {
			err = os.Chown(path, nobody, nobody)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	s.opt.Settings = append(slices.Clone(s.opt.Settings), "ssl=on")
}

// place is a server with an empty folder.
func place(t T, opt Options) *Server {
	t.Helper()
	s := &Server{t: t, opt: opt, bin: programs(t), port: "5432"}
	if opt.Address != "" {
		s.port = opt.Address[strings.LastIndexByte(opt.Address, ':')+1:]
	}
	// Not t.TempDir: the server's user has to get through to it.
	dir, err := os.MkdirTemp(opt.Dir, "sigil-pg-")
	if err != nil {
		t.Fatal(err)
	}
	s.dir = dir
	t.Cleanup(func() { s.Kill(); _ = os.RemoveAll(dir) })
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// run runs one of PostgreSQL's programs to its end and returns what it said.
func (s *Server) run(program string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.SysProcAttr, cmd.Dir = attributes(os.Geteuid() == 0), s.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", program, err, out)
	}
	return string(out)
}

// Dump returns SQL, for Exec, that makes a schema with its rows.
func (s *Server) Dump(database, schema string) string {
	s.t.Helper()
	var out strings.Builder
	for line := range strings.Lines(s.run("pg_dump", "--inserts", "--no-comments", "-n", schema, "-d", s.DSN(Superuser, database))) {
		// Comments, and commands of psql.
		if line != "\n" && !strings.HasPrefix(line, "--") && !strings.HasPrefix(line, "\\") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// Standby starts a copy that follows the server. It is called "standby" in
// synchronous_standby_names, and takes writes after Promote.
func (s *Server) Standby() *Server {
	s.t.Helper()
	b := place(s.t, s.opt)
	b.run("pg_basebackup", "-D", b.data(), "-R", "--no-sync", "--checkpoint=fast", "-d", s.DSN(Superuser, Superuser)+"&application_name=standby")
	b.Run()
	return b
}

// Promote makes a standby take writes.
func (s *Server) Promote() { s.t.Helper(); s.Value(Superuser, "SELECT pg_promote()::text") }

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// programs finds the folder of a server's programs.
func programs(t T) string {
	t.Helper()
	candidates, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.Reverse(candidates)
	for _, dir := range append(candidates, "/opt/homebrew/bin", "/usr/local/bin", "/usr/bin") {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "postgres")); err == nil {
			return dir
		}
	}
	t.Skip("PostgreSQL isn't installed: apt-get install postgresql")
	return ""
}

// Run starts the server again after Kill, and waits until it answers.
func (s *Server) Run() {
	s.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		s.launch()
		if s.answers(deadline) {
			return
		}
		// Right after a kill, a child of the old server may still hold its
		// shared memory, and the new one gives up at once.
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(s.logFile())
			s.t.Fatalf("PostgreSQL doesn't come up:\n%s", log)
		}
		s.Kill()
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }

func (s *Server) launch() {
	s.t.Helper()
	args := []string{"-D", s.data(), "-k", s.dir, "-p", s.port, "-c", "listen_addresses=" + strings.TrimSuffix(s.opt.Address, ":"+s.port)}
	if runtime.GOOS == "linux" {
		// After a kill: flushing each file of the folder takes seconds.
		args = append(args, "-c", "recovery_init_sync_method=syncfs")
		// In its folder, not in /dev/shm, where those of a killed server stay.
		args = append(args, "-c", "dynamic_shared_memory_type=mmap")
	}
	for _, setting := range s.opt.Settings {
		args = append(args, "-c", setting)
	}
	s.cmd = exec.Command(filepath.Join(s.bin, "postgres"), args...)
	s.cmd.SysProcAttr, s.cmd.Dir = attributes(os.Geteuid() == 0), s.dir
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd, exited := s.cmd, make(chan struct{})
	s.exited = exited
	go func() { _ = cmd.Wait(); close(exited) }()
}

// answers waits for a first query, since the socket is there before that.
func (s *Server) answers(deadline time.Time) bool {
	for time.Now().Before(deadline) {
		ctx, stop := context.WithTimeout(context.Background(), time.Second)
		conn, err := pgx.Connect(ctx, s.DSN(Superuser, Superuser))
		if err == nil {
			err = errors.Join(conn.Ping(ctx), conn.Close(ctx))
		}
		stop()
		if err == nil {
			return true
		}
		select {
		case <-s.exited:
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
	return false
}

// Kill ends the server's processes with SIGKILL, all of them: what they hadn't
// given to the kernel is lost. Without a server running, it does nothing.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	// Stopped, the postmaster starts no more children while they are listed.
	pid := s.cmd.Process.Pid
	_ = s.cmd.Process.Signal(syscall.SIGSTOP)
	list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, field := range strings.Fields(string(list)) {
		if child, err := strconv.Atoi(field); err == nil && child > 1 {
			_ = syscall.Kill(child, syscall.SIGKILL)
		}
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
}

// PID is the postmaster's, whose children are all other processes of the server.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// DSN names the server by its socket.
func (s *Server) DSN(role, database string) string {
	q := url.Values{"host": {s.dir}, "port": {s.port}, "user": {role}}
	return "postgres:///" + database + "?" + q.Encode()
}

// Socket is the path of its Unix socket.
func (s *Server) Socket() string { return filepath.Join(s.dir, ".s.PGSQL."+s.port) }

// Exec runs SQL as the superuser.
func (s *Server) Exec(database, text string) {
	s.t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.DSN(Superuser, database))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, text); err != nil {
		s.t.Fatalf("%s: %v", text, err)
	}
}

// Value runs a query of one row and column as the superuser.
func (s *Server) Value(database, query string) string {
	s.t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.DSN(Superuser, database))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(ctx)
	var out string
	if err := conn.QueryRow(ctx, query).Scan(&out); err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	return out
}

// NewDatabase makes an empty database and returns its name.
func (s *Server) NewDatabase() string {
	s.t.Helper()
	name := fmt.Sprintf("sigil%d", s.databases.Add(1))
	s.Exec(Superuser, "CREATE DATABASE "+name)
	return name
}

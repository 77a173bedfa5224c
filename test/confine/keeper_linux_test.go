package confine

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A keeper tries to read another process's memory, with all that Linux offers
// to an unprivileged process. It may have started that process itself, as its
// parent, which some kernels let trace where they let nobody else (Yama).

// charge tells a keeper what to start; it has it in the environment.
type charge struct {
	Program []string // none: it only attacks
	Output  string   // file for what the program prints
	Dir     string   // where the program runs, and a core file would lie
	Address uint64   // of memory that the program has for certain
}

const chargeVar = "SIGIL_CONFINE_CHARGE"

// ended is how a program ended at a signal.
type ended struct {
	Status string
	Core   bool
	Files  []string // in its folder
}

// runKeeper does what it reads, line by line: "attack PID", "signal NUMBER". It
// answers each with a line of JSON; the first line is the program's id.
func runKeeper() error {
	runtime.LockOSThread() // ptrace and Pdeathsig go by the thread
	var c charge
	if err := json.Unmarshal([]byte(os.Getenv(chargeVar)), &c); err != nil {
		return err
	}
	say := json.NewEncoder(os.Stdout)
	cmd := &exec.Cmd{}
	if len(c.Program) > 0 {
		var err error
		if cmd, err = c.start(); err != nil {
			return err
		}
		if err := say.Encode(cmd.Process.Pid); err != nil {
			return err
		}
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		verb, text, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		var answer any
		switch verb {
		case "attack":
			answer = attack(n, c.Address)
		case "signal":
			if answer, err = end(cmd, syscall.Signal(n), c.Dir); err != nil {
				return err
			}
		default:
			return fmt.Errorf("verb %q", verb)
		}
		if err := say.Encode(answer); err != nil {
			return err
		}
	}
	return nil
}

// start starts the program with core files allowed, however large, and with
// the wish to leave one.
func (c *charge) start() (*exec.Cmd, error) {
	var core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil {
		return nil, err
	}
	core.Cur = core.Max
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &core); err != nil {
		return nil, err
	}
	out, err := os.Create(c.Output)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(c.Program[0], c.Program[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, c.Dir
	cmd.Env = append(os.Environ(), "GOTRACEBACK=crash")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, cmd.Start()
}

func end(cmd *exec.Cmd, signal syscall.Signal, dir string) (*ended, error) {
	if err := cmd.Process.Signal(signal); err != nil {
		return nil, err
	}
	_ = cmd.Wait() // how it ended is what is asked
	e := &ended{Status: cmd.ProcessState.String(), Core: cmd.ProcessState.Sys().(syscall.WaitStatus).CoreDump()}
	list, err := os.ReadDir(dir)
	for _, f := range list {
		e.Files = append(e.Files, f.Name())
	}
	return e, err
}

// attack tries each way into a process, and returns what each met: "" where it
// got in.
func attack(pid int, at uint64) map[string]string {
	proc := "/proc/" + strconv.Itoa(pid) + "/"
	met := map[string]string{}
	for name, try := range map[string]func() error{
		"PTRACE_ATTACH":    func() error { return trace(pid, unix.PtraceAttach) },
		"PTRACE_SEIZE":     func() error { return trace(pid, seize) },
		"process_vm_readv": func() error { return readv(pid, at) },
		"pidfd_getfd":      func() error { return takeFile(pid) },
		"prlimit": func() error {
			return unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1 << 30, Max: 1 << 30}, nil)
		},
		"/proc/PID/mem":     func() error { return readMem(proc+"mem", at) },
		"/proc/PID/maps":    func() error { _, err := os.ReadFile(proc + "maps"); return err },
		"/proc/PID/environ": func() error { _, err := os.ReadFile(proc + "environ"); return err },
		"/proc/PID/auxv":    func() error { _, err := os.ReadFile(proc + "auxv"); return err },
		"/proc/PID/syscall": func() error { _, err := os.ReadFile(proc + "syscall"); return err },
		"/proc/PID/exe":     func() error { _, err := os.Readlink(proc + "exe"); return err },
		"/proc/PID/fd":      func() error { _, err := os.ReadDir(proc + "fd"); return err },
	} {
		met[name] = ""
		if err := try(); err != nil {
			met[name] = err.Error()
		}
	}
	return met
}

func trace(pid int, attach func(int) error) error {
	if err := attach(pid); err != nil {
		return err
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil {
		return err
	}
	return unix.PtraceDetach(pid)
}

func seize(pid int) error {
	if err := unix.PtraceSeize(pid); err != nil {
		return err
	}
	return unix.PtraceInterrupt(pid)
}

func readMem(path string, at uint64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.ReadAt(make([]byte, 64), int64(at))
	return err
}

func readv(pid int, at uint64) error {
	b := make([]byte, 64)
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(len(b))
	n, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: uintptr(at), Len: len(b)}}, 0)
	if err == nil && n != len(b) {
		err = fmt.Errorf("%d bytes read", n)
	}
	return err
}

// takeFile duplicates the process's standard output.
func takeFile(pid int) error {
	p, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	fd, err := unix.PidfdGetfd(p, 1, 0)
	if err != nil {
		return errors.Join(err, unix.Close(p))
	}
	return errors.Join(unix.Close(fd), unix.Close(p))
}

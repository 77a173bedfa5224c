package devstack

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// command describes a process of the stack.
type command struct {
	name string
	path string
	args []string
	dir  string
	env  []string
	log  string // file that gets what it prints
}

// supervisor runs the processes. They die with this one (on Linux).
type supervisor struct {
	restart bool
	say     func(string)
	failed  chan error    // gets the first process that ended and stays ended
	ending  chan struct{} // closed when the stack is being stopped

	mu       sync.Mutex // guards the fields below
	running  map[string]*process
	changed  func() error // called after a restart
	stopping bool
}

type process struct {
	cmd  command
	os   *os.Process
	done chan struct{} // closed when it has ended
	err  error         // how; read after done
}

func newSupervisor(restart bool, say func(string)) *supervisor {
	return &supervisor{restart: restart, say: say, failed: make(chan error, 1), ending: make(chan struct{}), running: map[string]*process{}}
}

func (v *supervisor) pids() map[string]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	m := map[string]int{nameDev: os.Getpid()}
	for name, p := range v.running {
		m[name] = p.os.Pid
	}
	return m
}

func (v *supervisor) onRestart(f func() error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.changed = f
}

// start runs a process and watches it.
func (v *supervisor) start(c command) error {
	p, err := launch(c)
	if err != nil {
		return err
	}
	v.mu.Lock()
	v.running[c.name] = p
	v.mu.Unlock()
	go v.watch(p)
	return nil
}

// launch starts a process. The goroutine that starts it stays on its thread
// until the process has ended: the kernel kills a child when the thread that
// made it ends, not the whole parent.
func launch(c command) (*process, error) {
	logFile, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: c, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer logFile.Close()
		cmd := &exec.Cmd{Path: c.path, Args: append([]string{c.path}, c.args...), Dir: c.dir, Env: c.env,
			Stdout: logFile, Stderr: logFile, SysProcAttr: dieWithParent()}
		if err := cmd.Start(); err != nil {
			started <- fmt.Errorf("start %s: %w", c.name, err)
			return
		}
		p.os = cmd.Process
		started <- nil
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, <-started
}

// ended says how a process ended, with the last line that it printed.
func (p *process) ended() error {
	how := "ended without an error"
	if p.err != nil {
		how = p.err.Error()
	}
	// A program that gives up says why; one that was killed can't.
	if last := lastLine(p.cmd.log); last != "" && !strings.HasPrefix(last, "{") {
		return fmt.Errorf("%s: %s: %s", p.cmd.name, how, last)
	}
	return fmt.Errorf("%s: %s", p.cmd.name, how)
}

func lastLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	data = bytes.TrimSpace(data)
	return string(data[bytes.LastIndexByte(data, '\n')+1:])
}

// watch reports the end of a process, or starts it again, more slowly when it
// doesn't live.
func (v *supervisor) watch(p *process) {
	const shortest, longest, healthy = 50 * time.Millisecond, 400 * time.Millisecond, 10 * time.Second
	pause := shortest
	for {
		began := time.Now()
		select {
		case <-v.ending:
			return
		case <-p.done:
		}
		if v.isStopping() {
			return
		}
		if !v.restart {
			v.fail(p.ended())
			return
		}
		if time.Since(began) > healthy {
			pause = shortest
		}
		v.say(fmt.Sprintf("%v; starting it again", p.ended()))
		select {
		case <-v.ending:
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, longest)
		next, err := v.again(p)
		if err != nil {
			v.fail(err)
			return
		}
		if next == nil {
			return
		}
		p = next
	}
}

// again starts a process in the place of one that ended, unless the stack is
// being stopped.
func (v *supervisor) again(p *process) (*process, error) {
	v.mu.Lock()
	if v.stopping {
		v.mu.Unlock()
		return nil, nil
	}
	next, err := launch(p.cmd)
	if err == nil {
		v.running[p.cmd.name] = next
	}
	changed := v.changed
	v.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if changed != nil {
		if err := changed(); err != nil {
			return next, err
		}
	}
	return next, nil
}

func (v *supervisor) isStopping() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.stopping
}

func (v *supervisor) fail(err error) {
	select {
	case v.failed <- err:
	default:
	}
}

// stop ends the processes, one after the other in the order given: asks, and
// after a while kills.
func (v *supervisor) stop(names ...string) error {
	v.mu.Lock()
	if !v.stopping {
		v.stopping = true
		close(v.ending)
	}
	v.mu.Unlock()
	var errs []error
	for _, name := range names {
		v.mu.Lock()
		p := v.running[name]
		v.mu.Unlock()
		if p != nil {
			errs = append(errs, p.stop())
		}
	}
	return errors.Join(errs...)
}

func (p *process) stop() error {
	select {
	case <-p.done:
		return nil // it had ended before, which was reported
	default:
	}
	if err := p.os.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.cmd.name, err)
	}
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		_ = p.os.Kill()
		<-p.done
		return fmt.Errorf("%s didn't stop within %s and was killed", p.cmd.name, stopTimeout)
	}
	if p.err != nil {
		return p.ended()
	}
	return nil
}

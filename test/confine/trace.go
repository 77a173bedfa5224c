// Package confine tests what the TEE workload asks of the operating system: in
// a whole session under strace it opens no file for writing, reads what it is
// known to read, talks to the addresses of its configuration alone, and starts
// no program. In a network namespace where every packet is read it sends none
// elsewhere. No process of its own user or another reads its memory, and it
// leaves no core.
package confine

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// allowed is what a workload may do.
type allowed struct {
	reads    []string // paths, or folders ending in a slash
	connects []string // host:port, or the path of a Unix socket
	listens  string   // host:port
}

// watched are the system calls that a trace holds: all that take a path, a
// network address or a process, and those that reach other processes' memory.
const watched = "trace=%file,%network,%process,ptrace,process_vm_readv,process_vm_writev,memfd_create,memfd_secret,io_uring_setup,bpf,mount,init_module"

// harmless need no look: they change neither files nor what is connected.
func harmless() []string {
	return []string{"exit", "exit_group", "getsockname", "getpeername", "getsockopt", "setsockopt", "shutdown", "accept", "accept4", "recvfrom", "recvmsg",
		"wait4", "waitid", "newfstatat", "fstatat64", "stat", "lstat", "fstat", "access", "faccessat2", "readlink", "readlinkat", "getcwd", "kill", "tgkill", "tkill",
		"arch_prctl", "pidfd_send_signal", "rt_sigqueueinfo", "statfs", "statx"}
}

var (
	call    = regexp.MustCompile(`^(?:\d+ +)?(?:(\d+\.\d+) )?([a-z0-9_]+)\((.*)$`) // process, time, name, arguments
	quoted  = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"`)
	inet    = regexp.MustCompile(`sin6?_port=htons\((\d+)\)`)
	inetIP  = regexp.MustCompile(`inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"`)
	unixSun = regexp.MustCompile(`sun_path="([^"]+)"`)
)

// faults returns the lines of a trace that a does not allow.
func (a *allowed) faults(trace string) []string {
	var out []string
	execs := 0
	for line := range strings.Lines(trace) {
		line = strings.TrimSpace(line)
		m := call.FindStringSubmatch(line)
		if m == nil || strings.Contains(line, "resumed>") {
			continue // signals, exits, and ends of calls whose begin was judged
		}
		name, args := m[2], m[3]
		if name == "execve" {
			if execs++; execs == 1 {
				continue // the program itself
			}
		}
		if !a.allows(name, args) {
			out = append(out, line)
		}
	}
	return out
}

func (a *allowed) allows(name, args string) bool {
	switch name {
	case "open", "openat":
		return a.mayRead(args)
	case "connect":
		return slices.Contains(a.connects, address(args))
	case "bind":
		// Port 0: how Go finds out which address families there are.
		at := address(args)
		return at == a.listens || strings.HasSuffix(at, ":0")
	case "listen":
		return true // of what was bound
	case "sendto", "sendmsg", "sendmmsg":
		return strings.Contains(args, "NULL") && address(args) == ""
	case "socket":
		return strings.HasPrefix(args, "AF_INET") && strings.Contains(args, "SOCK_STREAM") || strings.HasPrefix(args, "AF_UNIX, SOCK_STREAM")
	case "clone", "clone3":
		return strings.Contains(args, "CLONE_THREAD")
	}
	return slices.Contains(harmless(), name)
}

func (a *allowed) mayRead(args string) bool {
	for _, flag := range []string{"O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND", "O_TMPFILE", "O_PATH"} {
		if strings.Contains(args, flag) {
			return false
		}
	}
	path := quoted.FindStringSubmatch(args)
	return path != nil && strings.Contains(args, "O_RDONLY") && slices.ContainsFunc(a.reads, func(r string) bool {
		return path[1] == r || strings.HasSuffix(r, "/") && strings.HasPrefix(path[1], r)
	})
}

// address returns the network address in a call's arguments, "" without one.
func address(args string) string {
	if m := unixSun.FindStringSubmatch(args); m != nil {
		return m[1]
	}
	port, ip := inet.FindStringSubmatch(args), inetIP.FindStringSubmatch(args)
	if port == nil || ip == nil {
		return ""
	}
	return fmt.Sprintf("%s:%s", ip[1]+ip[2], port[1])
}

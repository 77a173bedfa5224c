package devstack

import "syscall"

// dieWithParent has the kernel kill the process when this one is gone, in
// whatever way it went.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

package pgtest

import "syscall"

// attributes has the server end with the test that started it, however that
// ends.
func attributes(drop bool) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if drop {
		a.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return a
}

//go:build !linux

package pgtest

import "syscall"

func attributes(drop bool) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{}
	if drop {
		a.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return a
}

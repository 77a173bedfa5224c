//go:build !linux

package devstack

import "syscall"

// dieWithParent: there is no such thing here; a killed sigil-dev leaves its
// processes behind.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

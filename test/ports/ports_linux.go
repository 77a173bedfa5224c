package ports

import (
	"fmt"
	"syscall"
)

// reserve binds a port without listening. A second socket may bind it by name,
// since both say SO_REUSEADDR and the first doesn't listen; where the system
// chooses, it leaves bound ports out. A port that was found and let go would
// be anybody's until the program listens.
func reserve(cleanup func(func())) (string, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("reserve a port: %w", err)
	}
	cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return "", fmt.Errorf("reserve a port: %w", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return "", fmt.Errorf("reserve a port: %w", err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		return "", fmt.Errorf("reserve a port: %w", err)
	}
	return fmt.Sprintf("127.0.0.1:%d", at.(*syscall.SockaddrInet4).Port), nil
}

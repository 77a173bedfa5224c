//go:build !linux

package ports

import "net"

// reserve finds a port and lets it go: nothing keeps it until it is used.
func reserve(func(func())) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

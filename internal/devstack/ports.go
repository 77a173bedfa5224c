package devstack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// New ports are below the range that operating systems take for outgoing
// connections, so that a later start finds them free, and above the emulated
// cloud's.
const (
	firstPort = 30000
	portCount = 2700
	portTries = 50
)

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// choosePorts gives the folder its ports on the first start and checks that
// they are free on each. The workload's is measured, so it never changes.
func (s *Stack) choosePorts() error {
	if s.cfg.Port < 0 || s.cfg.Port > 65535 {
		return fmt.Errorf("port %d: 1 to 65535, or 0 for any", s.cfg.Port)
	}
	if s.cfg.Port != 0 {
		s.state.APIPort = s.cfg.Port
	}
	for _, port := range []*int{&s.state.APIPort, &s.state.TEEPort} {
		if *port != 0 {
			if err := checkFree(*port); err != nil {
				return fmt.Errorf("port %d, which this stack uses, is taken: stop the program that has it, or give a new folder: %w", *port, err)
			}
			continue
		}
		p, err := s.freePort()
		if err != nil {
			return err
		}
		*port = p
	}
	if s.state.APIPort == s.state.TEEPort {
		return fmt.Errorf("port %d is the workload's: give another one", s.state.APIPort)
	}
	return s.state.save(s.path("stack.json"))
}

func (s *Stack) freePort() (int, error) {
	for range portTries {
		var b [4]byte
		if _, err := io.ReadFull(s.cfg.Random, b[:]); err != nil {
			return 0, err
		}
		port := firstPort + int(binary.BigEndian.Uint32(b[:])%portCount)
		if port != s.state.APIPort && port != s.state.TEEPort && checkFree(port) == nil {
			return port, nil
		}
	}
	return 0, errors.New("no free port found")
}

func checkFree(port int) error {
	l, err := net.Listen("tcp4", address(port))
	if err != nil {
		return err
	}
	return l.Close()
}

package cloudsim

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// services are the TCP endpoints, in the order in which they get ports.
func services() []string { return []string{"issuer", "sts", "kms", "admin"} }

// The first run picks ports below the range that operating systems take for
// outgoing connections, so that a later run finds them free.
const (
	firstPort = 20000
	portCount = 10000
	portTries = 50
)

// listen opens the services' ports: those of the earlier run, or new ones.
func (s *Sim) listen() (map[string]net.Listener, error) {
	open := make(map[string]net.Listener)
	changed := false
	for _, name := range services() {
		port := s.state.Ports[name]
		var l net.Listener
		var err error
		if port != 0 {
			if l, err = net.Listen("tcp4", address(port)); err != nil {
				err = fmt.Errorf("cloudsim: port %d, which is the %s of the cloud in %s for good, is taken: stop the program that has it, or start with a new folder: %w", port, name, s.cfg.Dir, err)
			}
		} else if l, port, err = s.newPort(); err == nil {
			s.state.Ports[name], changed = port, true
		}
		if err != nil {
			closeAll(open)
			return nil, err
		}
		open[name] = l
	}
	if changed {
		if err := s.state.save(s.cfg.Dir); err != nil {
			closeAll(open)
			return nil, err
		}
	}
	return open, nil
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func (s *Sim) newPort() (net.Listener, int, error) {
	var err error
	for range portTries {
		var b [4]byte
		if _, err := io.ReadFull(s.cfg.Random, b[:]); err != nil {
			return nil, 0, err
		}
		port := firstPort + int(binary.BigEndian.Uint32(b[:])%portCount)
		var l net.Listener
		if l, err = net.Listen("tcp4", address(port)); err == nil {
			return l, port, nil
		}
	}
	return nil, 0, fmt.Errorf("cloudsim: no free port: %w", err)
}

func closeAll(ls map[string]net.Listener) {
	for _, l := range ls {
		_ = l.Close()
	}
}

func (s *Sim) serveAll(listeners map[string]net.Listener) error {
	cfg, err := s.ca.serverConfig(s.cfg.Clock())
	if err != nil {
		closeAll(listeners)
		return fmt.Errorf("cloudsim: %w", err)
	}
	kms, err := s.kmsRoutes()
	if err != nil {
		closeAll(listeners)
		return err
	}
	for name, h := range map[string]http.Handler{
		"issuer": s.issuerRoutes(), "sts": s.stsRoutes(), "kms": kms, "admin": s.adminRoutes(),
	} {
		srv := s.server(h)
		l := listeners[name]
		if name == "admin" {
			s.work.Go(func() { _ = srv.Serve(l) })
			continue
		}
		srv.TLSConfig = cfg.Clone()
		s.work.Go(func() { _ = srv.ServeTLS(l, "", "") })
	}
	return nil
}

// server makes an HTTP server that Close waits for, handlers included.
func (s *Sim) server(h http.Handler) *http.Server {
	const maxBody = 512 << 10
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.enter() {
			panic(http.ErrAbortHandler)
		}
		defer s.work.Done()
		h.ServeHTTP(w, r)
	})
	srv := &http.Server{
		Handler:           http.MaxBytesHandler(counted, maxBody),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          quiet(),
	}
	s.servers = append(s.servers, srv)
	return srv
}

// enter counts a handler, unless the cloud is closing.
func (s *Sim) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Add(1)
	return true
}

// serveLauncher binds the socket, whatever the length of its path. A socket
// that a killed run has left behind is replaced; one that answers isn't.
func (s *Sim) serveLauncher() error {
	if err := os.MkdirAll(filepath.Dir(s.cfg.Socket), 0o700); err != nil {
		return fmt.Errorf("cloudsim: launcher socket: %w", err)
	}
	short, cleanup, err := ShortPath(s.cfg.Socket)
	if err != nil {
		return fmt.Errorf("cloudsim: launcher socket: %w", err)
	}
	defer cleanup()
	if conn, err := net.DialTimeout("unix", short, time.Second); err == nil {
		conn.Close()
		return fmt.Errorf("cloudsim: launcher socket %s: %w", s.cfg.Socket, ErrInUse)
	}
	if fi, err := os.Lstat(s.cfg.Socket); err == nil && fi.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("cloudsim: %s exists and is no socket", s.cfg.Socket)
	}
	if err := os.Remove(s.cfg.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cloudsim: launcher socket: %w", err)
	}
	l, err := net.Listen("unix", short)
	if err != nil {
		return fmt.Errorf("cloudsim: launcher socket: %w", err)
	}
	s.bound = true
	l.(*net.UnixListener).SetUnlinkOnClose(false) // by the long name, in Close
	if err := os.Chmod(s.cfg.Socket, 0o600); err != nil {
		return errors.Join(fmt.Errorf("cloudsim: launcher socket: %w", err), l.Close())
	}
	srv := s.server(s.launcherRoutes())
	s.work.Go(func() { _ = srv.Serve(l) })
	return nil
}

// writeJSON writes v indented, as Google's REST services do.
func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n'))
}

// wait lets time pass in a handler; false: the client or the cloud is gone.
func (s *Sim) wait(r *http.Request, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
	case <-s.ctx.Done():
	}
	return false
}

// hang never answers: until the client or the cloud is gone.
func (s *Sim) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.ctx.Done():
	}
	panic(http.ErrAbortHandler)
}

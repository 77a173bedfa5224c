package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/server"
)

const (
	scale   = 30              // by which the server's timeouts are shortened
	patient = 5 * time.Second // many times a shortened timeout
)

// serve serves as a program does, in another time.
func (s *scene) serve(t *testing.T, edit func(*http.Server)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	hs := &http.Server{}
	var running sync.WaitGroup
	running.Go(func() {
		err := s.Server.Serve(ctx, hs, 0, func() error {
			for name, d := range map[string]time.Duration{"header": hs.ReadHeaderTimeout, "read": hs.ReadTimeout, "write": hs.WriteTimeout} {
				if d <= 0 || d > time.Minute {
					t.Errorf("the %s timeout is %v", name, d)
				}
			}
			edit(hs)
			return hs.Serve(l)
		})
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); _ = hs.Close(); running.Wait() })
	return l.Addr().String()
}

func shortened(hs *http.Server) {
	hs.ReadHeaderTimeout /= scale
	hs.ReadTimeout /= scale
}

// dribble sends the start of a request, then drop after drop, and waits for
// what the server says: a reply's status and code, or that it hung up.
func dribble(address, start, drop string, patience time.Duration) (said string, err error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := c.Write([]byte(start)); err != nil {
		return "", err
	}
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := c.Write([]byte(drop)); err != nil {
				return // closed by the server, or by the deferred call
			}
		}
	}()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return "", err
	}
	if err != nil {
		return "hung up", nil
	}
	defer res.Body.Close()
	var env api.Envelope
	if err := decodeBody(res, &env); err != nil || env.Error == nil {
		return "", fmt.Errorf("%d without an envelope: %w", res.StatusCode, err)
	}
	return string(env.Error.Code), nil
}

// Who sends slowly is answered, or hung up on, in bounded time: on each route,
// in the headers and in the body.
func TestSlowCallers(t *testing.T) {
	s := newScene(t)
	address := s.serve(t, shortened)
	var group sync.WaitGroup
	try := func(name, start, drop string, want ...string) {
		group.Go(func() {
			said, err := dribble(address, start, drop, patient)
			if err != nil || !strings.Contains(strings.Join(want, " "), said) {
				t.Errorf("%s: %q %v, want %v", name, said, err, want)
			}
		})
	}
	for _, r := range server.RoutesForTest() {
		head := r.Method + " " + s.path(r) + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
		try(r.Method+r.Path+" headers", head+"X-Slow: ", "x", "hung up")
		if r.Method != "GET" {
			try(r.Method+r.Path+" body", head+"Content-Length: 60000\r\n\r\n{", " ", "invalid_argument")
			try(r.Method+r.Path+" chunks", head+"Transfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n", "invalid_argument")
			continue
		}
		try(r.Method+r.Path+" body", head+"Content-Length: 60000\r\n\r\n", " ", "body_too_large")
		try(r.Method+r.Path+" chunks", head+"Transfer-Encoding: chunked\r\n\r\n", "", "invalid_argument")
	}
	group.Wait()
}

// Canary: without the timeouts, slow callers hold on.
func TestSlowCallersAreCaught(t *testing.T) {
	s := newScene(t)
	address := s.serve(t, func(hs *http.Server) { hs.ReadHeaderTimeout, hs.ReadTimeout = 0, 0 })
	var group sync.WaitGroup
	for _, start := range []string{
		"POST /v1/s2s/sign HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{",
		"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
	} {
		group.Go(func() {
			var late net.Error
			if said, err := dribble(address, start, "x", 2*time.Second); !errors.As(err, &late) || !late.Timeout() {
				t.Errorf("%.30s: answered %q (%v), though nothing bounds it", start, said, err)
			}
		})
	}
	group.Wait()
}

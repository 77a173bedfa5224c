package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/sigilkeys/sigil/api"
)

// How a replica goes away without a request failing. First it says in /readyz
// that it isn't ready any more, and goes on serving, so that load balancers
// can find out; each answer now also ends its connection (of HTTP/2: GOAWAY),
// so that nobody holds one that closes under the next request. Then it stops
// listening and lets what is in work finish.

// patience is how long requests in work may take to finish.
const patience = 20 * time.Second

// Serve listens with timeouts on everything until ctx ends. It then serves on
// for drain, during which it isn't ready, and lets requests in work finish.
func (s *Server) Serve(ctx context.Context, hs *http.Server, drain time.Duration, serve func() error) error {
	hs.Handler = s
	hs.ReadHeaderTimeout = 5 * time.Second
	hs.ReadTimeout = 15 * time.Second
	hs.WriteTimeout = 40 * time.Second
	hs.IdleTimeout = 2 * time.Minute
	hs.MaxHeaderBytes = 16 << 10
	failed, done := make(chan struct{}), make(chan error, 1)
	go func() {
		select {
		case <-ctx.Done():
		case <-failed:
			return
		}
		s.draining.Store(true)
		s.Log.Info("draining", "seconds", drain.Seconds())
		select {
		case <-time.After(drain):
		case <-failed:
			return
		}
		sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		done <- hs.Shutdown(sctx)
	}()
	if err := serve(); !errors.Is(err, http.ErrServerClosed) {
		close(failed)
		return err
	}
	return <-done
}

// Draining says that the server is about to go away.
func (s *Server) Draining() bool { return s.draining.Load() }

// Requests returns how many requests are in work or being read.
func (s *Server) Requests() int { return int(s.inWork.Load() + s.reading.len()) }

func (s *Server) notDraining() error {
	if s.draining.Load() {
		return refuse(api.CodeShuttingDown, "this replica is going away")
	}
	return nil
}

// closing ends the connection after the answer, while draining.
func (s *Server) closing(h http.Header) {
	if s.draining.Load() {
		h["Connection"] = []string{"close"}
	}
}

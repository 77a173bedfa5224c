package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/tracing"
)

// Event is an answered request as logs and metrics see it. There is no place
// in it for a body, a header field, a query or a path with its values: what
// isn't here can't be logged.
type Event struct {
	Method   string // as the route names it; "" where there is no route
	Route    string // pattern, never the path itself; "" where there is no route
	Status   int
	Code     api.Code // of an error
	Limited  string   // whose budget ran out: organization, key, address
	Duration time.Duration

	RequestID    canon.UUID
	Organization canon.UUID // zero where nobody was identified
	KeyID        string     // the key that the request names, if it exists
}

// observe tells of an answered request.
func (s *Server) observe(e *Event, probe bool) {
	if s.Observe != nil {
		s.Observe(e)
	}
	level := slog.LevelInfo
	if probe {
		level = slog.LevelDebug // every few seconds from every load balancer
	}
	ctx := context.Background()
	if !s.Log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs,
		slog.String("method", e.Method), slog.String("route", e.Route), slog.Int("status", e.Status),
		slog.Int64("duration_us", e.Duration.Microseconds()), slog.String("request", e.RequestID.String()))
	if e.Code != "" {
		attrs = append(attrs, slog.String("code", string(e.Code)))
	}
	if !e.Organization.IsZero() {
		attrs = append(attrs, slog.String("organization", e.Organization.String()))
	}
	if e.KeyID != "" {
		attrs = append(attrs, slog.String("key", e.KeyID))
	}
	s.Log.LogAttrs(ctx, level, "request", attrs...)
}

// event describes a call that was answered.
func (s *Server) event(rt route, c *call, began time.Time, status int, err error) *Event {
	e := &Event{Method: rt.method, Route: rt.path, Status: status, Duration: s.Now().Sub(began), RequestID: c.id, Organization: c.org}
	if c.key != nil {
		e.KeyID, e.Organization = c.key.KeyID, c.key.OrganizationID
	}
	if err != nil {
		e.Code = publicError(c.id, err).Code
		var over *limited
		if errors.As(err, &over) {
			e.Limited = string(over.scope)
		}
	}
	return e
}

// trace starts a request's span; probes have none.
func (s *Server) trace(ctx context.Context, r *http.Request, rt route) (context.Context, *tracing.Span) {
	if s.Tracer == nil || rt.auth == authProbe {
		return ctx, nil
	}
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	return s.Tracer.Server(ctx, r, rt.path, err == nil && trusted(s.TrustedProxies, remote.Addr().Unmap().WithZone("")))
}

func endSpan(span *tracing.Span, c *call, status int, err error) {
	if span == nil {
		return
	}
	code := ""
	if err != nil {
		code = string(publicError(c.id, err).Code)
	}
	span.EndRequest(status, code, c.id.String())
}

// guarded runs a route. A panic is a defect: its caller gets an error with the
// request id, and the stack goes to the log. The value that it carries doesn't:
// nobody knows what is in it.
func (s *Server) guarded(rt route, c *call, w http.ResponseWriter) (out reply, err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if e, ok := p.(error); ok && errors.Is(e, http.ErrAbortHandler) {
			panic(p)
		}
		s.Log.Error("a request panicked", "request", c.id.String(), "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		out, err = reply{}, errPanicked
	}()
	return s.run(rt, c, w)
}

var errPanicked = errors.New("the handler panicked")

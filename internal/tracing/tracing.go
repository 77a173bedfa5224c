// Package tracing sends spans of requests to an OpenTelemetry collector, over
// OTLP/HTTP. It is the control plane's; the TEE workload has none.
//
// A span says how long a step took and how it ended. It names no
// organisation, key or wallet, and holds nothing that a caller sent: the
// request id leads to the line of the log that says whose it was.
//
// A nil Tracer is off and costs nothing.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config says where spans go.
type Config struct {
	Endpoint string  // URL of the collector; without a path, /v1/traces is meant
	Sample   float64 // share of requests that are traced, 0 to 1
	Version  string
	Log      *slog.Logger
}

// Tracer makes spans. A nil one makes none.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// New returns a Tracer; nothing is sent before there is a span to send.
func New(ctx context.Context, cfg Config) (*Tracer, error) {
	u, err := url.Parse(cfg.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("the OTLP endpoint must be an URL like http://127.0.0.1:4318")
	}
	if !(cfg.Sample >= 0 && cfg.Sample <= 1) {
		return nil, errors.New("the share of requests to trace must be 0 to 1")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.String()), otlptracehttp.WithTimeout(10*time.Second))
	if err != nil {
		return nil, fmt.Errorf("OTLP exporter: %w", err)
	}
	// The library reports what it can't send in one place for the process.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { cfg.Log.Warn("traces", "error", err) }))
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.Sample))),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "sigil"), attribute.String("service.version", cfg.Version))),
		// Spans over the queue's bound are dropped: tracing never holds up a request.
		sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(4096)),
	)
	return &Tracer{provider: provider, tracer: provider.Tracer("sigil")}, nil
}

// Close sends what is left.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Span is a step under way. A nil one is none.
type Span struct{ span trace.Span }

// Server starts the span of a request. The caller's trace is joined only if
// it comes from a trusted proxy: whether to trace isn't for callers to say.
func (t *Tracer) Server(ctx context.Context, r *http.Request, route string, trusted bool) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	if trusted {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	ctx, s := t.tracer.Start(ctx, r.Method+" "+route, trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", r.Method), attribute.String("http.route", route)))
	return ctx, &Span{s}
}

// Start starts the span of a step within a request.
func (t *Tracer) Start(ctx context.Context, name string) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	ctx, s := t.tracer.Start(ctx, name)
	return ctx, &Span{s}
}

// Call starts the span of a question to another process.
func (t *Tracer) Call(ctx context.Context, name string) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	ctx, s := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
	return ctx, &Span{s}
}

// End ends a step; failed says that it went wrong. Errors' texts stay out.
func (s *Span) End(failed bool) {
	if s == nil {
		return
	}
	if failed {
		s.span.SetStatus(codes.Error, "")
	}
	s.span.End()
}

// EndRequest ends a request's span.
func (s *Span) EndRequest(status int, code, requestID string) {
	if s == nil {
		return
	}
	s.span.SetAttributes(attribute.Int("http.response.status_code", status), attribute.String("sigil.request_id", requestID))
	if code != "" {
		s.span.SetAttributes(attribute.String("error.type", code))
	}
	s.End(status >= http.StatusInternalServerError)
}

// Count adds a number.
func (s *Span) Count(name string, n int) {
	if s != nil {
		s.span.SetAttributes(attribute.Int(name, n))
	}
}

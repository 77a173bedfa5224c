package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/internal/metrics"
	"github.com/sigilkeys/sigil/internal/servercert"
	"github.com/sigilkeys/sigil/internal/tracing"
)

// listen serves the API, and metrics beside it, until ctx ends.
func (p *parts) listen(ctx context.Context, cfg *Config) error {
	hs := &http.Server{ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn)}
	var beside sync.WaitGroup
	bctx, stop := context.WithCancel(context.WithoutCancel(ctx)) // metrics outlive the drain
	defer beside.Wait()
	defer stop()
	if cfg.TLSCertificate != "" {
		files := &servercert.Files{Certificate: cfg.TLSCertificate, Key: cfg.TLSKey, Log: cfg.Log, Now: time.Now, Interval: cfg.TLSInterval}
		if err := files.Load(); err != nil {
			return err
		}
		hs.TLSConfig = files.Config()
		beside.Go(func() { files.Watch(bctx, cfg.Reload) })
	}
	l, err := bind(ctx, "the API", cfg.Listen)
	if err != nil {
		return err
	}
	if p.metrics != nil {
		ml, err := bind(ctx, "metrics", cfg.Metrics)
		if err != nil {
			return errors.Join(err, l.Close())
		}
		beside.Go(func() { serveMetrics(bctx, ml, p.metrics, cfg.Log) })
	}
	cfg.Log.Info("serving", "address", l.Addr().String(), "tls", hs.TLSConfig != nil)
	if cfg.Ready != nil {
		cfg.Ready(l.Addr().String())
	}
	return p.server.Serve(ctx, hs, cfg.Drain, func() error { return serveOn(hs, l) })
}

func serveOn(hs *http.Server, l net.Listener) error {
	if hs.TLSConfig == nil {
		return hs.Serve(l)
	}
	return hs.ServeTLS(l, "", "") // TLSConfig has the certificate; ServeTLS offers HTTP/2
}

func bind(ctx context.Context, what, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", what, err)
	}
	return l, nil
}

// serveMetrics serves /metrics and nothing else.
func serveMetrics(ctx context.Context, l net.Listener, m *metrics.Metrics, log *slog.Logger) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.Handler())
	hs := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 15 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	log.Info("serving metrics", "address", l.Addr().String())
	stopped := context.AfterFunc(ctx, func() { _ = hs.Close() })
	defer stopped()
	if err := hs.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		log.Error("metrics aren't served any more", "error", err)
	}
}

// trace sends traces, if somebody asked for them.
func (p *parts) trace(ctx context.Context, cfg *Config) error {
	if cfg.OTLPEndpoint == "" {
		return nil
	}
	var err error
	p.tracer, err = tracing.New(ctx, tracing.Config{Endpoint: cfg.OTLPEndpoint, Sample: cfg.OTLPSample, Version: cfg.Version, Log: cfg.Log})
	p.signing.TraceWith(p.tracer)
	p.server.Tracer = p.tracer
	return err
}

// endTraces sends what is left, if the collector takes it in time.
func (p *parts) endTraces(cfg *Config) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := p.tracer.Close(ctx); err != nil {
		cfg.Log.Warn("the last traces weren't sent", "error", err)
	}
}

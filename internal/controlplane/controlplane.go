// Package controlplane assembles the API server: store, link to the TEE,
// signing, administration and HTTP. `sigil serve` is Run.
package controlplane

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/ledger"
	"github.com/sigilkeys/sigil/internal/metrics"
	"github.com/sigilkeys/sigil/internal/networks"
	"github.com/sigilkeys/sigil/internal/org"
	"github.com/sigilkeys/sigil/internal/ratelimit"
	"github.com/sigilkeys/sigil/internal/server"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
	"github.com/sigilkeys/sigil/internal/tracing"
)

// Config says what to serve and where.
type Config struct {
	DataDir          string           // folder of the embedded database; one process at a time
	Database         string           // or the DSN of a PostgreSQL database; it may hold a password
	Listen           string           // host:port of the API
	TEEAddresses     []string         // host:port of each workload's link
	TEEFile          string           // or a file of them, one a line; read again on ReloadTEEs
	ReloadTEEs       <-chan os.Signal // reads TEEFile again
	Accept           []authority.TEE  // reference values of the workload; required
	Networks         []evm.Configured // besides the presets, as the workload's configuration has them
	OpenRegistration bool             // take new organisations from anybody
	Rates            server.Rates     // what callers may ask; zero allows nothing
	Proxies          []netip.Prefix   // whose X-Forwarded-For is believed
	MaxInFlight      int              // requests that wait for the TEE or are decided
	Metrics          string           // host:port of Prometheus metrics; "": none
	Drain            time.Duration    // how long it serves on, not ready, before it ends
	OTLPEndpoint     string           // URL of an OpenTelemetry collector; "": no traces
	OTLPSample       float64          // share of requests that are traced
	TLSCertificate   string           // PEM file of the chain; "": no TLS
	TLSKey           string           // PEM file of its key
	TLSInterval      time.Duration    // between two looks at the files; default 10 s
	Reload           <-chan os.Signal // looks at once
	Version          string
	Log              *slog.Logger
	// Ready is called once with the address, when the API listens.
	Ready func(addr string)
}

func (c *Config) check() error {
	switch {
	case (c.DataDir == "") == (c.Database == ""):
		return errors.New("either a data folder or a database is needed")
	case c.Listen == "":
		return errors.New("an address to listen on is needed")
	case (len(c.TEEAddresses) == 0) == (c.TEEFile == ""):
		return errors.New("either the addresses of TEE workloads or a file of them is needed")
	case len(c.Accept) == 0:
		return errors.New("the reference values of the TEE workload are needed: without them nobody knows whom requests go to")
	case c.MaxInFlight < 1:
		return errors.New("at least one request must be allowed to be in work")
	case c.Drain < 0:
		return errors.New("the time to drain is negative")
	case c.Rates == server.Rates{}:
		return errors.New("the rates that callers may ask at are needed")
	case c.Log == nil:
		return errors.New("a log is needed")
	case (c.TLSCertificate == "") != (c.TLSKey == ""):
		return errors.New("a TLS certificate needs its key, and a key its certificate")
	}
	return nil
}

func (c *Config) openStore(ctx context.Context) (store.Store, error) {
	if c.Database != "" {
		return pgstore.Open(ctx, pgstore.Config{DSN: c.Database})
	}
	return sqlitestore.Open(ctx, c.DataDir)
}

// follower returns what follows other control planes, where there can be any.
func (c *Config) follower(ctx context.Context, st store.Store, sign *signing.Service, fleet *signing.Fleet) (func(context.Context), error) {
	if c.Database == "" {
		return func(context.Context) {}, nil
	}
	f, err := signing.NewFollower(ctx, st, sign, fleet, c.Log)
	if err != nil {
		return nil, err
	}
	return f.Run, nil
}

// Run serves until ctx ends, then finishes what is in work.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.check(); err != nil {
		return err
	}
	// The live heap is a few MB, so the default of 100 would collect after
	// every hundred requests.
	debug.SetGCPercent(800)
	st, err := cfg.openStore(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err := st.Close(); err != nil {
			cfg.Log.Error("close database", "error", err)
		}
	}()
	networks, err := networks.New(cfg.Networks...)
	if err != nil {
		return err
	}
	addresses, err := cfg.tees()
	if err != nil {
		return err
	}
	p := assemble(&cfg, addresses, st, networks)
	follow, err := cfg.follower(ctx, st, p.signing, p.fleet)
	if err != nil {
		return err
	}
	if err := p.trace(ctx, &cfg); err != nil {
		return err
	}
	defer p.endTraces(&cfg)
	// Requests in work need links and committer, so these end last.
	bctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { p.committer.Run(bctx) })
	background.Go(func() { p.fleet.Run(bctx) })
	background.Go(func() { cfg.followTEEs(bctx, p.fleet) })
	background.Go(func() { p.sequencer.Run(bctx) })
	background.Go(func() { follow(bctx) })
	background.Go(func() { p.signing.KeepUses(bctx, cfg.Log) })
	background.Go(func() {
		if err := p.signing.ListAddresses(bctx); err != nil && bctx.Err() == nil {
			cfg.Log.Warn("wallets of an older release aren't found by their addresses yet", "error", err)
		}
	})
	background.Go(func() { auditOlder(bctx, st, cfg.Log) })
	defer background.Wait()
	defer stop()
	return p.listen(ctx, &cfg)
}

// auditOlder takes what an older release left into audit trails, newest first.
func auditOlder(ctx context.Context, st store.Store, log *slog.Logger) {
	for ctx.Err() == nil {
		n, err := st.AuditOlder(ctx, 100)
		switch {
		case errors.Is(err, store.ErrExists): // another control plane does it too
		case err != nil && ctx.Err() == nil:
			log.Warn("decisions of an older release aren't in the audit trail yet", "error", err)
			return
		case n == 0:
			return
		}
	}
}

// parts are what a control plane consists of.
type parts struct {
	committer *signing.Committer
	fleet     *signing.Fleet
	sequencer *ledger.Sequencer
	signing   *signing.Service
	server    *server.Server
	metrics   *metrics.Metrics // nil: nobody asked for them
	tracer    *tracing.Tracer  // nil: the same
}

func assemble(cfg *Config, addresses []string, st store.Store, networks *chain.Registry) *parts {
	p := &parts{committer: signing.NewCommitter(st, networks, cfg.Log)}
	p.fleet = signing.NewFleet(signing.FleetConfig{Addresses: addresses, Accept: cfg.Accept, Store: st, OnBatch: p.committer.Add, Log: cfg.Log, Now: time.Now})
	p.committer.ArchiveWith(p.fleet.Archive)
	p.sequencer = &ledger.Sequencer{Store: st, Signer: p.fleet, Log: cfg.Log}
	sign := signing.NewService(st, p.fleet, p.committer, networks)
	p.signing = sign
	sign.SetMaxInFlight(cfg.MaxInFlight)
	args := server.Args{
		Store: st, Signing: sign, Fleet: p.fleet, Challenges: signing.NewChallenges(p.fleet), Networks: networks, Limits: limits(cfg, st), TrustedProxies: cfg.Proxies,
		Log: cfg.Log, Now: time.Now, NewID: newID, Version: cfg.Version,
		Org: &org.Service{Store: st, Fleet: p.fleet, Signing: sign, Now: time.Now, Open: cfg.OpenRegistration},
	}
	if cfg.Metrics != "" {
		p.metrics = metrics.New(cfg.Version)
		p.committer.ObserveWith(p.metrics.Commit)
		args.Observe = func(e *server.Event) { p.metrics.Request(e.Method, e.Route, e.Status, e.Duration, e.Limited) }
	}
	p.server = server.New(args)
	if p.metrics != nil {
		p.metrics.Watch(metrics.Sources{
			Requests: p.server.Requests, InFlight: sign.InFlight, Uncommitted: p.committer.Queued, Challenges: args.Challenges.Waiting,
			LinkUp: p.fleet.Up, Links: p.links, LedgerLag: func() time.Duration { return p.sequencer.Lag(time.Now()) },
			Draining: p.server.Draining,
		})
	}
	return p
}

// limits shares the budgets where other control planes may use the same store.
func limits(cfg *Config, st store.Store) *server.Limits {
	if shared, ok := st.(ratelimit.Shared); ok {
		return server.NewSharedLimits(cfg.Rates, cfg.Proxies, shared, ratelimit.Holder(newID()))
	}
	return server.NewLimits(cfg.Rates, cfg.Proxies)
}

// newID makes a random request id; crypto/rand can't fail since Go 1.24.
func newID() canon.UUID {
	u, err := canon.NewUUID(rand.Reader)
	if err != nil {
		return canon.UUID{}
	}
	return u
}

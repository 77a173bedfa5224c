// Package controlplane assembles the API server: store, link to the TEE,
// signing, administration and HTTP. `sigil serve` is Run.
package controlplane

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/chain/solana"
	"github.com/sigilkeys/sigil/internal/ledger"
	"github.com/sigilkeys/sigil/internal/org"
	"github.com/sigilkeys/sigil/internal/server"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
)

// Config says what to serve and where.
type Config struct {
	DataDir          string          // folder of the embedded database; one process at a time
	Listen           string          // host:port of the API
	TEEAddress       string          // host:port of the workload's link
	Accept           []authority.TEE // reference values of the workload; required
	OpenRegistration bool            // take new organisations from anybody
	TrustedProxies   []netip.Prefix  // whose X-Forwarded-For is believed
	Version          string
	Log              *slog.Logger
	// Ready is called once with the address, when the API listens.
	Ready func(addr string)
}

func (c *Config) check() error {
	switch {
	case c.DataDir == "":
		return errors.New("a data folder is needed")
	case c.Listen == "" || c.TEEAddress == "":
		return errors.New("an address to listen on and the address of a TEE are needed")
	case len(c.Accept) == 0:
		return errors.New("the reference values of the TEE workload are needed: without them nobody knows whom requests go to")
	case c.Log == nil:
		return errors.New("a log is needed")
	}
	return nil
}

// Run serves until ctx ends, then finishes what is in work.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.check(); err != nil {
		return err
	}
	// The live heap is a few MB, so the default of 100 would collect after
	// every hundred requests.
	debug.SetGCPercent(800)
	st, err := sqlitestore.Open(ctx, cfg.DataDir)
	if err != nil {
		return err
	}
	defer func() {
		if err := st.Close(); err != nil {
			cfg.Log.Error("close database", "error", err)
		}
	}()
	networks, err := chain.NewRegistry(evm.Networks(), solana.Networks())
	if err != nil {
		return err
	}
	committer := signing.NewCommitter(st, networks, cfg.Log)
	link := &signing.Link{Address: cfg.TEEAddress, Accept: cfg.Accept, Store: st, OnBatch: committer.Add, Log: cfg.Log, Now: time.Now}
	committer.ArchiveWith(link.Archive)
	sign := signing.NewService(st, link, committer, networks)
	srv := server.New(server.Args{
		Store: st, Signing: sign, Link: link, Challenges: signing.NewChallenges(link), Networks: networks, Log: cfg.Log, Now: time.Now, NewID: newID, Version: cfg.Version, TrustedProxies: cfg.TrustedProxies,
		Org: &org.Service{Store: st, Link: link, Signing: sign, Now: time.Now, Open: cfg.OpenRegistration},
	})
	// Requests in work need link and committer, so these end last.
	bctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { committer.Run(bctx) })
	background.Go(func() { link.Run(bctx) })
	background.Go(func() { sign.KeepUses(bctx, cfg.Log) })
	background.Go(func() {
		if err := sign.ListAddresses(bctx); err != nil && bctx.Err() == nil {
			cfg.Log.Warn("wallets of an older release aren't found by their addresses yet", "error", err)
		}
	})
	background.Go(func() { auditOlder(bctx, st, cfg.Log) })
	sequencer := &ledger.Sequencer{Store: st, Signer: link, Log: cfg.Log}
	background.Go(func() { sequencer.Run(bctx) })
	defer background.Wait()
	defer stop()
	return listen(ctx, &cfg, srv)
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

func listen(ctx context.Context, cfg *Config, srv *server.Server) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen for the API: %w", err)
	}
	cfg.Log.Info("serving", "address", l.Addr().String())
	if cfg.Ready != nil {
		cfg.Ready(l.Addr().String())
	}
	hs := &http.Server{ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn)}
	return srv.Serve(ctx, hs, func() error { return hs.Serve(l) })
}

// newID makes a random request id; crypto/rand can't fail since Go 1.24.
func newID() canon.UUID {
	u, err := canon.NewUUID(rand.Reader)
	if err != nil {
		return canon.UUID{}
	}
	return u
}

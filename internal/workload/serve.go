package workload

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/sigilkeys/sigil/internal/sealed"
	"github.com/sigilkeys/sigil/internal/secret"
	"github.com/sigilkeys/sigil/internal/teeconfig"
	"github.com/sigilkeys/sigil/internal/teelink"
)

// nudgeInterval is how often dead key material is collected while keys are in
// use: the time that a copy on the heap can outlive its operation.
const nudgeInterval = 100 * time.Millisecond

// openers prepares both roles with the configured DEK cache.
func (s *Service) openers() error {
	if s.args.Config.DEKCacheEntries == 0 || s.args.Config.DEKCacheSeconds == 0 {
		s.tee, s.provider = sealed.NewOpener(s.args.TEE, nil), sealed.NewOpener(s.args.Provider, nil)
		return nil
	}
	cache, err := sealed.NewCache(s.args.Config.DEKCacheEntries, s.args.Config.DEKCacheLife(), s.args.Now)
	if err != nil {
		return err
	}
	if !cache.Locked() && !s.args.Config.Development {
		return fmt.Errorf("the system doesn't lock %d bytes for cached DEKs: raise RLIMIT_MEMLOCK or lower dek_cache_entries", 32*s.args.Config.DEKCacheEntries)
	}
	s.cache = cache
	s.tee, s.provider = sealed.NewOpener(s.args.TEE, cache), sealed.NewOpener(s.args.Provider, cache)
	return nil
}

// Run keeps the evidence fresh and memory clean until ctx ends.
func (s *Service) Run(ctx context.Context, failed func(error)) {
	done := make(chan struct{})
	var sweep func()
	if s.cache != nil {
		sweep = s.cache.Sweep
	}
	go func() { s.args.Nudger.Run(ctx, nudgeInterval, sweep); close(done) }()
	s.KeepAttested(ctx, failed)
	<-done
	if s.cache != nil {
		_ = s.cache.Close() // wiped; unmapping can't matter any more
	}
}

// SelfTest proves that both KMS keys wrap and unwrap for this image, before
// anything depends on it: a wrong digest, a missing binding or a wrong key
// name ends the start here.
func (s *Service) SelfTest(ctx context.Context) error {
	for _, kek := range []sealed.KEK{s.args.TEE, s.args.Provider} {
		if err := roundTrip(ctx, s.args, kek); err != nil {
			return fmt.Errorf("the KMS doesn't serve this image: %w", err)
		}
	}
	return nil
}

func roundTrip(ctx context.Context, a Args, kek sealed.KEK) error {
	var failure error
	secret.Do(func() {
		var dek, back [32]byte
		defer func() { clear(dek[:]); clear(back[:]) }()
		aad := []byte("sigil:self-test")
		if _, err := a.Random.Read(dek[:]); err != nil {
			failure = err
			return
		}
		wrapped, _, err := kek.Wrap(ctx, &dek, aad)
		if err != nil {
			failure = err
			return
		}
		if err := kek.Unwrap(ctx, wrapped, aad, &back); err != nil {
			failure = err
			return
		}
		if back != dek {
			failure = fmt.Errorf("unwrapping gives other bytes than were wrapped")
		}
	})
	return failure
}

// NewLinkServer makes the server that hands frames to s.
func (s *Service) NewLinkServer(cfg teelink.ServerConfig) (*teelink.Server, error) {
	cfg.Handler, cfg.Workers = s, s.args.Config.Workers
	return teelink.NewServer(cfg)
}

// Listen opens the configured address.
func Listen(ctx context.Context, c *teeconfig.Config) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for the link: %w", err)
	}
	return l, nil
}

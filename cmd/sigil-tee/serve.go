package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/internal/kms/federation"
	"github.com/sigilkeys/sigil/internal/kms/gcpkms"
	"github.com/sigilkeys/sigil/internal/launcher"
	"github.com/sigilkeys/sigil/internal/networks"
	"github.com/sigilkeys/sigil/internal/secret"
	"github.com/sigilkeys/sigil/internal/teeconfig"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/internal/workload"
)

// version is the release; the linker sets it.
var version = "devel"

// startTimeout bounds attestation and self-test together.
const startTimeout = time.Minute

func serve(ctx context.Context, config []byte, log *slog.Logger) error {
	debug.SetTraceback("none") // a crash must not print stacks with arguments
	// Memory that held keys is collected every 100 ms of use anyway
	// (secret.Nudger); between those, collecting early costs and gains nothing.
	debug.SetGCPercent(800)
	if err := secret.Harden(); err != nil {
		return err
	}
	c, digest, err := teeconfig.Parse(config)
	if err != nil {
		return err
	}
	if !secret.Protected() && !c.Development {
		return errors.New("this build can't erase key material from memory; build with GOEXPERIMENT=runtimesecret CGO_ENABLED=0 for Linux")
	}
	cert, linkKey, err := teelink.NewCertificate(time.Now())
	if err != nil {
		return err
	}
	networks, err := networks.Measured(c)
	if err != nil {
		return err
	}
	platform := launcher.New(c.LauncherSocket, 10*time.Second)
	nudger := &secret.Nudger{}
	tee, closeTEE, err := newKEK(c, c.TEEKey, c.TEEAudience, platform, nudger)
	if err != nil {
		return err
	}
	defer closeTEE()
	provider, closeProvider, err := newKEK(c, c.ProviderKey, c.ProviderAudience, platform, nudger)
	if err != nil {
		return err
	}
	defer closeProvider()

	sctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s, err := workload.New(sctx, workload.Args{
		Config: c, ConfigDigest: digest, LinkKey: linkKey, Version: version,
		Attester: platform, TEE: tee, Provider: provider, Networks: networks, Nudger: nudger, Random: rand.Reader, Now: time.Now,
	})
	if err != nil {
		return err
	}
	if err := s.SelfTest(sctx); err != nil {
		return err
	}
	server, err := s.NewLinkServer(teelink.ServerConfig{Certificate: cert})
	if err != nil {
		return err
	}
	return listen(ctx, c, s, server, log)
}

func newKEK(c *teeconfig.Config, key, audience string, platform *launcher.Client, nudger *secret.Nudger) (*gcpkms.Client, func(), error) {
	source, err := federation.New(federation.Config{
		TokenURL: c.STSURL, Audience: audience, Roots: c.Roots(), Subject: platform, Timeout: 10 * time.Second, Now: time.Now,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("token exchange: %w", err)
	}
	kek, err := gcpkms.New(gcpkms.Config{KeyName: key, BaseURL: c.KMSURL, RootCAs: c.Roots(), Token: source, Touch: nudger.Touch})
	if err != nil {
		source.Close()
		return nil, nil, fmt.Errorf("KMS client: %w", err)
	}
	return kek, func() { kek.Close(); source.Close() }, nil
}

func listen(ctx context.Context, c *teeconfig.Config, s *workload.Service, server *teelink.Server, log *slog.Logger) error {
	l, err := workload.Listen(ctx, c)
	if err != nil {
		return err
	}
	rctx, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() {
		s.Run(rctx, func(err error) { log.Warn("attestation can't be renewed", "error", err.Error()) })
	})
	log.Info("serving", "address", l.Addr().String(), "release", s.Release(), "version", version, "memory_protection", secret.Protected())
	err = server.Serve(ctx, l)
	stop()
	background.Wait()
	return err
}

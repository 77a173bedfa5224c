// Package stack starts a whole Sigil inside a test's process: emulated cloud,
// workload, link and control plane, over real sockets and files. Programs as
// processes of their own are package devstack's; this one lets a test reach
// into each part, replace one, and count.
package stack

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/kms/federation"
	"github.com/sigilkeys/sigil/internal/kms/gcpkms"
	"github.com/sigilkeys/sigil/internal/launcher"
	"github.com/sigilkeys/sigil/internal/ledger"
	"github.com/sigilkeys/sigil/internal/networks"
	"github.com/sigilkeys/sigil/internal/org"
	"github.com/sigilkeys/sigil/internal/secret"
	"github.com/sigilkeys/sigil/internal/server"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
	"github.com/sigilkeys/sigil/internal/teeconfig"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/internal/tracing"
	"github.com/sigilkeys/sigil/internal/workload"
	"github.com/sigilkeys/sigil/test/spec"
)

// Options change a stack; the zero value is a healthy one with a DEK cache.
type Options struct {
	// Digest is the image that the emulated platform says runs; default a
	// made-up one that the cloud admits.
	Digest string
	// NoDEKCache makes every signature ask the KMS.
	NoDEKCache bool
	// Cloud is an existing cloud; default a new one.
	Cloud *cloudsim.Sim
	// WrapStore, if set, sees and may change what the control plane stores.
	WrapStore func(store.Store) store.Store
	// WrapHandler, if set, sees and may change what the API says.
	WrapHandler func(http.Handler) http.Handler
	// Undescribed, if set, is told of exchanges that aren't as
	// api/openapi.yaml describes them; by default they fail the test.
	Undescribed func(format string, args ...any)
	// WrapLink, if set, gets the workload's address and link certificate, and
	// returns the address for the control plane to dial: with the certificate
	// it can sit in between and see what the control plane sees.
	WrapLink func(address string, certificate tls.Certificate) string
	// TEE is the link's address of a workload that runs already, in another
	// process; default one in this process.
	TEE string
	// Accept are the workloads that the control plane takes; default TEEReference.
	Accept []authority.TEE
	// MoreTEEs are the links' addresses of further workloads.
	MoreTEEs []string
	// DataDir is the control plane's; default a new one.
	DataDir string
	// Store is the control plane's, which the caller closes; default SQLite in
	// DataDir. Several stacks may have the same.
	Store store.Store
	// OpenStore opens the control plane's, which the stack closes, whenever a
	// control plane starts; default SQLite in DataDir.
	OpenStore func(context.Context) (store.Store, error)
	// Follow has the control plane follow others over its store.
	Follow bool
	// Ledger folds decisions into ledgers and has their heads signed.
	Ledger bool
	// Now is the TEE's and the control plane's clock; default time.Now.
	Now func() time.Time
	// Log is the control plane's; default none.
	Log *slog.Logger
	// Limits are the control plane's; default none.
	Limits *server.Limits
	// Tracer is the control plane's; default none.
	Tracer *tracing.Tracer
	// OnCommit, if set, is told of the control plane's transactions.
	OnCommit func(decisions int, took time.Duration, err error)
	// MaxRequests is the control plane's; default its own.
	MaxRequests int
	// TrustedProxies are the control plane's.
	TrustedProxies []netip.Prefix
}

// Stack is a running one. It ends with the test.
type Stack struct {
	Cloud    *cloudsim.Sim
	Digest   string
	Workload *workload.Service
	Networks *chain.Registry
	Store    store.Store
	Link     *signing.Link // to the first workload
	Fleet    *signing.Fleet
	Signing  *signing.Service
	Server   *server.Server
	API      *httptest.Server
	Now      func() time.Time

	t    testing.TB
	opt  Options
	tee  string // address of the first workload's link
	end  func() // of the control plane
	kill func() // of the workload; nil where it runs elsewhere
}

// MadeUpDigest names an image that never existed.
func MadeUpDigest(name string) string {
	d := sha256.Sum256([]byte(name))
	return "sha256:" + hex.EncodeToString(d[:])
}

// Start starts a stack that must come up.
func Start(t testing.TB, opt Options) *Stack {
	t.Helper()
	s := &Stack{t: t, opt: opt, Cloud: opt.Cloud, Digest: opt.Digest, Now: opt.Now}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Digest == "" {
		s.Digest = MadeUpDigest("sigil-tee")
	}
	if s.Cloud == nil {
		s.Cloud = NewCloud(t, s.Digest)
	}
	var err error
	if s.Networks, err = networks.New(); err != nil {
		t.Fatal(err)
	}
	if s.tee = s.opt.TEE; s.tee == "" {
		if s.tee, err = s.startWorkload(); err != nil {
			t.Fatal(err)
		}
	}
	s.startControlPlane()
	return s
}

// Restart ends the control plane, as its program ends, and starts it anew on the
// same database.
func (s *Stack) Restart() {
	s.t.Helper()
	s.end()
	s.startControlPlane()
}

// RestartWorkload ends the workload and starts another instance of it, at
// another address, which the control plane is told of as an operator tells it. It
// may not be up yet. An error says why it didn't start; then there is none.
func (s *Stack) RestartWorkload() (err error) {
	s.t.Helper()
	s.kill()
	if s.tee, err = s.startWorkload(); err != nil {
		return err
	}
	s.Fleet.Set(append([]string{s.tee}, s.opt.MoreTEEs...))
	for _, l := range s.Fleet.Links() {
		if l.Address == s.tee {
			s.Link = l
		}
	}
	return nil
}

// NewCloud starts a cloud that runs and admits the image.
func NewCloud(t testing.TB, digest string) *cloudsim.Sim {
	t.Helper()
	sim, err := cloudsim.Start(cloudsim.Config{Dir: t.TempDir(), TokensPerSecond: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	if err := sim.SetImageDigest(digest); err != nil {
		t.Fatal(err)
	}
	if err := sim.AdmitRelease(digest); err != nil {
		t.Fatal(err)
	}
	return sim
}

// Config returns the measured configuration for a cloud.
func Config(t testing.TB, sim *cloudsim.Sim, dekCache bool) (*teeconfig.Config, [32]byte) {
	t.Helper()
	info := sim.Info()
	socket, cleanup, err := cloudsim.ShortPath(info.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cleanup)
	c := teeconfig.Config{
		Format: teeconfig.Format, Listen: "127.0.0.1:0", LauncherSocket: filepath.Clean(socket), STSURL: info.STSURL,
		KMSURL: strings.TrimSuffix(info.KMSURL, "/"), TLSRoots: info.CAPEM, TEEKey: info.TEEKey, TEEAudience: info.TEEAudience,
		ProviderKey: info.ProviderKey, ProviderAudience: info.ProviderAudience, ProjectID: info.ProjectID, Development: true,
	}
	if dekCache {
		c.DEKCacheEntries, c.DEKCacheSeconds = 1024, 60
	}
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	parsed, digest, err := teeconfig.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return parsed, digest
}

// WorkloadArgs wires a workload's parts as cmd/sigil-tee does.
func WorkloadArgs(t testing.TB, sim *cloudsim.Sim, dekCache bool, now func() time.Time, linkKey [32]byte, networks *chain.Registry) workload.Args {
	t.Helper()
	c, digest := Config(t, sim, dekCache)
	platform := launcher.New(c.LauncherSocket, 10*time.Second)
	nudger := &secret.Nudger{}
	kek := func(key, audience string) sealed {
		source, err := federation.New(federation.Config{TokenURL: c.STSURL, Audience: audience, Roots: c.Roots(), Subject: platform, Timeout: 10 * time.Second, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		k, err := gcpkms.New(gcpkms.Config{KeyName: key, BaseURL: c.KMSURL, RootCAs: c.Roots(), Token: source, Touch: nudger.Touch})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { k.Close(); source.Close() })
		return k
	}
	return workload.Args{Config: c, ConfigDigest: digest, LinkKey: linkKey, Version: "test", Attester: platform,
		TEE: kek(c.TEEKey, c.TEEAudience), Provider: kek(c.ProviderKey, c.ProviderAudience), Networks: networks, Nudger: nudger, Random: rand.Reader, Now: now}
}

type sealed = *gcpkms.Client

func (s *Stack) startWorkload() (address string, err error) {
	t := s.t
	cert, linkKey, err := teelink.NewCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	w, err := workload.New(ctx, WorkloadArgs(t, s.Cloud, !s.opt.NoDEKCache, s.Now, linkKey, s.Networks))
	if err == nil {
		err = w.SelfTest(ctx)
	}
	if err != nil {
		stop()
		return "", err
	}
	s.Workload = w
	srv, err := s.Workload.NewLinkServer(teelink.ServerConfig{Certificate: cert})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx, func(err error) { t.Log("renewal:", err) }) })
	running.Go(func() {
		if err := srv.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	s.kill = sync.OnceFunc(func() { stop(); running.Wait() })
	t.Cleanup(s.kill)
	if s.opt.WrapLink != nil {
		return s.opt.WrapLink(l.Addr().String(), cert), nil
	}
	return l.Addr().String(), nil
}

// openStore opens the store of a control plane, and returns what closes it.
func (s *Stack) openStore() (closeStore func()) {
	t := s.t
	s.Store, closeStore = s.opt.Store, func() {}
	if s.Store == nil {
		if s.opt.OpenStore == nil {
			if s.opt.DataDir == "" {
				s.opt.DataDir = t.TempDir()
			}
			s.opt.OpenStore = func(ctx context.Context) (store.Store, error) { return sqlitestore.Open(ctx, s.opt.DataDir) }
		}
		db, err := s.opt.OpenStore(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		s.Store, closeStore = db, func() { _ = db.Close() }
	}
	if s.opt.WrapStore != nil {
		s.Store = s.opt.WrapStore(s.Store)
	}
	return closeStore
}

func (s *Stack) startControlPlane() {
	t := s.t
	closeStore := s.openStore()
	log := s.opt.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	limits := s.opt.Limits
	if limits == nil {
		limits = server.NewLimits(server.NoRates(), nil)
	}
	accept := s.opt.Accept
	if accept == nil {
		accept = []authority.TEE{s.TEEReference()}
	}
	committer := signing.NewCommitter(s.Store, s.Networks, log)
	s.Fleet = signing.NewFleet(signing.FleetConfig{Addresses: append([]string{s.tee}, s.opt.MoreTEEs...), Accept: accept,
		Store: s.Store, OnBatch: committer.Add, Log: log, Now: s.Now})
	s.Link = s.Fleet.Links()[0]
	committer.ArchiveWith(s.Fleet.Archive)
	committer.ObserveWith(s.opt.OnCommit)
	s.Signing = signing.NewService(s.Store, s.Fleet, committer, s.Networks)
	s.Signing.TraceWith(s.opt.Tracer)
	s.Server = server.New(server.Args{Tracer: s.opt.Tracer,
		Store: s.Store, Signing: s.Signing, Fleet: s.Fleet, Challenges: signing.NewChallenges(s.Fleet), Networks: s.Networks, Limits: limits, Log: log, Now: s.Now, Version: "test", MaxRequests: s.opt.MaxRequests, TrustedProxies: s.opt.TrustedProxies,
		NewID: func() canon.UUID { u, _ := canon.NewUUID(rand.Reader); return u },
		Org:   &org.Service{Store: s.Store, Fleet: s.Fleet, Signing: s.Signing, Now: s.Now, Open: true}})
	handler := s.watched(s.Server)
	if s.opt.WrapHandler != nil {
		handler = s.opt.WrapHandler(handler)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	if s.opt.Follow {
		f, err := signing.NewFollower(ctx, s.Store, s.Signing, s.Fleet, log)
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() { f.Run(ctx) })
	}
	if s.opt.Ledger {
		sequencer := &ledger.Sequencer{Store: s.Store, Signer: s.Fleet, Log: log, Interval: 20 * time.Millisecond}
		running.Go(func() { sequencer.Run(ctx) })
	}
	running.Go(func() { committer.Run(ctx) })
	running.Go(func() { s.Fleet.Run(ctx) })
	s.API = httptest.NewServer(handler)
	api := s.API
	s.end = sync.OnceFunc(func() { api.Close(); stop(); running.Wait(); closeStore() })
	t.Cleanup(s.end)
	if _, err := s.Link.Client(ctx); err != nil {
		t.Fatal(err)
	}
}

// watched has every exchange held to the API's description, but for
// benchmarks, which measure the server alone.
func (s *Stack) watched(h http.Handler) http.Handler {
	if _, measures := s.t.(*testing.B); measures {
		return h
	}
	described, err := spec.Load()
	if err != nil && s.opt.Undescribed == nil {
		s.t.Fatal(err)
	}
	if err != nil {
		s.opt.Undescribed("nothing is checked: %v", err)
		return h
	}
	report := s.opt.Undescribed
	if report == nil {
		report = s.t.Errorf
	}
	return described.Watch(h, report)
}

// TEEReference returns the genesis entry that accepts this stack.
func (s *Stack) TEEReference() authority.TEE {
	info := s.Cloud.Info()
	return authority.TEE{Kind: authority.KindConfidentialSpace, Issuer: info.IssuerURL, PKIRoot: info.PKIRootSHA256, Hardware: info.Hardware,
		ProjectID: info.ProjectID, ServiceAccount: info.ServiceAccount, ImageDigests: []string{s.Digest}, TEEKEK: info.TEEKey, ProviderKEK: info.ProviderKey}
}

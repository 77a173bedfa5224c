// Package cloudsim is a cloud on one machine: what a Sigil workload meets on
// Google Cloud, emulated closely enough that the production code path runs
// against it unchanged.
//
//	launcher   Unix socket that hands out attestation tokens for one workload,
//	           and the token file beside it
//	issuer     discovery, JWKS and PKI root of the attestation service
//	sts        token exchange: attribute mapping and CEL condition
//	kms        Cloud KMS over gRPC and REST on one port: encryption, key
//	           versions, IAM (deny, then allow), quota, audit entries
//	admin      knobs and audit list, under /sim/
//
// It protects nothing: keys lie in files, the launcher vouches for whatever
// digest it is told, and the admin endpoint is open to every local process.
// Nothing trusts it but configurations that pin its roots, and only the
// development stack and tests link it.
//
// What it promises is persistence: certificate authority, token keys, KMS keys
// and ports live in Config.Dir, because the workload's measured configuration
// names URLs and roots; a stack restarted on the same folder is the same cloud.
//
// Texts and shapes follow Google's documentation and observed replies. Where
// neither is known, the code says "not observed".
package cloudsim

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/attest/attesttest"
)

// Config configures a cloud. Only Dir is required.
type Config struct {
	Dir      string                               // keeps the state; made if it doesn't exist
	Socket   string                               // launcher socket; default Dir/launcher.sock
	Hardware string                               // hwmodel of tokens; default GCP_AMD_SEV
	Random   io.Reader                            // default crypto/rand
	Clock    func() time.Time                     // default time.Now
	After    func(time.Duration) <-chan time.Time // default time.After

	// TokensPerSecond is the attestation service's quota, by default 5 as in
	// Google's; negative: none.
	TokensPerSecond int
	// QuotaPerMinute is the quota of cryptographic requests of each calling
	// project, by default 60,000 as in Google's; negative: none.
	QuotaPerMinute int
	// TokenFile is where the launcher keeps a default token fresh for programs
	// that read files; default Dir/attestation_verifier_claims_token.
	TokenFile string
}

// Sim is a running cloud. Close it.
type Sim struct {
	cfg    Config
	lock   *os.File
	ca     *authority
	issuer *attesttest.Issuer
	info   Info
	bound  bool // the socket is this cloud's to remove

	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	work    sync.WaitGroup // servers and handlers
	servers []*http.Server
	rest    []restRoute   // of the KMS's HTTP face
	measure chan struct{} // another image was measured: write the token file

	mu       sync.Mutex // guards the fields below
	state    *state
	workload attesttest.Workload
	knobs    Knobs
	audit    auditList
	bucket   bucket
	iam      timeline           // of policies, pools and providers
	keys     timeline           // of key versions
	spent    map[string]minute  // quota, by calling project
	foreign  *attesttest.Issuer // made when first needed
	closed   bool
}

// Info says where the cloud is and what it is made of: what a configuration
// of the workload, and an owner's genesis document, need to know.
type Info struct {
	Socket        string `json:"socket"`     // path of the launcher socket
	TokenFile     string `json:"token_file"` // kept fresh by the launcher
	IssuerURL     string `json:"issuer_url"`
	STSURL        string `json:"sts_url"` // token endpoint
	KMSURL        string `json:"kms_url"`
	AdminURL      string `json:"admin_url"`
	CAPEM         string `json:"ca_pem"`          // root of all HTTPS endpoints
	PKIRootSHA256 string `json:"pki_root_sha256"` // hex, root of PKI tokens
	PKIRootPEM    string `json:"pki_root_pem"`

	TEEKey           string `json:"tee_key"`
	TEEAudience      string `json:"tee_audience"`
	ProviderKey      string `json:"provider_key"`
	ProviderAudience string `json:"provider_audience"`

	ProjectID      string   `json:"project_id"` // of the workload's VM
	ServiceAccount string   `json:"service_account"`
	Hardware       []string `json:"hardware"` // accepted by the STS condition
}

// Start opens or makes the cloud in cfg.Dir and serves it.
func Start(cfg Config) (*Sim, error) {
	if cfg.Dir == "" {
		return nil, errors.New("cloudsim: no folder given")
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.After == nil {
		cfg.After = time.After
	}
	if cfg.Hardware == "" {
		cfg.Hardware = "GCP_AMD_SEV"
	}
	if cfg.TokensPerSecond == 0 {
		cfg.TokensPerSecond = 5
	}
	if cfg.QuotaPerMinute == 0 {
		cfg.QuotaPerMinute = defaultQuota
	}
	if cfg.TokenFile == "" {
		cfg.TokenFile = filepath.Join(cfg.Dir, "attestation_verifier_claims_token")
	}
	if cfg.Socket == "" {
		cfg.Socket = filepath.Join(cfg.Dir, "launcher.sock")
	}
	s := &Sim{cfg: cfg, workload: defaultWorkload(cfg.Hardware), spent: map[string]minute{}, measure: make(chan struct{}, 1)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Sim) open() (err error) {
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("cloudsim: %w", err)
	}
	if s.lock, err = lockFolder(s.cfg.Dir); err != nil {
		return err
	}
	if s.state, err = loadState(s.cfg.Dir, s.cfg.Random); err != nil {
		return err
	}
	s.iam, s.keys = timeline{{state: s.state}}, timeline{{state: s.state}}
	if s.ca, err = loadAuthority(s.cfg.Dir, s.cfg.Clock()); err != nil {
		return err
	}
	ports, err := s.listen()
	if err != nil {
		return err
	}
	url := func(name string) string { return fmt.Sprintf("https://127.0.0.1:%d", s.state.Ports[name]) }
	if s.issuer, err = loadIssuer(s.cfg.Dir, url("issuer"), s.cfg.Clock()); err != nil {
		closeAll(ports)
		return err
	}
	s.describe(url)
	if err := s.serveAll(ports); err != nil {
		return err
	}
	if err := s.serveLauncher(); err != nil {
		return err
	}
	// A token that an earlier run has left is of an image that isn't measured.
	if err := os.Remove(s.cfg.TokenFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cloudsim: token file: %w", err)
	}
	s.work.Go(s.keepTokenFile)
	return nil
}

func (s *Sim) describe(url func(name string) string) {
	tee, provider := s.state.Pools[0], s.state.Pools[1]
	s.info = Info{
		Socket: s.cfg.Socket, TokenFile: s.cfg.TokenFile, IssuerURL: url("issuer"), STSURL: url("sts") + "/v1/token", KMSURL: url("kms"),
		AdminURL: fmt.Sprintf("http://127.0.0.1:%d", s.state.Ports["admin"]),
		CAPEM:    string(s.ca.pem()), PKIRootPEM: string(s.issuer.RootPEM()),
		PKIRootSHA256: fmt.Sprintf("%x", s.issuer.RootSHA256()),
		TEEKey:        s.state.Keys[0].Name, TEEAudience: tee.audience(),
		ProviderKey: s.state.Keys[1].Name, ProviderAudience: provider.audience(),
		ProjectID: s.workload.ProjectID, ServiceAccount: s.workload.ServiceAccount,
		Hardware: acceptedHardware(s.cfg.Hardware),
	}
}

// Info returns where the cloud is.
func (s *Sim) Info() Info {
	i := s.info
	i.Hardware = acceptedHardware(s.cfg.Hardware)
	return i
}

// Close stops serving, waits for what is under way, and gives the folder free.
func (s *Sim) Close() error {
	s.mu.Lock()
	done := s.closed
	s.closed = true
	s.mu.Unlock()
	if done {
		return nil
	}
	s.stop()
	var errs []error
	for _, srv := range s.servers {
		errs = append(errs, srv.Close())
	}
	s.work.Wait()
	if s.bound {
		if err := os.Remove(s.cfg.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// Image is what a real launcher measures of the image that it runs.
type Image struct {
	Digest string   // of the manifest, sha256:…
	ID     string   // digest of the image's configuration
	Args   []string // entry point and command
}

// SetImage says which image the workload runs. Before it is called, the
// launcher has no token to give.
func (s *Sim) SetImage(i Image) error {
	if !digestPattern.MatchString(i.Digest) || !digestPattern.MatchString(i.ID) || len(i.Args) == 0 {
		return fmt.Errorf("cloudsim: digest %q and id %q with %d arguments are no image", i.Digest, i.ID, len(i.Args))
	}
	s.mu.Lock()
	s.workload.ImageDigest, s.workload.ImageID, s.workload.Args = i.Digest, i.ID, append([]string(nil), i.Args...)
	s.workload.ImageReference = imageRepository + "@" + i.Digest
	s.mu.Unlock()
	select {
	case s.measure <- struct{}{}:
	default:
	}
	return nil
}

// SetImageDigest is SetImage for tests that have a digest alone; the other
// values are made up.
func (s *Sim) SetImageDigest(digest string) error {
	return s.SetImage(Image{Digest: digest, ID: madeUpID, Args: []string{"/sigil-tee"}})
}

// Releases returns the image digests that the cloud's owner admits.
func (s *Sim) Releases() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.state.Releases...)
}

// AdmitRelease admits a digest: in the STS condition of both pools and in the
// bindings of both keys. It is what a release engineer does in the cloud's
// console, and survives restarts.
func (s *Sim) AdmitRelease(digest string) error {
	if !digestPattern.MatchString(digest) {
		return fmt.Errorf("cloudsim: %q is not an image digest", digest)
	}
	return s.update(func(st *state) error { st.admit(digest); return nil })
}

// WithdrawRelease undoes AdmitRelease. Access tokens that were issued before
// stay valid until they expire, but the key's binding is gone as soon as the
// change has spread (Knobs.IAMPropagation).
func (s *Sim) WithdrawRelease(digest string) error {
	return s.update(func(st *state) error { st.withdraw(digest); return nil })
}

// update changes the state and writes it down; a failed write changes nothing.
func (s *Sim) update(change func(*state) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := s.state.clone()
	if err != nil {
		return err
	}
	if err := change(next); err != nil {
		return err
	}
	if err := next.save(s.cfg.Dir); err != nil {
		return err
	}
	s.replace(next)
	return nil
}

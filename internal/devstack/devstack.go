// Package devstack runs a whole Sigil on one machine: the emulated cloud in
// this process, the workload and the control plane each as a process of its
// own, as in production. On its first start in a folder it makes what a new
// owner makes (an organisation, a key, a wallet), and it says in one file,
// dev.json, where everything is.
//
// It protects nothing: whoever reads the folder has the admin key, its
// passphrase and the secret key. It exists to develop and to test.
//
//	DIR/dev.json               where everything is; there while the stack is ready
//	DIR/stack.json             what a later start uses again
//	DIR/cloud/                 the emulated cloud
//	DIR/tee/                   the workload's image: program and measured configuration
//	DIR/db/                    the control plane's database
//	DIR/secret-key             token of the key (sk_live_…)
//	DIR/genesis.json           the owner's document, root of all trust in the folder
//	DIR/admin-key.age          the owner's key, encrypted
//	DIR/admin-key.passphrase   what it is encrypted with
//	DIR/logs/                  what the processes say
package devstack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/internal/cloudsim"
)

// Config says what to run. Data, TEEBinary and SigilBinary are required.
type Config struct {
	Data        string
	TEEBinary   string // sigil-tee; copied into the folder as the image
	SigilBinary string // sigil
	Hardware    string // sev, sev-snp or tdx; default sev
	Port        int    // of the API; 0: that of the earlier start, or a free one

	// AcceptHardware are the kinds of TEE that the organisation's genesis
	// accepts, as in Hardware; none given: all. A folder keeps what it was made
	// with.
	AcceptHardware []string

	// DatabaseFile holds the DSN of a PostgreSQL database that is migrated;
	// default a file in the folder. It belongs to one folder for ever.
	DatabaseFile string

	// NoDEKCache makes every signature ask both KMS keys. It is measured: a
	// folder keeps what it was made with.
	NoDEKCache bool

	// ServeArgs are further arguments of `sigil serve`.
	ServeArgs []string

	// Restart starts a process that has ended again. Without it the stack
	// ends with the first of its processes.
	Restart bool

	// Log gets one line for each thing that happens; nil: nothing is said.
	Log func(line string)

	Now    func() time.Time // default time.Now
	Random io.Reader        // default crypto/rand
}

// ErrInUse is returned for a folder that another stack serves.
var ErrInUse = errors.New("in use by another sigil-dev")

// Info is what dev.json holds.
type Info struct {
	APIBaseURL     string            `json:"api_base_url"`
	OrganizationID string            `json:"organization_id"`
	WalletID       string            `json:"wallet_id"`
	Addresses      map[string]string `json:"addresses"` // by network
	SecretKeyFile  string            `json:"secret_key_file"`
	AdminKeyFile   string            `json:"admin_key_file"`
	Database       string            `json:"database"`
	PIDs           map[string]int    `json:"pids"`  // sigil-dev, sigil-tee, sigil-serve
	Cloud          map[string]string `json:"cloud"` // launcher (path), issuer, sts, kms, admin (URLs)
}

// Names of the processes in Info.PIDs.
const (
	nameDev   = "sigil-dev"
	nameTEE   = "sigil-tee"
	nameServe = "sigil-serve"
)

// How long the parts may take, on a slow machine with cold caches.
const (
	readyTimeout     = 60 * time.Second
	provisionTimeout = 60 * time.Second
	stopTimeout      = 10 * time.Second
)

// Stack is a running stack. Close it.
type Stack struct {
	cfg   Config
	dir   string // absolute
	lock  *os.File
	cloud *cloudsim.Sim
	state state
	procs *supervisor
	info  Info
	image string // digest of the workload's image

	model    string   // hwmodel of the emulated machine
	accepted []string // those that a new organisation accepts; none: all

	devMu     sync.Mutex // held while dev.json is written; guards published
	published bool       // dev.json may be there
}

// Up starts a stack and returns once it is ready: dev.json is written. Until
// then ctx ends the attempt.
func Up(ctx context.Context, cfg Config) (*Stack, error) {
	if cfg.Log == nil {
		cfg.Log = func(string) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	dir, err := filepath.Abs(cfg.Data)
	if cfg.Data == "" || err != nil {
		return nil, errors.Join(errors.New("no data folder given"), err)
	}
	s := &Stack{cfg: cfg, dir: dir}
	if s.model, err = hardware(cfg.Hardware); err != nil {
		return nil, err
	}
	for _, name := range cfg.AcceptHardware {
		model, err := hardware(name)
		if err != nil || name == "" {
			return nil, errors.Join(err, fmt.Errorf("accept hardware %q: name kinds of it", name))
		}
		s.accepted = append(s.accepted, model)
	}
	if err := s.up(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stack) up(ctx context.Context) (err error) {
	for _, d := range []string{"", "cloud", "tee", "db", "logs"} {
		if err := os.MkdirAll(s.path(d), 0o700); err != nil {
			return err
		}
	}
	if s.lock, err = lockFile(s.path("dev.lock")); err != nil {
		return fmt.Errorf("%s: %w", s.dir, err)
	}
	if err := removeFile(s.path("dev.json")); err != nil {
		return err
	}
	if s.state, err = loadState(s.path("stack.json")); err != nil {
		return err
	}
	if err := s.choosePorts(); err != nil {
		return err
	}
	if err := s.startCloud(); err != nil {
		return err
	}
	if err := s.deployImage(); err != nil {
		return err
	}
	if err := s.startProcesses(ctx); err != nil {
		return err
	}
	if err := s.provision(ctx); err != nil {
		return err
	}
	return s.publish()
}

// Info returns where everything is.
func (s *Stack) Info() Info {
	i := s.info
	i.PIDs = s.procs.pids()
	return i
}

// Image returns the digest of the workload's image.
func (s *Stack) Image() string { return s.image }

// Cloud returns the emulated cloud.
func (s *Stack) Cloud() *cloudsim.Sim { return s.cloud }

// Wait returns when ctx ends (nil), or when a process has ended that isn't
// started again (what happened).
func (s *Stack) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.procs.failed:
		return err
	}
}

// Close stops everything: the control plane, so that nothing more is asked,
// then the workload, then the cloud.
func (s *Stack) Close() error {
	var errs []error
	if s.lock == nil {
		return nil // another stack's folder, or none
	}
	errs = append(errs, s.unpublish())
	if s.procs != nil {
		errs = append(errs, s.procs.stop(nameServe, nameTEE))
	}
	if s.cloud != nil {
		errs = append(errs, s.cloud.Close())
	}
	errs = append(errs, s.lock.Close())
	return errors.Join(errs...)
}

func (s *Stack) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// publish writes dev.json: from here on others may use the stack.
func (s *Stack) publish() error {
	cloud := s.cloud.Info()
	if err := writeFile(s.path("genesis.json"), s.state.Genesis, 0o600); err != nil {
		return err
	}
	s.info.SecretKeyFile = s.path("secret-key")
	s.info.AdminKeyFile = s.path("admin-key.age")
	s.info.Database = s.path("db", databaseFile)
	if s.cfg.DatabaseFile != "" {
		s.info.Database = s.cfg.DatabaseFile
	}
	s.info.Cloud = map[string]string{
		"launcher": s.path("tee", launcherSocket), "issuer": cloud.IssuerURL,
		"sts": cloud.STSURL, "kms": cloud.KMSURL, "admin": cloud.AdminURL,
	}
	s.devMu.Lock()
	s.published = true
	s.devMu.Unlock()
	s.procs.onRestart(s.writeInfo)
	return s.writeInfo()
}

// writeInfo writes dev.json as things are now.
func (s *Stack) writeInfo() error {
	s.devMu.Lock()
	defer s.devMu.Unlock()
	if !s.published {
		return nil
	}
	i := s.Info()
	return writeJSON(s.path("dev.json"), &i)
}

// unpublish removes dev.json: the stack is not to be used any more.
func (s *Stack) unpublish() error {
	s.devMu.Lock()
	defer s.devMu.Unlock()
	s.published = false
	return removeFile(s.path("dev.json"))
}

// Genesis returns the organisation's genesis envelope as the owner keeps it.
func (s *Stack) Genesis() []byte { return slices.Clone(s.state.Genesis) }

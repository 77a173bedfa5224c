// Package teeconfig holds the workload's measured configuration: a file inside
// its image that names everybody whom the workload trusts or talks to. The
// workload, whoever builds an image and whoever verifies one read it with the
// same code, so none of them takes what another refuses. Diff says what two
// configurations do differently, for a person to judge.
package teeconfig

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
)

// Format is the value of Config.Format.
const Format = "sigil.tee-config.v1"

// Config is the measured configuration: a file inside the image, so that its
// digest is part of what is attested. Everything that decides whom the
// workload trusts or talks to is here; the host can't override any of it.
// Unknown members are refused, and so are missing ones whose zero value makes
// no sense.
type Config struct {
	Format string `json:"format"` // the constant

	// Listen is the TCP address of the link, host:port.
	Listen string `json:"listen"`
	// LauncherSocket is the Unix socket of the Confidential Space launcher,
	// in production /run/container_launcher/teeserver.sock: an absolute path
	// outside of development.
	LauncherSocket string `json:"launcher_socket"`

	// STSURL is the token endpoint, in production
	// https://sts.googleapis.com/v1/token.
	STSURL string `json:"sts_url"`
	// KMSURL is the base of the Cloud KMS REST API, https://host or
	// https://host:port without a path or final slash.
	KMSURL string `json:"kms_url"`
	// TLSRoots is the PEM of the only roots accepted for both; the image has
	// no system roots.
	TLSRoots string `json:"tls_roots"`

	// TEEKey and ProviderKey are the Cloud KMS keys (projects/…/cryptoKeys/…)
	// that wrap the DEKs of the two shares; the audiences are the workload
	// identity providers that admit this image to each.
	TEEKey           string `json:"tee_key"`
	TEEAudience      string `json:"tee_audience"`
	ProviderKey      string `json:"provider_key"`
	ProviderAudience string `json:"provider_audience"`

	// ProjectID is the project that the workload must find itself in.
	ProjectID string `json:"project_id"`

	// DEKCacheEntries and DEKCacheSeconds bound the cache of unwrapped DEKs.
	// Either 0: no cache, two KMS calls with every signature.
	DEKCacheEntries int `json:"dek_cache_entries"`
	DEKCacheSeconds int `json:"dek_cache_seconds"`

	// Workers is how many requests of one link are in work at a time, 0 for
	// the default.
	Workers int `json:"workers"`

	// Development lets a build without runtime/secret serve, on operating
	// systems without it. Being measured, it shows in the image digest.
	Development bool `json:"development"`

	// EVMNetworks are signed for besides the presets; none in most
	// installations.
	EVMNetworks []EVMNetwork `json:"evm_networks,omitzero"`
}

// EVMNetwork is an EVM network that is no preset. The registry of networks
// refuses a slug or chain id that stands twice.
type EVMNetwork struct {
	Slug    string `json:"slug"`
	Name    string `json:"name"`
	ChainID uint64 `json:"chain_id"`
	Symbol  string `json:"symbol,omitzero"` // of the native asset
	Testnet bool   `json:"testnet,omitzero"`
}

const (
	// maxKeyName is the longest name that the KMS client takes: with a
	// version's number it has 256 bytes at most.
	maxKeyName = 224
	// maxSocket is the longest path that Linux connects to.
	maxSocket = 107
)

// Full names of what Cloud KMS and IAM know. A project has a name that begins
// with a letter, and a number; keys go by the name and providers by the number,
// so that two spellings of one project never look like two.
var (
	keyName  = regexp.MustCompile(`^projects/([a-z][a-z0-9-]*)/locations/[a-z0-9-]+/keyRings/[A-Za-z0-9_-]+/cryptoKeys/[A-Za-z0-9_-]+$`)
	audience = regexp.MustCompile(`^//iam\.googleapis\.com/projects/([1-9][0-9]*)/locations/global/workloadIdentityPools/[a-z0-9-]+/providers/[a-z0-9-]+$`)
)

// Parse reads and checks the file's bytes; the digest is the one that the
// instance statement carries.
func Parse(data []byte) (*Config, [32]byte, error) {
	digest := sha256.Sum256(data)
	c := &Config{}
	if err := canon.DecodeJSONLoose(data, c); err != nil {
		return nil, digest, fmt.Errorf("configuration: %w", err)
	}
	if err := c.check(); err != nil {
		return nil, digest, fmt.Errorf("configuration: %w", err)
	}
	return c, digest, nil
}

// ParseForImage is Parse for what becomes part of an image: development is for
// programs that run beside an emulated cloud.
func ParseForImage(data []byte) (*Config, error) {
	c, _, err := Parse(data)
	if err != nil {
		return nil, err
	}
	if c.Development {
		return nil, errors.New("configuration: development is true, which no image is for")
	}
	return c, nil
}

func (c *Config) check() error {
	switch {
	case c.Format != Format:
		return fmt.Errorf("format is %q, want %q", c.Format, Format)
	case c.Listen == "":
		return errors.New("listen is missing")
	case c.LauncherSocket == "" || path.Clean(c.LauncherSocket) != c.LauncherSocket:
		return errors.New("launcher_socket is missing or not a clean path")
	case len(c.LauncherSocket) > maxSocket:
		return fmt.Errorf("launcher_socket has more than the %d bytes that a socket's path may have", maxSocket)
	case !c.Development && !path.IsAbs(c.LauncherSocket):
		return errors.New("launcher_socket must be an absolute path: what answers there is trusted")
	case c.ProjectID == "":
		return errors.New("project_id is missing")
	case c.DEKCacheEntries < 0 || c.DEKCacheEntries > 1<<20 || c.DEKCacheSeconds < 0 || c.DEKCacheSeconds > 3600:
		return errors.New("dek_cache_entries must be 0 to 1048576 and dek_cache_seconds 0 to 3600")
	case len(c.EVMNetworks) > 256:
		return errors.New("evm_networks has more than 256 members")
	case c.Workers < 0 || c.Workers > 1024:
		return errors.New("workers must be 0 to 1024")
	}
	if err := c.checkURLs(); err != nil {
		return err
	}
	if _, err := certificates(c.TLSRoots); err != nil {
		return fmt.Errorf("tls_roots: %w", err)
	}
	return c.checkParties()
}

// checkURLs takes no address that the clients of STS and KMS refuse.
func (c *Config) checkURLs() error {
	for name, raw := range map[string]string{"sts_url": c.STSURL, "kms_url": c.KMSURL} {
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("%s must be an https URL without credentials, query and fragment", name)
		}
		if name == "kms_url" && u.Path != "" {
			return fmt.Errorf("%s must be https://host or https://host:port, without a path or final slash", name)
		}
	}
	return nil
}

// checkParties requires that the two shares are two parties' as far as names
// tell: keys of two projects, and providers of two. That the projects have
// different administrators is for the owner to see.
func (c *Config) checkParties() error {
	key, otherKey := keyName.FindStringSubmatch(c.TEEKey), keyName.FindStringSubmatch(c.ProviderKey)
	provider, otherProvider := audience.FindStringSubmatch(c.TEEAudience), audience.FindStringSubmatch(c.ProviderAudience)
	switch {
	case key == nil || otherKey == nil:
		return errors.New("tee_key and provider_key must be full names of Cloud KMS keys, with the projects' names and not their numbers")
	case len(c.TEEKey) > maxKeyName || len(c.ProviderKey) > maxKeyName:
		return fmt.Errorf("tee_key or provider_key has more than %d bytes", maxKeyName)
	case c.TEEKey == c.ProviderKey:
		return errors.New("tee_key and provider_key are the same key: two shares need two parties")
	case c.TEEAudience == "" || c.ProviderAudience == "":
		return errors.New("tee_audience or provider_audience is missing")
	case c.Development:
		return nil
	case provider == nil || otherProvider == nil:
		return errors.New("tee_audience and provider_audience must be full names of workload identity providers, //iam.googleapis.com/projects/NUMBER/…")
	case key[1] == otherKey[1]:
		return fmt.Errorf("tee_key and provider_key are both in project %s: two shares need two parties", key[1])
	case provider[1] == otherProvider[1]:
		return fmt.Errorf("tee_audience and provider_audience are both in project %s: two shares need two parties", provider[1])
	}
	return nil
}

// Certificate is a root as a person compares it.
type Certificate struct {
	Subject string `json:"subject"`
	SHA256  string `json:"sha256"` // of the DER, hex
}

// certificates reads a text that is PEM certificates and white space, and
// nothing that a reader sees and a parser skips, or the other way round.
func certificates(text string) ([]Certificate, error) {
	var list []Certificate
	var again strings.Builder
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 {
			return nil, errors.Join(errors.New("a PEM block is no certificate"), err)
		}
		digest := sha256.Sum256(c.Raw)
		list = append(list, Certificate{c.Subject.String(), hex.EncodeToString(digest[:])})
		again.Write(pem.EncodeToMemory(block))
	}
	switch {
	case len(list) == 0:
		return nil, errors.New("it holds no PEM certificate")
	case strings.Join(strings.Fields(again.String()), "") != strings.Join(strings.Fields(text), ""):
		return nil, errors.New("it holds something beside PEM certificates")
	}
	return list, nil
}

// Roots returns the certificate pool of TLSRoots.
func (c *Config) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(c.TLSRoots))
	return pool
}

// DEKCacheLife returns DEKCacheSeconds as a duration.
func (c *Config) DEKCacheLife() time.Duration { return time.Duration(c.DEKCacheSeconds) * time.Second }

package workload

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
)

// ConfigFormat is the value of Config.Format.
const ConfigFormat = "sigil.tee-config.v1"

// Config is the measured configuration: a file inside the image, so that its
// digest is part of what is attested. Everything that decides whom the
// workload trusts or talks to is here; the host can't override any of it.
// Unknown and missing members are refused.
type Config struct {
	Format string `json:"format"` // ConfigFormat

	// Listen is the TCP address of the link, host:port.
	Listen string `json:"listen"`
	// LauncherSocket is the Unix socket of the Confidential Space launcher,
	// in production /run/container_launcher/teeserver.sock.
	LauncherSocket string `json:"launcher_socket"`

	// STSURL is the token endpoint, in production
	// https://sts.googleapis.com/v1/token.
	STSURL string `json:"sts_url"`
	// KMSURL is the base of the Cloud KMS REST API, without a final slash.
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
}

var keyName = regexp.MustCompile(`^projects/[a-z0-9-]+/locations/[a-z0-9-]+/keyRings/[A-Za-z0-9_-]+/cryptoKeys/[A-Za-z0-9_-]+$`)

// ParseConfig reads and checks the file's bytes; the digest is the one that
// the instance statement carries.
func ParseConfig(data []byte) (*Config, [32]byte, error) {
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

func (c *Config) check() error {
	switch {
	case c.Format != ConfigFormat:
		return fmt.Errorf("format is %q, want %q", c.Format, ConfigFormat)
	case c.Listen == "":
		return errors.New("listen is missing")
	case c.LauncherSocket == "" || path.Clean(c.LauncherSocket) != c.LauncherSocket:
		return errors.New("launcher_socket is missing or not a clean path")
	case !keyName.MatchString(c.TEEKey) || !keyName.MatchString(c.ProviderKey):
		return errors.New("tee_key and provider_key must be full names of Cloud KMS keys")
	case c.TEEKey == c.ProviderKey:
		return errors.New("tee_key and provider_key are the same key: two shares need two parties")
	case c.TEEAudience == "" || c.ProviderAudience == "":
		return errors.New("tee_audience or provider_audience is missing")
	case c.ProjectID == "":
		return errors.New("project_id is missing")
	case c.DEKCacheEntries < 0 || c.DEKCacheEntries > 1<<20 || c.DEKCacheSeconds < 0 || c.DEKCacheSeconds > 3600:
		return errors.New("dek_cache_entries must be 0 to 1048576 and dek_cache_seconds 0 to 3600")
	case c.Workers < 0 || c.Workers > 1024:
		return errors.New("workers must be 0 to 1024")
	}
	for name, raw := range map[string]string{"sts_url": c.STSURL, "kms_url": c.KMSURL} {
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("%s must be an https URL without credentials, query and fragment", name)
		}
	}
	if !x509.NewCertPool().AppendCertsFromPEM([]byte(c.TLSRoots)) {
		return errors.New("tls_roots holds no PEM certificate")
	}
	return nil
}

// Roots returns the certificate pool of TLSRoots.
func (c *Config) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(c.TLSRoots))
	return pool
}

// DEKCacheLife returns DEKCacheSeconds as a duration.
func (c *Config) DEKCacheLife() time.Duration { return time.Duration(c.DEKCacheSeconds) * time.Second }

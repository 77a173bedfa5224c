package teeconfig_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/kms/federation"
	"github.com/sigilkeys/sigil/internal/kms/gcpkms"
	"github.com/sigilkeys/sigil/internal/teeconfig"
)

// nobody has no token for anybody.
type nobody struct{}

func (nobody) Token(context.Context) (string, error)        { return "", errors.New("none") }
func (nobody) DefaultToken(context.Context) (string, error) { return "", errors.New("none") }

// clients makes the clients that the workload makes of a configuration.
func clients(c *teeconfig.Config) error {
	source, err := federation.New(federation.Config{TokenURL: c.STSURL, Audience: c.TEEAudience, Roots: c.Roots(), Subject: nobody{}, Timeout: time.Second, Now: time.Now})
	if err != nil {
		return err
	}
	defer source.Close()
	k, err := gcpkms.New(gcpkms.Config{KeyName: c.TEEKey, BaseURL: c.KMSURL, RootCAs: c.Roots(), Token: nobody{}})
	if err != nil {
		return err
	}
	k.Close()
	return nil
}

// An image isn't built of a configuration with which the workload doesn't get
// as far as its first call. The canaries are those that both take.
func TestClientsTakeWhatParseTakes(t *testing.T) {
	long := func(n int) func(*teeconfig.Config) {
		return func(c *teeconfig.Config) { c.TEEKey += strings.Repeat("k", n-len(c.TEEKey)) }
	}
	taken := 0
	for name, edit := range map[string]func(*teeconfig.Config){
		"the release's":    func(*teeconfig.Config) {},
		"KMS with a port":  func(c *teeconfig.Config) { c.KMSURL = "https://kms.test:8443" },
		"KMS by number":    func(c *teeconfig.Config) { c.KMSURL = "https://[::1]:8443" },
		"KMS with a path":  func(c *teeconfig.Config) { c.KMSURL += "/v1" },
		"KMS with a slash": func(c *teeconfig.Config) { c.KMSURL += "/" },
		"KMS of no host":   func(c *teeconfig.Config) { c.KMSURL = "https://:443" },
		"KMS with a query": func(c *teeconfig.Config) { c.KMSURL += "?x" },
		"KMS, opaque":      func(c *teeconfig.Config) { c.KMSURL = "https:kms.test" },
		"STS of no host":   func(c *teeconfig.Config) { c.STSURL = "https://:443/v1/token" },
		"STS with a user":  func(c *teeconfig.Config) { c.STSURL = "https://u@sts.test/v1/token" },
		"longest key":      long(224),
		"longer key":       long(225),
	} {
		c, _, err := teeconfig.Parse(release(t))
		if err != nil {
			t.Fatal(err)
		}
		edit(c)
		if _, _, err := teeconfig.Parse(with(t, edit)); err != nil {
			continue // refusing more than the clients do is no harm
		}
		taken++
		if err := clients(c); err != nil {
			t.Errorf("%s: an image is built, and its workload says: %v", name, err)
		}
	}
	if taken != 4 {
		t.Errorf("%d are taken, want the release's, a port, a number and the longest key", taken)
	}
}

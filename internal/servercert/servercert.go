// Package servercert keeps a TLS server's certificate from two files, and
// takes a replaced one without a restart.
//
// A pair that can't be served (half written, key of another certificate,
// expired) never replaces one that can: the old one stays, and the log says
// why.
package servercert

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// Files are a certificate chain and its key, as PEM files.
type Files struct {
	Certificate, Key string
	Log              *slog.Logger
	Now              func() time.Time
	// Interval is between two looks at the files. Default 10 s.
	Interval time.Duration

	current atomic.Pointer[tls.Certificate]
	seen    [sha256.Size]byte // of both files, whether they were good or not; owned by Load, then Watch
}

// Load reads the files for the first time; what is wrong then is an error.
func (f *Files) Load() error {
	_, err := f.look()
	return err
}

// Config returns a server's configuration that presents the current one.
func (f *Files) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return f.current.Load(), nil
		},
	}
}

// Watch takes replaced files until ctx ends: it looks at every interval, and
// at once when asked to.
func (f *Files) Watch(ctx context.Context, now <-chan os.Signal) {
	interval := f.Interval
	if interval == 0 {
		interval = 10 * time.Second
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-now:
			asked = true
		}
		switch changed, err := f.look(); {
		case err != nil && (changed || asked):
			f.Log.Error("the TLS certificate wasn't replaced; the old one is served", "error", err)
		case err == nil && (changed || asked):
			f.Log.Info("TLS certificate", "not_after", f.current.Load().Leaf.NotAfter)
		}
	}
}

// look reads the files, and takes what is in them if it is good and new. An
// error comes again at each look, changed only at the first.
func (f *Files) look() (changed bool, err error) {
	chain, err := os.ReadFile(f.Certificate)
	if err != nil {
		chain = []byte(err.Error()) // a file that goes away is a change, said once
	}
	key, kerr := os.ReadFile(f.Key)
	if kerr != nil {
		key = []byte(kerr.Error())
	}
	digest := sha256.Sum256(bytes.Join([][]byte{chain, key}, []byte{0}))
	changed = digest != f.seen
	f.seen = digest
	switch {
	case err != nil:
		return changed, err
	case kerr != nil:
		return changed, kerr
	case !changed && f.current.Load() != nil:
		return false, nil
	}
	c, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return changed, fmt.Errorf("TLS certificate: %w", err)
	}
	if err := f.check(&c); err != nil {
		return changed, err
	}
	f.current.Store(&c)
	return changed, nil
}

func (f *Files) check(c *tls.Certificate) (err error) {
	if c.Leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
		return fmt.Errorf("TLS certificate: %w", err)
	}
	if now := f.Now(); now.After(c.Leaf.NotAfter) {
		return fmt.Errorf("the TLS certificate expired at %v", c.Leaf.NotAfter)
	}
	return nil
}

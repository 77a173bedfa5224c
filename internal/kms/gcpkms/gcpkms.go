// Package gcpkms wraps and unwraps DEKs with Google Cloud KMS, from inside the
// TEE: a client for two methods of its REST API.
//
// Why not Google's client or net/http. What the KMS sends is a DEK in clear
// inside TLS. net/http and encoding/json leave it behind in a dozen and more
// places: bufio readers, header maps, decoder buffers, strings. Here the
// connection is made, written, read and decoded inside secret.Do; requests and
// replies are built and taken apart in two buffers that are wiped after each
// exchange; the DEK is decoded into the caller's array alone; TLS's own record
// buffers are wiped when the connection is dropped, 200 ms after its last use.
//
// What is checked. The server's certificate against the configured roots (the
// image has no others). CRC32C of everything sent, as confirmed by the server
// (verified_* flags), and of everything received. The key version in an
// encrypt reply belongs to the configured key. A DEK has exactly 32 bytes.
// Whatever is missing counts as wrong.
//
// What is trusted. Whoever holds a key for a name under the configured roots
// can see DEKs; roots and names are measured configuration.
//
// API: cloud.google.com/kms/docs/reference/rest, v1 encrypt and decrypt.
package gcpkms

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"time"

	"github.com/sigilkeys/sigil/internal/kms"
	"github.com/sigilkeys/sigil/internal/secret"
)

// TokenSource gives access tokens for the KMS. An implementation may also have
// a method Invalidate(token string): it is told when the KMS answered 401 and
// must not give that token again.
type TokenSource interface {
	// Token returns a token that is valid now; it is safe for concurrent use.
	Token(ctx context.Context) (string, error)
}

// Config configures a Client. Zero durations mean the defaults.
type Config struct {
	KeyName string         // projects/P/locations/L/keyRings/R/cryptoKeys/K
	BaseURL string         // https://host or https://host:port
	RootCAs *x509.CertPool // the only roots accepted
	Token   TokenSource

	Timeout time.Duration    // one Wrap or Unwrap with its retries; default 5 s
	Backoff time.Duration    // wait before the first retry, doubled each time; default 100 ms
	Idle    time.Duration    // idle connections are dropped after it; default 200 ms
	MaxAge  time.Duration    // connections are dropped after it; default 1 s
	Now     func() time.Time // default time.Now
	Random  io.Reader        // for jitter; default crypto/rand
	Touch   func()           // told when memory that held DEKs became garbage; may be nil
}

const (
	maxWrapped = 512 // docs/FORMATS.md section 5.2
	maxAAD     = 1024
	maxToken   = 12 << 10 // documented maximum of a federated token
	maxName    = 256
	maxPooled  = 16
)

var keyName = regexp.MustCompile(`^projects/[A-Za-z0-9:._-]+/locations/[a-z0-9-]+/keyRings/[A-Za-z0-9_-]+/cryptoKeys/[A-Za-z0-9_-]+$`)

// Client implements sealed.KEK. It is safe for concurrent use.
type Client struct {
	cfg     Config
	host    string // Host header
	address string // host:port
	tls     *tls.Config
	pool    *pool
}

// New checks the configuration; it doesn't connect.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.BaseURL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("gcpkms: base URL: %w", err)
	case u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("gcpkms: base URL must be https://host or https://host:port")
	case !keyName.MatchString(cfg.KeyName) || len(cfg.KeyName) > maxName-32:
		return nil, fmt.Errorf("gcpkms: %.300q isn't the name of a crypto key", cfg.KeyName)
	case cfg.RootCAs == nil || cfg.Token == nil:
		return nil, errors.New("gcpkms: roots and token source are required")
	case cfg.Timeout < 0 || cfg.Backoff < 0 || cfg.Idle < 0 || cfg.MaxAge < 0:
		return nil, errors.New("gcpkms: negative duration")
	}
	cfg.Timeout = orDefault(cfg.Timeout, 5*time.Second)
	cfg.Backoff = orDefault(cfg.Backoff, 100*time.Millisecond)
	cfg.Idle = orDefault(cfg.Idle, 200*time.Millisecond)
	cfg.MaxAge = orDefault(cfg.MaxAge, time.Second)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.Touch == nil {
		cfg.Touch = func() {}
	}
	c := &Client{cfg: cfg, host: u.Host, address: u.Host}
	if u.Port() == "" {
		c.address = u.Host + ":443"
	}
	// No session cache: tickets would outlive the connection that they let
	// an observer of this memory decrypt.
	c.tls = &tls.Config{RootCAs: cfg.RootCAs, ServerName: u.Hostname(), MinVersion: tls.VersionTLS13,
		NextProtos: []string{"http/1.1"}, Time: cfg.Now}
	c.pool = &pool{idle: cfg.Idle, age: cfg.MaxAge, max: maxPooled, now: time.Now, touch: cfg.Touch}
	return c, nil
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// Close drops idle connections. Operations still work, each with a connection
// of its own.
func (c *Client) Close() { c.pool.close() }

// Wrap encrypts dek; name is the key version that the KMS used.
func (c *Client) Wrap(ctx context.Context, dek *[32]byte, aad []byte) (wrapped []byte, name string, err error) {
	if len(aad) == 0 || len(aad) > maxAAD {
		return nil, "", kms.Errorf(kms.BadReply, "AAD of %d bytes", len(aad))
	}
	out := &wrapResult{}
	err = c.run(ctx, &call{op: "encrypt", aad: aad, dek: dek, wrap: out})
	if err != nil {
		return nil, "", fmt.Errorf("wrap with %s: %w", c.cfg.KeyName, err)
	}
	return append([]byte(nil), out.wrapped[:out.n]...), string(out.name[:out.nameLen]), nil
}

// Unwrap decrypts into dek, which is left alone on failure.
func (c *Client) Unwrap(ctx context.Context, wrapped, aad []byte, dek *[32]byte) error {
	switch {
	case len(wrapped) == 0 || len(wrapped) > maxWrapped:
		return kms.Errorf(kms.Rejected, "wrapped key of %d bytes", len(wrapped))
	case len(aad) == 0 || len(aad) > maxAAD:
		return kms.Errorf(kms.Rejected, "AAD of %d bytes", len(aad))
	}
	if err := c.run(ctx, &call{op: "decrypt", aad: aad, wrapped: wrapped, dek: dek}); err != nil {
		return fmt.Errorf("unwrap with %s: %w", c.cfg.KeyName, err)
	}
	return nil
}

// run makes attempts until one succeeds, fails for good, or time is up. The
// error is then that of the last attempt that got an answer.
func (c *Client) run(ctx context.Context, k *call) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	renewed := false
	var answer error
	for wait := c.cfg.Backoff; ; wait *= 2 {
		token, err := c.token(ctx)
		if err != nil {
			return err
		}
		var res result
		secret.Do(func() { res = c.attempt(ctx, token, k) })
		c.cfg.Touch()
		switch {
		case res.err == nil:
			return nil
		case res.unauthorized && !renewed:
			renewed = true
			if s, ok := c.cfg.Token.(interface{ Invalidate(token string) }); ok {
				s.Invalidate(token)
			}
			continue
		case answer != nil && timedOut(ctx, res.err):
			return answer
		case !res.retry:
			return res.err
		}
		answer = res.err
		if err := c.sleep(ctx, wait); err != nil {
			return answer
		}
	}
}

// timedOut reports whether an attempt failed because time was up. A dial that
// runs into the deadline may say so a moment before ctx does.
func timedOut(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

func (c *Client) token(ctx context.Context) (string, error) {
	token, err := c.cfg.Token.Token(ctx)
	if err != nil {
		return "", fmt.Errorf("access token: %w", err)
	}
	if len(token) == 0 || len(token) > maxToken {
		return "", kms.Errorf(kms.Unavailable, "access token of %d bytes", len(token))
	}
	for _, b := range []byte(token) {
		if b <= ' ' || b > '~' {
			return "", kms.Errorf(kms.Unavailable, "access token with control characters")
		}
	}
	return token, nil
}

// sleep waits between half of d and d, or fails when ctx ends before.
func (c *Client) sleep(ctx context.Context, d time.Duration) error {
	var r [1]byte
	if _, err := io.ReadFull(c.cfg.Random, r[:]); err != nil {
		return fmt.Errorf("read randomness: %w", err)
	}
	d = d/2 + d/2*time.Duration(r[0])/255
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return context.DeadlineExceeded // no use in waiting
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

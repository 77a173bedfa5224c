// Package federation turns the platform's attestation token into an access
// token for Cloud KMS: workload identity federation by OAuth 2.0 token
// exchange (RFC 8693) at Google's Security Token Service.
//
// The exchange is where the cloud decides whether this image is admitted. The
// audience (which workload identity provider), the endpoint and its roots are
// measured configuration: a host that could name them could name a provider
// and keys of its own.
//
// Access tokens are bearer credentials of up to an hour; attestation tokens
// are used once and dropped. Neither is printed or part of an error.
package federation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

// Values of the exchange, RFC 8693 section 2.1.
const (
	grantType   = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessType  = "urn:ietf:params:oauth:token-type:access_token"
	subjectType = "urn:ietf:params:oauth:token-type:jwt"
	scope       = "https://www.googleapis.com/auth/cloud-platform"
)

const (
	maxReply    = 32 << 10
	maxToken    = 12288 // Google's limit on access tokens, bytes
	maxLifetime = time.Hour
	minLifetime = 2 * time.Second // a shorter one is used up by the exchange itself

	// refreshShare is the part of its use that a token must have left: from
	// there on it is renewed in the background while it still serves.
	refreshShare = 4
	// retryAfter is how long a failed exchange answers for the next callers,
	// so that a burst of requests doesn't become a burst of attestations:
	// Google serves five a second per project.
	retryAfter = time.Second
)

// SubjectSource gives the attestation token that is exchanged; the launcher's
// client is one.
type SubjectSource interface {
	DefaultToken(ctx context.Context) (string, error)
}

// Config is what a Source is made of; every field is required.
type Config struct {
	TokenURL string // https URL of the STS, in production https://sts.googleapis.com/v1/token
	// Audience is the workload identity provider:
	// //iam.googleapis.com/projects/N/locations/global/workloadIdentityPools/P/providers/V
	Audience string
	Roots    *x509.CertPool // the only roots accepted for TokenURL
	Subject  SubjectSource
	Timeout  time.Duration // of one attestation and exchange
	Now      func() time.Time
}

// Source caches one access token and renews it before it expires. It may be
// used by several goroutines; they share one exchange. Close it at the end.
type Source struct {
	cfg    Config
	client *http.Client
	ctx    context.Context // ends with Close
	stop   context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	token    string
	expires  time.Time
	refresh  time.Time // from here on it is renewed in the background
	flight   chan struct{}
	failed   error // of the last exchange, nil after a success
	failedAt time.Time
	closed   bool
}

// New checks the configuration and returns a Source; it makes no call.
func New(cfg Config) (*Source, error) {
	u, err := url.Parse(cfg.TokenURL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("federation: token URL must be https without credentials, query and fragment")
	}
	if cfg.Audience == "" || cfg.Roots == nil || cfg.Subject == nil || cfg.Timeout <= 0 || cfg.Now == nil {
		return nil, errors.New("federation: incomplete configuration")
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Source{cfg: cfg, ctx: ctx, stop: stop, client: &http.Client{
		Timeout: cfg.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
		// Without Proxy: the environment names no hosts to talk through.
		Transport: &http.Transport{
			TLSClientConfig:        &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS13},
			TLSHandshakeTimeout:    cfg.Timeout,
			DisableKeepAlives:      true, // one exchange an hour
			DisableCompression:     true,
			MaxResponseHeaderBytes: 16 << 10,
		},
	}}, nil
}

// String hides the token.
func (s *Source) String() string { return "access token source for " + s.cfg.Audience }

// GoString hides the token.
func (s *Source) GoString() string { return s.String() }

// Close ends an exchange in flight and waits for it. Token fails from then on.
func (s *Source) Close() {
	s.mu.Lock()
	s.closed, s.token = true, ""
	s.mu.Unlock()
	s.stop()
	s.work.Wait()
}

// Token returns an access token that is valid for now. It waits for an
// exchange only if there is none; the exchange goes on when ctx ends, for the
// next caller. Errors wrap ErrDenied or ErrUnavailable.
func (s *Source) Token(ctx context.Context) (string, error) {
	for {
		token, flight, err := s.state()
		if token != "" || err != nil {
			return token, err
		}
		select {
		case <-flight:
		case <-ctx.Done():
			return "", fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
		}
	}
}

// Invalidate drops the token if it is still the cached one, after a service
// answered that it isn't accepted.
func (s *Source) Invalidate(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == token {
		s.token = ""
	}
}

// state returns the token, the standing refusal, or the exchange to wait for.
func (s *Source) state() (string, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return "", nil, fmt.Errorf("%w: token source is closed", ErrUnavailable)
	}
	now := s.cfg.Now()
	valid := s.token != "" && now.Before(s.expires)
	recent := s.failed != nil && now.Before(s.failedAt.Add(retryAfter)) && !now.Before(s.failedAt)
	due := !valid || !now.Before(s.refresh)
	if due && !recent && s.flight == nil {
		s.flight = make(chan struct{})
		s.work.Go(s.exchangeOnce)
	}
	switch {
	case valid:
		return s.token, nil, nil
	case s.flight != nil:
		return "", s.flight, nil
	default:
		return "", nil, s.failed
	}
}

func (s *Source) exchangeOnce() {
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.Timeout)
	defer cancel()
	asked := s.cfg.Now() // life counts from before the call
	token, life, err := s.exchange(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.flight)
	s.flight = nil
	if err != nil {
		s.failed, s.failedAt = err, s.cfg.Now()
		return
	}
	s.failed = nil
	if s.closed {
		return
	}
	s.token = token
	// Never used at the edge, which the STS gives in whole seconds.
	usable := life - min(max(life/10, time.Second), time.Minute)
	s.expires, s.refresh = asked.Add(usable), asked.Add(usable-usable/refreshShare)
}

func (s *Source) exchange(ctx context.Context) (string, time.Duration, error) {
	subject, err := s.cfg.Subject.DefaultToken(ctx)
	if err != nil {
		// The cause comes first: its code, if it has one, says more.
		return "", 0, fmt.Errorf("%w: %w", err, ErrUnavailable)
	}
	form := url.Values{
		"audience":             {s.cfg.Audience},
		"grant_type":           {grantType},
		"requested_token_type": {accessType},
		"scope":                {scope},
		"subject_token":        {subject},
		"subject_token_type":   {subjectType},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := s.client.Do(req)
	if err != nil {
		return "", 0, fmt.Errorf("%w: token exchange: %w", ErrUnavailable, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err != nil || len(data) > maxReply {
		return "", 0, fmt.Errorf("%w: token exchange: reply can't be read or is too long", ErrUnavailable)
	}
	if resp.StatusCode != http.StatusOK {
		return "", 0, refusal(resp.StatusCode, data)
	}
	return parseGrant(data)
}

// parseGrant reads the successful reply, RFC 8693 section 2.2.1. Unknown
// members are left alone, as RFC 6749 section 5.1 asks; duplicates are refused.
func parseGrant(data []byte) (string, time.Duration, error) {
	var r struct {
		AccessToken string `json:"access_token"`
		IssuedType  string `json:"issued_token_type"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	// The decoder's error isn't passed on: it may quote the token.
	if json.Unmarshal(data, &r) != nil {
		return "", 0, fmt.Errorf("%w: token exchange: reply isn't the expected JSON", ErrUnavailable)
	}
	switch {
	case r.IssuedType != accessType || !strings.EqualFold(r.TokenType, "Bearer"):
		return "", 0, fmt.Errorf("%w: token exchange: another type of token than asked for", ErrUnavailable)
	case r.AccessToken == "" || len(r.AccessToken) > maxToken || strings.ContainsFunc(r.AccessToken, notToken68):
		return "", 0, fmt.Errorf("%w: token exchange: access token is malformed", ErrUnavailable)
	case r.ExpiresIn < int64(minLifetime/time.Second) || r.ExpiresIn > 1<<31:
		return "", 0, fmt.Errorf("%w: token exchange: token lives %d s", ErrUnavailable, r.ExpiresIn)
	}
	return r.AccessToken, min(time.Duration(r.ExpiresIn)*time.Second, maxLifetime), nil
}

// notToken68 is false for the characters of a bearer token, RFC 6750
// section 2.1.
func notToken68(r rune) bool {
	return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/=", r)
}

package confspace

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// GoogleKeyHost is where Google's discovery document says that the issuer's
// keys are, and GoogleKeysURL the whole address, as seen in 2026 at
// https://confidentialcomputing.googleapis.com/.well-known/openid-configuration.
// The host serves the keys of every service account of Google's customers: who
// wants to trust the discovery document with nothing pins the address.
const (
	GoogleKeyHost = "www.googleapis.com"
	GoogleKeysURL = "https://www.googleapis.com/service_accounts/v1/metadata/jwk/signer@confidentialspace-sign.iam.gserviceaccount.com"
)

// Bounds of a KeySource.
const (
	// minKeyLife and maxKeyLife clamp what the issuer's Cache-Control says: it
	// can neither make verifiers ask for each token, nor have them go on for
	// long with a key that it has withdrawn.
	minKeyLife = time.Minute
	maxKeyLife = time.Hour
	// minFetchInterval is between two fetches, whatever the reason: key ids
	// come from tokens that anybody can write.
	minFetchInterval = 10 * time.Second

	defaultFetchTimeout = 10 * time.Second
	maxFetchTimeout     = time.Minute

	// Google's tokens live an hour: an outage that lasts longer than some
	// hours leaves nothing to verify but what was archived with its keys.
	defaultMaxStale = 6 * time.Hour
	maxMaxStale     = 24 * time.Hour
)

// KeySourceConfig says whose keys to fetch, and from where. Issuer, Client and
// Now are required.
type KeySourceConfig struct {
	// Issuer is the pinned issuer's URL. Its discovery document (OpenID
	// Connect Discovery 1.0) must name it and the address of its keys.
	Issuer string
	// KeysURL pins the address of the keys; no discovery document is asked.
	KeysURL string
	// KeyHosts are the hosts (with the port where it isn't 443) at which the
	// discovery document may say that the keys are. Default for Google's
	// issuer: GoogleKeyHost. Others have none.
	KeyHosts []string
	// Client makes the requests. Its redirect policy and cookies aren't used:
	// no redirect is followed.
	Client *http.Client
	// Now is the clock for the age of keys.
	Now func() time.Time
	// Timeout bounds one fetch with all its documents. Default 10 s, at most 1
	// minute.
	Timeout time.Duration
	// MaxStale is how old keys may be while newer ones can't be had. Default 6
	// hours, at most 24.
	MaxStale time.Duration
}

// KeySource fetches and keeps the keys of one pinned issuer.
//
// Keys are fresh for the time that the issuer says, clamped to between a minute
// and an hour. The first token after that has the set fetched again. Whoever
// holds a token of a key at hand doesn't wait for it: an issuer that hangs
// delays nobody. A token with an unknown key id has the set fetched as well and
// waits, so that a rotation needs no pause. There is one fetch at a time, which
// all callers share, and at least 10 seconds from one to the next. When the
// issuer can't be reached, or answers with something else than a key set, the
// old keys serve until they are MaxStale old; then tokens are refused with
// ReasonKeysUnavailable. A source that has never fetched keys has none.
//
// A key that has gone from the set is gone with the first fetch that says so.
// Until then it passes: for as long as keys are fresh; beyond that while a fetch
// is under way, which is a moment where tokens come often, and with tokens that
// come seldom one more answer; and never from keys that are MaxStale old, which
// is the bound while the issuer can't be reached. Who wants it shorter sets
// MaxStale.
type KeySource struct {
	cfg    KeySourceConfig
	client *http.Client

	mu      sync.Mutex
	set     *KeySet       // guarded by mu; the last that was fetched
	fetched time.Time     // guarded by mu; when its fetch began
	fresh   time.Time     // guarded by mu; until when it needs no fetch
	tried   time.Time     // guarded by mu; when the last fetch began
	failed  error         // guarded by mu; of the last fetch
	flight  chan struct{} // guarded by mu; closed when the fetch under way ends, nil without one
}

// NewKeySource checks the configuration. It fetches nothing.
func NewKeySource(cfg KeySourceConfig) (*KeySource, error) {
	if cfg.Client == nil || cfg.Now == nil {
		return nil, errors.New("key source: Client and Now are required")
	}
	if err := checkURL(cfg.Issuer); err != nil {
		return nil, fmt.Errorf("key source: issuer: %w", err)
	}
	if cfg.KeysURL != "" {
		if err := checkURL(cfg.KeysURL); err != nil {
			return nil, fmt.Errorf("key source: address of the keys: %w", err)
		}
	}
	if len(cfg.KeyHosts) == 0 && sameIssuer(cfg.Issuer, GoogleIssuer) {
		cfg.KeyHosts = []string{GoogleKeyHost}
	}
	if cfg.KeysURL == "" && empty(cfg.KeyHosts) {
		return nil, errors.New("key source: neither the address of the keys nor hosts for it are pinned")
	}
	cfg.KeyHosts = slices.Clone(cfg.KeyHosts)
	var err error
	if cfg.Timeout, err = within("Timeout", cfg.Timeout, defaultFetchTimeout, maxFetchTimeout); err != nil {
		return nil, err
	}
	if cfg.MaxStale, err = within("MaxStale", cfg.MaxStale, defaultMaxStale, maxMaxStale); err != nil {
		return nil, err
	}
	client := *cfg.Client
	client.Jar = nil
	// The redirect itself becomes the answer, and isn't of status 200.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &KeySource{cfg: cfg, client: &client}, nil
}

func within(name string, d, standard, most time.Duration) (time.Duration, error) {
	switch {
	case d == 0:
		return standard, nil
	case d < 0 || d > most:
		return 0, fmt.Errorf("key source: %s is %s, accepted is up to %s", name, d, most)
	}
	return d, nil
}

// checkURL takes https addresses without anything that could make two readers
// see two hosts.
func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no address", clip(s))
	case u.Scheme != "https" || u.Host == "" || u.User != nil || u.Opaque != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(s, "#"):
		return fmt.Errorf("%q is not a plain https address", clip(s))
	}
	return nil
}

func sameIssuer(a, b string) bool { return strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/") }

// Verify is the function Verify for tokens of the source's issuer, with its
// keys as they are now, and for PKI tokens under the root, if one is given.
// An OIDC token that names another issuer is refused: keys and issuer are
// pinned together.
func (s *KeySource) Verify(ctx context.Context, token string, root [32]byte, at time.Time) (*Claims, error) {
	keys, err := s.KeysFor(ctx, token)
	if err != nil {
		return nil, err
	}
	c, err := Verify(token, Trust{PKIRoot: root, Keys: keys}, at)
	if err != nil {
		return nil, err
	}
	if c.Source == SourceOIDC && !sameIssuer(c.Issuer, s.cfg.Issuer) {
		return nil, refuse(ReasonIssuer, "iss", "%q, the keys are those of %q", clip(c.Issuer), s.cfg.Issuer)
	}
	return c, nil
}

// KeysFor returns the issuer's present keys, among them the one that an OIDC
// token names; nil for a PKI token, which needs none. It verifies nothing. The
// error is a *Refusal.
func (s *KeySource) KeysFor(ctx context.Context, token string) (*KeySet, error) {
	c, err := parseCompact(token)
	switch {
	case err != nil:
		return nil, err
	case c.header.Chain != nil:
		return nil, nil
	case c.header.KeyID == "" || len(c.header.KeyID) > maxKeyID:
		// In no key set: not worth a request.
		return nil, refuse(ReasonUnknownKey, "kid", "%q", clip(c.header.KeyID))
	}
	if flight := s.fetchFor(ctx, c.header.KeyID); flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
			return nil, &Refusal{Reason: ReasonKeysUnavailable, Claim: "kid", Err: ctx.Err()}
		}
	}
	return s.judge(c.header.KeyID)
}

// fetchFor begins a fetch where one is due. It returns the one to wait for
// before a token with the key id can be judged, nil where there is none to wait
// for: keys that may serve and have the id are enough.
func (s *KeySource) fetchFor(ctx context.Context, kid string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	enough := s.usable(now) && s.set.has(kid)
	if enough && now.Before(s.fresh) {
		return nil
	}
	// A clock that was set back mustn't stop fetches until it has caught up.
	since := now.Sub(s.tried)
	if s.flight == nil && (since < 0 || since >= minFetchInterval) {
		s.tried, s.flight = now, make(chan struct{})
		// The callers share it: it goes on when the one that began it has left.
		go s.fly(context.WithoutCancel(ctx), s.flight, now)
	}
	if enough {
		return nil
	}
	return s.flight
}

func (s *KeySource) fly(ctx context.Context, flight chan struct{}, began time.Time) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	set, life, err := s.fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed = err; err == nil {
		s.set, s.fetched, s.fresh = set, began, began.Add(life)
	}
	s.flight = nil
	close(flight)
}

// judge returns the keys if they can be used and the key id is among them.
func (s *KeySource) judge(kid string) (*KeySet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	switch {
	case s.set == nil:
		return nil, &Refusal{Reason: ReasonKeysUnavailable, Claim: "kid", Detail: "no keys were ever fetched", Err: s.failed}
	case !s.usable(now):
		return nil, &Refusal{Reason: ReasonKeysUnavailable, Claim: "kid", Detail: "the keys at hand are of " + stamp(s.fetched), Err: s.failed}
	case s.set.has(kid):
		return s.set, nil
	case s.failed != nil:
		// A newer set may have it: nobody knows that the key is unknown.
		return nil, &Refusal{Reason: ReasonKeysUnavailable, Claim: "kid", Detail: fmt.Sprintf("%q isn't among the keys of %s", clip(kid), stamp(s.fetched)), Err: s.failed}
	}
	return nil, refuse(ReasonUnknownKey, "kid", "%q", clip(kid))
}

// usable reports whether the keys are young enough to serve at all. Those
// "fetched in the future" were fetched before the clock was set back, at an
// instant that nobody knows.
func (s *KeySource) usable(now time.Time) bool {
	age := now.Sub(s.fetched)
	return s.set != nil && age > -Skew && age < s.cfg.MaxStale
}

// now is the wall clock: a monotonic one stands still while a machine sleeps,
// and keys would come out of it as fresh as they went in.
func (s *KeySource) now() time.Time { return s.cfg.Now().Round(0) }

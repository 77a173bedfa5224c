package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/ratelimit"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/teelink"
)

// Limits are the budgets of callers; all three are required. A request is
// charged to its key and organisation, or to the address that it came from
// when it proves no key.
type Limits struct {
	Organization ratelimit.Lease[canon.UUID]
	Key          ratelimit.Lease[string]
	Address      ratelimit.Lease[netip.Prefix]
	// Proxies are the addresses of load balancers in front, whose
	// X-Forwarded-For is believed.
	Proxies []netip.Prefix
}

// Rates are Limits' numbers.
type Rates struct {
	Organization, Key, Address ratelimit.Rate
}

// DefaultRates let one busy backend through, and keep one caller from taking
// all of a TEE, which decides several thousand requests a second.
func DefaultRates() Rates {
	return Rates{
		Organization: ratelimit.Rate{PerSecond: 5000, Burst: 10_000},
		Key:          ratelimit.Rate{PerSecond: 2000, Burst: 4000},
		Address:      ratelimit.Rate{PerSecond: 100, Burst: 1000},
	}
}

// NoRates limits nobody.
func NoRates() Rates {
	off := ratelimit.Rate{Off: true}
	return Rates{Organization: off, Key: off, Address: off}
}

// NewLimits keeps the budgets in this process.
func NewLimits(r Rates, proxies []netip.Prefix) *Limits {
	return &Limits{
		Organization: own[canon.UUID](r.Organization),
		Key:          own[string](r.Key),
		Address:      own[netip.Prefix](r.Address),
		Proxies:      proxies,
	}
}

func own[K comparable](r ratelimit.Rate) ratelimit.Lease[K] {
	return ratelimit.Own[K]{Buckets: ratelimit.NewBuckets[K](r, ratelimit.MaxBuckets)}
}

// NewSharedLimits shares the budgets of keys and organisations with other
// processes. Those of addresses stay in this one: whoever proves no key mustn't
// have the database write.
func NewSharedLimits(r Rates, proxies []netip.Prefix, shared ratelimit.Shared, who ratelimit.Holder) *Limits {
	l := NewLimits(r, proxies)
	l.Organization = ratelimit.NewLeased(r.Organization, ratelimit.MaxBuckets, shared, who, func(id canon.UUID) [32]byte {
		return sha256.Sum256(append([]byte("sigil budget organization\x00"), id[:]...))
	})
	l.Key = ratelimit.NewLeased(r.Key, ratelimit.MaxBuckets, shared, who, func(id string) [32]byte {
		return sha256.Sum256(append([]byte("sigil budget key\x00"), id...))
	})
	return l
}

// scope names the budget that ran out, for people and metrics.
type scope string

const (
	scopeOrganization scope = "organization"
	scopeKey          scope = "key"
	scopeAddress      scope = "address"
)

// limited refuses a request over a budget.
type limited struct {
	refusal *signing.Error
	scope   scope
}

func (l *limited) Error() string { return l.refusal.Error() }
func (l *limited) Unwrap() error { return l.refusal }

func tooMany(s scope, whose string, wait time.Duration) error {
	e := &signing.Error{Code: api.CodeRateLimited, Message: "too many requests of this " + whose + "; the same request can be sent again after Retry-After", RetryAfter: wait}
	return &limited{e, s}
}

// charge takes the request from a budget, before the TEE or the database is
// asked for what it wants. failed is what identification said.
func (s *Server) charge(a auth, c *call, failed error) error {
	now := s.Now()
	if a == authProbe || failed != nil && ours(failed) {
		return nil
	}
	if failed == nil && (a == authReader || a == authAdmin || a == authDecision || a == authWriter) {
		if c.key == nil { // an admin's signature, verified
			return chargeOne(c.ctx, s.Limits.Organization, c.org, now, scopeOrganization, "organisation")
		}
		if s.proven(a, c) {
			return s.chargeKey(c, now)
		}
	}
	return chargeOne(c.ctx, s.Limits.Address, s.Limits.address(c.Request), now, scopeAddress, "client address")
}

// charged is the refusal of a request that ends before anybody is identified:
// it costs its address a token, too.
func (s *Server) charged(a auth, c *call, refusal error) error {
	if over := s.charge(a, c, refusal); over != nil {
		return over
	}
	return refusal
}

func (s *Server) chargeKey(c *call, now time.Time) error {
	if err := chargeOne(c.ctx, s.Limits.Key, c.key.KeyID, now, scopeKey, "key"); err != nil {
		return err
	}
	err := chargeOne(c.ctx, s.Limits.Organization, c.key.OrganizationID, now, scopeOrganization, "organisation")
	if err != nil {
		s.Limits.Key.Give(c.key.KeyID, now)
	}
	return err
}

// chargeItems charges a batch, which was let in by one token, for the rest of
// its items, too: its key and organisation wait longer for the next. A request
// whose time has passed is somebody's repetition, and his address's.
func (s *Server) chargeItems(c *call, n int) {
	now := s.Now()
	if c.decision().Late(now) {
		s.Limits.Address.Owe(s.Limits.address(c.Request), n-1, now)
		return
	}
	s.Limits.Key.Owe(c.key.KeyID, n-1, now)
	s.Limits.Organization.Owe(c.key.OrganizationID, n-1, now)
}

func chargeOne[K comparable](ctx context.Context, l ratelimit.Lease[K], k K, now time.Time, sc scope, whose string) error {
	switch wait, err := l.Take(ctx, k, now); {
	case err != nil:
		return refuse(api.CodeStoreUnavailable, "the database doesn't answer")
	case wait > 0:
		return tooMany(sc, whose, wait)
	}
	return nil
}

// proven says whether the request may be charged to the key that it names.
// Readers' and admins' signatures were verified. A decision's is verified in
// the TEE, and a second time here would cost as much as all the rest of the
// control plane; but key ids are no secret, and whoever knows one mustn't be
// able to use up its budget. So signatures are verified here while less than
// half of the key's or its organisation's burst is left: the other half is
// there for those who hold the key.
func (s *Server) proven(a auth, c *call) bool {
	if a != authDecision || c.proof.Auth == teelink.AuthBearer {
		return true // a bearer token is looked up by its public key: whoever has it holds the key
	}
	now := s.Now()
	if !s.Limits.Key.Low(c.key.KeyID, now) && !s.Limits.Organization.Low(c.key.OrganizationID, now) {
		return true
	}
	return c.decision().Verify(now) == nil
}

// ours says that a failure is none of the caller's making.
func ours(err error) bool {
	var known *signing.Error
	if !errors.As(err, &known) {
		return true
	}
	status, _ := statusOf(known.Code)
	return status >= http.StatusInternalServerError
}

// address returns the client's: of an IPv6 client the /64 network, since one
// caller has all of that.
func (l *Limits) address(r *http.Request) netip.Prefix {
	a, _ := clientAddress(r, l.Proxies) // where a proxy wrote none, the proxy's
	if !a.IsValid() {
		return netip.Prefix{} // not TCP: all such share one
	}
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.WithZone("").Prefix(bits) // bits fit
	return p
}

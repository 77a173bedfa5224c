package client_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/attest/attesttest"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/clienttest"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/spec"
)

var start = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// issuer takes a second to make and is immutable here.
var issuer = sync.OnceValues(func() (*attesttest.Issuer, error) { return clienttest.NewIssuer(start) })

// clock is a clock that tests move by hand.
type clock struct {
	mu sync.Mutex // guards at
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// stack is a service with one organisation, one key that may do everything,
// and one wallet.
type stack struct {
	*clienttest.Service
	t      testing.TB
	spec   *spec.Spec
	clock  *clock
	admin  *client.Admin
	keys   []ed25519.PrivateKey
	org    *client.OwnedOrganization
	secret string
	grant  [32]byte
	wallet *client.CreatedWallet

	mu sync.Mutex // guards front
	// front stands between client and service; nil: nothing.
	front func(http.Handler) http.Handler
	url   string
}

func (s *stack) intercept(f func(http.Handler) http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.front = f
}

// watch holds the fake, while it is honest, and what the SDK sends it to the
// API's description.
func (s *stack) watch() http.Handler {
	if !reflect.ValueOf(s.Attack).IsZero() {
		return s.Service
	}
	return s.spec.Watch(s.Service, s.t.Errorf)
}

func (s *stack) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	front := s.front
	s.mu.Unlock()
	h := s.watch()
	if front != nil {
		h = front(h)
	}
	h.ServeHTTP(w, r)
}

func newStack(t testing.TB) *stack {
	t.Helper()
	i, err := issuer()
	if err != nil {
		t.Fatal(err)
	}
	s := &stack{t: t, clock: &clock{at: start}}
	if s.spec, err = spec.Load(); err != nil {
		t.Fatal(err)
	}
	if s.Service, err = clienttest.New(i, s.clock.now); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s.keys = []ed25519.PrivateKey{key}
	s.admin = must(client.NewAdmin(client.AdminConfig{BaseURL: s.url, Keys: s.keys, Now: s.clock.now, Sleep: noSleep}))(t)
	s.org = must(s.admin.CreateOrganization(t.Context(), s.newOrganization()))(t)
	k := s.newKey(t, client.NewKey{Name: "all", Wallets: all(), Networks: all(), Methods: all()})
	s.secret, s.grant = k.Reveal(), k.GrantDigest
	s.wallet = must(s.client(t, s.secret).Wallets().Create(t.Context(), client.NewWallet{Label: "treasury"}))(t)
	return s
}

func all() []string { return []string{"*"} }

func (s *stack) newOrganization() client.NewOrganization {
	return client.NewOrganization{Name: "Acme", Quorum: 1, TEEs: []client.TEE{s.TEE()},
		Admins: []client.AdminKey{{Name: "root", PublicKey: hex.EncodeToString(s.keys[0][32:])}}}
}

func (s *stack) newKey(t testing.TB, n client.NewKey) *client.CreatedKey {
	t.Helper()
	n.Expires = s.clock.now().Add(24 * time.Hour)
	return must(s.admin.CreateKey(t.Context(), s.org.Genesis, s.org.StateKey, n, nil))(t)
}

func (s *stack) client(t testing.TB, secret string) *client.Client {
	t.Helper()
	return must(client.New(client.Config{BaseURL: s.url, SecretKey: secret, Now: s.clock.now, Sleep: noSleep}))(t)
}

func (s *stack) request() client.SignRequest {
	return client.SignRequest{WalletID: s.wallet.ID, Network: "base", Message: "audit-log-2026-06"}
}

func noSleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestSign(t *testing.T) {
	s := newStack(t)
	c := s.client(t, s.secret)
	for _, r := range []client.SignRequest{
		{Network: "base", Message: "audit-log-2026-06"},
		{Network: "ethereum", MessageBytes: []byte{0xff, 0, 1}},
		{Network: "solana", Message: "hello"},
		{Network: "solana", Message: "hello", Format: "solana-offchain-v0"},
		{Network: "polygon", Message: "with a key", IdempotencyKey: "order-1"},
		{Network: "polygon", Message: ""},
	} {
		r.WalletID = s.wallet.ID
		res, err := c.Sign(t.Context(), r)
		if err != nil {
			t.Errorf("%+v: %v", r, err)
			continue
		}
		if res.Address != s.wallet.Addresses[r.Network] || res.Verified.Attested.Release != clienttest.Release || res.Verified.Replayed {
			t.Errorf("%+v: %+v", r, res)
		}
		rc, err := c.Receipt(t.Context(), res.Receipt.ID)
		if err != nil || rc.Leaf.OutputDigest != res.Receipt.Leaf.OutputDigest {
			t.Errorf("receipt: %v", err)
		}
		bundle, err := c.Bundle(t.Context(), res)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bundle.Verify(s.org.GenesisDigest); err != nil {
			t.Error(err)
		}
	}
	a, err := c.Attestation(t.Context())
	if err != nil || a.Attested.Hardware != "GCP_AMD_SEV" {
		t.Fatal(a, err)
	}
	path := make([][32]byte, len(a.Proof.Path))
	for i, h := range a.Proof.Path {
		path[i] = [32]byte(h)
	}
	if err := receipt.VerifyPath(a.Challenge[:], a.Proof.Index, a.Proof.Count, path, a.Statement.Challenges); err != nil || a.Challenge == [32]byte{} {
		t.Errorf("the challenge can't be verified again: %v", err)
	}
}

func TestWallets(t *testing.T) {
	s := newStack(t)
	c := s.client(t, s.secret)
	page, err := c.Wallets().List(t.Context(), 10, 0)
	if err != nil || len(page.Items) != 1 || page.Items[0].Label != "treasury" {
		t.Fatal(page, err)
	}
	w, err := c.Wallets().Get(t.Context(), s.wallet.ID)
	if err != nil || w.Addresses["base"] != s.wallet.Addresses["base"] || w.Addresses["base"] == "" {
		t.Fatal(w, err)
	}
	var e *client.APIError
	if _, err := c.Wallets().Get(t.Context(), "11111111-1111-4111-8111-111111111111"); !errors.As(err, &e) || e.Code != api.CodeWalletNotFound || e.RequestID == "" {
		t.Error(err)
	}
	var bad *client.ArgumentError
	for _, id := range []string{"", "x", "../../healthz", strings.ToUpper(s.wallet.ID)} {
		if _, err := c.Wallets().Get(t.Context(), id); id != s.wallet.ID && !errors.As(err, &bad) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// A denial carries the receipt that a workload made it, verified.
func TestDenials(t *testing.T) {
	s := newStack(t)
	narrow := s.newKey(t, client.NewKey{Name: "narrow", Wallets: []string{s.wallet.ID}, Networks: []string{"base"}, Methods: []string{"signMessage"}})
	c := s.client(t, narrow.Reveal())
	digest := client.SignRequest{MessageBytes: make([]byte, 32), Network: "base"}
	for code, r := range map[api.Code]client.SignRequest{
		"policy_network":    {Network: "polygon", Message: "m"},
		"message_is_digest": digest,
	} {
		r.WalletID = s.wallet.ID
		_, err := c.Sign(t.Context(), r)
		var e *client.APIError
		if !errors.As(err, &e) || e.Code != code || e.Receipt == nil || e.Receipt.Leaf.Reason != string(code) {
			t.Errorf("%s: %v", code, err)
		}
	}
	var e *client.APIError
	if _, err := c.Wallets().Create(t.Context(), client.NewWallet{}); !errors.As(err, &e) || e.Code != "policy_method" || e.Receipt == nil {
		t.Error(err)
	}
	// A denial whose receipt is of another decision proves nothing.
	s.intercept(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			s.Service.ServeHTTP(rec, r)
			for k, v := range rec.Header() {
				w.Header()[k] = v
			}
			w.WriteHeader(rec.Code)
			_, _ = w.Write([]byte(strings.ReplaceAll(rec.Body.String(), `"code":"policy_network"`, `"code":"policy_wallet"`)))
		})
	})
	var v *client.VerificationError
	_, err := c.Sign(t.Context(), client.SignRequest{WalletID: s.wallet.ID, Network: "polygon", Message: "m"})
	if !errors.As(err, &v) || v.Code != client.CodeReceiptMismatch || v.Field != "reason" {
		t.Error(err)
	}
}

// What crosses the wire holds neither the secret key nor the admin key.
func TestNoSecretOnTheWire(t *testing.T) {
	s := newStack(t)
	var mu sync.Mutex
	var seen strings.Builder
	s.intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body := new(strings.Builder)
			buf := make([]byte, 1<<16)
			n, _ := r.Body.Read(buf)
			body.Write(buf[:n])
			mu.Lock()
			seen.WriteString(r.URL.String() + body.String())
			for k, v := range r.Header {
				seen.WriteString(k + strings.Join(v, ","))
			}
			mu.Unlock()
			r.Body = http.NoBody
			if n > 0 {
				r.Body = readCloser{strings.NewReader(body.String())}
			}
			next.ServeHTTP(w, r)
		})
	})
	k := s.newKey(t, client.NewKey{Name: "second", Wallets: all(), Networks: all(), Methods: all()})
	c := s.client(t, k.Reveal())
	must(c.Sign(t.Context(), s.request()))(t)
	if err := s.admin.Revoke(t.Context(), s.org.Genesis, k.GrantDigest, "test"); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	all := seen.String()
	for _, secret := range []string{k.Reveal(), k.Reveal()[8:60], hex.EncodeToString(s.keys[0].Seed()), "sk_live_"} {
		if strings.Contains(all, secret) {
			t.Error("a secret crossed the wire")
		}
	}
	if !strings.Contains(all, hex.EncodeToString(s.keys[0][32:])) && !strings.Contains(all, "audit-log") {
		t.Error("canary: the recording is empty")
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func TestAdmin(t *testing.T) {
	s := newStack(t)
	again, err := s.admin.LoadOrganization(t.Context(), s.org.Genesis)
	if err != nil || again.StateKey != s.org.StateKey {
		t.Fatal(err)
	}
	list, err := s.admin.Keys(t.Context(), s.org.Genesis)
	if err != nil || len(list) != 1 || list[0].Status != "active" {
		t.Fatal(list, err)
	}
	if err := s.admin.Revoke(t.Context(), s.org.Genesis, s.grant, "leaked"); err != nil {
		t.Fatal(err)
	}
	var e *client.APIError
	if _, err := s.client(t, s.secret).Sign(t.Context(), s.request()); !errors.As(err, &e) || e.Code != api.CodeInvalidKey {
		t.Error(err)
	}
	var bad *client.ArgumentError
	_, err = s.admin.CreateKey(t.Context(), s.org.Genesis, s.org.StateKey, client.NewKey{Name: "bearer for all", Wallets: all(), Networks: all(), Methods: all(), Bearer: true, Expires: start.Add(time.Hour)}, nil)
	if !errors.As(err, &bad) {
		t.Error("unlimited bearer key made", err)
	}
	n := s.newOrganization()
	n.Quorum = 2
	if _, err := s.admin.CreateOrganization(t.Context(), n); !errors.As(err, &bad) {
		t.Error("quorum over admins accepted", err)
	}
	// A key that can't be saved isn't registered.
	before := len(s.Requests())
	failed := errors.New("disk full")
	_, err = s.admin.CreateKey(t.Context(), s.org.Genesis, s.org.StateKey, client.NewKey{Name: "lost", Expires: start.Add(time.Hour)},
		func(*client.CreatedKey) error { return failed })
	if !errors.Is(err, failed) || len(s.Requests()) != before {
		t.Error("registered a key that wasn't saved", err)
	}
}

// An organisation whose TEE isn't what its genesis accepts is refused before
// its state key is used.
func TestCreateOrganizationElsewhere(t *testing.T) {
	s := newStack(t)
	for reason, edit := range map[string]func(*client.TEE){
		"image_digest": func(t *client.TEE) { t.ImageDigests = []string{"sha256:" + strings.Repeat("00", 32)} },
		"hardware":     func(t *client.TEE) { t.Hardware = []string{"GCP_INTEL_TDX"} },
		"project_id":   func(t *client.TEE) { t.ProjectID = "other" },
		"root":         func(t *client.TEE) { t.PKIRoot = strings.Repeat("11", 32) },
	} {
		n := s.newOrganization()
		edit(&n.TEEs[0])
		_, err := s.admin.CreateOrganization(t.Context(), n)
		var v *client.VerificationError
		if !errors.As(err, &v) || string(v.Reason) != reason {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

func TestConfig(t *testing.T) {
	s := newStack(t)
	for name, cfg := range map[string]client.Config{
		"no address": {SecretKey: s.secret},
		"path":       {BaseURL: s.url + "/prefix", SecretKey: s.secret},
		"scheme":     {BaseURL: "ftp://x", SecretKey: s.secret},
		"user":       {BaseURL: "http://u:p@x", SecretKey: s.secret},
		"no key":     {BaseURL: s.url},
		"cut key":    {BaseURL: s.url, SecretKey: s.secret[:80]},
	} {
		_, err := client.New(cfg)
		var bad *client.ArgumentError
		if !errors.As(err, &bad) || strings.Contains(err.Error(), s.secret[20:60]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRequestsAreFew(t *testing.T) {
	s := newStack(t)
	c := s.client(t, s.secret)
	must(c.Sign(t.Context(), s.request()))(t)
	before := len(s.Requests())
	for range 3 {
		must(c.Sign(t.Context(), s.request()))(t)
	}
	if got := s.Requests()[before:]; !slices.Equal(got, []string{"POST /v1/s2s/sign", "POST /v1/s2s/sign", "POST /v1/s2s/sign"}) {
		t.Error(got)
	}
}

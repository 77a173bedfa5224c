package client_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/clienttest"
	"github.com/sigilkeys/sigil/receipt"
)

func requireCode(t *testing.T, name string, err error, code client.Code, field string) {
	t.Helper()
	var v *client.VerificationError
	if !errors.As(err, &v) || v.Code != code || v.Field != field {
		t.Errorf("%s: %v, want %s (%s)", name, err, code, field)
	}
}

// A state key made for another organisation, or made anew behind the owner's
// back by the very same workload.
func TestStateKeys(t *testing.T) {
	s := newStack(t)
	for name, edit := range map[string]func(*receipt.StateCertificate){
		"genesis":      func(c *receipt.StateCertificate) { c.Genesis[0]++ },
		"organization": func(c *receipt.StateCertificate) { c.Organization[0]++ },
	} {
		s.Attack = clienttest.Attack{State: edit}
		_, err := s.admin.CreateOrganization(t.Context(), s.newOrganization())
		requireCode(t, name, err, client.CodeStateCertificate, "")
	}
	s.Attack = clienttest.Attack{State: func(c *receipt.StateCertificate) { c.Release = "sha256:00" }}
	_, err := s.admin.CreateOrganization(t.Context(), s.newOrganization())
	requireCode(t, "release", err, client.CodeEvidenceRefused, "")
	s.Attack = clienttest.Attack{}
	if err := s.Reprovision(); err != nil {
		t.Fatal(err)
	}
	s.expect(t, "new state key", client.CodeStateCertificate, "")
}

// The state key certified a wallet for another organisation: a workload that
// mixes up its callers.
func TestWalletOfAnotherOrganization(t *testing.T) {
	s := newStack(t)
	c := s.client(t, s.secret)
	for name, edit := range map[string]func(*receipt.WalletCertificate){
		"organization": func(c *receipt.WalletCertificate) { c.Organization[0]++ },
		"genesis":      func(c *receipt.WalletCertificate) { c.Genesis[0]++ },
	} {
		s.Attack = clienttest.Attack{Wallet: edit}
		_, err := c.Wallets().Create(t.Context(), client.NewWallet{})
		requireCode(t, name, err, client.CodeCertificate, "organization")
	}
	s.Attack = clienttest.Attack{}
	s.rewrite("/v1/s2s/wallets/"+s.wallet.ID, func(d map[string]any) {
		d["public_keys"] = map[string]any{"ed25519": strings.Repeat("00", 32)}
	})
	_, err := c.Wallets().Get(t.Context(), s.wallet.ID)
	requireCode(t, "public key shown", err, client.CodeResponseMismatch, "public_key")
}

func TestTimes(t *testing.T) {
	for name, d := range map[string]time.Duration{"old": 6 * time.Minute, "of the future": -6 * time.Minute} {
		s := newStack(t)
		s.intercept(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(w, r)
				if r.URL.Path == "/v1/s2s/sign" {
					s.clock.move(d)
				}
			})
		})
		s.expect(t, name, client.CodeReceiptMismatch, "time")
	}
	s := newStack(t)
	s.Attack = clienttest.Attack{Batch: func(b *receipt.Batch) { b.Time += uint64(30 * time.Minute / time.Microsecond) }}
	s.expect(t, "batch long after the decision", client.CodeReceiptMismatch, "time")
}

// The service signs what the SDK can't encode, or another thing in its place.
func TestSignedAgainstRefusal(t *testing.T) {
	s := newStack(t)
	s.Attack = clienttest.Attack{Body: func(b *clienttest.SignBody) { b.Network, b.Message.Message, b.Message.Encoding = "base", "fine", "" }}
	digest := s.request()
	digest.Message, digest.MessageBytes = "", make([]byte, 32)
	s.expectRequest(t, "digest", digest, client.CodeSignature, "")
	unknown := s.request()
	unknown.Network = "nowhere"
	s.expectRequest(t, "network", unknown, client.CodeSignature, "")
}

func TestForeignReceipts(t *testing.T) {
	s := newStack(t)
	c := s.client(t, s.secret)
	one, two := must(c.Sign(t.Context(), s.request()))(t), must(c.Sign(t.Context(), s.request()))(t)
	id := one.Receipt.ID
	s.rewrite("/v1/receipts/"+id, func(d map[string]any) { d["proof"] = two.Receipt.Proof })
	_, err := c.Receipt(t.Context(), id)
	requireCode(t, "other receipt", err, client.CodeReceiptMismatch, "id")
	s.intercept(nil)

	org := must(s.admin.CreateOrganization(t.Context(), s.newOrganization()))(t)
	k := must(s.admin.CreateKey(t.Context(), org.Genesis, org.StateKey, client.NewKey{Name: "other", Wallets: all(), Networks: all(), Methods: all(), Expires: start.Add(time.Hour)}, nil))(t)
	_, err = s.client(t, k.Reveal()).Receipt(t.Context(), id)
	requireCode(t, "other organisation", err, client.CodeReceiptMismatch, "organization")
}

func TestBundleGrants(t *testing.T) {
	s := newStack(t)
	c := s.client(t, s.secret)
	b := must(c.Bundle(t.Context(), must(c.Sign(t.Context(), s.request()))(t)))(t)
	b.Grant = s.newKey(t, client.NewKey{Name: "second"}).Grant
	_, err := b.Verify(s.org.GenesisDigest)
	requireCode(t, "other grant", err, client.CodeReceiptMismatch, "grant")

	early := s.newKey(t, client.NewKey{Name: "early", NotBefore: start.Add(time.Hour), Wallets: all(), Networks: all(), Methods: all()})
	c = s.client(t, early.Reveal())
	b = must(c.Bundle(t.Context(), must(c.Sign(t.Context(), s.request()))(t)))(t)
	_, err = b.Verify(s.org.GenesisDigest)
	requireCode(t, "before the grant", err, client.CodeReceiptMismatch, "time")
	_, err = client.ParseBundle([]byte(`{"format":"sigil.receipt-bundle.v2"}`))
	requireCode(t, "format", err, client.CodeReceiptInvalid, "")
}

func TestOddReplies(t *testing.T) {
	s := newStack(t)
	for name, body := range map[string]string{
		"neither":         `{"data":null,"error":null}`,
		"empty":           `{}`,
		"error under 200": `{"data":{},"error":{"code":"x","message":"y"}}`,
		"no JSON":         `ok`,
		"large":           `{"data":{"x":"` + strings.Repeat("a", 17<<20) + `"},"error":null}`,
		"duplicate":       `{"data":{},"data":{},"error":null}`,
	} {
		s.intercept(func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
		})
		requireCode(t, name, s.admin.Revoke(t.Context(), s.org.Genesis, s.grant, ""), client.CodeResponse, "")
	}
	s.rewrite("/v1/orgs/"+s.org.ID, func(d map[string]any) { d["organization_id"] = "other" })
	_, err := s.admin.LoadOrganization(t.Context(), s.org.Genesis)
	requireCode(t, "organisation id", err, client.CodeResponseMismatch, "organization_id")
}

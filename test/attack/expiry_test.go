package attack

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/internal/workload"
	"github.com/sigilkeys/sigil/test/stack"
)

// A workload that runs on after its attestation has expired, because whoever
// has the machine keeps it from being renewed, makes nothing any more: no
// signature, no wallet, no state key, no head of a ledger. Keys and KMS are as
// they were, and it is asked straight over the link. With the platform back
// and the evidence renewed it serves again. The canary is minutes before.
func TestExpiredAttestationStopsEverything(t *testing.T) {
	var tee, platform atomic.Int64 // how far each clock is ahead
	ahead := func(by *atomic.Int64) func() time.Time {
		return func() time.Time { return time.Now().Add(time.Duration(by.Load())) }
	}
	cloud, err := cloudsim.Start(cloudsim.Config{Dir: t.TempDir(), TokensPerSecond: -1, Clock: ahead(&platform)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	release := stack.MadeUpDigest("sigil-tee")
	if err := cloud.SetImageDigest(release); err != nil {
		t.Fatal(err)
	}
	if err := cloud.AdmitRelease(release); err != nil {
		t.Fatal(err)
	}
	s := newScene(t, stack.Options{Cloud: cloud, Digest: release, Now: ahead(&tee)})
	c := dial(t, s.Link.Address)
	l := newLedgerScene(t, s.Stack, s.owner)
	l.client = c
	heads, size, note := newHistory("a", 100), 0, ""
	want := func(when, code string) {
		t.Helper()
		deeds := map[string]func() error{
			"a signature": func() error {
				_, err := c.Decide(t.Context(), s.prepare(t, c, s.token, workload.PathSign, signBody(s.one.ID, "base", "pay")))
				return err
			},
			"a wallet": func() error {
				_, err := c.Decide(t.Context(), s.prepare(t, c, s.token, workload.PathWallets, `{}`))
				return err
			},
			"a state key": func() error { _, err := c.Provision(t.Context(), s.owner.Genesis.Envelope); return err },
			"a ledger's head": func() error {
				_, n, err := l.ask(heads, note, size+1, nil)
				if err == nil {
					note, size = n, size+1
				}
				return err
			},
		}
		for name, do := range deeds {
			if err := do(); code == "" && err != nil || code != "" && !isRemote(err, code) {
				t.Errorf("%s: %s: %v, want %q", when, name, err, code)
			}
		}
	}
	want("healthy", "")

	expires := time.Unix(expiryOf(t, c), 0)
	if life := time.Until(expires); life < 30*time.Minute || life > 2*time.Hour {
		t.Fatalf("the token lives %v", life)
	}
	if err := cloud.SetKnobs(cloudsim.Knobs{Launcher: "down"}); err != nil {
		t.Fatal(err)
	}
	renew := func() error { return s.Workload.RenewEvidence(t.Context()) }
	tee.Store(int64(time.Until(expires.Add(-2 * time.Minute))))
	if err := renew(); err == nil {
		t.Fatal("renewed though the launcher is down")
	}
	want("before the expiry", "")
	tee.Store(int64(time.Until(expires)))
	want("at the expiry", "attestation_unavailable")
	if err := renew(); err == nil {
		t.Fatal("renewed though the launcher is down")
	}
	tee.Store(int64(time.Until(expires.Add(time.Hour))))
	want("an hour later", "attestation_unavailable")

	// The platform's clock goes on as well; then it gives attestation again.
	platform.Store(tee.Load())
	if err := cloud.SetKnobs(cloudsim.Knobs{}); err != nil {
		t.Fatal(err)
	}
	want("with the platform back and nothing renewed", "attestation_unavailable")
	if err := renew(); err != nil {
		t.Fatal(err)
	}
	want("renewed", "")
}

// expiryOf returns when the token that the workload shows expires.
func expiryOf(t *testing.T, c *teelink.Client) int64 {
	t.Helper()
	h, err := c.Hello(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(string(h.Token), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Expires int64 `json:"exp"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims.Expires
}

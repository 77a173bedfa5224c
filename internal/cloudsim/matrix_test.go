package cloudsim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/attest/confspace"
	"github.com/sigilkeys/sigil/internal/kms/federation"
	"github.com/sigilkeys/sigil/internal/launcher"
)

// patience of the clients in the matrix: enough for a call that goes well on a
// busy machine, and what each call that hangs takes.
const clientPatience = 2 * time.Second

// matrixCall is one kind of call to one of the cloud's services.
type matrixCall struct {
	name string
	knob func(Fault) Knobs
	make func(*testing.T, *Sim) func(context.Context) (string, error) // what it got, and the error
	kind func(error) string
}

// matrixCalls are all kinds of calls but those of the KMS, which are in the
// conformance suite.
func matrixCalls() []matrixCall {
	onSocket := func(f Fault) Knobs { return Knobs{Socket: f} }
	calls := []matrixCall{
		{"launcher: default token", onSocket, launcherCall(func(ctx context.Context, c *launcher.Client) (string, error) { return c.DefaultToken(ctx) }), launcherKind},
		{"launcher: OIDC token", onSocket, launcherCall(func(ctx context.Context, c *launcher.Client) (string, error) {
			return c.Token(ctx, launcher.OIDC, audience, nonce)
		}), launcherKind},
		{"launcher: PKI token", onSocket, launcherCall(func(ctx context.Context, c *launcher.Client) (string, error) {
			return c.PKIToken(ctx, audience, nonce)
		}), launcherKind},
		{"launcher: for an exchange", onSocket, exchangeCall, codeOf},
		{"sts: exchange", func(f Fault) Knobs { return Knobs{STS: f} }, exchangeCall, codeOf},
	}
	for path, parse := range documents() {
		calls = append(calls, matrixCall{"issuer: " + path, func(f Fault) Knobs { return Knobs{Issuer: f} }, fetchCall(path, parse), issuerKind})
	}
	return calls
}

func launcherCall(do func(context.Context, *launcher.Client) (string, error)) func(*testing.T, *Sim) func(context.Context) (string, error) {
	return func(t *testing.T, s *Sim) func(context.Context) (string, error) {
		c := launcher.New(socket(t, s), clientPatience)
		return func(ctx context.Context) (string, error) { return do(ctx, c) }
	}
}

func launcherKind(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, launcher.ErrRefused):
		return "refused"
	case errors.Is(err, launcher.ErrUnavailable):
		return "unavailable"
	}
	return "other: " + err.Error()
}

// exchangeCall is the workload's way to an access token, without the second
// for which a failure stands.
func exchangeCall(t *testing.T, s *Sim) func(context.Context) (string, error) {
	clock := &fakeClock{now: time.Now()}
	i := s.Info()
	src, err := federation.New(federation.Config{
		TokenURL: i.STSURL, Audience: i.TEEAudience, Roots: roots(t, s), Now: clock.Now,
		Subject: launcher.New(socket(t, s), clientPatience), Timeout: clientPatience,
	})
	must(t, err)
	t.Cleanup(src.Close)
	return func(ctx context.Context) (string, error) {
		clock.move(2 * time.Second)
		token, err := src.Token(ctx)
		src.Invalidate(token)
		return token, err
	}
}

func codeOf(err error) string {
	var coded interface{ Code() string }
	switch {
	case err == nil:
		return ""
	case errors.As(err, &coded):
		return coded.Code()
	}
	return "other: " + err.Error()
}

// documents are those of the issuer, and how a verifier reads each.
func documents() map[string]func([]byte) error {
	return map[string]func([]byte) error{
		"/jwks": func(b []byte) error { _, err := confspace.ParseKeySet(b); return err },
		"/.well-known/confidential_space_root.crt": func(b []byte) error { _, err := confspace.Fingerprint(b); return err },
		"/.well-known/openid-configuration":        memberOf("jwks_uri"),
		"/.well-known/attestation-pki-root":        memberOf("root_ca_uri"),
	}
}

// memberOf finds the address of another document in one.
func memberOf(name string) func([]byte) error {
	return func(b []byte) error {
		var members map[string]any
		if err := json.Unmarshal(b, &members); err != nil {
			return err
		}
		if text, ok := members[name].(string); !ok || !strings.HasPrefix(text, "https://") {
			return fmt.Errorf("%s is %v", name, members[name])
		}
		return nil
	}
}

// fetchCall reads a document as a verifier outside would. No program of ours
// does: workload and SDK have their roots pinned.
func fetchCall(path string, parse func([]byte) error) func(*testing.T, *Sim) func(context.Context) (string, error) {
	return func(t *testing.T, s *Sim) func(context.Context) (string, error) {
		hc := httpsClient(t, s)
		hc.Timeout = clientPatience
		return func(ctx context.Context) (string, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Info().IssuerURL+path, nil)
			if err != nil {
				return "", err
			}
			resp, err := hc.Do(req)
			if err != nil {
				return "", err
			}
			defer resp.Body.Close()
			data, err := io.ReadAll(resp.Body)
			if err != nil {
				return "", err
			}
			if resp.StatusCode != http.StatusOK {
				return "", statusError(resp.StatusCode)
			}
			if err := parse(data); err != nil {
				return "", fmt.Errorf("%w: %w", errDocument, err)
			}
			return string(data), nil
		}
	}
}

type statusError int

func (e statusError) Error() string { return fmt.Sprint("status ", int(e)) }

var errDocument = errors.New("document")

func issuerKind(err error) string {
	var status statusError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &status):
		return status.Error()
	case errors.Is(err, errDocument):
		return "malformed"
	}
	return "unavailable"
}

// outcome is the kind of error that a fault ends in, by the call's service.
func (c matrixCall) outcome(f Fault) string {
	service, _, _ := strings.Cut(c.name, ":")
	switch {
	case f.Mode == FaultSlow:
		return ""
	case service == "sts":
		return "kms_unavailable"
	case c.name == "launcher: for an exchange":
		return "attestation_unavailable"
	case service == "issuer" && f.Mode == FaultGarbage:
		return "malformed"
	case service == "issuer" && (f.Mode == FaultRate || f.Mode == FaultUnavailable):
		return "status " + f.Mode
	}
	return "unavailable"
}

// Every call of the launcher, the STS and the issuer, with every fault: the
// client that we ship gives up in time with the right kind of error, and the
// same client has its answer once the fault is over.
func TestEveryCallWithEveryFault(t *testing.T) {
	t.Parallel()
	faults := []Fault{
		{Mode: FaultSlow, Delay: 80, Count: 2}, {Mode: FaultHang, Count: 1}, {Mode: FaultGarbage, Count: 2},
		{Mode: FaultDoneThenCut, Count: 2}, {Mode: FaultRate, Count: 2}, {Mode: FaultUnavailable, Count: 2},
	}
	for _, c := range matrixCalls() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			do := c.make(t, s)
			answers := func(when string) {
				t.Helper()
				if got, err := do(t.Context()); err != nil || got == "" {
					t.Fatalf("%s: %q, %v", when, got, err)
				}
			}
			answers("no fault")
			for _, f := range faults {
				must(t, s.SetKnobs(c.knob(f)))
				for range f.Count {
					begun := time.Now()
					got, err := do(t.Context())
					took, want := time.Since(begun), c.outcome(f)
					if kind := c.kind(err); kind != want || (got == "") != (want != "") {
						t.Errorf("%s: %q, %v, want %q", f.Mode, got, err, want)
					}
					if took > 2*clientPatience {
						t.Errorf("%s: took %v", f.Mode, took)
					}
					if least := map[string]time.Duration{FaultSlow: 80 * time.Millisecond, FaultHang: clientPatience}[f.Mode]; took < least {
						t.Errorf("%s: took %v only", f.Mode, took)
					}
				}
				answers("after " + f.Mode)
				must(t, s.SetKnobs(Knobs{}))
			}
		})
	}
}

// The same for the ways in which the launcher has no token to give.
func TestEveryLauncherMode(t *testing.T) {
	for _, c := range matrixCalls()[:4] {
		t.Run(c.name, func(t *testing.T) {
			s := start(t)
			do := c.make(t, s)
			for mode, want := range map[string]string{"down": "unavailable", "snp": "refused", "garbage": "unavailable"} {
				if c.name == "launcher: for an exchange" {
					want = "attestation_unavailable"
				}
				must(t, s.SetKnobs(Knobs{Launcher: mode}))
				if got, err := do(t.Context()); got != "" || c.kind(err) != want {
					t.Errorf("%s: %q, %v, want %s", mode, got, err, want)
				}
				must(t, s.SetKnobs(Knobs{}))
				if got, err := do(t.Context()); err != nil || got == "" {
					t.Errorf("after %s: %q, %v", mode, got, err)
				}
			}
		})
	}
}

// An exchange that takes longer than the client waits is one that hangs.
func TestTooSlow(t *testing.T) {
	t.Parallel()
	s := start(t)
	do := exchangeCall(t, s)
	must(t, s.SetKnobs(Knobs{STS: Fault{Mode: FaultSlow, Delay: 60_000, Count: 1}}))
	if got, err := do(t.Context()); got != "" || codeOf(err) != "kms_unavailable" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := do(t.Context()); err != nil || got == "" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
	must(t, s.SetKnobs(Knobs{STS: Fault{Mode: FaultSlow, Delay: 20}, KMS: Fault{Mode: FaultSlow, Delay: 20}}))
	if _, _, err := newClient(t, s, 0).Wrap(t.Context(), &[32]byte{}, []byte(keyAAD)); err != nil {
		t.Errorf("all a little slow: %v", err)
	}
}

// A workload that isn't admitted isn't told that something may pass.
func TestRefusalIsNoFault(t *testing.T) {
	s := start(t)
	do := exchangeCall(t, s)
	must(t, s.SetKnobs(Knobs{Debug: true}))
	if got, err := do(t.Context()); got != "" || codeOf(err) != "kms_denied" {
		t.Errorf("%q, %v", got, err)
	}
}

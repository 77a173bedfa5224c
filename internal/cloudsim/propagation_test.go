package cloudsim

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/launcher"
)

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// fakeClock is a clock that a test moves.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func startAt(t *testing.T, c *fakeClock, quota int) *Sim {
	t.Helper()
	dir := t.TempDir()
	if err := writeFile(filepath.Join(dir, "issuer.pem"), issuerPEM()); err != nil {
		t.Fatal(err)
	}
	s, err := Start(Config{Dir: dir, TokensPerSecond: -1, QuotaPerMinute: quota, Clock: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// trade exchanges an attestation token at the STS for pool 0; refusal is "" or
// the error's code.
func trade(t *testing.T, s *Sim, subject string) (r stsReply, refusal, text string) {
	t.Helper()
	form := url.Values{
		"audience": {s.Info().TEEAudience}, "grant_type": {grantType}, "requested_token_type": {accessType},
		"scope": {"https://www.googleapis.com/auth/cloud-platform"}, "subject_token": {subject}, "subject_token_type": {jwtType},
	}
	code, body := send(t, httpsClient(t, s), "POST", s.Info().STSURL, "application/x-www-form-urlencoded", "", form.Encode())
	var e stsError
	if json.Unmarshal([]byte(body), &r) != nil || json.Unmarshal([]byte(body), &e) != nil || (code == 200) != (r.AccessToken != "") {
		t.Fatalf("%d %s", code, body)
	}
	return r, e.Code, e.Description
}

// exchange trades the launcher's default token.
func exchange(t *testing.T, s *Sim) (access, refusal string) {
	t.Helper()
	subject, err := launcher.New(socket(t, s), 5*time.Second).DefaultToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, refusal, _ := trade(t, s, subject)
	return r.AccessToken, refusal
}

// spreading is a cloud with a delay of two minutes for IAM and of one for keys.
func spreading(t *testing.T) (*Sim, *fakeClock) {
	t.Helper()
	clock := &fakeClock{now: time.Now()}
	s := startAt(t, clock, -1)
	must(t, s.SetImageDigest(release))
	must(t, s.SetKnobs(Knobs{IAMPropagation: 120_000, KeyPropagation: 60_000}))
	return s, clock
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What the STS decides by spreads: a change holds after its delay, and not a
// second earlier.
func TestSTSPropagation(t *testing.T) {
	s, clock := spreading(t)
	now := "unauthorized_client" // no release is admitted
	for _, step := range []struct {
		name   string
		change func() error
		then   string
	}{
		{"admitted", func() error { return s.AdmitRelease(release) }, ""},
		{"condition", func() error { return s.UpdatePool(0, func(p *Pool) { p.Condition = "false" }) }, "unauthorized_client"},
		{"recommended condition", func() error { return s.UpdatePool(0, func(p *Pool) { p.Condition = "" }) }, ""},
		{"audiences", func() error { return s.UpdatePool(0, func(p *Pool) { p.Audiences = []string{"https://x.test"} }) }, "invalid_grant"},
		{"audiences again", func() error { return s.UpdatePool(0, func(p *Pool) { p.Audiences = []string{stsAudience} }) }, ""},
		{"provider disabled", func() error { return s.UpdatePool(0, func(p *Pool) { p.ProviderDisabled = true }) }, "invalid_target"},
		{"provider enabled", func() error { return s.UpdatePool(0, func(p *Pool) { p.ProviderDisabled = false }) }, ""},
		{"pool disabled", func() error { return s.UpdatePool(0, func(p *Pool) { p.Disabled = true }) }, "invalid_target"},
		{"pool enabled", func() error { return s.UpdatePool(0, func(p *Pool) { p.Disabled = false }) }, ""},
		{"withdrawn", func() error { return s.WithdrawRelease(release) }, "unauthorized_client"},
	} {
		if _, got := exchange(t, s); got != now {
			t.Fatalf("before %s: %q, want %q", step.name, got, now)
		}
		must(t, step.change())
		clock.move(119 * time.Second)
		if _, got := exchange(t, s); got != now {
			t.Errorf("%s: in force before it has spread: %q", step.name, got)
		}
		clock.move(2 * time.Second)
		if _, got := exchange(t, s); got != step.then {
			t.Errorf("%s: not in force after it has spread: %q", step.name, got)
		}
		now = step.then
	}
}

// What the KMS decides by spreads, for a token that is out.
func TestKMSPropagation(t *testing.T) {
	s, clock := spreading(t)
	must(t, s.AdmitRelease(release))
	clock.move(121 * time.Second)
	token := ""
	call := func() string {
		t.Helper()
		code, _ := rawEncrypt(t, s, "rest", s.Info().TEEKey, "Bearer "+token)
		return code
	}
	for _, step := range []struct {
		name         string
		change, undo func() error
		then         string
	}{
		{"provider disabled", func() error { return s.UpdatePool(0, func(p *Pool) { p.ProviderDisabled = true }) },
			func() error { return s.UpdatePool(0, func(p *Pool) { p.ProviderDisabled = false }) }, "OK"},
		{"pool disabled", func() error { return s.UpdatePool(0, func(p *Pool) { p.Disabled = true }) },
			func() error { return s.UpdatePool(0, func(p *Pool) { p.Disabled = false }) }, "UNAUTHENTICATED"},
		{"denied", func() error {
			return s.SetDenyRules(DenyRule{DeniedPrincipals: []string{everyone}, DeniedPermissions: []string{denyForm(permEncrypt)}})
		}, func() error { return s.SetDenyRules() }, "PERMISSION_DENIED"},
		{"withdrawn", func() error { return s.WithdrawRelease(release) }, func() error { return s.AdmitRelease(release) }, "PERMISSION_DENIED"},
	} {
		var refusal string
		if token, refusal = exchange(t, s); refusal != "" || call() != "OK" {
			t.Fatalf("before %s: %q", step.name, refusal)
		}
		must(t, step.change())
		clock.move(119 * time.Second)
		if got := call(); got != "OK" {
			t.Errorf("%s: in force before it has spread: %s", step.name, got)
		}
		clock.move(2 * time.Second)
		if got := call(); got != step.then {
			t.Errorf("%s: after it has spread: %s, want %s", step.name, got, step.then)
		}
		must(t, step.undo())
		clock.move(121 * time.Second)
	}
}

// What is in force stays so, and what is under way takes the time it was given
// when the knob was where it was.
func TestTurningPropagation(t *testing.T) {
	s, clock := spreading(t)
	key := s.Info().TEEKey
	must(t, s.SetKnobs(Knobs{}))
	must(t, s.AdmitRelease(release))
	token, refusal := exchange(t, s)
	if refusal != "" {
		t.Fatal(refusal)
	}
	want := func(when, code, exchanged string) {
		t.Helper()
		if got, text := rawEncrypt(t, s, "rest", key, "Bearer "+token); got != code {
			t.Errorf("%s: %s %s, want %s", when, got, text, code)
		}
		if _, got := exchange(t, s); got != exchanged {
			t.Errorf("%s: exchange %q, want %q", when, got, exchanged)
		}
	}
	slow := Knobs{IAMPropagation: 120_000, KeyPropagation: 60_000}

	must(t, s.WithdrawRelease(release))
	want("withdrawn without a delay", "PERMISSION_DENIED", "unauthorized_client")
	must(t, s.SetKnobs(slow))
	want("delay raised", "PERMISSION_DENIED", "unauthorized_client")

	must(t, s.AdmitRelease(release))
	must(t, s.SetKnobs(Knobs{}))
	want("delay lowered", "PERMISSION_DENIED", "unauthorized_client")
	must(t, s.UpdatePool(1, func(p *Pool) { p.Disabled = true })) // overtakes nothing, and takes nothing along
	must(t, s.RotateKey(key))
	want("another change", "PERMISSION_DENIED", "unauthorized_client")
	clock.move(121 * time.Second)
	want("spread", "OK", "")

	must(t, s.SetVersionState(key, 2, StateDisabled))
	want("disabled without a delay", "FAILED_PRECONDITION", "")
	must(t, s.SetKnobs(slow))
	want("delay of keys raised", "FAILED_PRECONDITION", "")
	must(t, s.SetVersionState(key, 2, StateEnabled))
	must(t, s.SetKnobs(Knobs{}))
	want("delay of keys lowered", "FAILED_PRECONDITION", "")
	clock.move(61 * time.Second)
	want("key spread", "OK", "")

	// A change of one kind that takes its time holds none of the other up.
	must(t, s.SetKnobs(slow))
	must(t, s.UpdatePool(1, func(p *Pool) { p.Disabled = false }))
	must(t, s.SetKnobs(Knobs{}))
	must(t, s.SetVersionState(key, 2, StateDisabled))
	want("beside a change of IAM", "FAILED_PRECONDITION", "")
	clock.move(121 * time.Second)
	must(t, s.SetKnobs(slow))
	must(t, s.RotateKey(key))
	must(t, s.SetKnobs(Knobs{}))
	must(t, s.WithdrawRelease(release))
	want("beside a rotation", "PERMISSION_DENIED", "unauthorized_client")
}

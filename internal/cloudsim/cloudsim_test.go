package cloudsim

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sigilkeys/sigil/attest/attesttest"
	"github.com/sigilkeys/sigil/attest/confspace"
	"github.com/sigilkeys/sigil/internal/kms"
	"github.com/sigilkeys/sigil/internal/kms/federation"
	"github.com/sigilkeys/sigil/internal/kms/gcpkms"
	"github.com/sigilkeys/sigil/internal/launcher"
)

const (
	release  = "sha256:848c6b6254f4ecad2e090fcbc93052c3bbdbf5cce5f14860f600ca87ea6e959c"
	imposter = "sha256:11c28ed3507c12c978c67a8ef99ecd403aeae61c3c862ff8e647cc54fca24525"
	audience = "https://sigilkeys.com/evidence/v1"
	keyAAD   = "organization:o:wallet:w:share:tee"
)

var (
	nonce = strings.Repeat("ab", 32)

	// Five RSA keys take a second; clouds of one test process share them.
	issuerPEM = sync.OnceValue(func() []byte {
		issuer, err := attesttest.New("https://unused.test", time.Now())
		if err != nil {
			panic(err)
		}
		text, err := issuer.Marshal()
		if err != nil {
			panic(err)
		}
		return text
	})
)

// startIn starts a cloud in a folder without admitting anything.
func startIn(t testing.TB, dir string) *Sim {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "issuer.pem")); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(filepath.Join(dir, "issuer.pem"), issuerPEM()); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Start(Config{Dir: dir, TokensPerSecond: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// start starts a cloud that runs and admits the release.
func start(t testing.TB) *Sim {
	t.Helper()
	s := startIn(t, t.TempDir())
	if err := errors.Join(s.SetImageDigest(release), s.AdmitRelease(release)); err != nil {
		t.Fatal(err)
	}
	return s
}

// socket is the launcher's path, shortened where the test's folder is long.
func socket(t testing.TB, s *Sim) string {
	t.Helper()
	short, cleanup, err := ShortPath(s.Info().Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cleanup)
	return short
}

func roots(t testing.TB, s *Sim) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(s.Info().CAPEM)) {
		t.Fatal("no certificate in CAPEM")
	}
	return pool
}

// tokens is the workload's path to an access token for key 0 or 1.
func tokens(t testing.TB, s *Sim, key int) *federation.Source {
	t.Helper()
	i := s.Info()
	src, err := federation.New(federation.Config{
		TokenURL: i.STSURL, Audience: []string{i.TEEAudience, i.ProviderAudience}[key], Roots: roots(t, s),
		Subject: launcher.New(socket(t, s), 5*time.Second), Timeout: 10 * time.Second, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(src.Close)
	return src
}

type tokenSource interface {
	Token(context.Context) (string, error)
}

type fixedToken string

func (f fixedToken) Token(context.Context) (string, error) { return string(f), nil }

func client(t testing.TB, s *Sim, key int, src tokenSource, timeout time.Duration) *gcpkms.Client {
	t.Helper()
	i := s.Info()
	c, err := gcpkms.New(gcpkms.Config{
		KeyName: []string{i.TEEKey, i.ProviderKey}[key], BaseURL: i.KMSURL, RootCAs: roots(t, s), Token: src,
		Timeout: timeout, Backoff: 5 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func newClient(t testing.TB, s *Sim, key int) *gcpkms.Client {
	t.Helper()
	return client(t, s, key, tokens(t, s, key), 5*time.Second)
}

func TestRoundTrip(t *testing.T) {
	s := start(t)
	tee, provider := newClient(t, s, 0), newClient(t, s, 1)
	dek := [32]byte{1, 2, 3}
	for i, k := range []*gcpkms.Client{tee, provider} {
		wrapped, name, err := k.Wrap(t.Context(), &dek, []byte(keyAAD))
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{s.Info().TEEKey, s.Info().ProviderKey}[i] + "/cryptoKeyVersions/1"; name != want {
			t.Fatalf("wrapped by %q, want %q", name, want)
		}
		var got [32]byte
		if err := k.Unwrap(t.Context(), wrapped, []byte(keyAAD), &got); err != nil || got != dek {
			t.Fatal("not the DEK", err)
		}
		plain, err := s.Unwrap(name, wrapped, []byte(keyAAD))
		if err != nil || [32]byte(plain) != dek {
			t.Fatal("Unwrap", err)
		}
		if _, err := s.Unwrap(name, wrapped, []byte("other")); err == nil {
			t.Fatal("Unwrap with another AAD")
		}
	}
	audit := s.Audit(0)
	want := "principal://iam.googleapis.com/projects/100000000001/locations/global/workloadIdentityPools/sigil-tee/subject/gcpcs::" + release + "::100000000001::7757650102930921744"
	if len(audit) != 4 || audit[0].Principal != want || audit[0].Permission != permEncrypt || audit[1].Permission != permDecrypt ||
		audit[0].Decision != DecisionAllow || audit[0].Status != "OK" || audit[0].Key != s.Info().TEEKey {
		t.Fatalf("audit %+v", audit)
	}
	if got := s.Audit(3); len(got) != 1 || got[0].Seq != 4 {
		t.Fatalf("audit after 3: %+v", got)
	}
}

// A lax condition lets an image pass the STS; the key's binding still stops it.
func TestWrongDigestRefusedByKMS(t *testing.T) {
	s := start(t)
	lax := `assertion.swname == 'CONFIDENTIAL_SPACE'`
	if err := s.UpdatePool(0, func(p *Pool) { p.Condition = lax }); err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]Knobs{"other image": {ImageDigest: imposter}, "debug image": {Debug: true}} {
		if err := s.SetKnobs(k); err != nil {
			t.Fatal(err)
		}
		_, _, err := newClient(t, s, 0).Wrap(t.Context(), &[32]byte{}, []byte(keyAAD))
		wantKind(t, name, err, kms.Denied)
	}
	last := s.Audit(0)
	if e := last[len(last)-1]; e.Decision != DecisionDeny || e.Status != "PERMISSION_DENIED" {
		t.Fatalf("%+v", e)
	}
}

func wantKind(t *testing.T, what string, err error, want kms.Kind) {
	t.Helper()
	var e *kms.Error
	if !errors.As(err, &e) || e.Kind != want {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// Tokens of one pool don't open the other project's key, and the owner of a
// project is stopped by the deny policy alone.
func TestSeparation(t *testing.T) {
	s := start(t)
	cross := client(t, s, 1, tokens(t, s, 0), 5*time.Second)
	_, _, err := cross.Wrap(t.Context(), &[32]byte{}, []byte(keyAAD))
	wantKind(t, "TEE pool's token on the provider key", err, kms.Denied)

	token, err := s.UserToken("user:owner@sigil-tee.test")
	if err != nil {
		t.Fatal(err)
	}
	owner := client(t, s, 0, fixedToken(token), 5*time.Second)
	_, _, err = owner.Wrap(t.Context(), &[32]byte{}, []byte(keyAAD))
	wantKind(t, "owner", err, kms.Denied)
	if err := s.SetDenyRules(); err != nil {
		t.Fatal(err)
	}
	if _, _, err = owner.Wrap(t.Context(), &[32]byte{}, []byte(keyAAD)); err != nil {
		t.Fatalf("canary: without the deny policy the owner gets through: %v", err)
	}
	_, _, err = client(t, s, 0, fixedToken("ya29.forged"), time.Second).Wrap(t.Context(), &[32]byte{}, []byte(keyAAD))
	wantKind(t, "forged token", err, kms.Denied)
}

// What ends access: withdrawing the binding and disabling the pool at once,
// disabling the provider not for tokens that are out.
func TestRevocation(t *testing.T) {
	s := start(t)
	k := newClient(t, s, 0)
	wrap := func() error {
		_, _, err := k.Wrap(t.Context(), &[32]byte{}, []byte(keyAAD))
		return err
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(wrap())
	must(s.UpdatePool(0, func(p *Pool) { p.ProviderDisabled = true }))
	must(wrap())
	if _, err := tokens(t, s, 0).Token(t.Context()); !errors.Is(err, federation.ErrDenied) {
		t.Fatalf("provider disabled: %v", err)
	}
	must(s.UpdatePool(0, func(p *Pool) { p.ProviderDisabled, p.Disabled = false, true }))
	if wrap() == nil {
		t.Fatal("pool disabled, and the old token works")
	}
	must(s.UpdatePool(0, func(p *Pool) { p.Disabled = false }))
	k = newClient(t, s, 0)
	must(wrap())
	must(s.WithdrawRelease(release))
	wantKind(t, "withdrawn", wrap(), kms.Denied)
	if _, err := tokens(t, s, 0).Token(t.Context()); !errors.Is(err, federation.ErrDenied) {
		t.Fatalf("withdrawn: %v", err)
	}
}

func TestKeyVersions(t *testing.T) {
	s := start(t)
	k, name := newClient(t, s, 0), s.Info().TEEKey
	dek := [32]byte{9}
	old, _, err := k.Wrap(t.Context(), &dek, []byte(keyAAD))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RotateKey(name); err != nil {
		t.Fatal(err)
	}
	if _, by, err := k.Wrap(t.Context(), &dek, []byte(keyAAD)); err != nil || by != name+"/cryptoKeyVersions/2" {
		t.Fatal(by, err)
	}
	unwrap := func() error {
		var got [32]byte
		err := k.Unwrap(t.Context(), old, []byte(keyAAD), &got)
		if err == nil && got != dek {
			t.Fatal("another DEK")
		}
		return err
	}
	for _, step := range []struct {
		to string
		ok bool
	}{{StateEnabled, true}, {StateDisabled, false}, {StateEnabled, true}, {StateDestroyScheduled, false}, {StateDisabled, false}, {StateDestroyed, false}} {
		if err := s.SetVersionState(name, 1, step.to); err != nil {
			t.Fatal(err)
		}
		if err := unwrap(); (err == nil) != step.ok {
			t.Fatalf("%s: %v", step.to, err)
		}
	}
	if s.SetVersionState(name, 1, StateEnabled) == nil || unwrap() == nil {
		t.Fatal("destroyed version came back")
	}
}

func TestEvidence(t *testing.T) {
	s := start(t)
	c := launcher.New(socket(t, s), 5*time.Second)
	root, err := hex.DecodeString(s.Info().PKIRootSHA256)
	if err != nil {
		t.Fatal(err)
	}
	trust := confspace.Trust{PKIRoot: [32]byte(root)}
	e := confspace.Expectation{
		Issuer: s.Info().IssuerURL, Audience: audience, Hardware: s.Info().Hardware, ProjectID: s.Info().ProjectID,
		ServiceAccount: s.Info().ServiceAccount, ImageDigests: s.Releases(), Nonce: nonce,
	}
	check := func() error {
		token, err := c.PKIToken(t.Context(), audience, nonce)
		if err != nil {
			return err
		}
		if len(token) > launcher.MaxToken {
			t.Fatalf("token of %d bytes", len(token))
		}
		claims, err := confspace.Verify(token, trust, time.Now())
		if err != nil {
			return err
		}
		return confspace.Validate(claims, e, time.Now())
	}
	if err := check(); err != nil {
		t.Fatal(err)
	}
	for want, k := range map[confspace.Reason]Knobs{
		confspace.ReasonImageDigest: {ImageDigest: imposter}, confspace.ReasonDebug: {DebugStable: true}, confspace.ReasonNotStable: {NoStable: true},
		confspace.ReasonSecureBoot: {SecureBootOff: true}, confspace.ReasonExpired: {Expired: true}, confspace.ReasonIssuedInFuture: {Future: true},
		confspace.ReasonRoot: {ForeignIssuer: true}, confspace.ReasonEnvOverride: {EnvOverride: true}, confspace.ReasonCmdOverride: {CmdOverride: true},
		confspace.ReasonNonce: {Replay: true}, confspace.ReasonSoftware: {Software: "GCE"}, confspace.ReasonHardware: {Hardware: "GCP_SHIELDED_VM"},
		confspace.ReasonProject: {ProjectID: "evil"}, confspace.ReasonServiceAccount: {ServiceAccount: "evil@x"},
	} {
		if err := s.SetKnobs(k); err != nil {
			t.Fatal(err)
		}
		var r *confspace.Refusal
		if err := check(); !errors.As(err, &r) || r.Reason != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestLauncherTexts(t *testing.T) {
	s := startIn(t, t.TempDir())
	path := socket(t, s)
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	call := func(method, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://x/v1/token", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.Header.Get("Content-Type") != "text/html" {
			t.Fatal(err, resp.Header)
		}
		return resp.StatusCode, string(b)
	}
	if code, text := call("GET", ""); code != 500 || text != "no GCA verifier client present, please try rebooting your VM" {
		t.Errorf("no image: %d %s", code, text)
	}
	if err := s.SetImageDigest(release); err != nil {
		t.Fatal(err)
	}
	n := `"nonces":["` + nonce + `"]`
	for name, c := range map[string]struct {
		method, body string
		code         int
		text         string
	}{
		"default":       {"GET", "", 200, ""},
		"oidc":          {"POST", `{"audience":"a",` + n + `,"token_type":"OIDC"}`, 200, ""},
		"unknown field": {"POST", `{"x":1}`, 400, `failed to parse POST body as TokenOptions: json: unknown field "x"`},
		"no audience":   {"POST", `{}`, 400, "use GET request for the default identity token"},
		"no type":       {"POST", `{"audience":"a"}`, 400, "token_type is a required parameter"},
		"put":           {"PUT", "", 400, "TEE server received an invalid HTTP method: PUT"},
		"sts audience":  {"POST", `{"audience":"https://sts.googleapis.com",` + n + `,"token_type":"OIDC"}`, 400, "failed to retrieve custom attestation service token: "},
		"short nonce":   {"POST", `{"audience":"a","nonces":["123456789"],"token_type":"OIDC"}`, 400, "failed to retrieve custom attestation service token: "},
		"seven nonces":  {"POST", `{"audience":"a","nonces":["` + strings.Repeat(nonce+`","`, 6) + nonce + `"],"token_type":"OIDC"}`, 400, "failed to retrieve"},
		"long audience": {"POST", `{"audience":"` + strings.Repeat("a", 513) + `",` + n + `,"token_type":"PKI"}`, 400, "failed to retrieve"},
	} {
		code, text := call(c.method, c.body)
		if code != c.code || !strings.HasPrefix(text, c.text) || (code == 200 && strings.Count(text, ".") != 2) {
			t.Errorf("%s: %d %s", name, code, text)
		}
	}
	for knob, want := range map[string]int{"down": 500, "snp": 400, "garbage": 200} {
		if err := s.SetKnobs(Knobs{Launcher: knob}); err != nil {
			t.Fatal(err)
		}
		if code, _ := call("GET", ""); code != want {
			t.Errorf("%s: %d", knob, code)
		}
		if _, err := launcher.New(path, time.Second).DefaultToken(t.Context()); err == nil {
			t.Errorf("%s: client got a token", knob)
		}
	}
}

func TestQuota(t *testing.T) {
	var b bucket
	now := time.Unix(1e9, 0)
	count := func() (n int) {
		for range 20 {
			if b.take(now, 5) {
				n++
			}
		}
		return n
	}
	if n := count(); n != 5 {
		t.Fatalf("%d at once", n)
	}
	now = now.Add(400 * time.Millisecond)
	if n := count(); n != 2 {
		t.Fatalf("%d after 400 ms", n)
	}
	now = now.Add(-time.Hour)
	if n := count(); n != 0 {
		t.Fatalf("%d after the clock went back", n)
	}
	if !b.take(now, -1) {
		t.Fatal("no quota")
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

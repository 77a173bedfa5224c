package confspace_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/attest/attesttest"
	"github.com/sigilkeys/sigil/attest/confspace"
)

const (
	issuerURL = "https://issuer.test"
	digest    = "sha256:848c6b6254f4ecad2e090fcbc93052c3bbdbf5cce5f14860f600ca87ea6e959c"
	audience  = "https://sigilkeys.com/evidence/v1"
	nonce     = "2f1d0f1f57d2e6b6b7a4c0a6a4c2e0a3f4a5b6c7d8e9f00112233445566778899"
)

var (
	start = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

	// RSA keys take most of a second to make; the issuers are read only.
	issuers = sync.OnceValue(func() [2]*attesttest.Issuer {
		var out [2]*attesttest.Issuer
		for i := range out {
			issuer, err := attesttest.New(issuerURL, start)
			if err != nil {
				panic(err)
			}
			out[i] = issuer
		}
		return out
	})
)

func workload() attesttest.Workload {
	return attesttest.Workload{
		ImageDigest: digest, ImageReference: "registry.test/sigil@" + digest,
		ProjectID: "sigil-tee", ProjectNumber: "119354020768", Zone: "us-central1-b",
		InstanceName: "sigil-0", InstanceID: "7757650102930921744",
		ServiceAccount: "sigil@sigil-tee.iam.gserviceaccount.com", Hardware: confspace.HardwareSEV,
		Env: map[string]string{"HOSTNAME": "sigil-0"}, Args: []string{"/sigil-tee"},
	}
}

func expectation() confspace.Expectation {
	return confspace.Expectation{
		Issuer: issuerURL, Audience: audience, Hardware: []string{confspace.HardwareSEV, confspace.HardwareTDX},
		ProjectID: "sigil-tee", ServiceAccount: "sigil@sigil-tee.iam.gserviceaccount.com",
		ImageDigests: []string{"sha256:00", digest}, Nonce: nonce,
	}
}

func payload(t testing.TB, w attesttest.Workload) []byte {
	t.Helper()
	p, err := w.Payload(issuerURL, attesttest.Request{Audience: audience, Nonces: []string{nonce}, IssuedAt: start})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func trust(t testing.TB) confspace.Trust {
	t.Helper()
	jwks, err := issuers()[0].JWKS()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := confspace.ParseKeySet(jwks)
	if err != nil {
		t.Fatal(err)
	}
	return confspace.Trust{PKIRoot: issuers()[0].RootSHA256(), Keys: keys}
}

func must(t testing.TB) func(string, error) string {
	return func(s string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func wantReason(t *testing.T, err error, want confspace.Reason) {
	t.Helper()
	var r *confspace.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("got %v, want a refusal %q", err, want)
	}
	if r.Reason != want {
		t.Fatalf("got reason %q (%v), want %q", r.Reason, err, want)
	}
}

func TestGoodTokens(t *testing.T) {
	iss := issuers()[0]
	for _, hw := range []string{confspace.HardwareSEV, confspace.HardwareTDX} {
		w := workload()
		w.Hardware = hw
		p := payload(t, w)
		for source, token := range map[confspace.Source]string{
			confspace.SourceOIDC: must(t)(iss.OIDC(p)), confspace.SourcePKI: must(t)(iss.PKI(p)),
		} {
			c, err := confspace.Verify(token, trust(t), start)
			if err != nil {
				t.Fatal(err)
			}
			if c.Source != source || string(c.Payload()) != string(p) || c.ProjectNumber != "119354020768" {
				t.Fatalf("claims %+v", c)
			}
			if err := confspace.Validate(c, expectation(), start.Add(time.Hour+59*time.Second)); err != nil {
				t.Fatal(err)
			}
			// Archived: validated years later at the instant it was used.
			e := expectation()
			e.At = start.Add(time.Minute)
			if err := confspace.Validate(c, e, start.AddDate(8, 0, 0)); err != nil {
				t.Fatal(err)
			}
			e.Issuer += "/"
			if err := confspace.Validate(c, e, start); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Tokens that differ from a good one in one claim, with the reason for which
// each is refused. The signature of each is good.
func TestClaimsRefused(t *testing.T) {
	good := string(payload(t, workload()))
	for name, c := range badClaims() {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, c.old, c.new, 1)
			if bad == good {
				t.Fatalf("canary: %q is not in %s", c.old, good)
			}
			for _, token := range []string{must(t)(issuers()[0].PKI([]byte(bad))), must(t)(issuers()[0].OIDC([]byte(bad)))} {
				claims, err := confspace.Verify(token, trust(t), start)
				if err == nil {
					err = confspace.Validate(claims, expectation(), start)
				}
				wantReason(t, err, c.want)
			}
		})
	}
}

// Members that Google adds or has written in the past don't matter.
func TestClaimsTolerated(t *testing.T) {
	good := string(payload(t, workload()))
	for name, c := range map[string][2]string{
		"unknown claim":   {`"secboot":true`, `"secboot":true,"ueid":"x"`},
		"null overrides":  {`"env":{`, `"cmd_override":null,"env_override":null,"env":{`},
		"empty overrides": {`"env":{`, `"cmd_override":[],"env_override":{},"env":{`},
		"nonce list":      {`"eat_nonce":"` + nonce + `"`, `"eat_nonce":["` + nonce + `"]`},
		"skew":            {`"nbf":1795608000`, `"nbf":1795608060`},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(good, c[0], c[1], 1)
			if changed == good {
				t.Fatal("canary: nothing was replaced")
			}
			claims, err := confspace.Verify(must(t)(issuers()[0].PKI([]byte(changed))), trust(t), start)
			if err != nil {
				t.Fatal(err)
			}
			if err := confspace.Validate(claims, expectation(), start); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestIncompleteExpectationRefusesAll(t *testing.T) {
	claims, err := confspace.Verify(must(t)(issuers()[0].PKI(payload(t, workload()))), trust(t), start)
	if err != nil {
		t.Fatal(err)
	}
	for name, strip := range map[string]func(*confspace.Expectation){
		"zero":           func(e *confspace.Expectation) { *e = confspace.Expectation{} },
		"issuer":         func(e *confspace.Expectation) { e.Issuer = "" },
		"audience":       func(e *confspace.Expectation) { e.Audience = "" },
		"hardware":       func(e *confspace.Expectation) { e.Hardware = nil },
		"empty hardware": func(e *confspace.Expectation) { e.Hardware = []string{confspace.HardwareSEV, ""} },
		"project":        func(e *confspace.Expectation) { e.ProjectID = "" },
		"account":        func(e *confspace.Expectation) { e.ServiceAccount = "" },
		"digests":        func(e *confspace.Expectation) { e.ImageDigests = nil },
		"empty digest":   func(e *confspace.Expectation) { e.ImageDigests = []string{digest, ""} },
		"nonce":          func(e *confspace.Expectation) { e.Nonce = "" },
	} {
		t.Run(name, func(t *testing.T) {
			e := expectation()
			strip(&e)
			wantReason(t, confspace.Validate(claims, e, start), confspace.ReasonExpectation)
		})
	}
	wantReason(t, confspace.Validate(claims, expectation(), time.Time{}), confspace.ReasonExpectation)
	wantReason(t, confspace.Validate(nil, expectation(), start), confspace.ReasonMalformed)
	wantReason(t, confspace.Validate(&confspace.Claims{}, expectation(), start), confspace.ReasonIssuer)
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func header(t *testing.T, members map[string]any) []byte {
	t.Helper()
	h, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Tokens that somebody forged or bent; none is authentic.
func TestForgeriesRefused(t *testing.T) {
	for name, c := range forgeries(t) {
		t.Run(name, func(t *testing.T) {
			_, err := confspace.Verify(c.token, trust(t), start)
			wantReason(t, err, c.want)
		})
	}
	p := payload(t, workload())
	pki, oidc := must(t)(issuers()[0].PKI(p)), must(t)(issuers()[0].OIDC(p))
	_, err := confspace.Verify(pki, confspace.Trust{}, start)
	wantReason(t, err, confspace.ReasonUntrusted)
	_, err = confspace.Verify(oidc, confspace.Trust{}, start)
	wantReason(t, err, confspace.ReasonUntrusted)
	for _, at := range []time.Time{{}, start.AddDate(-1, 0, 0), start.AddDate(11, 0, 0)} {
		_, err = confspace.Verify(pki, trust(t), at)
		wantReason(t, err, confspace.ReasonChain)
	}
	// The certificates' life with the difference that clocks may have.
	from, to := start.Add(-time.Hour-confspace.Skew), start.AddDate(10, 0, 0).Add(confspace.Skew)
	for _, at := range []time.Time{from, to} {
		if _, err := confspace.Verify(pki, trust(t), at); err != nil {
			t.Errorf("at the edge %s: %v", at, err)
		}
	}
	for _, at := range []time.Time{from.Add(-time.Second), to.Add(time.Second)} {
		_, err = confspace.Verify(pki, trust(t), at)
		wantReason(t, err, confspace.ReasonChain)
	}
}

func TestKeySetRefused(t *testing.T) {
	n := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 256)))
	key := func(kid, n, e string) string {
		return `{"kty":"RSA","alg":"RS256","use":"sig","kid":"` + kid + `","n":"` + n + `","e":"` + e + `"}`
	}
	for name, text := range map[string]string{
		"empty":        ``,
		"no keys":      `{"keys":[]}`,
		"only EC":      `{"keys":[{"kty":"EC","alg":"ES256","use":"sig","kid":"a"}]}`,
		"no kid":       `{"keys":[` + key("", n, "AQAB") + `]}`,
		"twice":        `{"keys":[` + key("a", n, "AQAB") + `,` + key("a", n, "AQAB") + `]}`,
		"small":        `{"keys":[` + key("a", base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 128))), "AQAB") + `]}`,
		"exponent 1":   `{"keys":[` + key("a", n, "AQ") + `]}`,
		"no exponent":  `{"keys":[` + key("a", n, "") + `]}`,
		"bad modulus":  `{"keys":[` + key("a", n+"=", "AQAB") + `]}`,
		"large":        strings.Repeat(" ", 1<<17),
		"duplicate":    `{"keys":[],"keys":[` + key("a", n, "AQAB") + `]}`,
		"encryption":   `{"keys":[{"kty":"RSA","alg":"RS256","use":"enc","kid":"a","n":"` + n + `","e":"AQAB"}]}`,
		"huge modulus": `{"keys":[` + key("a", strings.Repeat(n, 3), "AQAB") + `]}`,
	} {
		if _, err := confspace.ParseKeySet([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if confspace.GooglePKIRoot() == ([32]byte{}) {
		t.Error("Google's root fingerprint doesn't parse")
	}
	for _, bad := range []string{"", "00", strings.ToUpper(confspace.GooglePKIRootSHA256), confspace.GooglePKIRootSHA256 + "00"} {
		if _, err := confspace.ParseFingerprint(bad); err == nil {
			t.Errorf("fingerprint %q accepted", bad)
		}
	}
	got, err := confspace.Fingerprint(issuers()[0].RootPEM())
	if err != nil || got != issuers()[0].RootSHA256() {
		t.Errorf("fingerprint of PEM: %x, %v", got, err)
	}
}

func TestIssuerSurvivesMarshal(t *testing.T) {
	text, err := issuers()[0].Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := attesttest.Load(issuerURL, text)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{must(t)(again.PKI(payload(t, workload()))), must(t)(again.OIDC(payload(t, workload())))} {
		if _, err := confspace.Verify(token, trust(t), start); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever bytes come, Verify accepts only what the issuer signed.
func FuzzVerify(f *testing.F) {
	p := payload(f, workload())
	pki, oidc := must(f)(issuers()[0].PKI(p)), must(f)(issuers()[0].OIDC(p))
	for _, seed := range []string{pki, oidc, pki[:100], "..", "a.b.c"} {
		f.Add(seed)
	}
	anchors := trust(f)
	f.Fuzz(func(t *testing.T, token string) {
		c, err := confspace.Verify(token, anchors, start)
		var r *confspace.Refusal
		switch {
		case err == nil && string(c.Payload()) != string(p):
			t.Fatalf("accepted %q", token)
		case err != nil && !errors.As(err, &r):
			t.Fatalf("error is no refusal: %v", err)
		}
	})
}

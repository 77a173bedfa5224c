package cloudsim

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// overSocket is a client of the launcher's socket that knows nothing of it.
func overSocket(t *testing.T, s *Sim) *http.Client {
	t.Helper()
	path := socket(t, s)
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}}}
}

type plainReply struct {
	code   int
	header http.Header
	body   string
	err    error
}

func plainly(t *testing.T, hc *http.Client, method, target, body string) plainReply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	must(t, err)
	resp, err := hc.Do(req)
	if err != nil {
		return plainReply{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return plainReply{resp.StatusCode, resp.Header, string(b), err}
}

// launcherCalls are the calls that the socket takes.
func launcherCalls() map[string]string {
	options := `{"audience":"` + audience + `","nonces":["` + nonce + `"],"token_type":`
	return map[string]string{"": "", "OIDC": options + `"OIDC"}`, "PKI": options + `"PKI"}`}
}

// The launcher passes failures of the attestation service on as its source
// does: text/html, its own prefix, and 500 for what may pass.
func TestLauncherFaults(t *testing.T) {
	s := start(t)
	hc := overSocket(t, s)
	for kind, body := range launcherCalls() {
		method, prefix := http.MethodPost, failedCustom
		if body == "" {
			method, prefix = http.MethodGet, failedDefault
		}
		call := func() plainReply {
			r := plainly(t, hc, method, "http://x/v1/token", body)
			if r.err == nil && r.header.Get("Content-Type") != "text/html" {
				t.Errorf("%s: content type %q", kind, r.header.Get("Content-Type"))
			}
			return r
		}
		isToken := func(r plainReply) bool {
			return r.err == nil && r.code == http.StatusOK && strings.Count(r.body, ".") == 2 && strings.HasPrefix(r.body, "ey")
		}
		for name, c := range map[string]struct {
			knobs Knobs
			code  int
			text  string
		}{
			"over quota":  {Knobs{Socket: Fault{Mode: FaultRate}}, 500, prefix + "calling v1.VerifyConfidentialSpace in us-central1: googleapi: Error 429: "},
			"unavailable": {Knobs{Socket: Fault{Mode: FaultUnavailable}}, 500, prefix + "calling v1.VerifyConfidentialSpace in us-central1: googleapi: Error 503: "},
			"garbage":     {Knobs{Socket: Fault{Mode: FaultGarbage}}, 200, "<html>"},
			"down":        {Knobs{Launcher: "down"}, 500, "no GCA verifier client present, please try rebooting your VM"},
			"babbling":    {Knobs{Launcher: "garbage"}, 200, "<html>"},
			"no SEV-SNP": {Knobs{Launcher: "snp"}, 400, prefix + "calling v1.VerifyConfidentialSpace in us-central1: googleapi: Error 400: " +
				"attestation failed: AMD SEV-SNP is not currently supported by Google Cloud Attestation"},
		} {
			must(t, s.SetKnobs(c.knobs))
			if r := call(); r.err != nil || r.code != c.code || !strings.HasPrefix(r.body, c.text) || isToken(r) {
				t.Errorf("%s, %s: %+v", kind, name, r)
			}
			must(t, s.SetKnobs(Knobs{}))
			if r := call(); !isToken(r) {
				t.Errorf("%s after %s: %+v", kind, name, r)
			}
		}
		must(t, s.SetKnobs(Knobs{Socket: Fault{Mode: FaultSlow, Delay: 100}}))
		if begun, r := time.Now(), call(); !isToken(r) || time.Since(begun) < 100*time.Millisecond {
			t.Errorf("%s, slow: %+v after %v", kind, r, time.Since(begun))
		}
	}
}

// A call that is cut off was done: it is counted where calls are counted.
func TestDoneThenCutIsDone(t *testing.T) {
	clock := &fakeClock{now: time.Now()}
	dir := t.TempDir()
	must(t, writeFile(dir+"/issuer.pem", issuerPEM()))
	s, err := Start(Config{Dir: dir, TokensPerSecond: 1, Clock: clock.Now})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	must(t, s.SetImageDigest(release))
	must(t, s.AdmitRelease(release))
	hc := overSocket(t, s)
	must(t, s.SetKnobs(Knobs{Socket: Fault{Mode: FaultDoneThenCut, Count: 1}}))
	if r := plainly(t, hc, "GET", "http://x/v1/token", ""); r.err == nil {
		t.Fatalf("not cut off: %+v", r)
	}
	if r := plainly(t, hc, "GET", "http://x/v1/token", ""); r.code != 500 || r.body != failedDefault+overQuota || r.header.Get("Content-Type") != "text/html" {
		t.Errorf("the call that was cut off isn't counted: %+v", r)
	}
	clock.move(time.Second)
	if r := plainly(t, hc, "GET", "http://x/v1/token", ""); r.code != 200 {
		t.Errorf("a second later: %+v", r)
	}
}

// The issuer's documents fail as Google's services do, each of them, for as
// many calls as were asked for.
func TestIssuerFaults(t *testing.T) {
	s := start(t)
	hc := httpsClient(t, s)
	for path, parse := range documents() {
		get := func() plainReply { return plainly(t, hc, "GET", s.Info().IssuerURL+path, "") }
		healthy := get()
		if healthy.err != nil || healthy.code != 200 || parse([]byte(healthy.body)) != nil {
			t.Fatalf("%s: %+v", path, healthy)
		}
		for mode, check := range map[string]func(plainReply) bool{
			FaultRate: func(r plainReply) bool {
				return r.err == nil && r.code == 429 && r.header.Get("Retry-After") != "" && googleStatus(r) == "RESOURCE_EXHAUSTED"
			},
			FaultUnavailable: func(r plainReply) bool { return r.err == nil && r.code == 503 && googleStatus(r) == "UNAVAILABLE" },
			FaultGarbage:     func(r plainReply) bool { return r.err == nil && r.code == 200 && parse([]byte(r.body)) != nil },
			FaultDoneThenCut: func(r plainReply) bool { return r.err != nil },
			FaultSlow:        func(r plainReply) bool { return r.err == nil && r.body == healthy.body },
		} {
			must(t, s.SetKnobs(Knobs{Issuer: Fault{Mode: mode, Delay: 50, Count: 2}}))
			for n := range 2 {
				begun := time.Now()
				if r := get(); !check(r) || (mode == FaultSlow && time.Since(begun) < 50*time.Millisecond) {
					t.Errorf("%s, %s, call %d: %+v after %v", path, mode, n+1, r, time.Since(begun))
				}
			}
			if r := get(); r.body != healthy.body {
				t.Errorf("%s after %s: %+v", path, mode, r)
			}
		}
	}
	// Each service's knob is its own.
	must(t, s.SetKnobs(Knobs{Issuer: Fault{Mode: FaultUnavailable}}))
	if _, refusal := exchange(t, s); refusal != "" {
		t.Errorf("launcher or STS fail with the issuer: %s", refusal)
	}
}

func googleStatus(r plainReply) string {
	var e struct {
		Error struct{ Status string }
	}
	if json.Unmarshal([]byte(r.body), &e) != nil {
		return ""
	}
	return e.Error.Status
}

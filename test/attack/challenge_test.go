package attack

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/launcher"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/stack"
)

// askChallenge sends one challenge and checks the answer's path.
func askChallenge(c *http.Client, base string) (*api.Attestation, error) {
	var value [32]byte
	if _, err := rand.Read(value[:]); err != nil {
		return nil, err
	}
	res, err := c.Get(base + "/v1/attestation?challenge=" + hex.EncodeToString(value[:]))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	var reply struct {
		Data  *api.Attestation `json:"data"`
		Error *api.Error       `json:"error"`
	}
	if err := json.Unmarshal(body, &reply); err != nil || reply.Data == nil || reply.Data.Challenge == nil {
		return nil, fmt.Errorf("status %d: %.200s (%v)", res.StatusCode, body, err)
	}
	st, err := receipt.DecodeStatement(reply.Data.Evidence.Statement)
	if err != nil {
		return nil, err
	}
	p := reply.Data.Challenge
	path := make([][32]byte, len(p.Path))
	for i, h := range p.Path {
		path[i] = [32]byte(h)
	}
	return reply.Data, receipt.VerifyPath(value[:], p.Index, p.Count, path, st.Challenges)
}

// However many ask, the platform makes one token a second for them, and every
// answer proves its own challenge.
func TestManyChallenges(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	const callers, rounds = 1000, 3
	c := &http.Client{Transport: &http.Transport{MaxConnsPerHost: callers, MaxIdleConnsPerHost: callers}, Timeout: 30 * time.Second}
	defer c.CloseIdleConnections()
	var mu sync.Mutex
	tokens := map[string]int{}
	var failures []error
	var group sync.WaitGroup
	began := time.Now()
	for range callers {
		group.Go(func() {
			for range rounds {
				a, err := askChallenge(c, s.API.URL)
				mu.Lock()
				if err != nil {
					failures = append(failures, err)
				} else {
					tokens[a.Evidence.Token]++
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	took := time.Since(began)
	if len(failures) > 0 {
		t.Fatalf("%d of %d failed, the first: %v", len(failures), callers*rounds, failures[0])
	}
	// One at once, and one for each second that began since.
	if most := int(took/time.Second) + 1; len(tokens) > most {
		t.Errorf("%d tokens in %v, at most %d allowed", len(tokens), took, most)
	}
	t.Logf("%d challenges in %v, %.0f a second: %d tokens", callers*rounds, took.Round(time.Millisecond), float64(callers*rounds)/took.Seconds(), len(tokens))
}

// The TEE itself keeps to one a second, whatever the control plane asks.
func TestImpatientControlPlane(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	c, err := s.Link.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	given, refused := 0, 0
	for i := range 200 {
		switch _, err := c.Attest(t.Context(), [32]byte{byte(i)}); {
		case err == nil:
			given++
		case strings.HasPrefix(err.Error(), string(api.CodeAttestationBusy)):
			refused++
		default:
			t.Fatal(err)
		}
	}
	if most := int(time.Since(began)/time.Second) + 1; given < 1 || given > most || given+refused != 200 {
		t.Errorf("%d tokens in %v, %d refused", given, time.Since(began), refused)
	}
}

// exchange shows a token to the STS, and returns what it said.
func exchange(t *testing.T, s *stack.Stack, audience, token string) (status int, reply string) {
	t.Helper()
	info := s.Cloud.Info()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(info.CAPEM))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	res, err := c.PostForm(info.STSURL, url.Values{
		"audience": {audience}, "grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "scope": {"https://www.googleapis.com/auth/cloud-platform"},
		"subject_token": {token}, "subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// The token that everybody can fetch opens nothing at the STS: neither for how
// it is signed nor for its audience, each of which is enough.
func TestPublicEvidenceIsNoCredential(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	info := s.Cloud.Info()
	a, err := askChallenge(http.DefaultClient, s.API.URL)
	if err != nil {
		t.Fatal(err)
	}
	config, _ := stack.Config(t, s.Cloud, false)
	platform := launcher.New(config.LauncherSocket, 10*time.Second)
	ordinary, err := platform.DefaultToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sameAudience, err := platform.Token(t.Context(), launcher.OIDC, receipt.EvidenceAudience, strings.Repeat("n", 64))
	if err != nil {
		t.Fatal(err)
	}
	accepted := func(what, audience, token string) {
		t.Helper()
		if status, reply := exchange(t, s, audience, token); status != http.StatusOK || !strings.Contains(reply, `"access_token"`) {
			t.Errorf("canary: %s at %s: %d %.300s", what, audience, status, reply)
		}
	}
	refused := func(what, audience, token, says string) {
		t.Helper()
		status, reply := exchange(t, s, audience, token)
		if status != http.StatusBadRequest || strings.Contains(reply, `"access_token"`) || !strings.Contains(reply, says) {
			t.Errorf("%s at %s: %d %.300s, want %q", what, audience, status, reply, says)
		}
	}
	for _, provider := range []string{info.TEEAudience, info.ProviderAudience} {
		accepted("the token that the launcher gives for the STS", provider, ordinary)
		refused("public evidence", provider, a.Evidence.Token, "Invalid JWT Signature or unknown key")
		refused("an OIDC token with evidence's audience", provider, sameAudience, "does not match the expected audience")
	}
	refused("public evidence", receipt.EvidenceAudience, a.Evidence.Token, "invalid_target")

	// A provider that takes evidence's audience by mistake.
	if err := s.Cloud.UpdatePool(0, func(p *cloudsim.Pool) { p.Audiences = append(p.Audiences, receipt.EvidenceAudience) }); err != nil {
		t.Fatal(err)
	}
	accepted("an OIDC token with evidence's audience, which is allowed now", info.TEEAudience, sameAudience)
	refused("public evidence, its audience allowed", info.TEEAudience, a.Evidence.Token, "Invalid JWT Signature or unknown key")
}

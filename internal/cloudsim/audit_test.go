package cloudsim

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func faces() []string { return []string{"grpc", "rest"} }

// rawEncrypt calls Encrypt over one face with these Authorization headers, and
// returns the status as audit entries spell it, and its text.
func rawEncrypt(t *testing.T, s *Sim, face, key string, authorization ...string) (code, text string) {
	t.Helper()
	if face == "rest" {
		return rawREST(t, s, "/v1/"+key+":encrypt", `{"plaintext":"eA=="}`, authorization...)
	}
	conn, err := grpc.NewClient(hostOf(s.Info().KMSURL), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots(t, s), MinVersion: tls.VersionTLS13})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(t.Context(), metadata.MD{"authorization": authorization}), 10*time.Second)
	defer cancel()
	_, err = kmspb.NewKeyManagementServiceClient(conn).Encrypt(ctx, &kmspb.EncryptRequest{Name: key, Plaintext: []byte("x")})
	return statusName(status.Code(err)), status.Convert(err).Message()
}

func rawREST(t *testing.T, s *Sim, path, body string, authorization ...string) (code, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Info().KMSURL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": authorization}
	resp, err := httpsClient(t, s).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusOK {
		return "OK", string(data)
	}
	var r struct {
		Error struct{ Status, Message string }
	}
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatalf("%s: %q", resp.Status, data)
	}
	return r.Error.Status, r.Error.Message
}

// userToken is an access token of a person.
func userToken(t testing.TB, s *Sim, name string) string {
	t.Helper()
	token, err := s.UserToken("user:" + name)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func lastEntry(t *testing.T, s *Sim) AuditEntry {
	t.Helper()
	all := s.Audit(0)
	if len(all) == 0 {
		t.Fatal("no audit entry")
	}
	return all[len(all)-1]
}

// Only a bearer token in one Authorization header is a credential, and calls
// without one are in the audit log as much as others.
func TestAuthorizationHeader(t *testing.T) {
	s := start(t)
	if err := s.SetDenyRules(); err != nil {
		t.Fatal(err)
	}
	token := userToken(t, s, "owner@sigil-tee.test")
	for name, c := range map[string]struct {
		headers []string
		want    string
	}{
		"bearer":       {[]string{"Bearer " + token}, "OK"},
		"lower case":   {[]string{"bearer " + token}, "OK"},
		"none":         {nil, "UNAUTHENTICATED"},
		"bare token":   {[]string{token}, "UNAUTHENTICATED"},
		"other scheme": {[]string{"Basic " + token}, "UNAUTHENTICATED"},
		"no space":     {[]string{"Bearer" + token}, "UNAUTHENTICATED"},
		"scheme alone": {[]string{"Bearer"}, "UNAUTHENTICATED"},
		"no token":     {[]string{"Bearer "}, "UNAUTHENTICATED"},
		"two spaces":   {[]string{"Bearer  " + token}, "UNAUTHENTICATED"},
		"forged":       {[]string{"Bearer " + tokenPrefix + "AAAA"}, "UNAUTHENTICATED"},
		"two":          {[]string{"Bearer " + token, "Bearer " + token}, "UNAUTHENTICATED"},
	} {
		for _, face := range faces() {
			before := len(s.Audit(0))
			code, text := rawEncrypt(t, s, face, s.Info().TEEKey, c.headers...)
			if code != c.want {
				t.Errorf("%s, %s: %s %s", face, name, code, text)
			}
			if got := len(s.Audit(0)); got != before+1 {
				t.Fatalf("%s, %s: %d audit entries", face, name, got-before)
			}
			e := lastEntry(t, s)
			decision, principal := DecisionUnauthenticated, ""
			if c.want == "OK" {
				decision, principal = DecisionAllow, "user:owner@sigil-tee.test"
			}
			if e.Decision != decision || e.Principal != principal || e.Status != c.want || e.Face != face ||
				e.Method != "Encrypt" || e.Key != s.Info().TEEKey || e.Permission != permEncrypt {
				t.Errorf("%s, %s: audit %+v", face, name, e)
			}
		}
	}
}

// A request that can't be decoded tells a stranger nothing but that he is one,
// and leaves its trace under the name in its URL.
func TestMalformedBody(t *testing.T) {
	s := start(t)
	token := userToken(t, s, "owner@sigil-tee.test")
	key := s.Info().TEEKey
	for name, c := range map[string]struct{ path, body string }{
		"no JSON":       {":encrypt", `{"plaintext":`},
		"not an object": {":encrypt", `[]`},
		"unknown field": {":encrypt", `{"plaintext":"eA==","x":1}`},
		"other name":    {":encrypt", `{"name":"` + s.Info().ProviderKey + `","plaintext":"eA=="}`},
		"named garbage": {":encrypt", `{"name":"` + s.Info().ProviderKey + `","plaintext":"eA==","x":1}`},
		"bad query":     {":encrypt?x=1", `{"plaintext":"eA=="}`},
		"too long":      {":encrypt", `{"plaintext":"` + strings.Repeat("A", 600<<10) + `"}`},
	} {
		for _, known := range []bool{false, true} {
			want := AuditEntry{Decision: DecisionUnauthenticated, Status: "UNAUTHENTICATED", Method: "Encrypt", Key: key, Resource: key, Face: "rest",
				Permission: permEncrypt, Service: "cloudkms.googleapis.com"}
			var headers []string
			if known {
				headers = []string{"Bearer " + token}
				want.Decision, want.Status, want.Principal = DecisionNone, "INVALID_ARGUMENT", "user:owner@sigil-tee.test"
			}
			before := len(s.Audit(0))
			code, text := rawREST(t, s, "/v1/"+key+c.path, c.body, headers...)
			if code != want.Status {
				t.Errorf("%s: %s %s", name, code, text)
			}
			if got := len(s.Audit(0)); got != before+1 {
				t.Fatalf("%s: %d audit entries", name, got-before)
			}
			got := lastEntry(t, s)
			want.Seq, want.Time = got.Seq, got.Time
			if got != want {
				t.Errorf("%s: audit\n%+v, want\n%+v", name, got, want)
			}
		}
	}
}

// The audit log tells a service that failed from a caller that was refused.
func TestAuditOfFaults(t *testing.T) {
	s := start(t)
	if err := s.SetDenyRules(); err != nil {
		t.Fatal(err)
	}
	const owner = "user:owner@sigil-tee.test"
	token := "Bearer " + userToken(t, s, "owner@sigil-tee.test")
	for mode, want := range map[string]AuditEntry{
		FaultRate:        {Decision: DecisionNone, Status: "RESOURCE_EXHAUSTED", Principal: owner},
		FaultUnavailable: {Decision: DecisionNone, Status: "UNAVAILABLE"},
		FaultDeny:        {Decision: DecisionDeny, Status: "PERMISSION_DENIED", Principal: owner},
		FaultDisabled:    {Decision: DecisionAllow, Status: "FAILED_PRECONDITION", Principal: owner},
	} {
		for _, face := range faces() {
			if err := s.SetKnobs(Knobs{KMS: Fault{Mode: mode, Count: 1}}); err != nil {
				t.Fatal(err)
			}
			code, text := rawEncrypt(t, s, face, s.Info().TEEKey, token)
			e := lastEntry(t, s)
			if code != want.Status || e.Status != want.Status || e.Decision != want.Decision || e.Principal != want.Principal || e.Fault != mode {
				t.Errorf("%s, %s: %s %s, audit %+v", face, mode, code, text, e)
			}
			if mode == FaultRate && !strings.Contains(text, "for consumer 'project:sigil-tee'") {
				t.Errorf("%s: whose quota? %s", face, text)
			}
			if code, text := rawEncrypt(t, s, face, s.Info().TEEKey, token); code != "OK" {
				t.Errorf("%s, %s: doesn't recover: %s %s", face, mode, code, text)
			}
		}
	}
	// Canary: the caller that is refused for his token is told so, fault or not.
	if err := s.SetKnobs(Knobs{KMS: Fault{Mode: FaultRate, Count: 1}}); err != nil {
		t.Fatal(err)
	}
	if code, _ := rawEncrypt(t, s, "rest", s.Info().TEEKey); code != "UNAUTHENTICATED" || lastEntry(t, s).Decision != DecisionUnauthenticated {
		t.Errorf("a stranger meets the quota: %s", code)
	}
}

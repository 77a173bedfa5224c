package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/attest"
	"github.com/sigilkeys/sigil/attest/attesttest"
	"github.com/sigilkeys/sigil/attest/confspace"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/clienttest"
	"github.com/sigilkeys/sigil/receipt"
)

const (
	tokenNonce = "a-nonce-of-mine"
	challenge  = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
)

// keysServer publishes the issuer's keys over HTTPS.
func keysServer(t *testing.T, issuer *attesttest.Issuer) *httptest.Server {
	t.Helper()
	var srv *httptest.Server
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"issuer":"`+srv.URL+`","jwks_uri":"`+srv.URL+`/jwks"}`)
	})
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) {
		keys, err := issuer.JWKS()
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(keys)
	})
	srv = httptest.NewTLSServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

// token signs the claims of an honest workload of the service, altered.
func token(t testing.TB, issuer string, sign func([]byte) (string, error), at time.Time, alter func(*attesttest.Workload)) string {
	t.Helper()
	m := attesttest.Workload{ImageDigest: clienttest.Release, ProjectID: "project", Zone: "zone", InstanceName: "tee", InstanceID: "1",
		ServiceAccount: "tee@project.iam", Hardware: "GCP_AMD_SEV"}
	if alter != nil {
		alter(&m)
	}
	p, err := m.Payload(issuer, attesttest.Request{Audience: receipt.EvidenceAudience, Nonces: []string{tokenNonce}, IssuedAt: at})
	if err != nil {
		t.Fatal(err)
	}
	s, err := sign(p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// attestationFiles are what the scripts verify.
func attestationFiles(t *testing.T, s *clienttest.Service, api string) map[string][]byte {
	t.Helper()
	const issuer = "https://issuer.test"
	jwks, err := s.Issuer.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	other, err := attesttest.New(issuer, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	otherKeys, err := other.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Get(api + "/v1/attestation?challenge=" + challenge)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	srv := keysServer(t, s.Issuer)
	online := s.TEE()
	online.Issuer = srv.URL
	accept, err := json.Marshal(online)
	if err != nil {
		t.Fatal(err)
	}
	var shown struct {
		Data struct {
			Evidence attest.Evidence `json:"evidence"`
		} `json:"data"`
	}
	if err := json.Unmarshal(answer, &shown); err != nil {
		t.Fatal(err)
	}
	// A token for the caller's nonce beside a statement that it isn't about.
	beside, err := json.Marshal(map[string]any{"statement": shown.Data.Evidence.Statement, "token": token(t, issuer, s.Issuer.PKI, time.Now(), nil)})
	if err != nil {
		t.Fatal(err)
	}
	now, lastYear := time.Now(), time.Now().AddDate(-1, 0, 0)
	return map[string][]byte{
		"jwks.json": jwks, "other-jwks.json": otherKeys, "answer.json": answer, "beside.json": beside,
		"oidc.jwt":   []byte(token(t, issuer, s.Issuer.OIDC, now, nil) + "\n"),
		"pki.jwt":    []byte(token(t, issuer, s.Issuer.PKI, now, nil)),
		"old.jwt":    []byte(token(t, issuer, s.Issuer.OIDC, lastYear, nil)),
		"old.at":     []byte(lastYear.UTC().Add(time.Minute).Format(time.RFC3339)),
		"debug.jwt":  []byte(token(t, issuer, s.Issuer.PKI, now, func(m *attesttest.Workload) { m.Debug, m.ProjectID = true, "evil" })),
		"forged.jwt": []byte(token(t, issuer, other.PKI, now, nil)),
		"online.jwt": []byte(token(t, srv.URL, s.Issuer.OIDC, now, nil)), "online.json": accept,
		"online.pem":  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}),
		"online.host": []byte(strings.TrimPrefix(srv.URL, "https://")),
	}
}

// The steps are those of the document, by number and name.
func TestStepsAreTheDocuments(t *testing.T) {
	doc, err := os.ReadFile("../../docs/ATTESTATION.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^(\d+)\. \*\*([^*]+?)\.?\*\*`).FindAllStringSubmatch(string(doc), -1)
	names := stepNames()
	if len(found) != len(names) {
		t.Fatalf("%d steps in the document, %d here", len(found), len(names))
	}
	for i, m := range found {
		if m[1] != fmt.Sprint(i+1) || m[2] != names[i] {
			t.Errorf("step %s is %q in the document, %q here", m[1], m[2], names[i])
		}
	}
}

func TestParseEvidence(t *testing.T) {
	ev := attest.Evidence{Statement: []byte("statement"), Token: "a.b.c"}
	id := ev.ID()
	inner := `{"id":"` + hex.EncodeToString(id[:]) + `","statement":"c3RhdGVtZW50","token":"a.b.c"}`
	for name, text := range map[string]string{
		"evidence": `{"statement":"c3RhdGVtZW50","token":"a.b.c"}`,
		"as shown": inner,
		"answer":   ` {"evidence":` + inner + `,"release":"x","version":"1"} `,
		"reply":    `{"data":{"evidence":` + inner + `,"challenge":{"index":0,"count":1,"path":[]}},"error":null}`,
		"output":   `{"verified":true,"statement":"00","token":"x","evidence":` + inner + `}`,
		"bundle":   `{"format":"` + client.FormatBundle + `","evidence":` + inner + `}`,
	} {
		in, err := parseEvidence([]byte(text))
		if err != nil || in.ID() != id || in.Token != ev.Token || (in.proof != nil) != (name == "reply") {
			t.Errorf("%s: %+v, %v", name, in, err)
		}
	}
	if in, err := parseEvidence([]byte(" a.b.c\n")); err != nil || in.Token != "a.b.c" || in.Statement != nil {
		t.Errorf("token: %+v, %v", in, err)
	}
	for _, bad := range []string{
		"", " ", "{", "{}", `{"data":{}}`, `{"data":{"data":{"evidence":` + inner + `}}}`, `{"evidence":null}`, `{"evidence":` + inner + `,"evidence":{}}`,
		`{"statement":"c3RhdGVtZW50"}`, `{"statement":"!","token":"x"}`, `{"statement":"","token":"x","x":1}`, `{"token":"x","token":"y"}`,
		`{"id":"00","statement":"c3RhdGVtZW50","token":"x"}`, `{"evidence":` + inner + `,"challenge":7}`, `{"format":"` + confspace.FormatArchive + `"}`,
	} {
		if in, err := parseEvidence([]byte(bad)); err == nil {
			t.Errorf("%s: %+v", bad, in)
		}
	}
}

// Of two accepted TEEs the one that fits counts, wherever it stands, and if
// none does the one that was meant.
func TestAnyAcceptedTEE(t *testing.T) {
	s, err := service()
	if err != nil {
		t.Fatal(err)
	}
	good, bad := s.TEE(), s.TEE()
	bad.PKIRoot, bad.ProjectID = strings.Repeat("00", 32), "other"
	keys := func(_ string, root [32]byte, _ string) (confspace.Trust, error) {
		return confspace.Trust{PKIRoot: root}, nil
	}
	now := time.Now()
	for _, tees := range [][]client.TEE{{good, bad}, {bad, good}} {
		v := &attestationCheck{at: now, audience: receipt.EvidenceAudience, nonce: tokenNonce,
			in: &evidenceInput{Evidence: attest.Evidence{Token: token(t, good.Issuer, s.Issuer.PKI, now, nil)}}}
		for i := range tees {
			v.try(&tees[i], keys)
		}
		if _, err := v.steps(); err != nil || v.claims == nil {
			t.Error(err)
		}
		v = &attestationCheck{at: now, audience: receipt.EvidenceAudience, nonce: tokenNonce,
			in: &evidenceInput{Evidence: attest.Evidence{Token: token(t, good.Issuer, s.Issuer.PKI, now, func(m *attesttest.Workload) { m.Debug = true })}}}
		for i := range tees {
			v.try(&tees[i], keys)
		}
		var e *client.VerificationError
		if _, err := v.steps(); !errors.As(err, &e) || e.Reason != confspace.ReasonDebug || v.claims != nil {
			t.Errorf("%v", err)
		}
	}
	unknown := good
	unknown.Kind = "nitro"
	v := &attestationCheck{at: now, in: &evidenceInput{}}
	v.try(&unknown, keys)
	if _, err := v.steps(); err == nil {
		t.Error("a TEE of an unknown kind was accepted")
	}
	// Nothing tried, nothing verified.
	if _, err := (&attestationCheck{in: &evidenceInput{}}).steps(); err == nil {
		t.Error("an empty list of TEEs accepts")
	}
}

func FuzzEvidence(f *testing.F) {
	for _, seed := range []string{
		"a.b.c", `{"statement":"c3RhdGVtZW50","token":"a.b.c"}`, `{"data":{"evidence":{"id":"","statement":"AA==","token":"x"},"challenge":{"index":1,"count":2,"path":["AA=="]}},"error":null}`,
		`{"format":"` + confspace.FormatArchive + `","verified":1,"evidence":{"statement":"","token":"x"},"keys":[],"root_sha256":"` + strings.Repeat("ab", 32) + `"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := parseEvidence(data)
		if err != nil {
			return
		}
		if in.Token == "" || len(bytes.TrimSpace(data)) == 0 {
			t.Fatalf("evidence without a token from %q", data)
		}
		// Whatever it is, it isn't verified by nothing.
		v := &attestationCheck{at: time.Unix(1764000000, 0), in: in, nonce: "n", audience: receipt.EvidenceAudience}
		v.try(&client.TEE{Kind: "confidential-space"}, func(string, [32]byte, string) (confspace.Trust, error) { return confspace.Trust{}, nil })
		if _, err := v.steps(); err == nil {
			t.Fatalf("accepted %q", data)
		}
	})
}

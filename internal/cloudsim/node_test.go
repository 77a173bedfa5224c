package cloudsim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"google.golang.org/grpc/codes"
)

// nodeLine is what testdata/node/clients.mjs says of one call.
type nodeLine struct {
	Face    string `json:"face"`
	Step    string `json:"step"`
	Code    int    `json:"code"`
	Text    string `json:"text"`
	Version string `json:"version"`
	Bytes   int    `json:"bytes"`
	Equal   bool   `json:"equal"`
	Primary bool   `json:"primary"`
}

// inFile writes what the program reads, and returns the file's path.
func inFile(t *testing.T, v any) string {
	t.Helper()
	data, ok := v.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(v); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// credentialsFile is the file that
// `gcloud iam workload-identity-pools create-cred-config --credential-source-file`
// writes.
func credentialsFile(t *testing.T, i Info) string {
	t.Helper()
	return inFile(t, map[string]any{
		"type": "external_account", "audience": i.TEEAudience, "subject_token_type": jwtType,
		"token_url": i.STSURL, "credential_source": map[string]any{"file": i.TokenFile}, "universe_domain": "googleapis.com",
	})
}

// runNode runs the program and returns what it says, by face and step.
func runNode(t *testing.T, s *Sim) map[string]nodeLine {
	t.Helper()
	if _, err := os.Stat("testdata/node/node_modules/@google-cloud/kms"); err != nil {
		t.Fatal("Google's clients for Node.js are missing: run `make google-clients`")
	}
	i := s.Info()
	awaitToken(t, i.TokenFile)
	u, err := url.Parse(i.KMSURL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	config := inFile(t, map[string]any{
		"credentials": credentialsFile(t, i), "endpoint": u.Hostname(), "port": port, "project": i.ProjectID, "key": i.TEEKey, "other": i.ProviderKey,
	})
	ca := inFile(t, []byte(i.CAPEM))
	cmd := exec.CommandContext(t.Context(), "node", "testdata/node/clients.mjs", config)
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+ca, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH="+ca, "NODE_OPTIONS=", "GOOGLE_APPLICATION_CREDENTIALS=")
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), complaints.String())
	}
	got := map[string]nodeLine{}
	for scanner := bufio.NewScanner(&out); scanner.Scan(); {
		var l nodeLine
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			t.Fatalf("%q: %v", scanner.Text(), err)
		}
		got[l.Face+" "+l.Step] = l
	}
	return got
}

// clientCode is how the client of a face numbers a status.
func clientCode(face string, code codes.Code) int {
	if face == "rest" {
		return map[codes.Code]int{codes.InvalidArgument: http.StatusBadRequest, codes.PermissionDenied: http.StatusForbidden}[code]
	}
	return int(code)
}

// Google's credentials and KMS client for Node take the emulator for the real
// cloud, over both protocols.
func TestNodeClients(t *testing.T) {
	s := start(t)
	got := runNode(t, s)
	want := map[string]codes.Code{
		"encrypt": codes.OK, "decrypt": codes.OK, "wrong AAD": codes.InvalidArgument, "flipped bit": codes.InvalidArgument,
		"truncated": codes.InvalidArgument, "wrong checksum": codes.InvalidArgument, "other key": codes.PermissionDenied,
		"missing key": codes.PermissionDenied, "administration": codes.PermissionDenied,
	}
	for _, face := range []string{"grpc", "rest"} {
		for step, code := range want {
			l, ok := got[face+" "+step]
			if !ok || l.Code != clientCode(face, code) {
				t.Errorf("%s, %s: %+v, want %v", face, step, l, code)
			}
		}
		if e, d := got[face+" encrypt"], got[face+" decrypt"]; e.Version != s.Info().TEEKey+"/cryptoKeyVersions/1" || e.Bytes == 0 || !d.Equal || !d.Primary {
			t.Errorf("%s: %+v %+v", face, e, d)
		}
	}
	if len(got) != 2*len(want) {
		t.Errorf("%d lines: %v", len(got), got)
	}
	faces := map[string]int{}
	for _, e := range s.Audit(0) {
		faces[fmt.Sprint(e.Face, " ", e.Method)]++
	}
	if faces["grpc Decrypt"] < 6 || faces["rest Decrypt"] < 6 {
		t.Errorf("audit has %v", faces)
	}
}

// A workload that nobody admitted gets nothing with the same program.
func TestNodeClientsOfAnImposter(t *testing.T) {
	s := startIn(t, t.TempDir())
	if err := errors.Join(s.AdmitRelease(release), s.SetImageDigest(imposter)); err != nil {
		t.Fatal(err)
	}
	got := runNode(t, s)
	if len(got) != 18 {
		t.Errorf("%d lines: %v", len(got), got)
	}
	for name, l := range got {
		if l.Code == 0 {
			t.Errorf("%s succeeds", name)
		}
	}
	for _, e := range s.Audit(0) {
		if e.Status == "OK" {
			t.Errorf("audit %+v", e)
		}
	}
}

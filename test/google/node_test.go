package google

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/sigilkeys/sigil/internal/cloudsim"
)

const (
	release  = "sha256:848c6b6254f4ecad2e090fcbc93052c3bbdbf5cce5f14860f600ca87ea6e959c"
	imposter = "sha256:11c28ed3507c12c978c67a8ef99ecd403aeae61c3c862ff8e647cc54fca24525"
)

// line is what node/clients.mjs says of one call.
type line struct {
	Face    string `json:"face"`
	Step    string `json:"step"`
	Code    int    `json:"code"`
	Text    string `json:"text"`
	Version string `json:"version"`
	Bytes   int    `json:"bytes"`
	Equal   bool   `json:"equal"`
	Primary bool   `json:"primary"`
}

func start(t *testing.T, image string) *cloudsim.Sim {
	t.Helper()
	s, err := cloudsim.Start(cloudsim.Config{Dir: t.TempDir(), TokensPerSecond: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.AdmitRelease(release); err != nil {
		t.Fatal(err)
	}
	if err := s.SetImageDigest(image); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if _, err := os.Stat(s.Info().TokenFile); err == nil {
			return s
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the launcher wrote no token file")
	return nil
}

// writeJSON writes a file that the clients read, and returns its path.
func writeJSON(t *testing.T, name string, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// credentials is the file that
// `gcloud iam workload-identity-pools create-cred-config --credential-source-file`
// writes.
func credentials(t *testing.T, i cloudsim.Info) string {
	t.Helper()
	return writeJSON(t, "credentials.json", map[string]any{
		"type": "external_account", "audience": i.TEEAudience, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
		"token_url": i.STSURL, "credential_source": map[string]any{"file": i.TokenFile}, "universe_domain": "googleapis.com",
	})
}

// run runs the program and returns what it says, by face and step.
func run(t *testing.T, s *cloudsim.Sim) map[string]line {
	t.Helper()
	if _, err := os.Stat("node/node_modules/@google-cloud/kms"); err != nil {
		t.Fatal("Google's clients for Node.js are missing: run `make google-clients`")
	}
	i := s.Info()
	u, err := url.Parse(i.KMSURL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	config := writeJSON(t, "config.json", map[string]any{
		"credentials": credentials(t, i), "endpoint": u.Hostname(), "port": port, "project": i.ProjectID, "key": i.TEEKey, "other": i.ProviderKey,
	})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte(i.CAPEM), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "node/clients.mjs", config)
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+ca, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH="+ca, "NODE_OPTIONS=", "GOOGLE_APPLICATION_CREDENTIALS=")
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), complaints.String())
	}
	got := map[string]line{}
	for scanner := bufio.NewScanner(&out); scanner.Scan(); {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			t.Fatalf("%q: %v", scanner.Text(), err)
		}
		got[l.Face+" "+l.Step] = l
	}
	return got
}

// failure is how the client of a face numbers a status.
func failure(face string, code codes.Code) int {
	if face == "rest" {
		return map[codes.Code]int{codes.InvalidArgument: http.StatusBadRequest, codes.PermissionDenied: http.StatusForbidden}[code]
	}
	return int(code)
}

// Google's credentials and KMS client for Node take the emulator for the real
// cloud, over both protocols.
func TestNodeClients(t *testing.T) {
	s := start(t, release)
	got := run(t, s)
	want := map[string]codes.Code{
		"encrypt": codes.OK, "decrypt": codes.OK, "wrong AAD": codes.InvalidArgument, "flipped bit": codes.InvalidArgument,
		"truncated": codes.InvalidArgument, "wrong checksum": codes.InvalidArgument, "other key": codes.PermissionDenied,
		"missing key": codes.PermissionDenied, "administration": codes.PermissionDenied,
	}
	for _, face := range []string{"grpc", "rest"} {
		for step, code := range want {
			l, ok := got[face+" "+step]
			if !ok || l.Code != failure(face, code) {
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
	s := start(t, imposter)
	for name, l := range run(t, s) {
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

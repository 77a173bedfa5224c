package cloudsim

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/attest/confspace"
	"github.com/sigilkeys/sigil/internal/launcher"
)

// A cloud on the same folder is the same cloud: also on a path that is longer
// than a socket's name may be, and has spaces.
func TestRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a folder with spaces", strings.Repeat("long ", 30))
	s := startIn(t, dir)
	if err := errors.Join(s.SetImageDigest(release), s.AdmitRelease(release)); err != nil {
		t.Fatal(err)
	}
	if len(s.Info().Socket) < 150 {
		t.Fatal("canary: the path is short")
	}
	k := newClient(t, s, 0)
	dek := [32]byte{7}
	wrapped, _, err := k.Wrap(t.Context(), &dek, []byte(keyAAD))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(Config{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Fatalf("second cloud on the folder: %v", err)
	}
	before := s.Info()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(before.Socket); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("socket is left behind: %v", err)
	}

	again := startIn(t, dir)
	if a, b := text(t, before), text(t, again.Info()); a != b {
		t.Fatalf("another cloud:\n%s\n%s", a, b)
	}
	var got [32]byte
	// The client's access token, connection settings and roots still hold.
	if err := k.Unwrap(t.Context(), wrapped, []byte(keyAAD), &got); err != nil || got != dek {
		t.Fatal(err)
	}
	if r := again.Releases(); len(r) != 1 || r[0] != release {
		t.Fatalf("releases %v", r)
	}
	// The launcher measures anew: nothing is vouched for that wasn't measured.
	if _, err := launcher.New(socket(t, again), time.Second).DefaultToken(t.Context()); !errors.Is(err, launcher.ErrUnavailable) {
		t.Fatalf("token before the image was measured: %v", err)
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPortTaken(t *testing.T) {
	dir := t.TempDir()
	s := startIn(t, dir)
	taken := hostOf(s.Info().KMSURL)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", taken)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Start(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "is taken") || !strings.Contains(err.Error(), "kms") {
		t.Fatalf("%v", err)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	startIn(t, dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != 0o600 || strings.HasPrefix(e.Name(), ".tmp") {
			t.Errorf("%s has mode %v", e.Name(), fi.Mode())
		}
	}
	for _, content := range []string{"", "{}", `{"format":"sigil.cloudsim.v2"}`, "null"} {
		bad := t.TempDir()
		if err := os.WriteFile(filepath.Join(bad, "cloud.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Start(Config{Dir: bad}); err == nil {
			t.Errorf("cloud.json %q accepted", content)
		}
		if after, err := os.ReadFile(filepath.Join(bad, "cloud.json")); err != nil || string(after) != content {
			t.Errorf("damaged state was overwritten: %q %v", after, err)
		}
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	dir := t.TempDir()
	s := startIn(t, dir)
	path := s.Info().Socket
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	short, cleanup, err := ShortPath(path)
	if err != nil {
		t.Fatal(err)
	}
	defer cleanup()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if _, err := Start(Config{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Fatalf("socket in use: %v", err)
	}
	l.Close()
	if err := startIn(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(Config{Dir: dir}); err == nil {
		t.Fatal("a file was taken for a socket")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Fatalf("file was removed: %v", err)
	}
}

func TestIssuerEndpoints(t *testing.T) {
	s := start(t)
	hc := httpsClient(t, s)
	var d discovery
	get(t, hc, s.Info().IssuerURL+"/.well-known/openid-configuration", &d)
	if d.Issuer != s.Info().IssuerURL {
		t.Fatalf("%+v", d)
	}
	token, err := launcher.New(socket(t, s), time.Second).DefaultToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // before and after a rotation the token's key is published
		keys, err := confspace.ParseKeySet(get(t, hc, d.JWKS, nil))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := confspace.Verify(token, confspace.Trust{Keys: keys}, time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := s.RotateIssuerKeys(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tokens(t, s, 0).Token(t.Context()); err != nil {
		t.Fatalf("after rotations: %v", err)
	}
	var root struct {
		URI string `json:"root_ca_uri"`
	}
	get(t, hc, s.Info().IssuerURL+"/.well-known/attestation-pki-root", &root)
	if string(get(t, hc, root.URI, nil)) != s.Info().PKIRootPEM {
		t.Fatal("another root")
	}
}

func get(t *testing.T, hc *http.Client, url string, v any) []byte {
	t.Helper()
	resp, err := hc.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err)
	}
	if v != nil {
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

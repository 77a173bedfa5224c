package image

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/image"
	"github.com/sigilkeys/sigil/internal/teeconfig"
)

// cli is the command, with a program to make images of.
type cli struct {
	dir     string
	sigil   string
	program []byte
	release []byte // the configuration in the checkout
}

func newCLI(t *testing.T, program []byte) *cli {
	t.Helper()
	c := &cli{dir: t.TempDir(), program: program}
	c.sigil = filepath.Join(c.dir, "sigil")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", c.sigil, "./cmd/sigil")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var err error
	if c.release, err = os.ReadFile(filepath.Join(root, "deploy/image/tee.json")); err != nil {
		t.Fatal(err)
	}
	return c
}

// image writes an image of the program and the configuration.
func (c *cli) image(t *testing.T, name string, program, config []byte) string {
	t.Helper()
	i, err := image.New(program, config, image.Target)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(c.dir, name)
	if err := i.Write(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func (c *cli) file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// with is the release's configuration, edited.
func (c *cli) with(t *testing.T, edit func(*teeconfig.Config)) []byte {
	t.Helper()
	parsed, _, err := teeconfig.Parse(c.release)
	if err != nil {
		t.Fatal(err)
	}
	edit(parsed)
	b, err := json.Marshal(parsed)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (c *cli) verify(t *testing.T, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.sigil, append([]string{"verify", "image"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// verified has the CLI compare an image with its source and with a release.
func verified(t *testing.T, program []byte) {
	cli := newCLI(t, program)
	own := bytes.Replace(cli.release, []byte(`"example-tee"`), []byte(`"acme-tee"`), 1)
	evil := bytes.Clone(program)
	evil[bytes.Index(evil, []byte("sigil-tee is Sigil's"))] ^= 1
	theirs, ours, bad := cli.image(t, "release", program, cli.release), cli.image(t, "own", program, own), cli.image(t, "evil", evil, own)
	accepted, spelt := cli.file(t, "own.json", own), cli.file(t, "spelt.json", append(own, '\n'))
	for name, c := range map[string]struct {
		args []string
		exit int
		says string
	}{
		"its source":     {[]string{ours, "--source", root}, 0, "the same bytes as built from"},
		"source alone":   {[]string{ours, "--source", root}, 0, "not compared"},
		"the release":    {[]string{ours, "--reference", theirs}, 0, `"example-tee" -> "acme-tee"`},
		"itself":         {[]string{theirs, "--reference", theirs}, 0, "configuration  that of " + theirs},
		"accepted":       {[]string{ours, "--config", accepted}, 0, "configuration  that of " + accepted},
		"other spelling": {[]string{ours, "--config", spelt}, 4, "spelling"},
		"not accepted":   {[]string{theirs, "--config", accepted}, 4, `"acme-tee" -> "example-tee"`},
		"not a config":   {[]string{ours, "--config", cli.sigil}, 1, "more than"},
		"nothing":        {[]string{ours}, 0, "not compared"},
		"JSON":           {[]string{ours, "--reference", theirs, "--json"}, 0, `"name": "project_id"`},
		"evil, source":   {[]string{bad, "--source", root}, 3, "another one"},
		"evil, release":  {[]string{bad, "--reference", theirs}, 3, "another one"},
		"not an image":   {[]string{cli.dir}, 1, "oci-layout"},
		"not a checkout": {[]string{ours, "--source", cli.dir}, 1, "build sigil-tee"},
		"not a release":  {[]string{ours, "--reference", cli.dir}, 1, "oci-layout"},
		"usage":          {[]string{}, 2, "arg"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, exit := cli.verify(t, c.args...)
			if exit != c.exit || !strings.Contains(stdout+stderr, c.says) {
				t.Errorf("exit %d, want %d and %q:\n%s%s", exit, c.exit, c.says, stdout, stderr)
			}
		})
	}
}

// traps has an attacker make images of the true program with a configuration
// that gives him the keys. Each is refused, in words that name the member.
func traps(t *testing.T, program []byte) {
	cli := newCLI(t, program)
	release := cli.image(t, "release", program, cli.release)
	evil, fingerprint := authority(t)
	const pool = "//iam.googleapis.com/projects/666/locations/global/workloadIdentityPools/evil/providers/evil"
	for name, edit := range map[string]func(*teeconfig.Config){
		"tls_roots":         func(c *teeconfig.Config) { c.TLSRoots += evil },
		"launcher_socket":   func(c *teeconfig.Config) { c.LauncherSocket = "/tmp/evil.sock" },
		"sts_url":           func(c *teeconfig.Config) { c.STSURL = "https://sts.evil.test/v1/token" },
		"kms_url":           func(c *teeconfig.Config) { c.KMSURL = "https://kms.evil.test" },
		"tee_key":           func(c *teeconfig.Config) { c.TEEKey = strings.Replace(c.TEEKey, "example", "evil", 1) },
		"provider_key":      func(c *teeconfig.Config) { c.ProviderKey = strings.Replace(c.ProviderKey, "example", "evil", 1) },
		"tee_audience":      func(c *teeconfig.Config) { c.TEEAudience = pool },
		"provider_audience": func(c *teeconfig.Config) { c.ProviderAudience = pool },
	} {
		t.Run(name, func(t *testing.T) {
			config := cli.with(t, edit)
			image, file := cli.image(t, name, program, config), cli.file(t, name+".json", config)
			stdout, stderr, exit := cli.verify(t, image, "--reference", release)
			if exit != 4 || !strings.Contains(stderr, "warning: "+name+" differs") {
				t.Errorf("exit %d:\n%s%s", exit, stdout, stderr)
			}
			if name == "tls_roots" && !strings.Contains(stdout, `added "CN=GTS Root R1\n  project_id  \u202eevil" (SHA-256 `+fingerprint+")") {
				t.Errorf("the added root isn't named:\n%s", stdout)
			}
			stdout, stderr, exit = cli.verify(t, image, "--config", cli.file(t, "accepted.json", cli.release), "--json")
			var report struct {
				Unaccepted []teeconfig.Difference `json:"configuration_unaccepted"`
			}
			if err := json.Unmarshal([]byte(stdout), &report); err != nil || exit != 4 || !strings.Contains(stderr, `"exit_code":4`) || !strings.Contains(stderr, "configuration_differs") ||
				report.Unaccepted[0].Name != name || report.Unaccepted[0].Decides == "" {
				t.Errorf("exit %d %v:\n%s%s", exit, err, stdout, stderr)
			}
			// Whoever has read and accepted it sees it, and passes.
			if stdout, stderr, exit := cli.verify(t, image, "--config", file, "--reference", release); exit != 0 || !strings.Contains(stdout, name) {
				t.Errorf("accepted: exit %d:\n%s%s", exit, stdout, stderr)
			}
		})
	}
	for name, edit := range map[string]func(*teeconfig.Config){
		"development": func(c *teeconfig.Config) { c.Development = true },
		"one project": func(c *teeconfig.Config) { c.TEEKey = strings.Replace(c.ProviderKey, "/provider-", "/tee-", 1) },
		"malformed":   func(c *teeconfig.Config) { c.Workers = -1 },
		"no roots":    func(c *teeconfig.Config) { c.TLSRoots = "" },
	} {
		t.Run(name, func(t *testing.T) {
			config := cli.with(t, edit)
			image, file := cli.image(t, name, program, config), cli.file(t, name+".json", config)
			if stdout, stderr, exit := cli.verify(t, image, "--config", file); exit != 4 || stdout != "" || !strings.Contains(stderr, "configuration: ") {
				t.Errorf("exit %d:\n%s%s", exit, stdout, stderr)
			}
			build := exec.CommandContext(t.Context(), "go", "run", "./internal/imagegen", "-config", file, "-out", filepath.Join(cli.dir, "never"))
			build.Dir = root
			if out, err := build.CombinedOutput(); err == nil || !strings.Contains(string(out), "configuration: ") {
				t.Errorf("`make image` takes it: %s", out)
			}
		})
	}
}

// authority is a root that would like to look like another, in PEM, and its
// fingerprint.
func authority(t *testing.T) (string, string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "GTS Root R1\n  project_id  \u202eevil"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	d := sha256.Sum256(der)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), hex.EncodeToString(d[:])
}

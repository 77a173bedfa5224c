package teeconfig_test

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
	"reflect"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/teeconfig"
)

// release is the configuration that stands for all in the checkout.
func release(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("../../deploy/image/tee.json")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// with returns the release's configuration, edited.
func with(t testing.TB, edit func(*teeconfig.Config)) []byte {
	t.Helper()
	c, _, err := teeconfig.Parse(release(t))
	if err != nil {
		t.Fatal(err)
	}
	edit(c)
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// root is a made-up certification authority, in PEM.
func root(t testing.TB, name string) string {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestParseRefuses(t *testing.T) {
	if _, _, err := teeconfig.Parse(with(t, func(*teeconfig.Config) {})); err != nil {
		t.Fatal("canary: the release's own is refused:", err)
	}
	const pem = "-----BEGIN CERTIFICATE-----"
	evil := root(t, "evil")
	for name, c := range map[string]struct {
		edit func(*teeconfig.Config)
		says string
	}{
		"format":           {func(c *teeconfig.Config) { c.Format = "x" }, "format"},
		"listen":           {func(c *teeconfig.Config) { c.Listen = "" }, "listen"},
		"socket":           {func(c *teeconfig.Config) { c.LauncherSocket = "/run/../x" }, "launcher_socket"},
		"relative socket":  {func(c *teeconfig.Config) { c.LauncherSocket = "run/launcher.sock" }, "absolute"},
		"abstract socket":  {func(c *teeconfig.Config) { c.LauncherSocket = "@launcher" }, "absolute"},
		"long socket":      {func(c *teeconfig.Config) { c.LauncherSocket = "/" + strings.Repeat("s", 107) }, "107"},
		"KMS with a path":  {func(c *teeconfig.Config) { c.KMSURL += "/v1" }, "kms_url"},
		"KMS with a slash": {func(c *teeconfig.Config) { c.KMSURL += "/" }, "kms_url"},
		"KMS of no host":   {func(c *teeconfig.Config) { c.KMSURL = "https://:443" }, "kms_url"},
		"STS of no host":   {func(c *teeconfig.Config) { c.STSURL = "https://:443/v1/token" }, "sts_url"},
		"long key":         {func(c *teeconfig.Config) { c.ProviderKey += strings.Repeat("k", 224) }, "224"},
		"project":          {func(c *teeconfig.Config) { c.ProjectID = "" }, "project_id"},
		"cache":            {func(c *teeconfig.Config) { c.DEKCacheSeconds = 3601 }, "dek_cache_seconds"},
		"workers":          {func(c *teeconfig.Config) { c.Workers = -1 }, "workers"},
		"plain HTTP":       {func(c *teeconfig.Config) { c.KMSURL = "http://cloudkms.googleapis.com" }, "kms_url"},
		"no roots":         {func(c *teeconfig.Config) { c.TLSRoots = "" }, "tls_roots"},
		"hidden root":      {func(c *teeconfig.Config) { c.TLSRoots += "# Google's\n" + evil }, "beside"},
		"root of text":     {func(c *teeconfig.Config) { c.TLSRoots += pem + "\nAAAA\n-----END CERTIFICATE-----\n" }, "no certificate"},
		"other block":      {func(c *teeconfig.Config) { c.TLSRoots += strings.ReplaceAll(evil, "CERTIFICATE", "X509 CRL") }, "no certificate"},
		"key":              {func(c *teeconfig.Config) { c.TEEKey = "tee" }, "full names"},
		"project's number": {func(c *teeconfig.Config) { c.TEEKey = strings.Replace(c.TEEKey, "example-tee-keys", "123", 1) }, "numbers"},
		"one key":          {func(c *teeconfig.Config) { c.TEEKey = c.ProviderKey }, "same key"},
		"one project":      {func(c *teeconfig.Config) { c.TEEKey = strings.Replace(c.ProviderKey, "/provider-", "/tee-", 1) }, "both in project example-provider-keys"},
		"no audience":      {func(c *teeconfig.Config) { c.TEEAudience = "" }, "missing"},
		"one provider":     {func(c *teeconfig.Config) { c.TEEAudience = c.ProviderAudience }, "both in project 100000000002"},
		"one pool":         {func(c *teeconfig.Config) { c.TEEAudience = c.ProviderAudience + "-2" }, "both in project 100000000002"},
		"other audience":   {func(c *teeconfig.Config) { c.TEEAudience = "https://sts.googleapis.com" }, "workload identity"},
		"padded number":    {func(c *teeconfig.Config) { c.TEEAudience = strings.Replace(c.ProviderAudience, "/1000", "/01000", 1) }, "workload identity"},
	} {
		if _, _, err := teeconfig.Parse(with(t, c.edit)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	for name, c := range map[string][2]string{
		"unknown member": {`"workers"`, `"worker"`}, "twice": {`"workers": 0`, `"workers": 0, "workers": 0`}, "case": {`"workers"`, `"Workers"`},
	} {
		b := bytes.Replace(release(t), []byte(c[0]), []byte(c[1]), 1)
		if _, _, err := teeconfig.Parse(b); err == nil || bytes.Equal(b, release(t)) {
			t.Error(name, "passes")
		}
	}
}

// On one machine there is one party, and no image.
func TestDevelopment(t *testing.T) {
	b := with(t, func(c *teeconfig.Config) {
		c.TEEKey, c.TEEAudience, c.Development = strings.Replace(c.ProviderKey, "/provider-", "/tee-", 1), c.ProviderAudience, true
	})
	if _, _, err := teeconfig.Parse(b); err != nil {
		t.Error(err)
	}
	if _, err := teeconfig.ParseForImage(b); err == nil {
		t.Error("an image may have it")
	}
	if _, err := teeconfig.ParseForImage(release(t)); err != nil {
		t.Error(err)
	}
}

// A new member is listed, and somebody has thought about whether it decides
// who gets the keys.
func TestMembersAreAll(t *testing.T) {
	c, _, err := teeconfig.Parse(release(t))
	if err != nil {
		t.Fatal(err)
	}
	harmless := []string{"format", "listen", "project_id", "dek_cache_entries", "dek_cache_seconds", "workers"}
	list, typ := c.Members(), reflect.TypeFor[teeconfig.Config]()
	if len(list) != typ.NumField() {
		t.Fatalf("%d members of %d", len(list), typ.NumField())
	}
	for i, m := range list {
		if name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ","); m.Name != name {
			t.Errorf("member %s is listed as %s", name, m.Name)
		}
		known := false
		for _, h := range harmless {
			known = known || h == m.Name
		}
		if known == (m.Decides != "") {
			t.Errorf("%s decides about keys: %q", m.Name, m.Decides)
		}
	}
}

func TestDiff(t *testing.T) {
	base := with(t, func(*teeconfig.Config) {})
	for name, c := range map[string]struct {
		edit func(*teeconfig.Config)
		want teeconfig.Difference
	}{
		"sts_url":         {func(c *teeconfig.Config) { c.STSURL = "https://sts.g\u043e\u043egleapis.com/v1/token" }, teeconfig.Difference{Expected: `"https://sts.googleapis.com/v1/token"`, Found: `"https://sts.g\u043e\u043egleapis.com/v1/token"`}},
		"launcher_socket": {func(c *teeconfig.Config) { c.LauncherSocket = "/tmp/s" }, teeconfig.Difference{Expected: `"/run/container_launcher/teeserver.sock"`, Found: `"/tmp/s"`}},
		"workers":         {func(c *teeconfig.Config) { c.Workers = 2 }, teeconfig.Difference{Expected: "0", Found: "2"}},
		"development":     {func(c *teeconfig.Config) { c.Development = true }, teeconfig.Difference{Expected: "false", Found: "true"}},
	} {
		got, err := teeconfig.Diff(base, with(t, c.edit))
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: %+v %v", name, got, err)
		}
		if (got[0].Decides == "") != (name == "workers") {
			t.Errorf("%s decides about keys: %q", name, got[0].Decides)
		}
		got[0].Decides, c.want.Name = "", name
		if !reflect.DeepEqual(got[0], c.want) {
			t.Errorf("%+v", got[0])
		}
	}
	if got, err := teeconfig.Diff(base, base); err != nil || got != nil {
		t.Error(got, err)
	}
	if got, err := teeconfig.Diff(base, append(base, ' ')); err != nil || !reflect.DeepEqual(got, []teeconfig.Difference{{Name: teeconfig.Spelling}}) {
		t.Error(got, err)
	}
	for _, pair := range [][2][]byte{{base, []byte("{}")}, {[]byte("{}"), base}} {
		if _, err := teeconfig.Diff(pair[0], pair[1]); err == nil {
			t.Error("no configuration is compared")
		}
	}
}

// A root that was added is named by what nobody can choose.
func TestDiffOfRoots(t *testing.T) {
	evil := root(t, "GTS Root R1")
	base := with(t, func(*teeconfig.Config) {})
	block, _ := pem.Decode([]byte(evil))
	added, err := teeconfig.Diff(base, with(t, func(c *teeconfig.Config) { c.TLSRoots = evil + c.TLSRoots }))
	if err != nil || len(added) != 1 || added[0].Name != "tls_roots" || added[0].Decides == "" || len(added[0].Removed) != 0 || len(added[0].Added) != 1 ||
		added[0].Added[0] != (teeconfig.Certificate{Subject: "CN=GTS Root R1", SHA256: fingerprint(block.Bytes)}) {
		t.Errorf("%+v %v", added, err)
	}
	swapped, err := teeconfig.Diff(base, with(t, func(c *teeconfig.Config) { c.TLSRoots = evil }))
	if err != nil || len(swapped) != 1 || len(swapped[0].Added) != 1 || len(swapped[0].Removed) != 4 {
		t.Errorf("%+v %v", swapped, err)
	}
	same, err := teeconfig.Diff(base, with(t, func(c *teeconfig.Config) { c.TLSRoots += "\n" }))
	if err != nil || len(same) != 1 || same[0].Name != teeconfig.Spelling {
		t.Errorf("%+v %v", same, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(release(f))
	f.Add(with(f, func(c *teeconfig.Config) { c.Development = true }))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, _, err := teeconfig.Parse(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := teeconfig.Diff(b, again); err != nil || len(d) > 1 || len(d) == 1 && d[0].Name != teeconfig.Spelling {
			t.Errorf("%v %v", d, err)
		}
		for _, m := range c.Members() {
			if strings.ContainsFunc(m.Value, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%s is printed as %q", m.Name, m.Value)
			}
		}
	})
}

func fingerprint(der []byte) string {
	d := sha256.Sum256(der)
	return hex.EncodeToString(d[:])
}

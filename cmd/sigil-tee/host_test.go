package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/attest/confspace"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/sealed"
	"github.com/sigilkeys/sigil/internal/teeconfig"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/ports"
	"github.com/sigilkeys/sigil/test/stack"
)

// trap is where a host would have the workload go. Nobody connects to one.
type trap struct {
	name, address string
}

// traps note who connects.
type traps struct {
	mu  sync.Mutex // guards hit
	hit map[string]bool
}

func (tr *traps) listen(t *testing.T, name, network, address string) trap {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tr.mu.Lock()
			tr.hit[name] = true
			tr.mu.Unlock()
			c.Close()
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	return trap{name, l.Addr().String()}
}

func (tr *traps) names() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Sorted(maps.Keys(tr.hit))
}

// machine is a cloud, a measured configuration for it, and a host that would
// have it otherwise.
type machine struct {
	*cloudsim.Sim
	config *teeconfig.Config
	file   string
	digest [32]byte
	traps  *traps
	// wish is what the host wants of each member of the configuration.
	wish map[string]string
	// lures are variables that libraries read unasked.
	lures []string
	// also, if set, is called while the program serves.
	also func()
}

func newMachine(t *testing.T, edit func(*teeconfig.Config)) *machine {
	t.Helper()
	m := &machine{Sim: stack.NewCloud(t, stack.MadeUpDigest("tee")), traps: &traps{hit: map[string]bool{}}}
	m.config, _ = stack.Config(t, m.Sim, false)
	m.config.Listen = ports.Reserve(t)
	if edit != nil {
		edit(m.config)
	}
	raw, err := json.Marshal(m.config)
	if err != nil {
		t.Fatal(err)
	}
	m.digest, m.file = sha256.Sum256(raw), filepath.Join(t.TempDir(), "tee.json")
	if err := os.WriteFile(m.file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	folder, err := os.MkdirTemp("", "sigil") // a short path, for the socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	tcp := func(name string) string { return m.traps.listen(t, name, "tcp", "127.0.0.1:0").address }
	m.wish = map[string]string{
		"format": "sigil.tee-config.v0", "listen": ports.Reserve(t), "launcher_socket": m.traps.listen(t, "launcher", "unix", filepath.Join(folder, "s")).address,
		"sts_url": "https://" + tcp("STS") + "/v1/token", "kms_url": "https://" + tcp("KMS"), "tls_roots": strings.Replace(m.config.TLSRoots, "-----BEGIN", "\n-----BEGIN", 1),
		"tee_key": m.config.ProviderKey, "tee_audience": m.config.ProviderAudience, "provider_key": m.config.TEEKey, "provider_audience": m.config.TEEAudience,
		"project_id": "evil", "dek_cache_entries": "4096", "dek_cache_seconds": "3600", "workers": "1", "development": "false", "evm_networks": `[{"slug":"evil","name":"Evil","chain_id":1}]`,
	}
	metadata, proxy := tcp("metadata"), "http://"+tcp("proxy")
	m.lures = []string{"GCE_METADATA_HOST=" + metadata, "GCE_METADATA_IP=" + metadata, "GOOGLE_CLOUD_PROJECT=evil", "GCLOUD_PROJECT=evil",
		"GOOGLE_APPLICATION_CREDENTIALS=" + m.file, "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS=https://" + tcp("gcloud") + "/", "CLOUDSDK_CORE_PROJECT=evil",
		"HTTP_PROXY=" + proxy, "HTTPS_PROXY=" + proxy, "ALL_PROXY=" + proxy, "http_proxy=" + proxy, "https_proxy=" + proxy, "all_proxy=" + proxy, "NO_PROXY=",
		"SIGIL_CONFIG=" + filepath.Join(folder, "none"), "CONFIG=" + filepath.Join(folder, "none")}
	for i := range reflect.TypeFor[teeconfig.Config]().NumField() {
		if name, _, _ := strings.Cut(reflect.TypeFor[teeconfig.Config]().Field(i).Tag.Get("json"), ","); m.wish[name] == "" {
			t.Fatalf("the host has no wish for %q: give it one", name)
		}
	}
	return m
}

// environment spells wishes in every way that a program might look for.
func (m *machine) environment(names ...string) (out []string) {
	for _, name := range names {
		for _, prefix := range []string{"", "SIGIL_", "SIGIL_TEE_", "TEE_"} {
			out = append(out, prefix+strings.ToUpper(name)+"="+m.wish[name])
		}
		out = append(out, name+"="+m.wish[name])
	}
	return out
}

// seen is what a run of the program showed.
type seen struct {
	served    bool
	out       string
	reached   bool     // the link, where the configuration has it
	config    [32]byte // that is attested
	audience  string   // of the evidence
	issuer    string
	wrappedBy [2]string // key versions: TEE share, provider share
	asked     []string  // keys that the cloud's KMS was asked for
	trapped   []string
}

// run starts the program ("1": the real one) in the environment alone, has it
// make an organisation's state key, and stops it.
func (m *machine) run(t *testing.T, program string, environment []string, args ...string) *seen {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append([]string{"SIGIL_TEE_PROGRAM=" + program}, environment...)
	out := &ready{serving: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	s := &seen{}
	select {
	case <-out.serving:
		s.served = true
		m.look(t, s)
		if m.also != nil {
			m.also()
		}
		cancel()
		<-ended
	case <-ended:
	}
	s.out, s.trapped = out.String(), m.traps.names()
	for _, e := range m.Audit(0) {
		if !slices.Contains(s.asked, e.Key) {
			s.asked = append(s.asked, e.Key)
		}
	}
	return s
}

// ready keeps what a program says, and tells when it serves.
type ready struct {
	mu      sync.Mutex // guards the fields below
	text    bytes.Buffer
	said    bool
	serving chan struct{}
}

func (r *ready) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text.Write(p)
	if !r.said && strings.Contains(r.text.String(), `"msg":"serving"`) {
		r.said = true
		close(r.serving)
	}
	return len(p), nil
}

func (r *ready) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// look asks the instance what it is, and for a state key.
func (m *machine) look(t *testing.T, s *seen) {
	t.Helper()
	c, err := teelink.Dial(t.Context(), teelink.ClientConfig{Address: m.config.Listen})
	if err != nil {
		return
	}
	defer c.Close()
	s.reached = true
	h, err := c.Hello(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	st, err := receipt.DecodeStatement(h.Statement)
	if err != nil {
		t.Fatal(err)
	}
	s.config = st.Config
	root, err := confspace.ParseFingerprint(m.Info().PKIRootSHA256)
	if err != nil {
		t.Fatal(err)
	}
	if claims, err := confspace.Verify(string(h.Token), confspace.Trust{PKIRoot: root}, time.Now()); err == nil {
		s.audience, s.issuer = claims.Audience, claims.Issuer
	}
	record, err := c.Provision(t.Context(), m.genesis(t))
	if err != nil {
		t.Log("no state key:", err)
		return
	}
	r, err := receipt.DecodeStateRecord(record)
	if err != nil {
		t.Fatal(err)
	}
	for i, raw := range [][]byte{r.TEEShare, r.ProviderShare} {
		share, err := sealed.DecodeShare(raw)
		if err != nil {
			t.Fatal(err)
		}
		s.wrappedBy[i] = share.KEK
	}
}

// genesis is of an owner who accepts the keys in either order, so that what
// the workload does with them shows.
func (m *machine) genesis(t *testing.T) []byte {
	t.Helper()
	_, admin, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := canon.NewUUID(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	one := (&stack.Stack{Cloud: m.Sim, Digest: stack.MadeUpDigest("tee")}).TEEReference()
	other := one
	other.TEEKEK, other.ProviderKEK = one.ProviderKEK, one.TEEKEK
	raw, err := authority.SignEnvelope(authority.TypeGenesis, authority.Genesis{Format: authority.FormatGenesis, OrganizationID: id, Name: "Acme",
		Created: time.Now().Unix(), Version: 1, Admins: []authority.Admin{{Name: "root", PublicKey: hex.EncodeToString(admin[32:])}}, Quorum: 1,
		Freshness: authority.Freshness{Mode: authority.FreshnessUnwitnessed}, TEEs: []authority.TEE{one, other}}, admin)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// faults says where a run went by anything but the measured configuration.
func (m *machine) faults(s *seen) (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if len(s.trapped) > 0 {
		say("connects to %s of the host", strings.Join(s.trapped, ", "))
	}
	if strings.Contains(s.out, "gullible: reached STS") {
		say("trusts the host's roots")
	}
	for _, key := range s.asked {
		if key != m.config.TEEKey && key != m.config.ProviderKey {
			say("asks the KMS for %s", key)
		}
	}
	if !s.served {
		say("doesn't serve: %s", s.out)
		return out
	}
	if !s.reached {
		say("doesn't listen where it is configured to")
		return out
	}
	if s.config != m.digest {
		say("attests another configuration")
	}
	if s.audience != receipt.EvidenceAudience || s.issuer != m.Info().IssuerURL {
		say("evidence for %s by %s", s.audience, s.issuer)
	}
	for i, key := range []string{m.config.TEEKey, m.config.ProviderKey} {
		if !strings.HasPrefix(s.wrappedBy[i], key+"/cryptoKeyVersions/") {
			say("share %d is wrapped by %q, want %s", i, s.wrappedBy[i], key)
		}
	}
	return out
}

// A host that sets every variable that a program might read changes nothing:
// neither key, audience, endpoint nor cache. The same variables, a few at a
// time, change a workload that reads them, which is noticed.
func TestEnvironmentSetsNothing(t *testing.T) {
	m := newMachine(t, nil)
	all := append(m.environment(slices.Collect(maps.Keys(m.wish))...), m.lures...)
	for _, f := range m.faults(m.run(t, "1", all, "--config", m.file)) {
		t.Error(f)
	}
	for name, c := range map[string]struct {
		set   []string
		lures bool
		says  string
	}{
		"key names":      {[]string{"tee_key", "provider_key", "tee_audience", "provider_audience"}, false, "share 0 is wrapped by"},
		"one key name":   {[]string{"tee_key"}, false, "doesn't serve"},
		"audience":       {[]string{"tee_audience"}, false, "doesn't serve"},
		"STS":            {[]string{"sts_url"}, false, "connects to STS"},
		"KMS":            {[]string{"kms_url"}, false, "connects to KMS"},
		"launcher":       {[]string{"launcher_socket"}, false, "connects to launcher"},
		"roots":          {[]string{"tls_roots"}, false, "attests another configuration"},
		"cache":          {[]string{"dek_cache_entries", "dek_cache_seconds"}, false, "attests another configuration"},
		"listen":         {[]string{"listen"}, false, "doesn't listen where"},
		"project":        {[]string{"project_id"}, false, "doesn't serve"},
		"metadata":       {nil, true, "connects to metadata"},
		"nothing at all": {nil, false, ""},
	} {
		t.Run("canary: "+name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, nil)
			environment := m.environment(c.set...)
			if c.lures {
				environment = append(environment, m.lures...)
			}
			f := strings.Join(m.faults(m.run(t, "gullible", environment, "--config", m.file)), "\n")
			if !strings.Contains(f, c.says) || (c.says == "") != (f == "") {
				t.Errorf("faults %q, want %q", f, c.says)
			}
		})
	}
}

// Proxy and roots of the environment: the STS is at an address that proxies
// are used for, which loopback isn't, and its certificate under roots that
// only the environment names.
func TestProxyAndRootsOfTheEnvironment(t *testing.T) {
	t.Run("proxy", func(t *testing.T) {
		for _, program := range []string{"1", "gullible"} {
			m := newMachine(t, func(c *teeconfig.Config) { c.STSURL = strings.Replace(c.STSURL, "127.0.0.1", "0.0.0.0", 1) })
			s := m.run(t, program, m.lures, "--config", m.file)
			if s.served {
				t.Fatalf("%s serves with an STS of another name", program)
			}
			if trapped := slices.Contains(s.trapped, "proxy"); trapped != (program == "gullible") {
				t.Errorf("program %s: proxy used: %v (%v)\n%s", program, trapped, s.trapped, s.out)
			}
		}
	})
	t.Run("roots", func(t *testing.T) {
		other := stack.NewCloud(t, stack.MadeUpDigest("tee")).Info().CAPEM
		for _, program := range []string{"1", "gullible"} {
			m := newMachine(t, func(c *teeconfig.Config) { c.TLSRoots = other })
			roots := filepath.Join(t.TempDir(), "roots.pem")
			if err := os.WriteFile(roots, []byte(m.Info().CAPEM), 0o600); err != nil {
				t.Fatal(err)
			}
			s := m.run(t, program, []string{"SSL_CERT_FILE=" + roots, "SSL_CERT_DIR=" + filepath.Dir(roots)}, "--config", m.file)
			if s.served || !strings.Contains(s.out, "certificate signed by unknown authority") {
				t.Errorf("program %s: other roots than the STS's aren't refused:\n%s", program, s.out)
			}
			if trusts := strings.Contains(s.out, "gullible: reached STS"); trusts != (program == "gullible") {
				t.Errorf("program %s: the environment's roots trusted: %v\n%s", program, trusts, s.out)
			}
		}
	})
}

// There is one flag. Whatever else is on the command line ends the start,
// before anything was asked of anybody.
func TestArgumentsSetNothing(t *testing.T) {
	m := newMachine(t, nil)
	for name, value := range m.wish {
		dashed := strings.ReplaceAll(name, "_", "-")
		for _, args := range [][]string{{"--" + name + "=" + value}, {"--" + dashed, value}, {"-" + name, value}, {name + "=" + value}} {
			s := m.run(t, "1", nil, append([]string{"--config", m.file}, args...)...)
			if s.served || len(s.trapped) > 0 || len(s.asked) > 0 {
				t.Errorf("%q: served %v, connected to %q, asked for %q", args, s.served, s.trapped, s.asked)
			}
			if !strings.Contains(s.out, "flag provided but not defined") && !strings.Contains(s.out, "unexpected argument") {
				t.Errorf("%q: %s", args, s.out)
			}
		}
	}
	for _, f := range m.faults(m.run(t, "1", nil, "--config", m.file)) {
		t.Error("canary: without them:", f)
	}
}

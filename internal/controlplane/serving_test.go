package controlplane_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/controlplane"
	"github.com/sigilkeys/sigil/internal/server"
	"github.com/sigilkeys/sigil/test/ports"
)

func goodConfig(t *testing.T) controlplane.Config {
	return controlplane.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0", TEEAddresses: []string{ports.Reserve(t)}, Log: quiet(), Version: "v1.2.3",
		Accept: []authority.TEE{{}}, Rates: server.NoRates(), MaxInFlight: 100}
}

// certify writes a certificate for 127.0.0.1 with that name, and its key.
func certify(t *testing.T, cfg *controlplane.Config, name string) *x509.Certificate {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cfg.TLSCertificate: {Type: "CERTIFICATE", Bytes: der}, cfg.TLSKey: {Type: "PRIVATE KEY", Bytes: kder}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c
}

func trusting(c *x509.Certificate) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(c)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}, Timeout: 20 * time.Second}
}

// HTTP/2 over TLS 1.3, and a certificate that is replaced while it serves: new
// connections get the new one, and one that is open goes on.
func TestTLS(t *testing.T) {
	cfg := goodConfig(t)
	dir := t.TempDir()
	cfg.TLSCertificate, cfg.TLSKey = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	reload := make(chan os.Signal)
	cfg.Reload, cfg.TLSInterval = reload, time.Hour
	first := trusting(certify(t, &cfg, "first"))
	addr, stop := start(t, cfg)
	get := func(c *http.Client) error {
		res, err := c.Get("https://" + addr + "/healthz")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return err
		}
		if res.ProtoMajor != 2 || res.TLS.Version != tls.VersionTLS13 || res.StatusCode != 200 {
			t.Errorf("%s, TLS %x, %d", res.Proto, res.TLS.Version, res.StatusCode)
		}
		return nil
	}
	if err := get(first); err != nil {
		t.Fatal(err)
	}
	second := trusting(certify(t, &cfg, "second"))
	reload <- syscall.SIGHUP
	reload <- syscall.SIGHUP // is taken when the first has been dealt with
	if err := get(second); err != nil {
		t.Errorf("the new certificate isn't served: %v", err)
	}
	if err := get(first); err != nil {
		t.Errorf("an open connection broke: %v", err)
	}
	first.CloseIdleConnections()
	if err := get(first); err == nil {
		t.Error("the old certificate is still served")
	}
	if res, err := http.Get("http://" + addr + "/healthz"); err == nil {
		res.Body.Close()
		if res.StatusCode == 200 {
			t.Error("plain HTTP is served")
		}
	}
	second.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*controlplane.Config){
		"no key":         func(c *controlplane.Config) { c.TLSKey = "" },
		"no certificate": func(c *controlplane.Config) { c.TLSCertificate = "" },
		"no such file":   func(c *controlplane.Config) { c.TLSKey += "x" },
	} {
		bad := cfg
		edit(&bad)
		if err := controlplane.Run(t.Context(), bad); err == nil {
			t.Errorf("%s: runs", name)
		}
	}
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
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

// Metrics are served at an address of their own, and nothing else is; the API
// doesn't have them.
func TestMetrics(t *testing.T) {
	cfg := goodConfig(t)
	cfg.Metrics = ports.Reserve(t)
	cfg.Rates.Address.Off, cfg.Rates.Address.PerSecond, cfg.Rates.Address.Burst = false, 0.001, 4
	addr, stop := start(t, cfg)
	for _, path := range []string{"/v1/planted-path", "/metrics"} {
		if status, _ := fetch(t, "http://"+addr+path); status != 404 {
			t.Errorf("the API serves %s: %d", path, status)
		}
	}
	for range 3 {
		fetch(t, "http://"+addr+"/v1/networks")
	}
	_, text := fetch(t, "http://"+cfg.Metrics+"/metrics")
	for _, want := range []string{
		`sigil_http_requests_total{method="GET",route="/v1/networks",status="200"} 2`,
		`sigil_http_requests_total{method="GET",route="/v1/networks",status="429"} 1`,
		`sigil_http_requests_total{method="other",route="other",status="404"} 2`,
		`sigil_http_request_duration_seconds_count{method="GET",route="/v1/networks"} 3`,
		`sigil_rate_limited_total{scope="address"} 1`,
		`sigil_rate_limited_total{scope="key"} 0`,
		`sigil_build_info{version="v1.2.3"} 1`,
		"sigil_tee_link_up 0", "sigil_http_requests_in_work 0", "sigil_decisions_in_flight 0", "sigil_decisions_uncommitted 0",
		"sigil_challenges_waiting 0", "sigil_draining 0", "sigil_ledger_lag_seconds 0.", `sigil_commits_total{outcome="ok"} 0`, "go_goroutines ",
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, "planted") {
		t.Error("a path is in a label")
	}
	documented(t, text)
	if status, _ := fetch(t, "http://"+cfg.Metrics+"/debug/pprof/"); status != 404 {
		t.Errorf("the metrics' address serves more: %d", status)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// documented: the section of docs/OPERATIONS.md names every metric of ours, and
// no other.
func documented(t *testing.T, text string) {
	t.Helper()
	doc, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(doc), "\n## Metrics\n")
	section, _, _ = strings.Cut(section, "\n## ")
	if !found {
		t.Fatal("docs/OPERATIONS.md has no section of metrics")
	}
	have, said := map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (sigil_\w+) `).FindAllStringSubmatch(text, -1) {
		have[m[1]] = true
	}
	for _, m := range regexp.MustCompile("`(sigil_\\w+)`").FindAllStringSubmatch(section, -1) {
		said[m[1]] = true
	}
	for name := range have {
		if !said[name] {
			t.Errorf("docs/OPERATIONS.md doesn't say what %s is", name)
		}
	}
	for name := range said {
		if !have[name] {
			t.Errorf("docs/OPERATIONS.md names %s, which isn't served", name)
		}
	}
}

// crowd asks as fast as it can for as long as a load balancer that looks every
// 10 ms finds the server ready; it returns how many requests were answered and
// how many failed.
func crowd(t *testing.T, addr string, then func()) (answered, failed int64) {
	t.Helper()
	var away atomic.Bool
	var good, bad atomic.Int64
	var running sync.WaitGroup
	for range 8 {
		c := &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
		running.Go(func() {
			defer c.CloseIdleConnections()
			for !away.Load() {
				res, err := c.Get("http://" + addr + "/v1/networks")
				if err == nil {
					_, err = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				if err != nil || res.StatusCode != 200 {
					bad.Add(1)
				} else {
					good.Add(1)
				}
			}
		})
	}
	for good.Load()+bad.Load() < 200 {
		time.Sleep(time.Millisecond)
	}
	then()
	probe := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	for {
		time.Sleep(10 * time.Millisecond)
		res, err := probe.Get("http://" + addr + "/readyz")
		if err != nil {
			break
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if strings.Contains(string(body), string(api.CodeShuttingDown)) {
			break
		}
	}
	away.Store(true)
	running.Wait()
	return good.Load(), bad.Load()
}

// Under load no request fails when a replica goes away, if it gives load
// balancers time to notice. Without that time requests fail, so the load would
// show it.
func TestDrainUnderLoad(t *testing.T) {
	for _, c := range []struct {
		drain time.Duration
		fails bool
	}{{3 * time.Second, false}, {0, true}} {
		cfg := goodConfig(t)
		cfg.Drain = c.drain
		addr, stop := start(t, cfg)
		ended := make(chan error, 1)
		answered, failed := crowd(t, addr, func() { go func() { ended <- stop() }() })
		if (failed > 0) != c.fails {
			t.Errorf("drain %v: %d requests answered, %d failed", c.drain, answered, failed)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			t.Error("it still listens")
		}
	}
}

// While it drains, an answer ends its connection, and readiness says why.
func TestDraining(t *testing.T) {
	cfg := goodConfig(t)
	cfg.Drain = 2 * time.Second
	addr, stop := start(t, cfg)
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	for end := time.Now().Add(1500 * time.Millisecond); ; {
		res, err := http.Get("http://" + addr + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.Close {
			break
		}
		if time.Now().After(end) {
			t.Fatal("connections stay open")
		}
	}
	if status, body := fetch(t, "http://"+addr+"/readyz"); status != 503 || !strings.Contains(body, string(api.CodeShuttingDown)) {
		t.Errorf("readyz: %d %s", status, body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A port that is taken ends it at once, also while others wait.
func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, edit := range map[string]func(*controlplane.Config){
		"API":     func(c *controlplane.Config) { c.Listen = l.Addr().String() },
		"metrics": func(c *controlplane.Config) { c.Metrics = l.Addr().String() },
	} {
		cfg := goodConfig(t)
		edit(&cfg)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if err := controlplane.Run(ctx, cfg); err == nil || ctx.Err() != nil {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}

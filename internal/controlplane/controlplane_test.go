package controlplane_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/controlplane"
	"github.com/sigilkeys/sigil/internal/server"
	"github.com/sigilkeys/sigil/test/ports"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// start runs a control plane until stop, which returns Run's error.
func start(t *testing.T, cfg controlplane.Config) (addr string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan string, 1), make(chan error, 1)
	cfg.Ready = func(a string) { ready <- a }
	go func() { done <- controlplane.Run(ctx, cfg) }()
	stop = func() error { cancel(); return <-done }
	select {
	case addr = <-ready:
		return addr, stop
	case err := <-done:
		cancel()
		t.Fatalf("didn't start: %v", err)
		return "", nil
	}
}

func TestConfigIsRefused(t *testing.T) {
	good := controlplane.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0", TEEAddresses: []string{"127.0.0.1:1"}, Log: quiet(), Accept: []authority.TEE{{}}, Rates: server.DefaultRates(), MaxInFlight: 100}
	for name, edit := range map[string]func(*controlplane.Config){
		"no folder":    func(c *controlplane.Config) { c.DataDir = "" },
		"two stores":   func(c *controlplane.Config) { c.Database = "postgres:///sigil?host=/nowhere" },
		"no address":   func(c *controlplane.Config) { c.Listen = "" },
		"no TEE":       func(c *controlplane.Config) { c.TEEAddresses = nil },
		"no TEE known": func(c *controlplane.Config) { c.Accept = nil },
		"TEEs twice":   func(c *controlplane.Config) { c.TEEFile = "/nowhere" },
		"no rates":     func(c *controlplane.Config) { c.Rates = server.Rates{} },
		"no queue":     func(c *controlplane.Config) { c.MaxInFlight = 0 },
		"drain":        func(c *controlplane.Config) { c.Drain = -1 },
		"no log":       func(c *controlplane.Config) { c.Log = nil },
		"bad address":  func(c *controlplane.Config) { c.Listen = "nowhere:port" },
	} {
		cfg := good
		edit(&cfg)
		cfg.Ready = func(string) { t.Errorf("%s: ready", name) }
		if err := controlplane.Run(t.Context(), cfg); err == nil {
			t.Errorf("%s: runs", name)
		}
	}
}

// Without a TEE it serves what needs none, says that it isn't ready, and a
// second process on the same folder is refused. It ends when it is told to.
func TestRun(t *testing.T) {
	cfg := controlplane.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0", TEEAddresses: []string{ports.Reserve(t)}, Version: "v1.2.3", Log: quiet(), Accept: []authority.TEE{{}}, Rates: server.DefaultRates(), MaxInFlight: 100}
	addr, stop := start(t, cfg)
	for path, c := range map[string]struct {
		status int
		want   string
	}{
		"/healthz":        {200, `"ok"`},
		"/version":        {200, "v1.2.3"},
		"/v1/networks":    {200, `"base"`},
		"/readyz":         {503, string(api.CodeTEEUnavailable)},
		"/v1/attestation": {503, string(api.CodeTEEUnavailable)},
	} {
		res, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != c.status || !strings.Contains(string(body), c.want) || !json.Valid(body) {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
		if c.status == 503 && res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", path)
		}
	}
	if err := controlplane.Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second process on the folder: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	_, stop = start(t, cfg) // the folder is free again
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// A request in work when the end comes gets its answer.
func TestDrain(t *testing.T) {
	addr, stop := start(t, controlplane.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0", TEEAddresses: []string{ports.Reserve(t)}, Log: quiet(), Accept: []authority.TEE{{}}, Rates: server.DefaultRates(), MaxInFlight: 100})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// Half a request, and proof that it was taken up: 100-continue.
	if _, err := io.WriteString(conn, "POST /v1/orgs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))
	if _, err := io.ReadFull(conn, buf); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	if _, err := io.WriteString(conn, "{}"); err != nil {
		t.Fatal(err)
	}
	reply, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(reply), string(api.CodeRegistrationClosed)) && !strings.Contains(string(reply), string(api.CodeDocumentInvalid)) {
		t.Fatalf("%s %v", reply, err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

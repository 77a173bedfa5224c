package controlplane

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/sigilkeys/sigil/internal/metrics"
	"github.com/sigilkeys/sigil/internal/signing"
)

// tees returns the addresses of the workloads to begin with.
func (c *Config) tees() ([]string, error) {
	list := c.TEEAddresses
	if c.TEEFile != "" {
		var err error
		if list, err = readTEEs(c.TEEFile); err != nil {
			return nil, err
		}
	}
	return list, checkTEEs(list)
}

// readTEEs reads a file of addresses, one a line. Empty lines and those that
// begin with # don't count.
func readTEEs(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("addresses of TEE workloads: %w", err)
	}
	var list []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, line)
		}
	}
	return list, nil
}

func checkTEEs(list []string) error {
	if err := signing.CheckAddresses(list); err != nil {
		return err
	}
	for _, a := range list {
		if _, port, err := net.SplitHostPort(a); err != nil || port == "" {
			return fmt.Errorf("address of a TEE workload: %q isn't host:port", a)
		}
	}
	return nil
}

// followTEEs adds and drains workloads as the file names them, until ctx ends.
// A file that can't be used changes nothing.
func (c *Config) followTEEs(ctx context.Context, fleet *signing.Fleet) {
	if c.TEEFile == "" {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.ReloadTEEs:
		}
		list, err := c.tees()
		if err != nil {
			c.Log.Error("the list of TEE workloads stays as it was", "error", err)
			continue
		}
		fleet.Set(list)
		c.Log.Info("the list of TEE workloads was read", "file", c.TEEFile, "tees", len(list))
	}
}

// links is the health of each link, for metrics.
func (p *parts) links() []metrics.Link {
	var out []metrics.Link
	for _, s := range p.fleet.Status() {
		out = append(out, metrics.Link{Index: s.Index, State: string(s.State), Failures: s.Failures, Asked: s.Asked, Latency: s.Latency})
	}
	return out
}

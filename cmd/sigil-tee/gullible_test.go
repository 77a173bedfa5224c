package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// gullible is the workload with its defence taken away: what the measured
// configuration says, an environment variable overrides; it asks the metadata
// server, goes through the environment's proxy and trusts its roots. The tests
// of a hostile host run against it too, and must notice.
func gullible(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	data, err := os.ReadFile(args[len(args)-1])
	if err != nil {
		return err
	}
	var c map[string]any
	if err := json.Unmarshal(data, &c); err != nil {
		return err
	}
	changed := false
	for name, was := range c {
		v, ok := os.LookupEnv("SIGIL_" + strings.ToUpper(name))
		if !ok {
			continue
		}
		changed = true
		c[name] = v
		if _, text := was.(string); !text { // a number or a bool
			c[name] = json.RawMessage(v)
		}
	}
	if host := os.Getenv("GCE_METADATA_HOST"); host != "" {
		fetch("metadata", &http.Client{Timeout: time.Second}, "http://"+host+"/computeMetadata/v1/instance/attributes/tee-key")
	}
	// Whom it trusts and through whom it goes, as a client has it unless
	// somebody sees to it.
	fetch("STS", &http.Client{Timeout: 5 * time.Second}, c["sts_url"].(string))
	if changed {
		if data, err = json.Marshal(c); err != nil {
			return err
		}
	}
	return serve(ctx, data, slog.New(slog.NewJSONHandler(os.Stdout, nil)))
}

func fetch(what string, c *http.Client, url string) {
	res, err := c.Get(url)
	if err != nil {
		fmt.Println("gullible:", what, "isn't reached:", err)
		return
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	fmt.Println("gullible: reached", what)
}

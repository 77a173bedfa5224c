// Command load measures what a signature costs: CPU time per request of both
// processes, for 1 and 64 clients, beside an HTTP handler that only signs
// with a key in memory, in the same run on the same machine.
//
//	go run ./test/load [-requests N] [-json]
//
// CPU time is the kernel's accounting of whole processes (user and system),
// so it holds everything: HTTP, JSON, the link, garbage collection, SQLite
// with its flushes. Times on shared machines are noisy; read ratios.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/sigilkeys/sigil/internal/devstack"
)

func main() {
	baseline := flag.String("baseline", "", "serve the baseline handler at this address (used by the program itself)")
	requests := flag.Int("requests", 4000, "requests per measurement with 64 clients; a quarter with 1")
	bin := flag.String("bin", "bin", "folder of sigil and sigil-tee")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *baseline != "" {
		err = serveBaseline(*baseline)
	} else {
		err = run(ctx, *bin, *requests, *asJSON)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, requests int, asJSON bool) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sigil-load")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	stack, err := devstack.Up(ctx, devstack.Config{Data: filepath.Join(dir, "stack"), TEEBinary: filepath.Join(bin, "sigil-tee"), SigilBinary: filepath.Join(bin, "sigil"),
		ServeArgs: []string{"--rate-key", "off", "--rate-org", "off"}}) // counted, not refused
	if err != nil {
		return err
	}
	defer stack.Close()
	base, err := startBaseline(ctx)
	if err != nil {
		return err
	}
	defer base.stop()
	info := stack.Info()
	result := &report{Machine: machine(), Taken: time.Now().UTC().Truncate(time.Second)}
	for _, clients := range []int{1, 64} {
		n := requests
		if clients == 1 {
			n /= 4
		}
		m, err := measure(ctx, info, clients, n)
		if err != nil {
			return err
		}
		if m.Baseline, err = base.measure(ctx, clients, n); err != nil {
			return err
		}
		result.Runs = append(result.Runs, *m)
	}
	if result.Stages, err = stages(); err != nil {
		return err
	}
	if result.Busy, err = busyStages(); err != nil {
		return err
	}
	if result.Parts, err = measureParts(ctx, result.Runs[1].Flushes); err != nil {
		return err
	}
	result.finish()
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(result)
	}
	result.print(os.Stdout)
	return nil
}

// Command sigil-tee is the TEE workload: the only program that ever has a
// private key. It takes one flag, reads one file, and talks to what that file
// names and to nothing else.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "sigil-tee: %v\n", err)
		os.Exit(1)
	}
}

const usage = `sigil-tee is Sigil's TEE workload.

Usage: sigil-tee [--config FILE]

It reads its measured configuration (default /etc/sigil/tee.json), proves to
the platform's attestation service and to both KMS keys that it may serve, and
serves the link until SIGTERM. Without attestation it exits.
`

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("sigil-tee", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() { fmt.Fprint(stderr, usage) }
	path := fs.String("config", "/etc/sigil/tee.json", "measured configuration file")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	data, err := os.ReadFile(*path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	// JSON lines: whoever collects them is the host, so nothing in them is
	// secret.
	log := slog.New(slog.NewJSONHandler(stdout, nil))
	return serve(ctx, data, log)
}

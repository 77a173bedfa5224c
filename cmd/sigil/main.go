// Command sigil is the owner's and developer's tool, and the control plane's
// server. Keys are made on the machine that runs it and never leave it.
package main

import (
	"context"
	"crypto/rand"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// version is the release; the linker sets it.
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends what doesn't look at the first
	code := run(ctx, &app{
		in: os.Stdin, out: os.Stdout, errOut: os.Stderr, getenv: os.Getenv, now: time.Now, random: rand.Reader,
		prompt: promptTerminal, version: version,
	}, os.Args[1:])
	stop()
	os.Exit(code)
}

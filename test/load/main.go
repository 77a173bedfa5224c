// Command load measures what a signature costs: CPU time per request of all
// processes, for 1 and 64 clients, on SQLite and on PostgreSQL, with and
// without the flush to disk, beside an HTTP handler that only signs with a key
// in memory. All of it in the same run on the same machine, what is compared in
// turns.
//
//	go run ./test/load [-requests N] [-rounds N] [-json]
//
// CPU time is the kernel's accounting of whole processes (user and system),
// so it holds everything: HTTP, JSON, the link, garbage collection, SQLite
// with its flushes. Times on shared machines are noisy; read ratios.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

// options are the flags.
type options struct {
	bin              string
	requests, rounds int
	json             bool
}

func main() {
	var o options
	baseline := flag.String("baseline", "", "serve the baseline handler at this address (used by the program itself)")
	flag.IntVar(&o.requests, "requests", 4000, "requests per round with 64 clients; a quarter with 1")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of signatures, each of which meets every database")
	flag.StringVar(&o.bin, "bin", "bin", "folder of sigil and sigil-tee")
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *baseline != "" {
		err = serveBaseline(*baseline)
	} else {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sigil-load")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o711); err != nil { // PostgreSQL's user has to get through
		return err
	}
	began := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	result := &report{Machine: machine(), Taken: began.UTC().Truncate(time.Second), Rounds: o.rounds}
	if err := result.signatures(ctx, dir, o, say); err != nil {
		return err
	}
	result.finish()
	if o.json {
		return json.NewEncoder(os.Stdout).Encode(result)
	}
	result.print(os.Stdout)
	return nil
}

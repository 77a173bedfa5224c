// Command load measures what a signature costs: CPU time per request of all
// processes, for 1 and 64 clients, on SQLite and on PostgreSQL, with and
// without the flush to disk, beside an HTTP handler that only signs with a key
// in memory; and whether a wallet among many is found as fast as one among few.
// All of it in the same run on the same machine, what is compared in turns.
//
//	go run ./test/load [-requests N] [-rounds N] [-wallets N] [-lookups N] [-json]
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
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	bin, ram         string // folders of the programs, and without a disk
	requests, rounds int    // of signatures
	wallets, lookups int    // and rounds of asking for them
	json             bool
	say              func(format string, args ...any) // progress
}

func main() {
	o := options{ram: memory}
	baseline := flag.String("baseline", "", "serve the baseline handler at this address (used by the program itself)")
	flag.IntVar(&o.requests, "requests", 4000, "requests per round with 64 clients; a quarter with 1. 0: no signatures")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of signatures, each of which meets every database")
	flag.IntVar(&o.wallets, "wallets", 10_000_000, "wallets to compare with 1,000, some 3 kB of disk each. 0: no wallets")
	flag.IntVar(&o.lookups, "lookups", 50, "rounds of asking for wallets")
	flag.StringVar(&o.bin, "bin", "bin", "folder of sigil and sigil-tee")
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
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

func run(ctx context.Context, o options) error {
	began := time.Now()
	o.say = func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%5.0f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	if err := kept(os.TempDir(), o.ram); err != nil {
		return err
	}
	r, err := take(ctx, o)
	if r == nil {
		return err
	}
	if o.json {
		return errors.Join(err, json.NewEncoder(os.Stdout).Encode(r))
	}
	r.print(os.Stdout) // what there is, though the rest failed
	return err
}

// take measures, in a folder that is gone afterwards. With an error, it may
// return what it had until then.
func take(ctx context.Context, o options) (r *report, err error) {
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return nil, err
	}
	dir, err := folder("")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r = &report{Machine: machine(), Taken: time.Now().UTC().Truncate(time.Second), Rounds: o.rounds}
	if o.requests > 0 {
		if err := r.signatures(ctx, dir, o); err != nil {
			return nil, err
		}
	}
	r.finish()
	if r.Operations, err = operations(); err != nil {
		return r, err
	}
	if o.wallets > 0 {
		err = r.wallets(ctx, dir, o)
	}
	return r, err
}

// folder makes one in dir that PostgreSQL's user gets through.
func folder(dir string) (string, error) {
	dir, err := os.MkdirTemp(dir, "sigil-load")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o711)
}

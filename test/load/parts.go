package main

import (
	"context"
	"crypto/rand"
	"net"
	"os"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/teelink"
)

// parts are stages other than cryptography, in microseconds of CPU per
// request: each measured alone, in this process, at the size of the run's
// batches.
type parts struct {
	Link     float64 `json:"link_us"`            // both ends, TLS and flushes included
	Commit   float64 `json:"commit_us"`          // rows and, with SQLite, their share of the flush
	Database float64 `json:"database_server_us"` // the server's part of the commit; SQLite has none
}

// Sizes of what a signature of an EVM message moves, in bytes.
const (
	leafSize      = 420
	signatureSize = 132
	batchSize     = 240
)

// spent runs f and returns this process's CPU time in it per request.
func spent(requests int, f func() error) (float64, error) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := cpuTime(os.Getpid())
	return float64((after - before).Nanoseconds()) / 1e3 / float64(requests), err
}

// yes is a workload that decides nothing.
type yes struct{ teelink.Handler }

func (yes) Decide(context.Context, *teelink.Decide) (teelink.Item, error) {
	return teelink.Item{Leaf: make([]byte, leafSize), ResultKind: teelink.ResultSignature, Result: make([]byte, signatureSize)}, nil
}

func (yes) Seal([][]byte) ([]byte, error) { return make([]byte, batchSize), nil }

// linkCost has 64 callers send requests over one link.
func linkCost(ctx context.Context) (float64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cert, _, err := teelink.NewCertificate(time.Now())
	if err != nil {
		return 0, err
	}
	server, err := teelink.NewServer(teelink.ServerConfig{Handler: yes{}, Certificate: cert})
	if err != nil {
		return 0, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	c, err := teelink.Dial(ctx, teelink.ClientConfig{Address: l.Addr().String()})
	if err != nil {
		return 0, err
	}
	const callers, each = 64, 500
	us, err := spent(callers*each, func() error { return call(ctx, c, callers, each) })
	c.Close()
	cancel()
	if e := <-ended; err == nil {
		err = e
	}
	return us, err
}

func call(ctx context.Context, c *teelink.Client, callers, each int) error {
	var group sync.WaitGroup
	failed := make(chan error, callers)
	for range callers {
		group.Go(func() {
			d := &teelink.Decide{Auth: teelink.AuthSignature, Method: "POST", Path: "/v1/s2s/sign", Proof: make([]byte, 64), Body: make([]byte, 110)}
			for range each {
				if _, err := c.Decide(ctx, d); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(failed)
	return <-failed
}

// commitCost commits batches of so many decisions, one transaction each, and
// returns what that costs here and, on a server, there.
func commitCost(ctx context.Context, in *installation, size int) (here, there float64, err error) {
	s, err := in.open(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer s.Close()
	n := 4000 / size
	list := make([]store.CommitBatch, n)
	for i := range list {
		if list[i], err = decisions(uint64(i+1), size); err != nil {
			return 0, 0, err
		}
	}
	commit := func() error {
		for i := range list {
			if _, err := s.Commit(ctx, list[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	if in.server == nil {
		here, err = spent(n*size, commit)
		return here, 0, err
	}
	before, err := familyTime(in.server.PID())
	if err != nil {
		return 0, 0, err
	}
	if here, err = spent(n*size, commit); err != nil {
		return 0, 0, err
	}
	after, err := familyTime(in.server.PID())
	return here, float64((after - before).Nanoseconds()) / 1e3 / float64(n*size), err
}

func decisions(number uint64, size int) (store.CommitBatch, error) {
	out := store.CommitBatch{Wallets: make([]*store.Wallet, size),
		Batch: store.Batch{Instance: [32]byte{1}, Number: number, Signed: make([]byte, batchSize), Hashes: make([][32]byte, size)}}
	for range size {
		var ids [2]canon.UUID
		for i := range ids {
			var err error
			if ids[i], err = canon.NewOrderedUUID(time.Now(), rand.Reader); err != nil {
				return out, err
			}
		}
		out.Decisions = append(out.Decisions, store.Decision{ID: ids[0], RequestID: ids[1], KeyID: "000102030405060708090a0b0c0d0e0f",
			Leaf: make([]byte, leafSize), ResultKind: uint8(teelink.ResultSignature), Result: make([]byte, signatureSize)})
	}
	return out, nil
}

package teelink

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Handler is what a workload does with frames. Methods are called from many
// goroutines at once. Errors that are *RemoteError reach the peer as they
// are; of others it learns only the code "internal".
type Handler interface {
	Hello(ctx context.Context) (HelloReply, error)
	Put(ctx context.Context, objects []Object) error
	Provision(ctx context.Context, genesis []byte) ([]byte, error)
	// Attest has a statement with the challenges' root attested.
	Attest(ctx context.Context, challenges [32]byte) (HelloReply, error)
	// Checkpoint adds leaves to a ledger, signs its head, and returns the
	// newest note that it has signed.
	Checkpoint(ctx context.Context, in *Checkpoint) (note string, err error)
	// Decide returns the item for the next batch, without its ID.
	Decide(ctx context.Context, d *Decide) (Item, error)
	// Seal signs one batch over the leaves and returns the signed record. It
	// is the last step before bytes leave.
	Seal(leaves [][]byte) ([]byte, error)
}

// ServerConfig configures a Server.
type ServerConfig struct {
	Handler     Handler
	Certificate tls.Certificate
	// Workers is how many requests of one link are in work at a time; the
	// rest wait in order. Default 64.
	Workers int
	// MaxLinks is how many connections are served at a time. Default 16.
	MaxLinks int
	// Idle ends a link on which no frame arrived for so long. Default 10 min.
	Idle time.Duration
}

// Server is the workload's end of all links.
type Server struct {
	cfg ServerConfig
	wg  sync.WaitGroup
}

// NewServer checks the configuration.
func NewServer(cfg ServerConfig) (*Server, error) {
	if cfg.Handler == nil || len(cfg.Certificate.Certificate) == 0 {
		return nil, errors.New("teelink: Handler and Certificate are required")
	}
	if cfg.Workers == 0 {
		cfg.Workers = 64
	}
	if cfg.MaxLinks == 0 {
		cfg.MaxLinks = 16
	}
	if cfg.Idle == 0 {
		cfg.Idle = 10 * time.Minute
	}
	return &Server{cfg: cfg}, nil
}

// Serve accepts links until ctx ends; it closes l, lets requests in work
// finish, and returns nil then.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	slots := make(chan struct{}, s.cfg.MaxLinks)
	defer s.wg.Wait()
	for {
		nc, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept link: %w", err)
		}
		select {
		case slots <- struct{}{}:
			s.wg.Go(func() {
				defer func() { <-slots }()
				s.serveLink(ctx, nc)
			})
		default:
			nc.Close() // full: the peer tries again
		}
	}
}

// job is a frame with the moment of its arrival.
type job struct {
	frame   Frame
	arrived time.Time
}

// link is one connection: a reader, Workers workers and a writer.
type link struct {
	s       *Server
	conn    *tls.Conn
	version string // that the handshake chose
	out     *outbox
	jobs    chan job
	// working counts the jobs that were read and have no answer queued yet.
	working atomic.Int64
}

func (s *Server) serveLink(ctx context.Context, nc net.Conn) {
	conn := tls.Server(nc, &tls.Config{
		Certificates: []tls.Certificate{s.cfg.Certificate},
		MinVersion:   tls.VersionTLS13,
		NextProtos:   versions(),
		// Resumption would leave session secrets for no gain on one
		// long-lived connection.
		SessionTicketsDisabled: true,
	})
	defer conn.Close()
	hctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	err := conn.HandshakeContext(hctx)
	cancel()
	version := conn.ConnectionState().NegotiatedProtocol
	if err != nil || !knows(version, OpHello) {
		return
	}
	ln := &link{s: s, conn: conn, version: version, out: newOutbox(), jobs: make(chan job, s.cfg.Workers)}
	ln.run(ctx)
}

// stopGrace is how long a link may take to deliver what is decided when the
// server stops.
const stopGrace = 5 * time.Second

func (ln *link) run(ctx context.Context) {
	lctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(lctx, func() { ln.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	// When the server stops, a peer that doesn't read has until then.
	over := make(chan struct{})
	defer close(over)
	cut := context.AfterFunc(lctx, func() {
		select {
		case <-over:
		case <-time.After(stopGrace):
			ln.conn.NetConn().Close()
		}
	})
	defer cut()

	var workers, writer sync.WaitGroup
	for range ln.s.cfg.Workers {
		// Requests in work finish even when the server stops.
		workers.Go(func() { ln.work(context.WithoutCancel(ctx)) })
	}
	writer.Go(func() {
		if err := ln.out.run(ln.conn, &ln.working, ln.seal); err != nil {
			ln.conn.Close()
		}
		cancel()
	})
	ln.read(lctx)
	close(ln.jobs)
	workers.Wait()
	ln.out.finish()
	writer.Wait()
}

func (ln *link) read(ctx context.Context) {
	r := bufio.NewReaderSize(ln.conn, MaxFrame)
	for {
		ln.conn.SetReadDeadline(time.Now().Add(ln.s.cfg.Idle))
		if ctx.Err() != nil {
			return
		}
		f, err := ReadFrame(r)
		if err != nil {
			return
		}
		if !knows(ln.version, f.Op) {
			return // closes
		}
		ln.working.Add(1)
		select {
		case ln.jobs <- job{f, time.Now()}:
		case <-ctx.Done():
			return
		}
	}
}

func (ln *link) work(ctx context.Context) {
	for j := range ln.jobs {
		it, err := ln.handle(ctx, j)
		ln.working.Add(-1) // first, so that the last one's item wakes the writer
		switch {
		case err != nil:
			ln.answerError(j.frame.ID, err)
		case it != nil:
			ln.out.add(*it)
		}
	}
}

// handle serves one frame. The answer is the error, or else the item, or else
// a frame that is queued already.
func (ln *link) handle(ctx context.Context, j job) (it *Item, err error) {
	f := j.frame
	defer func() {
		// The value of a panic may hold anything: it is dropped.
		if recover() != nil {
			it, err = nil, errors.New("panic in handler")
		}
	}()
	if f.Timeout != 0 {
		const longest = uint64(time.Hour / time.Microsecond)
		deadline := j.arrived.Add(time.Duration(min(f.Timeout, longest)) * time.Microsecond)
		if !time.Now().Before(deadline) {
			return nil, &RemoteError{Code: "deadline_exceeded", Message: "the deadline passed before the TEE took up the request; try again"}
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	switch f.Op {
	case OpDecide, OpDecideItem:
		d, err := decodeDecide(f)
		if err != nil {
			return nil, malformed(err)
		}
		decided, err := ln.s.cfg.Handler.Decide(ctx, d)
		if err != nil {
			return nil, err
		}
		decided.ID = f.ID
		return &decided, nil
	case OpPut:
		objects, err := DecodePut(f.Payload)
		if err != nil {
			return nil, malformed(err)
		}
		if err := ln.s.cfg.Handler.Put(ctx, objects); err != nil {
			return nil, err
		}
		return nil, ln.out.send(Frame{ID: f.ID, Op: OpPutReply})
	case OpProvision:
		return nil, ln.provision(ctx, f)
	case OpAttest:
		return nil, ln.attest(ctx, f)
	case OpCheckpoint:
		return nil, ln.checkpoint(ctx, f)
	default: // OpHello: read lets no other op through
		if len(f.Payload) > 0 {
			return nil, malformed(fmt.Errorf("hello with %d bytes", len(f.Payload)))
		}
		h, err := ln.s.cfg.Handler.Hello(ctx)
		if err != nil {
			return nil, err
		}
		return nil, ln.out.send(Frame{ID: f.ID, Op: OpHelloReply, Payload: h.Encode()})
	}
}

func (ln *link) provision(ctx context.Context, f Frame) error {
	genesis, err := DecodeProvision(f.Payload)
	if err != nil {
		return malformed(err)
	}
	state, err := ln.s.cfg.Handler.Provision(ctx, genesis)
	if err != nil {
		return err
	}
	return ln.out.send(Frame{ID: f.ID, Op: OpProvisionReply, Payload: EncodeProvisionReply(state)})
}

func (ln *link) attest(ctx context.Context, f Frame) error {
	challenges, err := DecodeAttest(f.Payload)
	if err != nil {
		return malformed(err)
	}
	h, err := ln.s.cfg.Handler.Attest(ctx, challenges)
	if err != nil {
		return err
	}
	return ln.out.send(Frame{ID: f.ID, Op: OpAttestReply, Payload: h.Encode()})
}

func (ln *link) checkpoint(ctx context.Context, f Frame) error {
	in, err := DecodeCheckpoint(f.Payload)
	if err != nil {
		return malformed(err)
	}
	note, err := ln.s.cfg.Handler.Checkpoint(ctx, in)
	if err != nil {
		return err
	}
	return ln.out.send(Frame{ID: f.ID, Op: OpCheckpointDone, Payload: EncodeCheckpointDone(note)})
}

func malformed(err error) error {
	return &RemoteError{Code: "malformed_frame", Message: err.Error()}
}

func (ln *link) answerError(id uint64, err error) {
	var remote *RemoteError
	if !errors.As(err, &remote) {
		remote = &RemoteError{Code: "internal", Message: "the TEE failed to handle the request"}
	}
	// An error here means that the link is down, which its reader sees.
	_ = ln.out.send(Frame{ID: id, Op: OpError, Payload: remote.Encode()})
}

// seal appends batch frames for the items: as few as the frame limit allows.
func (ln *link) seal(dst []byte, items []Item) ([]byte, error) {
	for len(items) > 0 {
		n, size := 0, 4+maxBatch+4+headerSize
		for n < len(items) && n < MaxItems && size+items[n].size() <= MaxFrame {
			size += items[n].size()
			n++
		}
		if n == 0 {
			return nil, fmt.Errorf("%w: item of %d bytes", ErrProtocol, items[0].size())
		}
		leaves := make([][]byte, n)
		for i := range leaves {
			leaves[i] = items[i].Leaf
		}
		signed, err := ln.s.cfg.Handler.Seal(leaves)
		if err != nil {
			return nil, fmt.Errorf("seal batch: %w", err)
		}
		payload, err := EncodeBatch(signed, items[:n])
		if err != nil {
			return nil, err
		}
		if dst, err = AppendFrame(dst, Frame{Op: OpBatch, Payload: payload}); err != nil {
			return nil, err
		}
		items = items[n:]
	}
	return dst, nil
}

package teelink

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrClosed is returned for requests on a link that is down. Whether the
	// workload decided them is unknown; nothing of them was released.
	ErrClosed   = errors.New("link to the TEE is closed")
	errSlowPeer = errors.New("peer doesn't read")
)

// Batch is one signed batch with everything that it covers, in leaf order.
type Batch struct {
	Signed []byte // signed batch record
	Items  []Item

	// Tag is for ClientConfig.OnBatch to leave something for those who wait
	// for the items.
	Tag any
}

// Outcome is the decision on one request: Items[Index] of a batch.
type Outcome struct {
	Batch *Batch
	Index int
}

// Item returns the outcome's item.
func (o *Outcome) Item() *Item { return &o.Batch.Items[o.Index] }

// ClientConfig says how to reach a workload.
type ClientConfig struct {
	// Address is host:port of the workload's link.
	Address string
	// OnBatch, if set, sees every batch before those who wait for its items,
	// also items whose caller has given up, so that no decision goes
	// unrecorded. It is called from the reading goroutine, in order.
	OnBatch func(*Batch)
}

// Client is the control plane's end of a link. Its methods may be called from
// any goroutine.
type Client struct {
	conn    *tls.Conn
	version string
	linkKey [32]byte
	onBatch func(*Batch)
	out     *outbox
	nextID  atomic.Uint64
	done    chan struct{}
	wg      sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	waiting map[uint64]chan reply
	err     error
}

type reply struct {
	frame   Frame    // any reply but a batch
	outcome *Outcome // item of a batch
	err     error
}

// Dial connects to a workload. It checks no evidence: compare LinkKey with
// the attested statement from Hello before using the link.
func Dial(ctx context.Context, cfg ClientConfig) (*Client, error) {
	dialer := tls.Dialer{
		NetDialer: &net.Dialer{KeepAlive: 15 * time.Second},
		Config: &tls.Config{
			MinVersion: tls.VersionTLS13,
			NextProtos: versions(),
			// The certificate is self-signed: its key is authenticated by
			// the attestation token, not by a certificate authority.
			InsecureSkipVerify: true,
		},
	}
	nc, err := dialer.DialContext(ctx, "tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("dial TEE at %s: %w", cfg.Address, err)
	}
	conn := nc.(*tls.Conn)
	state := conn.ConnectionState()
	if len(state.PeerCertificates) != 1 || !knows(state.NegotiatedProtocol, OpHello) {
		conn.Close()
		return nil, fmt.Errorf("dial TEE at %s: peer speaks none of %v", cfg.Address, versions())
	}
	c := &Client{
		conn:    conn,
		version: state.NegotiatedProtocol,
		linkKey: sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo),
		onBatch: cfg.OnBatch,
		out:     newOutbox(),
		done:    make(chan struct{}),
		waiting: map[uint64]chan reply{},
	}
	c.wg.Go(func() { c.fail(c.out.run(conn, nil, nil)) })
	c.wg.Go(func() { c.fail(c.read()) })
	return c, nil
}

// LinkKey returns the SHA-256 of the peer's SubjectPublicKeyInfo.
func (c *Client) LinkKey() [32]byte { return c.linkKey }

// Knows reports whether the workload's version of the link has the operation.
func (c *Client) Knows(op Op) bool { return knows(c.version, op) }

// Done is closed when the link is down.
func (c *Client) Done() <-chan struct{} { return c.done }

// Close ends the link and waits for its goroutines.
func (c *Client) Close() {
	c.fail(ErrClosed)
	c.wg.Wait()
}

// fail marks the link as down once, and answers everybody who waits.
func (c *Client) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = fmt.Errorf("%w: %w", ErrClosed, err)
	waiting := c.waiting
	c.waiting = nil
	c.mu.Unlock()
	c.conn.Close()
	c.out.close(err)
	close(c.done)
	for _, ch := range waiting {
		ch <- reply{err: c.err}
	}
}

func (c *Client) read() error {
	r := bufio.NewReaderSize(c.conn, MaxFrame)
	for {
		f, err := ReadFrame(r)
		if err != nil {
			return err
		}
		if err := c.dispatch(f); err != nil {
			return err
		}
	}
}

func (c *Client) dispatch(f Frame) error {
	switch f.Op {
	case OpBatch:
		signed, items, err := DecodeBatch(f.Payload)
		if err != nil || f.ID != 0 {
			return fmt.Errorf("%w: batch: %v", ErrProtocol, err)
		}
		b := &Batch{Signed: signed, Items: items}
		if c.onBatch != nil {
			c.onBatch(b)
		}
		for i := range items {
			c.deliver(items[i].ID, reply{outcome: &Outcome{Batch: b, Index: i}})
		}
	case OpHelloReply, OpPutReply, OpProvisionReply, OpAttestReply, OpCheckpointDone, OpError:
		c.deliver(f.ID, reply{frame: f})
	default:
		return fmt.Errorf("%w: op %#x", ErrProtocol, f.Op)
	}
	return nil
}

// deliver hands a reply to its caller, who may have given up.
func (c *Client) deliver(id uint64, r reply) {
	c.mu.Lock()
	ch := c.waiting[id]
	delete(c.waiting, id)
	c.mu.Unlock()
	if ch != nil {
		ch <- r
	}
}

// call sends a frame and waits for its reply, ctx, or the link's end.
func (c *Client) call(ctx context.Context, op Op, payload []byte) (reply, error) {
	id := c.nextID.Add(1)
	ch := make(chan reply, 1)
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return reply{}, c.err
	}
	c.waiting[id] = ch
	c.mu.Unlock()

	f := Frame{ID: id, Op: op, Payload: payload}
	if t, ok := ctx.Deadline(); ok {
		f.Timeout = uint64(max(1, time.Until(t).Microseconds()))
	}
	if err := c.out.send(f); err != nil {
		c.forget(id)
		return reply{}, c.unsent(err)
	}
	select {
	case r := <-ch:
		return r, replyError(r)
	case <-ctx.Done():
		c.forget(id)
		return reply{}, ctx.Err()
	}
}

// unsent says why a frame wasn't queued: it is too large, or the link broke at
// this moment.
func (c *Client) unsent(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.err
	case errors.Is(err, errSlowPeer):
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return err
}

func (c *Client) forget(id uint64) {
	c.mu.Lock()
	delete(c.waiting, id)
	c.mu.Unlock()
}

func replyError(r reply) error {
	if r.err != nil {
		return r.err
	}
	if r.outcome == nil && r.frame.Op == OpError {
		e, err := DecodeRemoteError(r.frame.Payload)
		if err != nil {
			return fmt.Errorf("%w: error frame: %w", ErrProtocol, err)
		}
		return e
	}
	return nil
}

func (c *Client) expect(ctx context.Context, op Op, payload []byte) ([]byte, error) {
	r, err := c.call(ctx, op, payload)
	if err != nil {
		return nil, err
	}
	if r.outcome != nil || r.frame.Op != op|0x80 {
		return nil, fmt.Errorf("%w: reply to op %#x has op %#x", ErrProtocol, op, r.frame.Op)
	}
	return r.frame.Payload, nil
}

// Hello asks for the instance's statement and the token that vouches for it.
func (c *Client) Hello(ctx context.Context) (HelloReply, error) {
	p, err := c.expect(ctx, OpHello, nil)
	if err != nil {
		return HelloReply{}, err
	}
	return DecodeHelloReply(p)
}

// Attest has a fresh statement attested that carries the root; the workload
// does so once a second at most and refuses sooner with "attestation_busy".
func (c *Client) Attest(ctx context.Context, challenges [32]byte) (HelloReply, error) {
	p, err := c.expect(ctx, OpAttest, EncodeAttest(challenges))
	if err != nil {
		return HelloReply{}, err
	}
	return DecodeHelloReply(p)
}

// ErrOldPeer is returned for an operation that the workload's version doesn't
// have.
var ErrOldPeer = errors.New("the TEE workload is older and doesn't know the operation")

// Checkpoint has the workload sign a head of an organisation's ledger; the note
// is the newest that it has signed, see EncodeCheckpointDone.
func (c *Client) Checkpoint(ctx context.Context, in *Checkpoint) (note string, err error) {
	if !knows(c.version, OpCheckpoint) {
		return "", ErrOldPeer
	}
	p, err := c.expect(ctx, OpCheckpoint, in.Encode())
	if err != nil {
		return "", err
	}
	return DecodeCheckpointDone(p)
}

// Put hands objects to the workload. An object that doesn't verify is refused
// with a *RemoteError, and none after it is taken.
func (c *Client) Put(ctx context.Context, objects []Object) error {
	_, err := c.expect(ctx, OpPut, EncodePut(objects))
	return err
}

// Provision has the workload make the organisation's state key; the reply is
// a state record.
func (c *Client) Provision(ctx context.Context, genesis []byte) ([]byte, error) {
	p, err := c.expect(ctx, OpProvision, EncodeProvision(genesis))
	if err != nil {
		return nil, err
	}
	return DecodeProvisionReply(p)
}

// Decide has the workload decide and, if allowed, carry out one request, or
// one item of it. A *RemoteError means that it was refused without a receipt;
// any other error that the outcome is unknown.
func (c *Client) Decide(ctx context.Context, d *Decide) (*Outcome, error) {
	op := OpDecide
	if d.Item != 0 {
		op = OpDecideItem
	}
	if !knows(c.version, op) {
		return nil, ErrOldPeer
	}
	payload, err := d.Encode()
	if err != nil {
		return nil, err
	}
	r, err := c.call(ctx, op, payload)
	if err != nil {
		return nil, err
	}
	if r.outcome == nil {
		return nil, fmt.Errorf("%w: decide answered by op %#x", ErrProtocol, r.frame.Op)
	}
	return r.outcome, nil
}

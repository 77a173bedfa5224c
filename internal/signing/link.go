// Package signing is the control plane's hot path: it finds the documents and
// records that a request refers to, has the TEE decide, commits what came
// back, and only then lets the reply go.
//
// Trust. Nothing here decides anything: whom a request is from is looked up
// here and proven in the TEE. Nothing leaves before its batch is committed
// (Committer), so that an acknowledged signature always has its record.
package signing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
)

// ErrUnavailable is returned while no TEE workload is connected.
var ErrUnavailable = errors.New("no TEE workload is connected")

// Link keeps one connection to a workload: it dials, takes the instance's
// evidence into the archive, hands it every revocation, and only then lets
// requests through; when the connection breaks it starts over.
type Link struct {
	Address string
	Store   store.Store
	OnBatch func(*teelink.Batch)
	Log     *slog.Logger
	Now     func() time.Time

	mu       sync.Mutex // guards the fields below
	client   *teelink.Client
	evidence *store.Evidence
	changed  chan struct{} // closed and replaced when client changes
}

// Run keeps the link until ctx ends.
func (l *Link) Run(ctx context.Context) {
	const fastest, slowest = 20 * time.Millisecond, time.Second
	wait := fastest
	for ctx.Err() == nil {
		wasUp, err := l.serve(ctx)
		if ctx.Err() != nil {
			return
		}
		l.Log.Warn("link to the TEE is down", "error", err)
		if wasUp {
			wait = fastest
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, slowest)
	}
}

// serve runs one connection; wasUp says whether requests went through it.
func (l *Link) serve(ctx context.Context) (wasUp bool, err error) {
	dctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := teelink.Dial(dctx, teelink.ClientConfig{Address: l.Address, OnBatch: l.OnBatch})
	if err != nil {
		return false, err
	}
	defer c.Close()
	e, err := l.introduce(dctx, c)
	if err != nil {
		return false, err
	}
	if err := l.pushRevocations(dctx, c); err != nil {
		return false, err
	}
	l.set(c, e)
	defer l.set(nil, nil)
	l.Log.Info("link to the TEE is up", "release", e.Release, "version", e.Version)
	return true, l.watch(ctx, c)
}

// watch fetches renewed evidence until the link breaks or ctx ends.
func (l *Link) watch(ctx context.Context, c *teelink.Client) error {
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.Done():
			return teelink.ErrClosed
		case <-t.C:
			hctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			e, err := l.introduce(hctx, c)
			cancel()
			if err != nil {
				return err
			}
			l.renewed(c, e)
		}
	}
}

// introduce checks that the attested statement is that of this connection and
// archives it. Whether the release is a good one, clients judge by the
// genesis; here it is honest routing.
func (l *Link) introduce(ctx context.Context, c *teelink.Client) (*store.Evidence, error) {
	h, err := c.Hello(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the TEE for evidence: %w", err)
	}
	st, err := receipt.DecodeStatement(h.Statement)
	if err != nil {
		return nil, err
	}
	if st.LinkKey != c.LinkKey() {
		return nil, errors.New("the TEE's statement names another link key: somebody is in the middle")
	}
	e := &store.Evidence{ID: st.Digest(), Statement: h.Statement, Token: string(h.Token), Release: h.Release, Version: h.Version, Stored: l.Now()}
	if err := l.Store.PutEvidence(ctx, e); err != nil {
		return nil, fmt.Errorf("archive evidence: %w", err)
	}
	return e, nil
}

// pushRevocations tells the instance what was revoked before it was there.
func (l *Link) pushRevocations(ctx context.Context, c *teelink.Client) error {
	list, err := l.Store.Revocations(ctx)
	if err != nil {
		return fmt.Errorf("read revocations: %w", err)
	}
	known := map[canon.UUID]bool{}
	for _, r := range list {
		objects := []teelink.Object{{Kind: teelink.ObjectRevocation, Bytes: r.Envelope}}
		if !known[r.Organization] {
			o, err := l.Store.Organization(ctx, r.Organization)
			if err != nil {
				return fmt.Errorf("read organisation of a revocation: %w", err)
			}
			objects = append([]teelink.Object{{Kind: teelink.ObjectGenesis, Bytes: o.Genesis}}, objects...)
			known[r.Organization] = true
		}
		var refused *teelink.RemoteError
		if err := c.Put(ctx, objects); errors.As(err, &refused) {
			// An organisation that doesn't accept this release can't sign
			// with it either.
			l.Log.Warn("the TEE refuses a revocation", "organization", r.Organization, "code", refused.Code)
			known[r.Organization] = false
		} else if err != nil {
			return fmt.Errorf("push revocations: %w", err)
		}
	}
	return nil
}

// Archive makes sure that the evidence for a statement is stored: an instance
// renews it now and then, and the first batch under it may come first.
func (l *Link) Archive(statement [32]byte) error {
	l.mu.Lock()
	c, known := l.client, l.evidence != nil && l.evidence.ID == statement
	l.mu.Unlock()
	if known {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := l.Store.Evidence(ctx, statement); err == nil {
		return nil
	}
	if c == nil {
		return ErrUnavailable
	}
	e, err := l.introduce(ctx, c)
	if err != nil {
		return err
	}
	l.renewed(c, e)
	if e.ID != statement {
		return errors.New("the TEE has other evidence now")
	}
	return nil
}

// renewed notes newer evidence of a connection that is still the one.
func (l *Link) renewed(c *teelink.Client, e *store.Evidence) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client == c {
		l.evidence = e
	}
}

func (l *Link) set(c *teelink.Client, e *store.Evidence) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.client, l.evidence = c, e
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Client returns the connection, or waits a moment for one.
func (l *Link) Client(ctx context.Context) (*teelink.Client, error) {
	const patience = 2 * time.Second
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		l.mu.Lock()
		c := l.client
		if c == nil && l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		if c != nil {
			return c, nil
		}
		select {
		case <-changed:
		case <-timeout.C:
			return nil, ErrUnavailable
		case <-ctx.Done():
			return nil, ErrUnavailable
		}
	}
}

// Evidence returns that of the connected instance.
func (l *Link) Evidence() (*store.Evidence, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.evidence == nil {
		return nil, ErrUnavailable
	}
	return l.evidence, nil
}

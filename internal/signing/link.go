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

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/attest/confspace"
	"github.com/sigilkeys/sigil/internal/authority"
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
	// Accept are the reference values that a workload must meet; none means
	// that no workload is talked to.
	Accept  []authority.TEE
	Store   store.Store
	OnBatch func(*teelink.Batch)
	Log     *slog.Logger
	Now     func() time.Time

	mu          sync.Mutex // guards the fields below
	client      *teelink.Client
	evidence    *store.Evidence
	changed     chan struct{} // closed and replaced when client changes
	revocations uint64        // how many were stored through Revoked

	health health
	// wake, if set, is told when a connection comes; set before Run.
	wake func()
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
		l.Log.Warn("link to the TEE is down", "tee", l.Address, "error", err)
		if wasUp {
			wait = fastest
		}
		l.health.failed(err)
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
	if err := l.admit(ctx, c, e); err != nil {
		return false, err
	}
	defer l.set(nil, nil)
	l.Log.Info("link to the TEE is up", "tee", l.Address, "release", e.Release, "version", e.Version)
	pctx, stop := context.WithCancel(ctx)
	var probing sync.WaitGroup
	defer probing.Wait()
	defer stop()
	probing.Go(func() { l.probe(pctx, c) })
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

// introduce checks that an accepted workload attests the key of this very
// connection, and archives the evidence. Clients judge again by their genesis;
// here it keeps requests, and bearer tokens above all, from going elsewhere.
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
	if err := l.validate(&h, st); err != nil {
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	}
	e := &store.Evidence{ID: st.Digest(), Statement: h.Statement, Token: string(h.Token), Release: h.Release, Version: h.Version, Stored: l.Now()}
	if err := l.Store.PutEvidence(ctx, e); err != nil {
		return nil, fmt.Errorf("archive evidence: %w", err)
	}
	return e, nil
}

// errRefused is wrapped by what is wrong with a peer's evidence.
var errRefused = errors.New("the peer isn't an accepted TEE workload")

// validate verifies the token for the statement against the reference values.
func (l *Link) validate(h *teelink.HelloReply, st *receipt.Statement) error {
	refused := errors.New("no TEE is accepted: give `sigil serve` its reference values")
	now := l.Now()
	for i := range l.Accept {
		t := &l.Accept[i]
		pin, err := confspace.ParseFingerprint(t.PKIRoot)
		if err != nil {
			return err
		}
		claims, err := confspace.Verify(string(h.Token), confspace.Trust{PKIRoot: pin}, now)
		if err == nil {
			err = confspace.Validate(claims, confspace.Expectation{
				Issuer: t.Issuer, Audience: receipt.EvidenceAudience, Hardware: t.Hardware, ProjectID: t.ProjectID,
				ServiceAccount: t.ServiceAccount, ImageDigests: t.ImageDigests, Nonce: st.Nonce(),
			}, now)
		}
		if err == nil && claims.ImageDigest != h.Release {
			err = errors.New("it says that it is another release than it attests")
		}
		if err == nil {
			return nil
		}
		refused = err
	}
	return refused
}

// admit hands the instance every revocation and then lets requests through.
// One that is stored meanwhile, while there is no client to tell (Revoked),
// is handed over too: requests wait for it.
func (l *Link) admit(ctx context.Context, c *teelink.Client, e *store.Evidence) error {
	for {
		l.mu.Lock()
		before := l.revocations
		l.mu.Unlock()
		if err := l.pushRevocations(ctx, c); err != nil {
			return err
		}
		l.mu.Lock()
		same := l.revocations == before
		if same {
			l.setLocked(c, e)
		}
		l.mu.Unlock()
		if same {
			return nil
		}
	}
}

// Revoked tells the connected instance of a revocation that was just stored.
// Nil means that no instance signs without knowing it: where none is
// connected, the next one is told before requests reach it, and one that
// doesn't answer is cut off.
func (l *Link) Revoked(ctx context.Context, genesis, revocation []byte) error {
	l.mu.Lock()
	l.revocations++
	c := l.client
	l.mu.Unlock()
	if c == nil {
		return nil
	}
	err := tell(ctx, c, genesis, revocation)
	var refused *teelink.RemoteError
	if err == nil || ctx.Err() != nil || errors.As(err, &refused) {
		return err
	}
	l.Log.Warn("the TEE doesn't confirm a revocation: the link is cut", "tee", l.Address, "error", err)
	c.Close()
	return nil
}

// tellPatience is less than a caller waits for an acknowledged revocation.
const tellPatience = 5 * time.Second

// tell hands one revocation over, with its genesis in the same frame, since
// the instance keeps a bounded number of those. An organisation that doesn't
// accept the release can't sign with it, so there it needn't be known.
func tell(ctx context.Context, c *teelink.Client, genesis, revocation []byte) error {
	ctx, cancel := context.WithTimeout(ctx, tellPatience)
	defer cancel()
	err := c.Put(ctx, []teelink.Object{{Kind: teelink.ObjectGenesis, Bytes: genesis}, {Kind: teelink.ObjectRevocation, Bytes: revocation}})
	var refused *teelink.RemoteError
	if errors.As(err, &refused) && refused.Code == string(api.CodeReleaseNotAccepted) {
		return nil
	}
	return err
}

// pushRevocations tells the instance what was revoked before it was there.
// One that it doesn't take keeps the link down: it would sign for that key.
func (l *Link) pushRevocations(ctx context.Context, c *teelink.Client) error {
	list, err := l.Store.Revocations(ctx)
	if err != nil {
		return fmt.Errorf("read revocations: %w", err)
	}
	genesis := map[canon.UUID][]byte{}
	for _, r := range list {
		g, known := genesis[r.Organization]
		if !known {
			o, err := l.Store.Organization(ctx, r.Organization)
			if err != nil {
				return fmt.Errorf("read organisation of a revocation: %w", err)
			}
			g = o.Genesis
			genesis[r.Organization] = g
		}
		if err := tell(ctx, c, g, r.Envelope); err != nil {
			return fmt.Errorf("push a revocation of organisation %s: %w", r.Organization, err)
		}
	}
	return nil
}

// knows returns the evidence for a statement if it is the connection's.
func (l *Link) knows(statement [32]byte) *store.Evidence {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.evidence != nil && l.evidence.ID == statement {
		return l.evidence
	}
	return nil
}

// refresh fetches the connection's evidence anew, which an instance renews now
// and then.
func (l *Link) refresh(ctx context.Context) error {
	c := l.connection()
	if c == nil {
		return ErrUnavailable
	}
	e, err := l.introduce(ctx, c)
	if err != nil {
		return err
	}
	l.renewed(c, e)
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
	l.setLocked(c, e)
}

func (l *Link) setLocked(c *teelink.Client, e *store.Evidence) {
	l.client, l.evidence = c, e
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	if c != nil {
		l.health.admitted()
		if l.wake != nil {
			l.wake()
		}
	}
}

// connection returns that which requests may go over, or nil.
func (l *Link) connection() *teelink.Client {
	l.mu.Lock()
	c := l.client
	l.mu.Unlock()
	if c == nil {
		return nil
	}
	select {
	case <-c.Done():
		return nil
	default:
		return c
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

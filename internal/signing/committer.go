package signing

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
)

// Committer stores batches, all that queue in one transaction, and then lets
// those go who wait for them. A batch is stored whole, also for items whose
// caller has gone: what was signed has a record.
type Committer struct {
	store    store.Store
	networks *chain.Registry
	log      *slog.Logger

	// archive makes sure that the evidence for a statement is stored, so that
	// whoever gets a receipt of its batches can verify it.
	archive  func(statement, instance [32]byte) error
	archived map[[2][32]byte]bool // the last pairs; owned by the goroutine of Run

	observe func(decisions int, took time.Duration, err error)

	asking atomic.Int64 // requests that the TEE is deciding now

	mu     sync.Mutex // guards queue, queued and labels
	queue  []*ticket
	queued int                 // items of the queue
	labels map[labelKey]string // of wallets being made
	wake   chan struct{}
}

// ticket is the fate of one batch; results is set before done is closed.
type ticket struct {
	batch   *teelink.Batch
	done    chan struct{}
	results []store.Commit
	tree    *receipt.Tree
	leaves  []*receipt.Leaf
	signed  *receipt.Batch
	err     error
}

// ArchiveWith sets what stores evidence; before Run, and always.
func (c *Committer) ArchiveWith(archive func(statement, instance [32]byte) error) {
	c.archive = archive
}

// ObserveWith sets what is told of each transaction; before Run, or never.
func (c *Committer) ObserveWith(f func(decisions int, took time.Duration, err error)) { c.observe = f }

func (c *Committer) committed(tickets []*ticket, took time.Duration, err error) {
	if c.observe == nil {
		return
	}
	n := 0
	for _, t := range tickets {
		n += len(t.batch.Items)
	}
	c.observe(n, took, err)
}

// Queued returns how many decisions wait for their commit.
func (c *Committer) Queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queued
}

// NewCommitter returns a Committer; Run must be running for it to commit.
func NewCommitter(s store.Store, n *chain.Registry, log *slog.Logger) *Committer {
	return &Committer{store: s, networks: n, log: log, archived: map[[2][32]byte]bool{}, labels: map[labelKey]string{}, wake: make(chan struct{}, 1)}
}

// Add queues a batch that arrived; it is teelink.ClientConfig.OnBatch.
func (c *Committer) Add(b *teelink.Batch) {
	t := &ticket{batch: b, done: make(chan struct{})}
	b.Tag = t
	c.mu.Lock()
	c.queue = append(c.queue, t)
	c.queued += len(b.Items)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// labelKey is a request of a key: another key may use the same request id.
type labelKey struct {
	keyID   string
	request canon.UUID
}

const maxLabels = 10_000

// expectLabel remembers the label of a wallet that a request will make, until
// the wallet is committed or forget says that it won't be.
func (c *Committer) expectLabel(k labelKey, label string) (forget func()) {
	if label == "" {
		return func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.labels) >= maxLabels {
		clear(c.labels) // of wallets that never came
	}
	c.labels[k] = label
	return func() { c.takeLabel(k) }
}

func (c *Committer) takeLabel(k labelKey) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	label := c.labels[k]
	delete(c.labels, k)
	return label
}

// maxArchived bounds the pairs: each instance has one, and renews it now and
// then.
const maxArchived = 4 * maxMembers

// maxTogether bounds one transaction, in batches.
const maxTogether = 256

// Run commits until ctx ends; what is queued then is still committed.
func (c *Committer) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			c.drain()
			return
		case <-c.wake:
			c.gather(ctx)
			c.drain()
		}
	}
}

// maxGather bounds how long a commit waits for company. A transaction costs
// more CPU than twenty of its rows, so that under load waiting saves more time
// than it takes.
const maxGather = 3 * time.Millisecond

// gather waits while more requests are being decided than are queued: they
// share the flush, whose cost is then spread over them. With nobody else
// about, it doesn't wait.
func (c *Committer) gather(ctx context.Context) {
	// As in teelink's writer: who can run now joins.
	runtime.Gosched()
	if !c.worthWaiting() {
		return
	}
	patience := time.NewTimer(maxGather)
	defer patience.Stop()
	for c.worthWaiting() {
		select {
		case <-c.wake:
		case <-patience.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (c *Committer) worthWaiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asking.Load() > int64(c.queued)
}

func (c *Committer) drain() {
	for {
		c.mu.Lock()
		n := min(len(c.queue), maxTogether)
		tickets := c.queue[:n:n]
		c.queue = c.queue[n:]
		for _, t := range tickets {
			c.queued -= len(t.batch.Items)
		}
		c.mu.Unlock()
		if n == 0 {
			return
		}
		c.commit(tickets)
	}
}

// commit stores the tickets' batches and closes the tickets. An error fails
// all of them: whether the transaction happened is unknown then, and a client
// that repeats its request reads the truth.
func (c *Committer) commit(tickets []*ticket) {
	var good []*ticket
	var rows []store.CommitBatch
	for _, t := range tickets {
		row, err := c.rows(t)
		if err != nil {
			c.log.Error("a batch of the TEE is malformed", "error", err)
			t.err = err
			close(t.done)
			continue
		}
		good, rows = append(good, t), append(rows, row)
	}
	if len(good) == 0 {
		return
	}
	began := time.Now()
	results, err := c.store.Commit(context.Background(), rows)
	c.committed(good, time.Since(began), err)
	if err != nil {
		c.log.Error("commit failed", "batches", len(rows), "error", err)
	}
	for i, t := range good {
		if err != nil {
			t.err = fmt.Errorf("commit: %w", err)
		} else {
			t.results = results[i]
		}
		close(t.done)
	}
}

// rows lays out a batch for the store. It all follows from the leaves.
func (c *Committer) rows(t *ticket) (store.CommitBatch, error) {
	batch, err := receipt.OpenBatch(t.batch.Signed)
	if err != nil {
		return store.CommitBatch{}, err
	}
	if pair := [2][32]byte{batch.Statement, batch.InstanceKey}; !c.archived[pair] {
		if err := c.archive(batch.Statement, batch.InstanceKey); err != nil {
			return store.CommitBatch{}, fmt.Errorf("evidence of a batch: %w", err)
		}
		if len(c.archived) >= maxArchived {
			clear(c.archived) // of instances that have gone
		}
		c.archived[pair] = true
	}
	n := len(t.batch.Items)
	out := store.CommitBatch{Decisions: make([]store.Decision, n), Wallets: make([]*store.Wallet, n)}
	hashes := make([][32]byte, n)
	t.signed, t.leaves = batch, make([]*receipt.Leaf, n)
	for i := range t.batch.Items {
		it := &t.batch.Items[i]
		hashes[i] = receipt.LeafHash(it.Leaf)
		leaf, err := receipt.DecodeLeaf(it.Leaf)
		if err != nil {
			return store.CommitBatch{}, err
		}
		t.leaves[i] = leaf
		d := &out.Decisions[i]
		*d = store.Decision{
			ID: leaf.ID, Organization: leaf.Organization, KeyID: authority.KeyID(leaf.Credential), RequestID: leaf.RequestID,
			Idempotency: leaf.IdempotencyDigest, Leaf: it.Leaf, ResultKind: uint8(it.ResultKind), Explanation: it.Explanation,
		}
		switch it.ResultKind {
		case teelink.ResultSignature:
			d.Result = it.Result
		case teelink.ResultWallet:
			out.Wallets[i] = &store.Wallet{Organization: leaf.Organization, ID: leaf.Wallet, Record: it.Result,
				Label: c.takeLabel(labelKey{d.KeyID, leaf.RequestID}), Receipt: leaf.ID, Created: time.UnixMicro(int64(leaf.Time)).UTC()}
			c.address(out.Wallets[i])
		}
	}
	t.tree = receipt.NewTreeOfHashes(hashes)
	if uint32(n) != batch.Count || t.tree.Root() != batch.Root {
		return store.CommitBatch{}, fmt.Errorf("batch %d doesn't cover its items", batch.Number)
	}
	out.Batch = store.Batch{Instance: batch.InstanceKey, Number: batch.Number, Signed: t.batch.Signed, Hashes: hashes}
	return out, nil
}

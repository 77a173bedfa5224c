package fleet

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/receipt"
)

// Load is an organisation whose clients, with the SDK, make wallets and
// signatures as fast as they are answered. The SDK verifies every answer: a
// receipt that doesn't prove it counts as a failure.
type Load struct {
	Genesis [32]byte // digest

	t     testing.TB
	sdk   *client.Client
	token string
	http  *http.Client
	org   string

	mu       sync.Mutex // guards the fields below
	wallets  []*client.CreatedWallet
	signed   []*client.SignResult
	failures []error
}

// base stands in for the host that the balancer chooses.
const base = "http://sigil.test"

// NewLoad makes an organisation with a key and a wallet.
func NewLoad(t testing.TB, f *Fleet, b http.RoundTripper) *Load {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	l := &Load{t: t, http: &http.Client{Transport: b, Timeout: 30 * time.Second}}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := client.NewAdmin(client.AdminConfig{BaseURL: base, Keys: []ed25519.PrivateKey{key}, HTTPClient: l.http})
	if err != nil {
		t.Fatal(err)
	}
	org, err := admin.CreateOrganization(ctx, client.NewOrganization{Name: "Acme", Quorum: 1,
		Admins: []client.AdminKey{{Name: "root", PublicKey: hex.EncodeToString(key[32:])}}, TEEs: []client.TEE{f.Reference()}})
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"*"}
	k, err := admin.CreateKey(ctx, org.Genesis, org.StateKey, client.NewKey{Name: "load", Wallets: all, Networks: all, Methods: all, Expires: time.Now().Add(time.Hour)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.Genesis, l.org, l.token = org.GenesisDigest, org.ID, k.Reveal()
	l.sdk = l.client(nil)
	w, err := l.sdk.Wallets().Create(ctx, client.NewWallet{})
	if err != nil {
		t.Fatal(err)
	}
	l.wallets = append(l.wallets, w)
	return l
}

func (l *Load) client(sleep func(context.Context, time.Duration) error) *client.Client {
	l.t.Helper()
	c, err := client.New(client.Config{BaseURL: base, SecretKey: l.token, HTTPClient: l.http, Sleep: sleep})
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// Run has n clients ask until stop, which waits for what is in work.
func (l *Load) Run(n int, seed uint64) (stop func()) {
	return l.run(n, seed, l.sdk)
}

// RunWithoutRetries is Run with clients that send everything once.
func (l *Load) RunWithoutRetries(n int, seed uint64) (stop func()) {
	return l.run(n, seed, l.client(func(context.Context, time.Duration) error { return errors.New("no second time") }))
}

func (l *Load) run(n int, seed uint64, c *client.Client) (stop func()) {
	ctx, end := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	for i := range n {
		clients.Go(func() {
			random := mrand.New(mrand.NewPCG(seed, uint64(i)))
			for k := 0; ctx.Err() == nil; k++ {
				l.one(c, random, fmt.Sprintf("%d %d %d", seed, i, k))
			}
		})
	}
	return func() { end(); clients.Wait() }
}

func (l *Load) one(c *client.Client, random *mrand.Rand, text string) {
	if random.IntN(20) == 0 {
		w, err := c.Wallets().Create(context.Background(), client.NewWallet{Label: text})
		l.mu.Lock()
		defer l.mu.Unlock()
		if err != nil {
			l.failures = append(l.failures, fmt.Errorf("new wallet: %w", err))
			return
		}
		l.wallets = append(l.wallets, w)
		return
	}
	l.mu.Lock()
	wallet := l.wallets[random.IntN(len(l.wallets))].ID
	l.mu.Unlock()
	s, err := c.Sign(context.Background(), client.SignRequest{WalletID: wallet, Network: []string{"base", "solana"}[random.IntN(2)], Message: text})
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failures = append(l.failures, fmt.Errorf("sign: %w", err))
		return
	}
	l.signed = append(l.signed, s)
}

// Answered returns how many requests were answered, and Failures what the
// others heard; the list begins anew.
func (l *Load) Answered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.wallets) + len(l.signed)
}

// Failures returns what clients heard instead of an answer since the last call.
func (l *Load) Failures() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.failures
	l.failures = nil
	return out
}

// Await waits until n more requests are answered, and returns how long it took.
func (l *Load) Await(n int, patience time.Duration) time.Duration {
	l.t.Helper()
	began, before := time.Now(), l.Answered()
	for l.Answered() < before+n {
		if time.Since(began) > patience {
			l.t.Fatalf("%d answers in %v; failures %v", l.Answered()-before, patience, l.Failures())
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(began)
}

// Instances counts the acknowledged signatures by the instance that made them.
func (l *Load) Instances() map[[32]byte]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[[32]byte]int{}
	for _, s := range l.signed {
		out[s.Receipt.Batch.InstanceKey]++
	}
	return out
}

// Lost compares everything that was acknowledged with the store.
func (l *Load) Lost(ctx context.Context, s store.Store) (lost []error) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	org, err := canon.ParseUUID(l.org)
	if err != nil {
		l.t.Fatal(err)
	}
	stored := func(rc *client.Receipt) error {
		id, err := canon.ParseUUID(rc.ID)
		if err != nil {
			return err
		}
		d, err := s.Decision(ctx, org, id)
		if err != nil {
			return fmt.Errorf("decision %s: %w", rc.ID, err)
		}
		proof, err := receipt.DecodeReceipt(rc.Proof)
		if err != nil {
			return err
		}
		if !bytes.Equal(proof.Leaf, d.Leaf) {
			return fmt.Errorf("decision %s is stored otherwise than it was acknowledged", rc.ID)
		}
		return nil
	}
	for _, one := range l.signed {
		if err := stored(one.Receipt); err != nil {
			lost = append(lost, err)
		}
	}
	for _, w := range l.wallets {
		id, err := canon.ParseUUID(w.ID)
		if err == nil {
			_, err = s.Wallet(ctx, org, id)
		}
		if err := errors.Join(err, stored(w.Receipt)); err != nil {
			lost = append(lost, fmt.Errorf("wallet %s: %w", w.ID, err))
		}
	}
	return lost
}

// Audited exports the ledger once it has everything that was acknowledged, and
// verifies it line by line.
func (l *Load) Audited(ctx context.Context) *client.AuditReport {
	l.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		head, err := l.sdk.LedgerHead(ctx)
		if err == nil && head.Size >= uint64(l.Answered()) {
			break
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("the ledger falls behind %d answers: %+v %v", l.Answered(), head, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	report, err := l.sdk.ExportLedger(ctx, io.Discard, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	return report
}

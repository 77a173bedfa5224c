package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/devstack"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
	"github.com/sigilkeys/sigil/test/secrets"
	"github.com/sigilkeys/sigil/test/stack"
)

// proved is an operation that the SDK acknowledged: it verified the answer.
type proved struct {
	receipt, wallet, signature string
	proof                      []byte
	create                     bool
	key, message, network      string
}

// sdkLoad is what clients of the Go SDK did and heard.
type sdkLoad struct {
	base, secret string
	heard        secrets.Buffer // errors

	mu      sync.Mutex // guards the fields below
	wallets []string
	done    []proved
	codes   map[string]int
	faults  []string
}

func (l *sdkLoad) newClient() (*client.Client, error) {
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}, Timeout: 8 * time.Second}
	return client.New(client.Config{BaseURL: l.base, SecretKey: l.secret, HTTPClient: hc})
}

// passes reports whether an error may come of a killed process. That a record
// isn't found, or that an answer can't be believed, never may.
func (l *sdkLoad) passes(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = fmt.Fprintf(&l.heard, "%v %+v\n", err, err)
	var api *client.APIError
	var broken *client.VerificationError
	var argument *client.ArgumentError
	switch {
	case errors.As(err, &api) && (api.Status == http.StatusServiceUnavailable || api.Status == http.StatusTooManyRequests):
		l.codes[fmt.Sprint(api.Code)]++
		return true
	case errors.As(err, &api), errors.As(err, &broken), errors.As(err, &argument):
		if len(l.faults) < 20 {
			l.faults = append(l.faults, err.Error())
		}
		return false
	}
	l.codes["connection"]++
	return true
}

// until repeats a call while what it meets is a killed process.
func (l *sdkLoad) until(call func() error) error {
	began := time.Now()
	for {
		err := call()
		if err == nil || !l.passes(err) {
			return err
		}
		if time.Since(began) > 60*time.Second {
			return fmt.Errorf("no answer in 60 s: %w", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// client makes one operation after the other until stop. An Idempotency-Key
// makes the attempts at an operation one, however often a process dies.
func (l *sdkLoad) client(ctx context.Context, stop <-chan struct{}, c *client.Client, name, seed uint64) {
	random := mrand.New(mrand.NewPCG(seed, name))
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		p := proved{key: fmt.Sprintf("chaos-%d-%d", name, n), message: fmt.Sprintf("chaos %d %d", name, n), network: []string{"base", "solana"}[random.IntN(2)], create: random.IntN(40) == 0}
		l.mu.Lock()
		p.wallet = l.wallets[random.IntN(len(l.wallets))]
		l.mu.Unlock()
		if err := l.until(func() error { return p.do(ctx, c) }); err != nil {
			l.mu.Lock()
			l.faults = append(l.faults, fmt.Sprintf("%s: %v", p.key, err))
			l.mu.Unlock()
			continue
		}
		l.mu.Lock()
		l.done = append(l.done, p)
		if p.create {
			l.wallets = append(l.wallets, p.wallet)
		}
		l.mu.Unlock()
	}
}

// do has the operation done, or finds that it was.
func (p *proved) do(ctx context.Context, c *client.Client) error {
	if p.create {
		w, err := c.Wallets().Create(ctx, client.NewWallet{Label: p.message, IdempotencyKey: p.key})
		if err != nil {
			return err
		}
		p.wallet, p.receipt, p.proof = w.ID, w.Receipt.ID, w.Receipt.Proof
		return nil
	}
	s, err := c.Sign(ctx, client.SignRequest{WalletID: p.wallet, Network: p.network, Message: p.message, IdempotencyKey: p.key})
	if err != nil {
		return err
	}
	p.signature, p.receipt, p.proof = s.Signature, s.Receipt.ID, s.Receipt.Proof
	return nil
}

// check has the SDK fetch and verify the receipt again: it must be the
// acknowledged one.
func (l *sdkLoad) check(ctx context.Context, c *client.Client, p proved) error {
	return l.until(func() error {
		r, err := c.Receipt(ctx, p.receipt)
		if err != nil {
			return err
		}
		if !bytes.Equal(r.Proof, p.proof) || r.Leaf.Wallet.String() != p.wallet {
			return &client.VerificationError{Code: client.CodeReceiptMismatch, Detail: "another receipt than was acknowledged: " + p.receipt}
		}
		return nil
	})
}

// again does an operation once more under its Idempotency-Key: nothing new may
// come of it.
func (l *sdkLoad) again(ctx context.Context, c *client.Client, p proved) error {
	q := p
	if err := l.until(func() error { return q.do(ctx, c) }); err != nil {
		return err
	}
	if q.receipt != p.receipt || q.wallet != p.wallet || q.signature != p.signature || !bytes.Equal(q.proof, p.proof) {
		return fmt.Errorf("%s is done twice: receipts %s and %s", p.key, p.receipt, q.receipt)
	}
	return nil
}

func (l *sdkLoad) sofar() []proved {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.done)
}

// kill kills one process and returns how long it took until 20 operations
// more were acknowledged.
func (l *sdkLoad) kill(s *devstack.Stack, name string) (time.Duration, error) {
	began := time.Now()
	for {
		pid := s.Info().PIDs[name]
		if pid > 1 && syscall.Kill(pid, syscall.SIGKILL) == nil {
			break
		}
		if time.Since(began) > 40*time.Second {
			return 0, fmt.Errorf("%s isn't started again", name)
		}
		time.Sleep(5 * time.Millisecond) // between two lives
	}
	began = time.Now()
	for before := len(l.sofar()); len(l.sofar()) < before+20; time.Sleep(2 * time.Millisecond) {
		if time.Since(began) > 60*time.Second {
			return 0, fmt.Errorf("%s: no recovery in 60 s", name)
		}
	}
	return time.Since(began), nil
}

func (l *sdkLoad) killAll(t *testing.T, s *devstack.Stack, c *client.Client, kills int, random *mrand.Rand) (recoveries []time.Duration, checked int) {
	t.Helper()
	for i := range 2 * kills {
		time.Sleep(time.Duration(50+random.IntN(250)) * time.Millisecond)
		took, err := l.kill(s, []string{"sigil-tee", "sigil-serve"}[i%2])
		if err != nil {
			t.Fatal(err)
		}
		recoveries = append(recoveries, took)
		done := l.sofar()
		for range 5 { // one of the last, then any
			if err := l.check(t.Context(), c, done[len(done)-1]); err != nil {
				t.Errorf("after kill %d: %v", i+1, err)
			}
			done = done[:1+random.IntN(len(done))]
			checked++
		}
		if (i+1)%50 == 0 {
			t.Logf("%d of %d kills, %d operations proved", i+1, 2*kills, len(l.sofar()))
		}
	}
	return recoveries, checked
}

// TestKillUnderSDKLoad runs a tenth of the kills against the Go SDK, which
// verifies every answer, and asks for the receipts while it goes on.
func TestKillUnderSDKLoad(t *testing.T) {
	kills, seed := max(5, stack.Number(t, "SIGIL_TEST_KILLS", 50)/10), stack.Number(t, "SIGIL_TEST_SEED", int(time.Now().UnixNano()%1e6))
	t.Logf("SIGIL_TEST_SEED=%d, %d kills of each process", seed, kills)
	bin, data := build(t), filepath.Join(t.TempDir(), "stack")
	s, err := devstack.Up(t.Context(), devstack.Config{Data: data, TEEBinary: filepath.Join(bin, "sigil-tee"), SigilBinary: filepath.Join(bin, "sigil"), Restart: true})
	if err != nil {
		t.Fatal(err)
	}
	closeStack := sync.OnceValue(s.Close)
	t.Cleanup(func() { _ = closeStack() })
	raw, err := os.ReadFile(s.Info().SecretKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	l := &sdkLoad{base: s.Info().APIBaseURL, secret: strings.TrimSpace(string(raw)), wallets: []string{s.Info().WalletID}, codes: map[string]int{}}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	end := sync.OnceFunc(func() { close(stop); clients.Wait() })
	defer end()
	for i := range 16 {
		c, err := l.newClient()
		if err != nil {
			t.Fatal(err)
		}
		clients.Go(func() { l.client(t.Context(), stop, c, uint64(i), uint64(seed)) })
	}
	c, err := l.newClient()
	if err != nil {
		t.Fatal(err)
	}
	recoveries, checked := l.killAll(t, s, c, kills, mrand.New(mrand.NewPCG(uint64(seed), 3)))
	end()
	l.finish(t, c, seed)
	slices.Sort(recoveries)
	t.Logf("%d kills; %d operations proved, %d receipts asked for meanwhile; beyond the SDK's own attempts %v", len(recoveries), len(l.done), checked, l.codes)
	t.Logf("20 operations after a kill: p50 %v, max %v", recoveries[len(recoveries)/2].Round(time.Millisecond), recoveries[len(recoveries)-1].Round(time.Millisecond))
	for _, f := range l.faults {
		t.Error(f)
	}
	if err := closeStack(); err != nil {
		t.Error(err)
	}
	noneHalfMade(t, filepath.Join(data, "db"))
	db, err := sqlitestore.Open(t.Context(), filepath.Join(data, "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	nothingSaid(t, s, data, db, &l.heard)
}

// finish checks all that was acknowledged, with a client that has seen none
// of it: each receipt, that operations aren't done twice, each wallet.
func (l *sdkLoad) finish(t *testing.T, c *client.Client, seed int) {
	t.Helper()
	done, repeated := l.sofar(), 0
	for i, p := range done {
		if err := l.check(t.Context(), c, p); err != nil {
			t.Errorf("%s: %v", p.key, err)
		}
		if i%10 == seed%10 || p.create {
			repeated++
			if err := l.again(t.Context(), c, p); err != nil {
				t.Error(err)
			}
		}
	}
	for _, id := range l.wallets {
		p := proved{wallet: id, network: "base", message: "after all", key: "after-" + id}
		if err := l.until(func() error { return p.do(t.Context(), c) }); err != nil {
			t.Errorf("wallet %s doesn't sign any more: %v", id, err)
		}
	}
	t.Logf("%d receipts fetched and verified, %d operations repeated, %d wallets sign", len(done), repeated, len(l.wallets))
}

package signing_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/stack"
)

// faulty is a store whose next writes fail, or happen and are reported as
// unknown. Its hooks run inside the calls, so that a test can be in between.
type faulty struct {
	store.Store

	mu          sync.Mutex // guards the fields below
	before      int        // so many commits fail without happening
	after       int        // so many commits happen and are unknown
	revocations func()     // inside Revocations, after the rows are read
	grant       func()     // inside GrantByKeyID, after the row is read
	committed   func()     // inside Commit, at its end
	blind       bool       // revocations can't be counted
}

var errDisk = errors.New("the disk is gone")

func (f *faulty) set(edit func(*faulty)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	edit(f)
}

// fault takes one planned fault.
func (f *faulty) fault() (before, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.before > 0:
		f.before--
		return true, false
	case f.after > 0:
		f.after--
		return false, true
	}
	return false, false
}

func (f *faulty) Commit(ctx context.Context, b []store.CommitBatch) ([][]store.Commit, error) {
	before, after := f.fault()
	if before {
		return nil, errDisk
	}
	out, err := f.Store.Commit(ctx, b)
	f.run(func(f *faulty) *func() { return &f.committed })
	if after {
		return nil, fmt.Errorf("%w: %w", store.ErrUnknown, errDisk)
	}
	return out, err
}

func (f *faulty) run(hook func(*faulty) *func()) {
	f.mu.Lock()
	h := *hook(f)
	*hook(f) = nil
	f.mu.Unlock()
	if h != nil {
		h()
	}
}

func (f *faulty) Revocations(ctx context.Context) ([]store.Revocation, error) {
	out, err := f.Store.Revocations(ctx)
	f.run(func(f *faulty) *func() { return &f.revocations })
	return out, err
}

func (f *faulty) CountRevocations(ctx context.Context) (int, error) {
	f.mu.Lock()
	blind := f.blind
	f.mu.Unlock()
	if blind {
		return 0, errDisk
	}
	return f.Store.CountRevocations(ctx)
}

func (f *faulty) GrantByKeyID(ctx context.Context, keyID string) (*store.Grant, error) {
	g, err := f.Store.GrantByKeyID(ctx, keyID)
	f.run(func(f *faulty) *func() { return &f.grant })
	return g, err
}

// scene is a stack on a faulty store, with an owner, a key and a wallet.
type scene struct {
	*stack.Stack
	store *faulty
	owner *stack.Owner
	token *authority.Token
	one   api.Wallet
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{store: &faulty{}}
	s.Stack = stack.Start(t, stack.Options{WrapStore: func(under store.Store) store.Store {
		s.store.Store = under
		return s.store
	}})
	s.owner = s.NewOwner()
	s.token = s.NewKey(s.owner, nil)
	s.Do(s.Request(s.token, "POST", "/v1/s2s/wallets", `{}`), 201, &s.one)
	return s
}

func (s *scene) sign(message string) *http.Request {
	return s.Request(s.token, "POST", "/v1/s2s/sign", fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":%q}`, s.one.ID, message))
}

// answer sends a copy of the request and returns status, body and error.
func answer(t *testing.T, req *http.Request) (int, []byte, *api.Error) {
	t.Helper()
	body, err := req.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	again := req.Clone(context.Background())
	again.Body = body
	res, err := http.DefaultClient.Do(again)
	if err != nil {
		t.Error(err)
		return 0, nil, nil
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	var env api.Envelope
	if err := json.Unmarshal(raw, &env); err != nil {
		t.Errorf("%s: %v", raw, err)
	}
	return res.StatusCode, raw, env.Error
}

// check verifies the store's account of a request from the rows up: the
// decision is there and its receipt covers it under the batch's signature;
// for a signature that was released it has that one.
func (s *scene) check(t *testing.T, req *http.Request, released []byte) {
	t.Helper()
	h, err := authority.ParseSignatureHeaders(req.Header)
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Store.DecisionByRequest(t.Context(), h.KeyID, h.ID)
	if err != nil {
		t.Fatalf("no decision for what was released: %v", err)
	}
	proof, err := s.Signing.Receipt(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _, err := proof.Open()
	if err != nil || leaf.RequestID != h.ID || leaf.OutputDigest != receipt.Digest(d.Result) {
		t.Fatalf("the receipt doesn't cover the decision: %v", err)
	}
	if !bytes.Contains(released, d.Result) {
		t.Fatal("another signature was released than is stored")
	}
}

// A commit that fails releases nothing, whether it happened or not; the same
// request again gets one answer, which is the stored one.
func TestCommitFails(t *testing.T) {
	s := newScene(t)
	for name, plan := range map[string]func(*faulty){
		"before": func(f *faulty) { f.before = 1 },
		"after":  func(f *faulty) { f.after = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			s.store.set(plan)
			req := s.sign(name)
			status, body, e := answer(t, req)
			if status != 503 || e == nil || e.Code != api.CodeStoreUnavailable {
				t.Fatalf("%d %s", status, body)
			}
			if bytes.Contains(body, []byte("0x")) {
				t.Fatalf("a signature left without its record: %s", body)
			}
			status, first, _ := answer(t, req)
			if status != 200 {
				t.Fatalf("again: %d %s", status, first)
			}
			s.check(t, req, first)
			if _, second, _ := answer(t, req); !bytes.Equal(first, second) {
				t.Fatalf("two answers:\n%s\n%s", first, second)
			}
		})
	}
}

// The same for wallets: one that wasn't acknowledged is either not there or
// the one that the repeated request gets.
func TestCommitOfWalletFails(t *testing.T) {
	s := newScene(t)
	for name, c := range map[string]struct {
		plan  func(*faulty)
		there int
	}{
		"before": {func(f *faulty) { f.before = 1 }, 0},
		"after":  {func(f *faulty) { f.after = 1 }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			count := s.wallets(t)
			s.store.set(c.plan)
			req := s.Request(s.token, "POST", "/v1/s2s/wallets", `{"label":"mine"}`)
			if status, body, _ := answer(t, req); status != 503 {
				t.Fatalf("%d %s", status, body)
			}
			if got := s.wallets(t); got != count+c.there {
				t.Fatalf("%d wallets became %d", count, got)
			}
			status, body, _ := answer(t, req)
			if status != 201 || !bytes.Contains(body, []byte(`"label":"mine"`)) {
				t.Fatalf("again: %d %s", status, body)
			}
			if got := s.wallets(t); got != count+1 {
				t.Fatalf("%d wallets became %d", count, got)
			}
		})
	}
}

func (s *scene) wallets(t *testing.T) int {
	t.Helper()
	_, total, err := s.Store.Wallets(t.Context(), s.owner.Genesis.OrganizationID, store.WalletFilter{}, store.Page{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	return total
}

// 64 callers under load while commits fail here and there: each request has
// one answer, whoever asks for it, and the record was there before it.
func TestManyWhileCommitsFail(t *testing.T) {
	s := newScene(t)
	const requests, callers = 8, 64
	list := make([]*http.Request, requests)
	for i := range list {
		list[i] = s.sign(fmt.Sprint("order ", i))
	}
	s.store.set(func(f *faulty) { f.before, f.after = 2, 2 })
	answers := make([][]byte, callers)
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			for range 20 {
				status, body, e := answer(t, list[i%requests])
				if status == 200 {
					answers[i] = body
					return
				}
				if e == nil || e.Code != api.CodeStoreUnavailable {
					t.Errorf("%d %s", status, body)
				}
			}
		})
	}
	group.Wait()
	for i, a := range answers {
		if len(a) == 0 || !bytes.Equal(a, answers[i%requests]) {
			t.Errorf("caller %d got another answer: %s", i, a)
		}
	}
	for i, req := range list {
		s.check(t, req, answers[i])
	}
}

// Many requests for one wallet under one Idempotency-Key, each its own
// request: one wallet, one answer.
func TestOneWalletPerIdempotencyKey(t *testing.T) {
	s := newScene(t)
	before := s.wallets(t)
	const callers = 16
	list := make([]*http.Request, callers)
	for i := range list {
		list[i] = s.underKey(t, "order-7", `{"label":"once"}`)
	}
	answers := make([][]byte, callers)
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			status, body, _ := answer(t, list[i])
			if status != 201 {
				t.Errorf("%d %s", status, body)
			}
			answers[i] = body
		})
	}
	group.Wait()
	for _, a := range answers {
		if !bytes.Equal(a, answers[0]) {
			t.Errorf("two answers:\n%s\n%s", answers[0], a)
		}
	}
	if got := s.wallets(t); got != before+1 {
		t.Errorf("%d wallets were made", got-before)
	}
}

// underKey makes a signed request for a wallet with an Idempotency-Key.
func (s *scene) underKey(t *testing.T, key, body string) *http.Request {
	t.Helper()
	req := s.Request(s.token, "POST", "/v1/s2s/wallets", body)
	h, err := authority.ParseSignatureHeaders(req.Header)
	if err != nil {
		t.Fatal(err)
	}
	r := authority.Request{Method: "POST", Path: "/v1/s2s/wallets", Body: []byte(body), Created: h.Created, ID: h.ID, IdempotencyKey: key}
	header, err := r.Sign(s.token.RequestKey())
	if err != nil {
		t.Fatal(err)
	}
	header.Set("Content-Type", "application/json")
	req.Header = header
	return req
}

// A caller who goes while the wallet is being made finds it later, with its
// label.
func TestLabelOutlivesItsCaller(t *testing.T) {
	s := newScene(t)
	if err := s.Cloud.SetKnobs(cloudsim.Knobs{KMS: cloudsim.Fault{Mode: cloudsim.FaultSlow, Delay: 500}}); err != nil {
		t.Fatal(err)
	}
	committed := make(chan struct{})
	s.store.set(func(f *faulty) { f.committed = func() { close(committed) } })
	req := s.Request(s.token, "POST", "/v1/s2s/wallets", `{"label":"mine"}`)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	gone := req.Clone(ctx)
	if res, err := http.DefaultClient.Do(gone); err == nil {
		res.Body.Close()
		t.Fatal("answered before the caller went")
	}
	<-committed // the wallet is made all the same
	status, body, _ := answer(t, s.Request(s.token, "GET", "/v1/s2s/wallets", ""))
	if status != 200 || !bytes.Contains(body, []byte(`"label":"mine"`)) {
		t.Fatalf("%d %s", status, body)
	}
}

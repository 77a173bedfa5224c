package signing_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/ratelimit"
	"github.com/sigilkeys/sigil/internal/server"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
	"github.com/sigilkeys/sigil/test/stack"
)

// postgres opens the same new database so many times.
func postgres(t *testing.T, n int) []store.Store {
	t.Helper()
	server := pgtest.Start(t, pgtest.Options{})
	name := server.NewDatabase()
	server.Exec(name, pgstore.RolesSQL())
	if _, err := pgstore.Migrate(t.Context(), server.DSN("sigil_owner", name)); err != nil {
		t.Fatal(err)
	}
	var list []store.Store
	for range n {
		s, err := pgstore.Open(t.Context(), pgstore.Config{DSN: server.DSN("sigil_app", name)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		list = append(list, s)
	}
	return list
}

// at sends a request, as it was signed, to another control plane.
func at(t *testing.T, st *stack.Stack, req *http.Request) (int, []byte, *api.Error) {
	t.Helper()
	u := *req.URL
	u.Host = strings.TrimPrefix(st.API.URL, "http://")
	moved := req.Clone(t.Context())
	moved.URL, moved.Host = &u, ""
	return answer(t, moved)
}

// Three control planes over one PostgreSQL, each with its workload: what one
// made, the others sign with; a repeated request gets the same answer from
// each; and what one revokes ends at one that follows. The third doesn't: it
// is the canary.
func TestControlPlanesShareADatabase(t *testing.T) {
	stores := postgres(t, 3)
	s := &scene{Stack: stack.Start(t, stack.Options{Store: stores[0], Follow: true})}
	follows := stack.Start(t, stack.Options{Store: stores[1], Cloud: s.Cloud, Follow: true})
	doesnt := stack.Start(t, stack.Options{Store: stores[2], Cloud: s.Cloud})
	s.owner = s.NewOwner()
	s.token = s.NewKey(s.owner, nil)
	s.Do(s.Request(s.token, "POST", "/v1/s2s/wallets", `{}`), 201, &s.one)

	req := s.sign("over three control planes")
	status, first, e := answer(t, req)
	if status != 200 {
		t.Fatal(status, e)
	}
	for name, other := range map[string]*stack.Stack{"follows": follows, "doesn't": doesnt} {
		if status, body, e := at(t, other, s.sign("hello from "+name)); status != 200 {
			t.Fatalf("%s: %d %s %v", name, status, body, e)
		}
		// Its own workload signed it again; the first answer stands.
		if status, body, e := at(t, other, req); status != 200 || !bytes.Equal(body, first) {
			t.Errorf("%s: the same request gets another answer: %d %v\n%s\n%s", name, status, e, first, body)
		}
	}

	g, key := s.grant(t), s.mustKey(t)
	s.revoke(t)
	deadline := time.Now().Add(10 * time.Second)
	for n := 0; ; n++ {
		status, _, e := at(t, follows, s.sign(fmt.Sprint("revoked ", n)))
		if status == 401 && e.Code == api.CodeInvalidKey {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a control plane that follows still answers a revoked key: %d", status)
		}
		time.Sleep(50 * time.Millisecond)
	}
	for err := error(nil); !invalidKey(err); {
		c, cerr := follows.Link.Client(t.Context())
		if cerr != nil {
			t.Fatal(cerr)
		}
		if err = s.straight(t, c, g, key); time.Now().After(deadline) {
			t.Fatalf("its TEE wasn't told: %v", err)
		}
	}
	if status, _, e := at(t, doesnt, s.sign("revoked")); status != 200 {
		t.Errorf("one that doesn't follow knows of a revocation: the test shows nothing (%d %v)", status, e)
	}
}

// A request for a wallet that reaches two control planes at once, each with a
// workload of its own that makes one: both answer with the same wallet, and the
// database has no other.
func TestOneWalletOfARequest(t *testing.T) {
	stores := postgres(t, 2)
	s := &scene{Stack: stack.Start(t, stack.Options{Store: stores[0]})}
	other := stack.Start(t, stack.Options{Store: stores[1], Cloud: s.Cloud})
	s.owner = s.NewOwner()
	s.token = s.NewKey(s.owner, nil)
	const requests = 20
	makers := map[string]int{}
	for range requests {
		req := s.Request(s.token, "POST", "/v1/s2s/wallets", `{}`)
		var one, two []byte
		var both sync.WaitGroup
		both.Go(func() { _, one, _ = answer(t, req) })
		both.Go(func() { _, two, _ = at(t, other, req) })
		both.Wait()
		var w struct{ Data api.Wallet }
		if err := json.Unmarshal(one, &w); err != nil || w.Data.ID == "" || !bytes.Equal(one, two) {
			t.Fatalf("two wallets of one request:\n%s\n%s", one, two)
		}
		makers[w.Data.Receipt.Evidence]++
	}
	var list api.List[api.Wallet]
	s.Do(s.Request(s.token, "GET", "/v1/s2s/wallets", ""), 200, &list)
	if list.Total != requests {
		t.Errorf("%d wallets of %d requests", list.Total, requests)
	}
	t.Logf("wallets by the workload that made them: %v", makers)
}

// A follower that can't read relies on nothing that it read before.
func TestFollowerWithoutStore(t *testing.T) {
	s := newScene(t)
	f, err := signing.NewFollower(t.Context(), s.store, s.Signing, s.Fleet, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var reads atomic.Int32
	s.mustKey(t)
	s.store.set(func(st *faulty) { st.grant = func() { reads.Add(1) } })
	s.mustKey(t)
	if reads.Load() != 0 {
		t.Fatal("the key isn't cached: the test shows nothing")
	}
	s.store.set(func(st *faulty) { st.blind = true })
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	for deadline := time.Now().Add(10 * time.Second); reads.Load() == 0; {
		s.mustKey(t)
		if time.Now().After(deadline) {
			t.Fatal("a blind follower leaves keys cached")
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	<-done
}

// Two control planes over one PostgreSQL let through what the budget of a key
// allows, and not twice that. Canary: two that count for themselves.
func TestControlPlanesShareBudgets(t *testing.T) {
	stores := postgres(t, 2)
	for name, c := range map[string]struct {
		burst       int
		alone       bool
		least, most int
	}{
		"blocks":              {160, false, 140, 160},
		"token by token":      {5, false, 5, 5},
		"canary: not shared":  {160, true, 320, 320},
		"canary: few, either": {5, true, 10, 10},
	} {
		t.Run(name, func(t *testing.T) {
			rates := server.NoRates()
			rates.Key = ratelimit.Rate{PerSecond: 0.001, Burst: c.burst}
			limits := func(n byte) *server.Limits {
				if c.alone {
					return server.NewLimits(rates, nil)
				}
				return server.NewSharedLimits(rates, nil, stores[n].(ratelimit.Shared), ratelimit.Holder{n})
			}
			s := stack.Start(t, stack.Options{Store: stores[0], Limits: limits(0)})
			other := stack.Start(t, stack.Options{Store: stores[1], Cloud: s.Cloud, Limits: limits(1)})
			token := s.NewKey(s.NewOwner(), nil)
			passed := 0
			for n := range 2 * (c.burst + 10) {
				req := s.Request(token, "GET", "/v1/s2s/wallets", "")
				status, e := 0, (*api.Error)(nil)
				if n%2 == 0 {
					status, _, e = answer(t, req)
				} else {
					status, _, e = at(t, other, req)
				}
				switch {
				case status == 200:
					passed++
				case status != 429 || e.Code != api.CodeRateLimited:
					t.Fatalf("request %d: %d %v", n, status, e)
				}
			}
			if passed < c.least || passed > c.most {
				t.Errorf("%d passed, want %d to %d", passed, c.least, c.most)
			}
		})
	}
}

package signing_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/test/stack"
)

// gate is on the way to a workload: open, held (what the control plane sends
// waits) or shut (connections break and none is taken).
type gate struct {
	t       *testing.T
	address string
	target  string

	mu    sync.Mutex // guards the fields below
	state gateState
	moved *sync.Cond // state changed
	conns []net.Conn
}

type gateState int

const (
	open gateState = iota
	held
	shut
)

func newGate(t *testing.T, target string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, address: l.Addr().String(), target: target}
	g.moved = sync.NewCond(&g.mu)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { g.carry(near) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); g.set(shut); running.Wait() })
	return g
}

func (g *gate) set(s gateState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state = s
	if s == shut {
		for _, c := range g.conns {
			_ = c.Close()
		}
		g.conns = nil
	}
	g.moved.Broadcast()
}

func (g *gate) carry(near net.Conn) {
	far, err := net.Dial("tcp", g.target)
	if err != nil {
		_ = near.Close()
		return
	}
	g.mu.Lock()
	g.conns = append(g.conns, near, far)
	if g.state == shut {
		_, _ = near.Close(), far.Close()
	}
	g.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() { _, _ = io.Copy(near, far); _ = near.Close() })
	buf := make([]byte, 32<<10)
	for {
		n, err := near.Read(buf)
		g.mu.Lock()
		for g.state == held {
			g.moved.Wait()
		}
		g.mu.Unlock()
		if err == nil {
			_, err = far.Write(buf[:n])
		}
		if err != nil {
			break
		}
	}
	_ = far.Close()
	back.Wait()
}

// pair is a control plane with two workloads, each behind a gate.
type pair struct {
	*scene
	gates [2]*gate
}

func newPair(t *testing.T) *pair {
	t.Helper()
	first := stack.Start(t, stack.Options{})
	second := stack.Start(t, stack.Options{Cloud: first.Cloud})
	p := &pair{gates: [2]*gate{newGate(t, first.Link.Address), newGate(t, second.Link.Address)}}
	p.scene = &scene{Stack: stack.Start(t, stack.Options{Cloud: first.Cloud, TEE: p.gates[0].address, MoreTEEs: []string{p.gates[1].address}})}
	p.owner = p.NewOwner()
	p.token = p.NewKey(p.owner, nil)
	p.await(t, signing.LinkUp, signing.LinkUp)
	p.Do(p.Request(p.token, "POST", "/v1/s2s/wallets", `{}`), 201, &p.one)
	return p
}

// await waits until the links are in these states.
func (p *pair) await(t *testing.T, want ...signing.LinkState) {
	t.Helper()
	var have []signing.LinkState
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		have = nil
		for _, s := range p.Fleet.Status() {
			have = append(have, s.State)
		}
		if fmt.Sprint(have) == fmt.Sprint(want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("links are %v, want %v", have, want)
		}
	}
}

type heard struct {
	status int
	body   []byte
	err    *api.Error
}

// asked sends a request that both gates hold, and returns which workload it is
// asked of.
func (p *pair) asked(t *testing.T, req *http.Request) (index int, reply chan heard) {
	t.Helper()
	p.gates[0].set(held)
	p.gates[1].set(held)
	reply = make(chan heard, 1)
	go func() {
		status, body, e := answer(t, req)
		reply <- heard{status, body, e}
	}()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		for i, s := range p.Fleet.Status() {
			if s.Asked == 1 {
				return i, reply
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody is asked")
		}
	}
}

// A request whose link breaks is asked of the other workload, and the client
// hears nothing of it. One for a new wallet isn't: the client is told, and what
// it asks again then is asked of the one that is left.
func TestAnotherWorkloadIsAsked(t *testing.T) {
	p := newPair(t)
	i, reply := p.asked(t, p.sign("to whoever is there"))
	p.gates[1-i].set(open)
	p.gates[i].set(shut)
	if r := <-reply; r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	p.gates[i].set(open)
	p.await(t, signing.LinkUp, signing.LinkUp)

	req := p.Request(p.token, "POST", "/v1/s2s/wallets", `{"label":"mine"}`)
	i, reply = p.asked(t, req)
	p.gates[1-i].set(open)
	p.gates[i].set(shut)
	if r := <-reply; r.status != 503 || r.err.Code != api.CodeTEEUnavailable {
		t.Fatalf("a new wallet is asked of another workload: %d %s", r.status, r.body)
	}
	status, body, e := answer(t, req)
	if status != 201 {
		t.Fatal(status, e)
	}
	if again, same, _ := answer(t, req); again != 201 || string(same) != string(body) {
		t.Errorf("the same request gets another wallet: %s %s", body, same)
	}
}

// A drained workload gets no new request, answers those in work, and leaves.
func TestDrainedWorkloadFinishes(t *testing.T) {
	p := newPair(t)
	i, reply := p.asked(t, p.sign("in work"))
	p.Fleet.Set([]string{p.gates[1-i].address})
	states := []signing.LinkState{signing.LinkUp, signing.LinkUp}
	p.gates[1-i].set(open)
	states[i] = signing.LinkDraining
	p.await(t, states...)
	for n := range 10 {
		if status, _, e := answer(t, p.sign(fmt.Sprint("meanwhile ", n))); status != 200 {
			t.Fatal(status, e)
		}
	}
	select {
	case r := <-reply:
		t.Fatalf("the held request is answered (%d): the test shows nothing", r.status)
	default:
	}
	p.await(t, states...)
	p.gates[i].set(open)
	if r := <-reply; r.status != 200 {
		t.Errorf("what was in work: %d %s", r.status, r.body)
	}
	p.await(t, signing.LinkUp)
	// It comes back as a new one, in the place that is free.
	p.Fleet.Set([]string{p.gates[0].address, p.gates[1].address})
	p.await(t, signing.LinkUp, signing.LinkUp)
	if s := p.Fleet.Status(); s[0].Index == s[1].Index {
		t.Errorf("two links in one place: %+v", s)
	}
}

// A revocation is acknowledged when every workload knows it; one that doesn't
// answer is cut off, and knows it before it is asked again.
func TestRevocationReachesEveryWorkload(t *testing.T) {
	p := newPair(t)
	g, key := p.grant(t), p.mustKey(t)
	straight := func(i int) error {
		t.Helper()
		c, err := p.Fleet.Links()[i].Client(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return p.straight(t, c, g, key)
	}
	for i := range p.gates {
		if err := straight(i); err != nil {
			t.Fatalf("workload %d doesn't sign before: %v", i, err)
		}
	}
	p.gates[1].set(held)
	p.revoke(t)
	if err := straight(0); !invalidKey(err) {
		t.Errorf("the workload that answers decides for a revoked key: %v", err)
	}
	if s := p.Fleet.Status()[1]; s.State != signing.LinkConnecting {
		t.Errorf("one that wasn't told is %s", s.State)
	}
	p.gates[1].set(open)
	p.await(t, signing.LinkUp, signing.LinkUp)
	if err := straight(1); !invalidKey(err) {
		t.Errorf("the workload that was cut off decides for a revoked key: %v", err)
	}
}

// A workload of another release, which the owner would accept and the operator
// doesn't, is connected to again and again and never given a request. Where
// both are accepted it is: the test would see it.
func TestOnlyAcceptedWorkloadsAreAsked(t *testing.T) {
	good := stack.Start(t, stack.Options{})
	other := stack.MadeUpDigest("another release")
	if err := good.Cloud.SetImageDigest(other); err != nil {
		t.Fatal(err)
	}
	if err := good.Cloud.AdmitRelease(other); err != nil {
		t.Fatal(err)
	}
	bad := stack.Start(t, stack.Options{Cloud: good.Cloud, Digest: other})
	both := good.TEEReference()
	both.ImageDigests = append(both.ImageDigests, other)
	for name, c := range map[string]struct {
		accept        authority.TEE
		first, second *stack.Stack
		state         signing.LinkState // of the second
		releases      int               // that are asked
	}{
		"one is accepted":      {good.TEEReference(), good, bad, signing.LinkRefused, 1},
		"the other one is":     {bad.TEEReference(), bad, good, signing.LinkRefused, 1},
		"both are: the canary": {both, good, bad, signing.LinkUp, 2},
	} {
		p := &pair{scene: &scene{Stack: stack.Start(t, stack.Options{Cloud: good.Cloud, Accept: []authority.TEE{c.accept}, TEE: c.first.Link.Address, MoreTEEs: []string{c.second.Link.Address}})}}
		p.await(t, signing.LinkUp, c.state)
		p.owner = p.NewOwnerOf(both)
		p.token = p.NewKey(p.owner, nil)
		releases := map[string]bool{}
		for n := range 30 {
			var w api.Wallet
			p.Do(p.Request(p.token, "POST", "/v1/s2s/wallets", fmt.Sprintf(`{"label":"%d"}`, n)), 201, &w)
			p.one = w
			status, body, e := answer(t, p.sign(fmt.Sprint("release ", n)))
			if status != 200 {
				t.Fatal(name, status, e)
			}
			releases[p.releaseOf(t, body)] = true
		}
		if len(releases) != c.releases {
			t.Errorf("%s: asked of %v", name, releases)
		}
	}
}

// releaseOf says which release signed.
func (p *pair) releaseOf(t *testing.T, body []byte) string {
	t.Helper()
	var reply struct{ Data api.Signature }
	if err := json.Unmarshal(body, &reply); err != nil {
		t.Fatal(err)
	}
	var a api.Attestation
	p.Do(p.Request(p.token, "GET", "/v1/attestation/"+reply.Data.Receipt.Evidence, ""), 200, &a)
	return a.Release
}

// Each key has the same home at every control plane, whatever the order in
// which it names the workloads; when one goes, only its keys move.
func TestHomesAreTheSameEverywhere(t *testing.T) {
	p := newPair(t)
	turned := &pair{scene: &scene{Stack: stack.Start(t, stack.Options{Cloud: p.Cloud, TEE: p.gates[1].address, MoreTEEs: []string{p.gates[0].address}})}}
	turned.await(t, signing.LinkUp, signing.LinkUp)
	homes := map[string]int{}
	for n := range 200 {
		key := fmt.Appendf(nil, "key %d", n)
		home := p.Fleet.Home(key)
		if other := turned.Fleet.Home(key); other != home {
			t.Fatalf("key %d: %s here, %s there", n, home, other)
		}
		homes[home]++
	}
	if homes[p.gates[0].address] < 50 || homes[p.gates[1].address] < 50 {
		t.Errorf("homes are spread badly: %v", homes)
	}
	p.gates[0].set(shut)
	p.await(t, signing.LinkConnecting, signing.LinkUp)
	if home := p.Fleet.Home([]byte("key 0")); home != p.gates[1].address {
		t.Errorf("the home of a key whose workload may have gone: %q", home)
	}
}

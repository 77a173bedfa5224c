package faults

import (
	"context"
	"crypto/tls"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/test/stack"
)

// linkPlant is the link to the TEE, on which one call goes wrong: a request of
// an operation, and its reply.
type linkPlant struct {
	s *scene

	mu    sync.Mutex // guards the fields below
	op    teelink.Op
	fault fault
	flaw  flaw
	sent  bool // the request has passed
	left  bool // the fault is to come
	hits  int
	met   chan struct{}
	gone  chan struct{}
	work  sync.WaitGroup               // frames that are held
	last  map[teelink.Op]teelink.Frame // replies from before
}

// linkOps are the operations of the link by their names.
func linkOps() map[string]teelink.Op {
	return map[string]teelink.Op{"Hello": teelink.OpHello, "Put": teelink.OpPut, "Decide": teelink.OpDecide, "DecideItem": teelink.OpDecideItem,
		"Provision": teelink.OpProvision, "Attest": teelink.OpAttest, "Checkpoint": teelink.OpCheckpoint}
}

// linked lists the operations that make each call of the link.
func linked() []named {
	return []named{
		{"Hello", []operation{{"reconnect", reconnected}}},
		{"Put", []operation{{"sign with a new key", signNewKey}, {"revoke", revoke}, {"reconnect", reconnected}}},
		{"Decide", []operation{{"sign", sign}, {"create wallet", createWallet}, {"sign, keyed", signKeyed}, {"create wallet, keyed", createKeyed}}},
		{"DecideItem", []operation{{"sign batch", signBatch}, {"create wallets", createWallets}}},
		{"Provision", []operation{{"create organisation", createOrganization}}},
		{"Checkpoint", []operation{{"fold", folded}}},
		{"Attest", []operation{{"challenge", challenged}}},
	}
}

// named are the operations that make a call.
type named struct {
	call string
	ops  []operation
}

// signNewKey signs by a key that no workload has met.
func signNewKey(s *scene) *deed {
	token := s.NewKey(s.one.owner, nil)
	r := s.message(s.one)
	return s.decision(s.sdkRequestOf(token, "/v1/s2s/sign", signs(r)), 1, s.checkSignature(s.one, r))
}

func challenged(s *scene) *deed {
	d := asked(s, func(ctx context.Context, c *client.Client) (*client.Attestation, error) { return c.Attestation(ctx) })
	d.differs = true
	return d
}

func (p *linkPlant) plan(c *cell) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.op, p.fault, p.flaw, p.sent, p.left, p.hits = linkOps()[c.call], c.fault, c.flaw, false, true, 0
	p.met, p.gone = make(chan struct{}), make(chan struct{})
}

func (p *linkPlant) reached() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.met
}

func (p *linkPlant) leave() { close(p.gone) }

func (p *linkPlant) heal() int {
	p.mu.Lock()
	p.left = false
	hits := p.hits
	p.mu.Unlock()
	p.work.Wait()
	return hits
}

func (p *linkPlant) restart() { p.s.Restart() }

// replyTo is how an operation is answered, but for errors.
func replyTo(op teelink.Op) teelink.Op {
	if op == teelink.OpDecideItem {
		return teelink.OpBatch
	}
	return op | 0x80
}

// hit counts the fault; the caller holds mu.
func (p *linkPlant) hit() {
	p.left = false
	p.hits++
	close(p.met)
}

// edit is the tap's.
func (p *linkPlant) edit(toTEE bool, f *teelink.Frame) bool {
	p.mu.Lock()
	mine := p.left && p.op == f.Op && toTEE
	switch {
	case mine && p.fault == fails:
		p.hit()
		p.mu.Unlock()
		return false
	case mine && p.fault == garbage && p.flaw == flipped:
		p.hit()
		f.Payload = spoil(f.Payload, flipped)
		if len(f.Payload) == 0 {
			f.Payload = []byte{0}
		}
	case mine:
		p.sent = true
	case !toTEE && p.left && p.sent && f.Op == replyTo(p.op):
		return p.reply(f)
	case !toTEE:
		p.last[f.Op] = *f
	}
	p.mu.Unlock()
	return true
}

// reply has the answer go wrong; the caller holds mu, which is let go.
func (p *linkPlant) reply(f *teelink.Frame) bool {
	p.hit()
	as, bad, gone, last := p.fault, p.flaw, p.gone, p.last[f.Op]
	p.work.Add(1)
	p.mu.Unlock()
	defer p.work.Done()
	switch {
	case as == doneThenFail:
		return false
	case as == slow:
		<-gone
	case bad == foreign && len(last.Payload) > 0:
		f.Payload = earlier(f.Payload, last.Payload, f.Op)
	default:
		if f.Payload = spoil(f.Payload, cut); len(f.Payload) == 0 {
			f.Payload = []byte{0}
		}
	}
	return true
}

// earlier is an answer from before, in the place of one: of a batch, with the
// ids of the requests that wait.
func earlier(now, before []byte, op teelink.Op) []byte {
	if op != teelink.OpBatch {
		return before
	}
	_, waiting, err := teelink.DecodeBatch(now)
	if err != nil {
		return before
	}
	signed, items, err := teelink.DecodeBatch(before)
	if err != nil {
		return before
	}
	for i := range items {
		items[i].ID = waiting[i%len(waiting)].ID
	}
	out, err := teelink.EncodeBatch(signed, items)
	if err != nil {
		return before
	}
	return out
}

func linkCells(t *testing.T, e engine) {
	random, rounds := draw(t)
	began, results := time.Now(), &table{name: "link, " + e.name}
	for _, n := range linked() {
		if n.call == "Attest" && e.name != "SQLite" {
			continue // it touches no database, and is answered once a second
		}
		t.Run(n.call, func(t *testing.T) {
			tap := &stack.Tap{}
			s := newScene(t, e, stack.Options{WrapLink: func(a string, c tls.Certificate) string { return tap.Open(t, a, c) }}, &clock{})
			p := &linkPlant{s: s, met: make(chan struct{}), gone: make(chan struct{}), last: map[teelink.Op]teelink.Frame{}}
			tap.Set(p.edit)
			s.each(drawn(random, n.call, n.ops, rounds), p, results)
		})
	}
	results.report(t, time.Since(began))
}

package faults

import (
	"context"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/test/stack"
)

// cloudPlant is the cloud, one of whose services goes wrong until it is mended:
// the workload's clients try some calls again by themselves.
type cloudPlant struct {
	s    *scene
	call string
	met  chan struct{}
	over chan struct{}
}

// clouded lists the operations that make each call of the workload's. It has no
// cache, so that each signature asks the KMS.
func clouded() []named {
	start := operation{"start workload", started}
	return []named{
		{"launcher token", []operation{start, {"challenge", challenged}}},
		{"STS exchange", []operation{start, {"sign, token run out", sign}}},
		{"KMS decrypt", []operation{{"sign", sign}, {"fold", folded}}},
		{"KMS encrypt", []operation{{"create wallet", createWallet}, {"create organisation", createOrganization}}},
	}
}

// started starts an instance and signs with it.
func started(s *scene) *deed {
	d := sign(s)
	ask, up := d.ask, false
	d.starts = true
	d.ask = func(ctx context.Context) outcome {
		if !up {
			if err := s.RestartWorkload(); err != nil {
				return part(err)
			}
			up = true
		}
		return ask(ctx)
	}
	return d
}

// many is more calls than a cell makes.
const many = 1000

func (p *cloudPlant) plan(c *cell) {
	f := cloudsim.Fault{Count: many, Mode: map[fault]string{fails: cloudsim.FaultUnavailable, doneThenFail: cloudsim.FaultDoneThenCut, slow: cloudsim.FaultSlow, garbage: cloudsim.FaultGarbage}[c.fault]}
	if c.fault == slow {
		f.Delay = 700
	}
	k := cloudsim.Knobs{}
	switch p.call = c.call; c.call {
	case "launcher token":
		k.Socket = f
	case "STS exchange":
		k.STS, k.KMS = f, cloudsim.Fault{Mode: cloudsim.FaultExpired, Count: 1}
	default:
		if c.fault == garbage {
			f.Mode = map[flaw]string{flipped: cloudsim.FaultWrongCRC, cut: cloudsim.FaultCutShort, foreign: cloudsim.FaultWrongSize}[c.flaw]
		}
		k.KMS = f
	}
	p.met, p.over = make(chan struct{}), make(chan struct{})
	if err := p.s.Cloud.SetKnobs(k); err != nil {
		p.s.t.Fatal(err)
	}
	go func(met, over chan struct{}) {
		for p.hits() == 0 {
			select {
			case <-over:
				return
			case <-time.After(time.Millisecond):
			}
		}
		close(met)
	}(p.met, p.over)
}

func (p *cloudPlant) hits() int {
	k := p.s.Cloud.Knobs()
	return many - map[string]cloudsim.Fault{"launcher token": k.Socket, "STS exchange": k.STS, "KMS decrypt": k.KMS, "KMS encrypt": k.KMS}[p.call].Count
}

func (p *cloudPlant) reached() <-chan struct{} { return p.met }

func (p *cloudPlant) leave() {}

func (p *cloudPlant) heal() int {
	hits := p.hits()
	close(p.over)
	if err := p.s.Cloud.SetKnobs(cloudsim.Knobs{}); err != nil {
		p.s.t.Fatal(err)
	}
	return hits
}

func (p *cloudPlant) restart() {
	if err := p.s.RestartWorkload(); err != nil {
		p.s.t.Fatal(err)
	}
}

func cloudCells(t *testing.T, e engine) {
	random, rounds := draw(t)
	began, results := time.Now(), &table{name: "cloud, " + e.name}
	for _, n := range clouded() {
		t.Run(n.call, func(t *testing.T) {
			s := newScene(t, e, stack.Options{NoDEKCache: true}, &clock{})
			s.each(drawn(random, n.call, n.ops, rounds), &cloudPlant{s: s}, results)
		})
	}
	results.report(t, time.Since(began))
}

package stack

import (
	"bufio"
	"crypto/tls"
	"net"
	"sync"
	"testing"

	"github.com/sigilkeys/sigil/internal/teelink"
)

// Tap sits on a link between control plane and workload: it ends TLS on both
// sides, keeps every frame, and may alter it or cut the connection. The zero
// value lets all pass.
type Tap struct {
	mu     sync.Mutex // guards the fields below
	target string
	frames []Tapped
	edit   Edit
}

// Tapped is a frame as it was sent.
type Tapped struct {
	ToTEE bool
	teelink.Frame
}

// Edit sees a frame on its way and may alter it; false cuts the connection
// instead. It may wait, and holds up what follows then.
type Edit func(toTEE bool, f *teelink.Frame) (pass bool)

// Open listens until the test ends, and returns the address; Options.WrapLink
// has the other arguments.
func (p *Tap) Open(t *testing.T, target string, certificate tls.Certificate) string {
	p.mu.Lock()
	p.target = target
	p.mu.Unlock()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13, NextProtos: []string{teelink.ALPN}})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(c, target) })
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	return l.Addr().String()
}

// serve carries one connection; where the workload has gone it ends at once.
func (p *Tap) serve(near net.Conn, target string) {
	defer near.Close()
	far, err := tls.Dial("tcp", target, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{teelink.ALPN}})
	if err != nil {
		return
	}
	defer far.Close()
	var back sync.WaitGroup
	back.Go(func() { p.copy(near, far, false); near.Close() })
	p.copy(far, near, true)
	far.Close()
	back.Wait()
}

func (p *Tap) copy(to, from net.Conn, toTEE bool) {
	r := bufio.NewReader(from)
	for {
		f, err := teelink.ReadFrame(r)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.frames = append(p.frames, Tapped{toTEE, f})
		edit := p.edit
		p.mu.Unlock()
		if edit != nil && !edit(toTEE, &f) {
			return // the other direction ends with this one
		}
		b, err := teelink.AppendFrame(nil, f)
		if err != nil {
			return
		}
		if _, err := to.Write(b); err != nil {
			return
		}
	}
}

// Set has f see frames; nil lets them pass.
func (p *Tap) Set(f Edit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.edit = f
}

// Frames returns what passed so far.
func (p *Tap) Frames() []Tapped {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Tapped(nil), p.frames...)
}

// Target returns the workload's own address.
func (p *Tap) Target() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.target
}

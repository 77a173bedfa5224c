package attack

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/clienttest"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/test/stack"
)

// patch is a control plane's HTTP face with an attacker's code in it. What it
// alters can be changed while it serves.
type patch struct {
	replies atomic.Pointer[func(path string, data map[string]any)]
}

func (p *patch) wrap(next http.Handler) http.Handler {
	return clienttest.Rewrite(next, func(path string, data map[string]any) {
		if f := p.replies.Load(); f != nil {
			(*f)(path, data)
		}
	})
}

// set has f alter replies; nil is an honest face.
func (p *patch) set(f func(path string, data map[string]any)) {
	if f == nil {
		p.replies.Store(nil)
		return
	}
	p.replies.Store(&f)
}

// sdk returns a client that has nothing cached and doesn't wait.
func sdk(t *testing.T, s *stack.Stack, token *authority.Token) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{BaseURL: s.API.URL, SecretKey: token.Reveal(), Now: s.Now,
		Sleep: func(context.Context, time.Duration) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tap sits on the link between control plane and workload, as whoever runs the
// control plane can: it ends TLS on both sides, keeps every frame, and may
// alter it.
type tap struct {
	t      *testing.T
	target string

	mu     sync.Mutex // guards the fields below
	frames []tapped
	edit   func(toTEE bool, f *teelink.Frame)
}

type tapped struct {
	toTEE bool
	teelink.Frame
}

// open is stack.Options.WrapLink.
func (p *tap) open(target string, certificate tls.Certificate) string {
	p.target = target
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13, NextProtos: []string{teelink.ALPN}})
	if err != nil {
		p.t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(c) })
		}
	})
	p.t.Cleanup(func() { l.Close(); running.Wait() })
	return l.Addr().String()
}

func (p *tap) serve(near net.Conn) {
	defer near.Close()
	far, err := tls.Dial("tcp", p.target, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{teelink.ALPN}})
	if err != nil {
		p.t.Error(err)
		return
	}
	defer far.Close()
	var back sync.WaitGroup
	back.Go(func() { p.copy(near, far, false); near.Close() })
	p.copy(far, near, true)
	far.Close()
	back.Wait()
}

func (p *tap) copy(to, from net.Conn, toTEE bool) {
	r := bufio.NewReader(from)
	for {
		f, err := teelink.ReadFrame(r)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.frames = append(p.frames, tapped{toTEE, f})
		edit := p.edit
		p.mu.Unlock()
		if edit != nil {
			edit(toTEE, &f)
		}
		b, err := teelink.AppendFrame(nil, f)
		if err != nil {
			p.t.Error(err)
			return
		}
		if _, err := to.Write(b); err != nil {
			return
		}
	}
}

// set has f alter frames; nil lets them pass.
func (p *tap) set(f func(toTEE bool, f *teelink.Frame)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.edit = f
}

// tape returns what passed so far.
func (p *tap) tape() []tapped {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]tapped(nil), p.frames...)
}

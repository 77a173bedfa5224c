package attack

import (
	"context"
	"crypto/tls"
	"net/http"
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

// tap sits on the link, as whoever runs the control plane can.
type tap struct {
	t *testing.T
	stack.Tap
}

// open is stack.Options.WrapLink.
func (p *tap) open(target string, certificate tls.Certificate) string {
	return p.Open(p.t, target, certificate)
}

// set has f alter frames; nil lets them pass.
func (p *tap) set(f func(toTEE bool, f *teelink.Frame)) {
	if f == nil {
		p.Set(nil)
		return
	}
	p.Set(func(toTEE bool, frame *teelink.Frame) bool { f(toTEE, frame); return true })
}

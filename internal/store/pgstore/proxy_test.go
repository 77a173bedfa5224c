package pgstore_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// cut is how a connection breaks at a statement.
type cut int

const (
	cutBefore cut = iota // the server never sees the statement
	cutAfter             // the server does it, and nobody hears of it
	cutLate              // the client is cut off; the server does it later
)

func (c cut) String() string { return [...]string{"before", "after", "late"}[c] }

// late is how much later.
const late = 300 * time.Millisecond

// proxy passes PostgreSQL's protocol on, and breaks one connection at the nth
// statement that passes after arm. It counts what asks for an answer: simple
// queries, and the end of each pipeline.
type proxy struct {
	t      *testing.T
	target string // the server's socket
	l      net.Listener

	mu    sync.Mutex // guards the fields below
	asked int        // statements so far
	left  int        // statements until the cut; 0: none is planned
	kind  cut
	fired bool
	after func() // runs after a cut of cutBefore, when the server has let go
	open  []net.Conn
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, target: target, l: l}
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
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for _, c := range p.open {
			_ = c.Close()
		}
		p.mu.Unlock()
		running.Wait()
	})
	return p
}

// dsn names a database behind the proxy.
func (p *proxy) dsn(role, database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(role), Host: p.l.Addr().String(), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

func (p *proxy) arm(n int, kind cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.kind, p.fired = n, kind, false
}

// disarm reports whether the cut happened.
func (p *proxy) disarm() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = 0
	return p.fired
}

// count returns how many statements have passed.
func (p *proxy) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// due counts one statement and reports whether it is the one.
func (p *proxy) due() (cut, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.left == 0 {
		return 0, false
	}
	p.left--
	p.fired = p.left == 0
	return p.kind, p.fired
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("unix", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.open = append(p.open, client, server)
	p.mu.Unlock()
	var swallow sync.Mutex // held from the cut on
	var back sync.WaitGroup
	back.Go(func() {
		defer func() {
			if swallow.TryLock() { // after a cut, the client hears when all of it is done
				_ = client.Close()
				swallow.Unlock()
			}
		}()
		for {
			m, err := message(server, true)
			if err != nil {
				return
			}
			if !swallow.TryLock() {
				if m[0] == 'Z' { // the server is ready again: it has done it
					_ = server.Close()
					return
				}
				continue
			}
			_, err = client.Write(m)
			swallow.Unlock()
			if err != nil {
				_ = server.Close()
				return
			}
		}
	})
	if err := p.forth(client, server, &swallow); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.As(err, new(*net.OpError)) {
		p.t.Error(err)
	}
	back.Wait()
	_ = client.Close()
}

// forth passes the client's messages on. After a cut, the server's end stays
// open until it has answered.
func (p *proxy) forth(client, server net.Conn, swallow *sync.Mutex) error {
	m, err := message(client, false)
	for err == nil {
		if m[0] == 'Q' || m[0] == 'S' {
			if kind, now := p.due(); now {
				swallow.Lock()
				switch kind {
				case cutBefore:
					return p.abandon(client, server)
				case cutLate:
					_ = client.Close()
					time.Sleep(late)
				}
				_, err = server.Write(m)
				return err
			}
		}
		if _, err = server.Write(m); err != nil {
			break
		}
		m, err = message(client, true)
	}
	return errors.Join(err, server.Close())
}

// abandon ends both connections, the server's first: when the client hears of
// it, the transaction is over.
func (p *proxy) abandon(client, server net.Conn) error {
	err := server.Close()
	p.mu.Lock()
	f := p.after
	p.after = nil
	p.mu.Unlock()
	if f != nil {
		f()
	}
	_ = client.Close()
	return err
}

// message reads one message; the first of a connection has no type.
func message(r io.Reader, typed bool) ([]byte, error) {
	head := make([]byte, 4, 5)
	if typed {
		head = head[:5]
	}
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(head[len(head)-4:]))
	if n < 4 || n > 1<<24 {
		return nil, fmt.Errorf("a message of %d bytes", n)
	}
	m := append(head, make([]byte, n-4)...)
	_, err := io.ReadFull(r, m[len(head):])
	return m, err
}

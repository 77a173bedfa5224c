package gcpkms

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/internal/secret"
)

// conn is one TLS connection with its buffers. It is made, used and closed
// inside secret.Do, so that what crypto/tls allocates for it is erased by the
// garbage collector once the connection is dropped. One goroutine at a time.
type conn struct {
	raw  *wipingConn
	tls  *tls.Conn
	body []byte // JSON of the request
	out  []byte // request
	in   []byte // reply

	born time.Time // by the pool's clock
	used time.Time // when it became idle, by the pool's clock
	old  bool      // carried a request before
}

// wipe clears the buffers: after each exchange.
func (c *conn) wipe() {
	secret.Wipe(c.body[:cap(c.body)])
	secret.Wipe(c.out[:cap(c.out)])
	secret.Wipe(c.in)
}

// close drops the connection, without TLS's goodbye: nothing is under way.
func (c *conn) close() {
	c.wipe()
	_ = c.raw.Conn.Close()
	c.raw.wipe()
}

// wipingConn remembers the buffers that crypto/tls reads records into and
// decrypts in place, so that closing erases them at once and not at the next
// garbage collection. If crypto/tls came to decrypt elsewhere, that would
// still be memory allocated inside secret.Do.
type wipingConn struct {
	net.Conn
	buffers [][]byte
}

// Read reads into p and remembers the memory from p to the end of its array.
func (w *wipingConn) Read(p []byte) (int, error) {
	if cap(p) > 0 {
		w.remember(p[:cap(p)])
	}
	return w.Conn.Read(p)
}

func (w *wipingConn) remember(p []byte) {
	last := &p[len(p)-1]
	for i, b := range w.buffers {
		if &b[len(b)-1] == last { // same array
			if len(p) > len(b) {
				w.buffers[i] = p
			}
			return
		}
	}
	w.buffers = append(w.buffers, p)
}

func (w *wipingConn) wipe() {
	for _, b := range w.buffers {
		secret.Wipe(b)
	}
	w.buffers = nil
}

// dial makes a connection. The handshake runs in this goroutine, as secret.Do
// doesn't extend to new ones; ctx reaches it as a deadline and by watch.
func (c *Client) dial(ctx context.Context) (*conn, error) {
	d := net.Dialer{}
	raw, err := d.DialContext(ctx, "tcp", c.address)
	if err != nil {
		return nil, err
	}
	cn := &conn{
		raw:  &wipingConn{Conn: raw},
		body: make([]byte, 0, maxRequest/2),
		out:  make([]byte, 0, maxRequest),
		in:   make([]byte, maxReply),
		born: c.pool.now(),
	}
	stop := watch(ctx, raw)
	defer stop()
	cn.tls = tls.Client(cn.raw, c.tls)
	if err := cn.tls.HandshakeContext(context.Background()); err != nil {
		cn.close()
		return nil, err
	}
	return cn, nil
}

// watch makes raw's operations fail when ctx ends, until stop is called.
func watch(ctx context.Context, raw net.Conn) (stop func()) {
	end := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	return func() { end() }
}

// pool keeps connections for the moments of load in which the next request
// comes at once, and drops them soon after: their record buffers hold the last
// replies. None gets old, for the same reason.
type pool struct {
	idle, age time.Duration
	max       int
	now       func() time.Time
	touch     func() // hears of dropped connections

	mu     sync.Mutex // guards the fields below
	conns  []*conn    // oldest first
	timer  *time.Timer
	closed bool
}

// get takes the connection that was used last, or nil.
func (p *pool) get() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.conns)
	if n == 0 {
		return nil
	}
	c := p.conns[n-1]
	p.conns[n-1] = nil
	p.conns = p.conns[:n-1]
	if now := p.now(); now.Sub(c.used) > p.idle {
		c.close()
		return nil
	}
	return c
}

// put gives a connection back, or drops it.
func (p *pool) put(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.used, c.old = p.now(), true
	if p.closed || len(p.conns) >= p.max || c.used.Sub(c.born) >= p.age {
		c.close()
		return
	}
	p.conns = append(p.conns, c)
	if p.timer == nil {
		p.timer = time.AfterFunc(p.idle, p.reap)
	}
}

// reap drops what was idle too long.
func (p *pool) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, kept := p.now(), 0
	for _, c := range p.conns {
		if p.closed || now.Sub(c.used) >= p.idle || now.Sub(c.born) >= p.age {
			c.close()
			continue
		}
		p.conns[kept] = c
		kept++
	}
	clear(p.conns[kept:])
	p.conns, p.timer = p.conns[:kept], nil
	if kept > 0 {
		p.timer = time.AfterFunc(p.idle/2, p.reap)
	}
	p.touch()
}

// close drops all connections; those in use are dropped when they come back.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.reap()
}

package teelink_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/teelink"
)

// echo is a handler whose answers say what arrived.
type echo struct {
	mu      sync.Mutex
	batches []int // sizes
	block   chan struct{}
}

func (e *echo) Hello(context.Context) (teelink.HelloReply, error) {
	return teelink.HelloReply{Statement: []byte("statement"), Token: []byte("token"), Release: "r", Version: "v"}, nil
}

func (e *echo) Attest(_ context.Context, challenges [32]byte) (teelink.HelloReply, error) {
	return teelink.HelloReply{Statement: challenges[:], Token: []byte("token")}, nil
}

func (e *echo) Checkpoint(_ context.Context, in *teelink.Checkpoint) (string, error) {
	return fmt.Sprintf("%s %d %d %d", in.Previous, len(in.Frontier), len(in.FromKnown), len(in.Leaves)), nil
}

func (e *echo) Put(_ context.Context, objects []teelink.Object) error {
	for _, o := range objects {
		if string(o.Bytes) == "bad" {
			return &teelink.RemoteError{Code: "object_invalid", Message: "no", Missing: [][32]byte{{1}}}
		}
	}
	return nil
}

func (e *echo) Provision(_ context.Context, genesis []byte) ([]byte, error) {
	return append([]byte("state of "), genesis...), nil
}

func (e *echo) Decide(ctx context.Context, d *teelink.Decide) (teelink.Item, error) {
	switch string(d.Body) {
	case "panic":
		panic("secret")
	case "block":
		select {
		case <-e.block:
		case <-ctx.Done():
			return teelink.Item{}, ctx.Err()
		}
	}
	return teelink.Item{Leaf: d.Body, ResultKind: teelink.ResultSignature, Result: []byte(d.Path)}, nil
}

func (e *echo) Seal(leaves [][]byte) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.batches = append(e.batches, len(leaves))
	return fmt.Appendf(nil, "batch of %d", len(leaves)), nil
}

func start(t testing.TB, h teelink.Handler) (addr string, linkKey [32]byte) {
	t.Helper()
	cert, key, err := teelink.NewCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s, err := teelink.NewServer(teelink.ServerConfig{Handler: h, Certificate: cert})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), key
}

func dial(t testing.TB, addr string, onBatch func(*teelink.Batch)) *teelink.Client {
	t.Helper()
	c, err := teelink.Dial(t.Context(), teelink.ClientConfig{Address: addr, OnBatch: onBatch})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestOperations(t *testing.T) {
	addr, key := start(t, &echo{})
	c := dial(t, addr, nil)
	if c.LinkKey() != key {
		t.Fatal("link key isn't the certificate's")
	}
	if h, err := c.Hello(t.Context()); err != nil || string(h.Token) != "token" {
		t.Fatal(h, err)
	}
	if state, err := c.Provision(t.Context(), []byte("g")); err != nil || string(state) != "state of g" {
		t.Fatal(state, err)
	}
	if err := c.Put(t.Context(), []teelink.Object{{Kind: teelink.ObjectGrant, Bytes: []byte("ok")}}); err != nil {
		t.Fatal(err)
	}
	var refused *teelink.RemoteError
	err := c.Put(t.Context(), []teelink.Object{{Kind: teelink.ObjectGrant, Bytes: []byte("bad")}})
	if !errors.As(err, &refused) || refused.Code != "object_invalid" || len(refused.Missing) != 1 {
		t.Fatal(err)
	}
	// A panic is an error without its value.
	_, err = c.Decide(t.Context(), &teelink.Decide{Auth: teelink.AuthSignature, Body: []byte("panic")})
	if !errors.As(err, &refused) || refused.Code != "internal" || bytes.Contains([]byte(err.Error()), []byte("secret")) {
		t.Fatal(err)
	}
	if _, err := c.Decide(t.Context(), &teelink.Decide{Body: []byte("x")}); !errors.As(err, &refused) || refused.Code != "malformed_frame" {
		t.Fatal("auth class 0:", err)
	}
}

// Everything that is decided arrives, with its own answer, in batches whose
// items the callback saw first.
func TestBatches(t *testing.T) {
	h := &echo{}
	addr, _ := start(t, h)
	var mu sync.Mutex
	seen := 0
	c := dial(t, addr, func(b *teelink.Batch) {
		mu.Lock()
		defer mu.Unlock()
		seen += len(b.Items)
		b.Tag = true
	})
	const n = 500
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			body := fmt.Sprint("request ", i)
			out, err := c.Decide(t.Context(), &teelink.Decide{Auth: teelink.AuthSignature, Path: "/" + body, Body: []byte(body)})
			if err != nil || string(out.Item().Leaf) != body || string(out.Item().Result) != "/"+body || out.Batch.Tag != true {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	group.Wait()
	if seen != n {
		t.Errorf("the callback saw %d items", seen)
	}
	t.Logf("%d requests in %d batches", n, len(h.batches))
}

// A large burst is cut into frames within the limit.
func TestLargeResults(t *testing.T) {
	addr, _ := start(t, &echo{})
	c := dial(t, addr, nil)
	var group sync.WaitGroup
	for range 80 {
		group.Go(func() {
			body := bytes.Repeat([]byte("x"), 4000)
			if _, err := c.Decide(t.Context(), &teelink.Decide{Auth: teelink.AuthSignature, Body: body}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestDeadlineAndClose(t *testing.T) {
	h := &echo{block: make(chan struct{})}
	addr, _ := start(t, h)
	c := dial(t, addr, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Decide(ctx, &teelink.Decide{Auth: teelink.AuthSignature, Body: []byte("block")}); err == nil {
		t.Fatal("answered after its deadline")
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := c.Decide(context.Background(), &teelink.Decide{Auth: teelink.AuthSignature, Body: []byte("block")})
		waiting <- err
	}()
	if _, err := c.Hello(t.Context()); err != nil { // the request before it is on its way
		t.Fatal(err)
	}
	c.Close()
	if err := <-waiting; !errors.Is(err, teelink.ErrClosed) {
		t.Fatal(err)
	}
	if _, err := c.Hello(t.Context()); !errors.Is(err, teelink.ErrClosed) {
		t.Fatal(err)
	}
	close(h.block)
}

// What no correct peer sends ends the connection, and only that one.
func TestHostilePeer(t *testing.T) {
	addr, _ := start(t, &echo{})
	good := dial(t, addr, nil)
	for name, data := range map[string][]byte{
		"unknown op":   {0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 1, 0x77, 0, 0, 0, 0, 0, 0, 0, 0},
		"reply op":     {0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 1, 0x83, 0, 0, 0, 0, 0, 0, 0, 0},
		"huge frame":   {0xff, 0xff, 0xff, 0xff},
		"short length": {0, 0, 0, 1, 1},
	} {
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{teelink.ALPN}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		var timeout net.Error
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%s: the connection stays: %v", name, err)
		}
		conn.Close()
	}
	if _, err := good.Hello(t.Context()); err != nil {
		t.Fatal("another link suffered:", err)
	}
	// No TLS 1.2, and no other protocol.
	for name, cfg := range map[string]*tls.Config{
		"TLS 1.2":        {InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, NextProtos: []string{teelink.ALPN}},
		"other protocol": {InsecureSkipVerify: true, NextProtos: []string{"h2"}},
	} {
		if conn, err := tls.Dial("tcp", addr, cfg); err == nil {
			conn.Close()
			t.Errorf("%s accepted", name)
		}
	}
}

// The two ends needn't be updated together: what the older one doesn't know is
// never sent to it, and all else goes on.
func TestVersions(t *testing.T) {
	addr, _ := start(t, &echo{})
	c := dial(t, addr, nil)
	note, err := c.Checkpoint(t.Context(), &teelink.Checkpoint{Previous: "note", Frontier: [][32]byte{{1}}, FromKnown: [][32]byte{{1}, {2}}, Leaves: make([][32]byte, teelink.MaxLeaves)})
	if err != nil || note != "note 1 2 2048" {
		t.Fatal(note, err)
	}
	var refused *teelink.RemoteError
	if _, err := c.Checkpoint(t.Context(), &teelink.Checkpoint{Leaves: make([][32]byte, teelink.MaxLeaves+1)}); !errors.As(err, &refused) || refused.Code != "malformed_frame" {
		t.Error("more leaves than there may be:", err)
	}

	// A workload of version 1, which closes at what it doesn't know.
	certificate, _, err := teelink.NewCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13, NextProtos: []string{teelink.ALPN1}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		r := bufio.NewReader(nc)
		for {
			f, err := teelink.ReadFrame(r)
			if err != nil || f.Op > teelink.OpAttest {
				return
			}
			b, err := teelink.AppendFrame(nil, teelink.Frame{ID: f.ID, Op: f.Op | 0x80, Payload: teelink.HelloReply{Version: "old"}.Encode()})
			if err != nil {
				return
			}
			if _, err := nc.Write(b); err != nil {
				return
			}
		}
	}()
	old := dial(t, l.Addr().String(), nil)
	if _, err := old.Checkpoint(t.Context(), &teelink.Checkpoint{}); !errors.Is(err, teelink.ErrOldPeer) {
		t.Error(err)
	}
	if _, err := old.Decide(t.Context(), &teelink.Decide{Auth: teelink.AuthSignature, Item: 1}); !errors.Is(err, teelink.ErrOldPeer) {
		t.Error(err)
	}
	if h, err := old.Hello(t.Context()); err != nil || h.Version != "old" {
		t.Error(h, err)
	}

	// A control plane of version 1: served, but for what is newer.
	older, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{teelink.ALPN1}})
	if err != nil {
		t.Fatal(err)
	}
	defer older.Close()
	r := bufio.NewReader(older)
	for _, c := range []struct {
		op     teelink.Op
		served bool
	}{{teelink.OpHello, true}, {teelink.OpCheckpoint, false}} {
		b, err := teelink.AppendFrame(nil, teelink.Frame{ID: 1, Op: c.op, Payload: nil})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := older.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := teelink.ReadFrame(r); (err == nil) != c.served {
			t.Errorf("op %d: %v", c.op, err)
		}
	}
}

func FuzzDecoders(f *testing.F) {
	d := &teelink.Decide{Auth: teelink.AuthSignature, Method: "POST", Path: "/x", Body: []byte("b")}
	raw, err := d.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	d.Item = 7
	item, err := d.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(item)
	f.Add(teelink.EncodePut([]teelink.Object{{Kind: 1, Bytes: []byte("o")}}))
	f.Add(teelink.HelloReply{Token: []byte("t")}.Encode())
	f.Add((&teelink.Checkpoint{Previous: "p", Frontier: [][32]byte{{1}}, FromKnown: [][32]byte{{2}, {3}}, Leaves: [][32]byte{{4}}}).Encode())
	f.Add(teelink.EncodeCheckpointDone("note"))
	f.Add((&teelink.RemoteError{Code: "c", Missing: [][32]byte{{1}}}).Encode())
	f.Fuzz(func(t *testing.T, in []byte) {
		if d, err := teelink.DecodeDecide(in); err == nil {
			if again, err := d.Encode(); err != nil || !bytes.Equal(again, in) {
				t.Fatal("decide doesn't round-trip", err)
			}
		}
		if d, err := teelink.DecodeDecideItem(in); err == nil {
			if again, err := d.Encode(); err != nil || !bytes.Equal(again, in) {
				t.Fatal("decide item doesn't round-trip", err)
			}
		}
		if o, err := teelink.DecodePut(in); err == nil && !bytes.Equal(teelink.EncodePut(o), in) {
			t.Fatal("put doesn't round-trip")
		}
		if h, err := teelink.DecodeHelloReply(in); err == nil && !bytes.Equal(h.Encode(), in) {
			t.Fatal("hello doesn't round-trip")
		}
		if c, err := teelink.DecodeCheckpoint(in); err == nil && !bytes.Equal(c.Encode(), in) {
			t.Fatal("checkpoint doesn't round-trip")
		}
		if note, err := teelink.DecodeCheckpointDone(in); err == nil && !bytes.Equal(teelink.EncodeCheckpointDone(note), in) {
			t.Fatal("its answer doesn't round-trip")
		}
		if e, err := teelink.DecodeRemoteError(in); err == nil && !bytes.Equal(e.Encode(), in) {
			t.Fatal("error doesn't round-trip")
		}
		if signed, items, err := teelink.DecodeBatch(in); err == nil {
			if again, err := teelink.EncodeBatch(signed, items); err != nil || !bytes.Equal(again, in) {
				t.Fatal("batch doesn't round-trip", err)
			}
		}
		if fr, err := teelink.ReadFrame(bufio.NewReader(bytes.NewReader(in))); err == nil {
			if again, err := teelink.AppendFrame(nil, fr); err != nil || !bytes.HasPrefix(in, again) {
				t.Fatal("frame doesn't round-trip", err)
			}
		}
	})
}

// TestLongExplanations: what a denial quotes is cut to what the other side
// takes, at a letter's end.
func TestLongExplanations(t *testing.T) {
	frame, err := teelink.EncodeBatch([]byte{1}, []teelink.Item{{Leaf: []byte{2}, Explanation: strings.Repeat("ä", 20_000)}, {Leaf: []byte{3}, Explanation: "short"}})
	if err != nil {
		t.Fatal(err)
	}
	_, items, err := teelink.DecodeBatch(frame)
	if err != nil || items[0].Explanation != strings.Repeat("ä", 256) || items[1].Explanation != "short" {
		t.Errorf("%v: %+v", err, items)
	}
}

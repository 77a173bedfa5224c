package faults

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/authority"
)

// pinned is randomness that is always the same, so that the SDK makes the same
// request again.
type pinned [16]byte

func (p *pinned) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = p[i%len(p)]
	}
	return len(b), nil
}

// call is one of the SDK's.
type call func(context.Context, *client.Client) (any, error)

// posted is a request as the SDK signs it, and the SDK's judgement of the replies.
type posted struct {
	s     *scene
	token *authority.Token
	path  string
	call  call
	pin   pinned
	made  time.Time
	req   *http.Request

	sender *client.Client // of through
	of     int            // its life
}

var errCaptured = errors.New("the request isn't sent")

// roundTrip is an http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// sdkRequest has the SDK make the request of a call, which posts to the path.
func (s *scene) sdkRequest(path string, call call) *posted {
	s.t.Helper()
	return s.sdkRequestOf(s.one.token, path, call)
}

func (s *scene) sdkRequestOf(token *authority.Token, path string, call call) *posted {
	s.t.Helper()
	p := &posted{s: s, token: token, path: path, call: call, made: s.Now()}
	if _, err := io.ReadFull(rand.Reader, p.pin[:]); err != nil {
		s.t.Fatal(err)
	}
	_, err := p.with(s.t.Context(), func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		p.req = r.Clone(context.Background())
		p.req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		return nil, errors.Join(err, errCaptured)
	})
	if !errors.Is(err, errCaptured) || p.req == nil {
		s.t.Fatal("no request: ", err)
	}
	return p
}

// with has a new client make the call, with what is posted to the path answered
// by f.
func (p *posted) with(ctx context.Context, f roundTrip) (any, error) {
	c, err := p.client(f)
	if err != nil {
		return nil, err
	}
	return p.call(ctx, c)
}

func (p *posted) client(f roundTrip) (*client.Client, error) {
	return client.New(client.Config{BaseURL: p.s.API.URL, SecretKey: p.token.Reveal(), Random: &p.pin, Now: func() time.Time { return p.made }, Sleep: once,
		HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method == "POST" && r.URL.Path == p.path {
				return f(r)
			}
			return p.s.wire.RoundTrip(r)
		})}})
}

// ask sends the request as it was signed. What is answered well, the SDK judges
// when the fault is over.
func (p *posted) ask(ctx context.Context) outcome {
	out := p.s.send(ctx, p.req)
	out.judge = func(ctx context.Context) error {
		_, err := p.with(ctx, func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: out.status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(out.raw))}, nil
		})
		return err
	}
	return out
}

// through has the SDK send the request by itself, as often as it is asked: the
// same client, until clients start anew.
func (p *posted) through(ctx context.Context) outcome {
	if life := p.s.wire.life(); p.sender == nil || p.of != life {
		c, err := p.client(p.s.wire.RoundTrip)
		if err != nil {
			return failed(err)
		}
		p.sender, p.of = c, life
	}
	return answered(p.call(ctx, p.sender))
}

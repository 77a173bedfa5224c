package client

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/receipt"
)

const (
	// resendWithin is the age up to which a signed request is sent again:
	// below the 60 s in which the service takes it.
	resendWithin = 50 * time.Second
	maxAttempts  = 6
	firstBackoff = 100 * time.Millisecond
	// maxReply bounds a reply: a page of 200 wallets with certificates has
	// about 300 kB.
	maxReply = 4 << 20
	// maxBatchReply bounds one with items: 1,000 new wallets with certificates
	// and receipts have about 4 MB.
	maxBatchReply = 16 << 20
)

// transport sends requests and reads the API's envelope. It trusts no reply.
type transport struct {
	base   string // scheme and authority, without a final slash
	http   *http.Client
	now    func() time.Time
	random io.Reader
	sleep  func(context.Context, time.Duration) error
}

// newTransport takes the clock, the kernel's randomness, a timer and a client
// with a timeout for what is nil.
func newTransport(base string, c *http.Client, now func() time.Time, random io.Reader, sleep func(context.Context, time.Duration) error) (*transport, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, badArgument("BaseURL", "want http(s)://host[:port]")
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, badArgument("BaseURL", "only scheme, host and port can be given: the signature covers the path as sent")
	}
	if c == nil {
		c = &http.Client{Timeout: 60 * time.Second}
	}
	if now == nil {
		now = time.Now
	}
	if random == nil {
		random = rand.Reader
	}
	if sleep == nil {
		sleep = sleepFor
	}
	own := *c
	// A redirect would send the signed request to whom it wasn't meant for.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &transport{base: u.Scheme + "://" + u.Host, http: &own, now: now, random: random, sleep: sleep}, nil
}

func sleepFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// call is one request, signed or not, that can be sent several times.
type call struct {
	authority.Request
	header http.Header
	made   time.Time
	most   int64 // bytes of the reply

	item     uint32 // index of a batch's item
	itemBody []byte // as it stands in the body; nil: the call is not for one
}

// ofItem is the call for one of its items: the request is the whole one.
func (c *call) ofItem(index int, body []byte) *call {
	own := *c
	own.item, own.itemBody = uint32(index), body
	return &own
}

// requestID is what the receipt has for it.
func (c *call) requestID() canon.UUID {
	if c.itemBody == nil {
		return c.ID
	}
	return receipt.ItemRequestID(c.ID, c.item)
}

// idempotency is the receipt's digest of the Idempotency-Key.
func (c *call) idempotency() [32]byte {
	if c.IdempotencyKey == "" {
		return [32]byte{}
	}
	d := sha256.Sum256([]byte(c.IdempotencyKey))
	if c.itemBody == nil {
		return d
	}
	return receipt.ItemIdempotency(d, c.item)
}

// decided is what the workload decides on: the body, or an item of it.
func (c *call) decided() []byte {
	if c.itemBody == nil {
		return c.Body
	}
	return c.itemBody
}

// prepare makes a call; without a key it is unsigned.
func (t *transport) prepare(key ed25519.PrivateKey, method, path, query string, body []byte, idempotencyKey string) (*call, error) {
	c := &call{made: t.now(), header: http.Header{}, most: maxReply}
	c.Request = authority.Request{Method: method, Path: path, Query: query, Body: body,
		Created: c.made.Unix(), IdempotencyKey: idempotencyKey}
	if key == nil {
		return c, nil
	}
	var err error
	if c.ID, err = canon.NewOrderedUUID(t.now(), t.random); err != nil {
		return nil, err
	}
	if c.header, err = c.Sign(key); err != nil {
		return nil, fmt.Errorf("sign request: %w", err)
	}
	return c, nil
}

// send sends the call and decodes the reply's data into out. It sends the very
// same bytes again after a network error, 429 and 503: the service answers a
// repeated request as it answered the first.
func (t *transport) send(ctx context.Context, c *call, out any) error {
	backoff := firstBackoff
	for attempt := 1; ; attempt++ {
		wait, err := t.once(ctx, c, out)
		if err == nil || wait < 0 || attempt == maxAttempts {
			return err
		}
		wait = max(wait, backoff)
		if t.now().Add(wait).Sub(c.made) >= resendWithin {
			return err
		}
		if t.sleep(ctx, wait) != nil {
			return err
		}
		backoff *= 2
	}
}

// once sends the call once. A wait below zero says that sending it again
// would be of no use.
func (t *transport) once(ctx context.Context, c *call, out any) (wait time.Duration, err error) {
	target := t.base + c.Path
	if c.Query != "" {
		target += "?" + c.Query
	}
	r, err := http.NewRequestWithContext(ctx, c.Method, target, bytes.NewReader(c.Body))
	if err != nil {
		return -1, err
	}
	for name, values := range c.header {
		r.Header[name] = values
	}
	if len(c.Body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Accept", "application/json")
	reply, err := t.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return -1, fmt.Errorf("%s %s: %w", c.Method, c.Path, ctx.Err())
		}
		return 0, fmt.Errorf("%s %s: %w", c.Method, c.Path, err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(io.LimitReader(reply.Body, c.most+1))
	if err != nil {
		return 0, fmt.Errorf("%s %s: read reply: %w", c.Method, c.Path, err)
	}
	if int64(len(body)) > c.most {
		return -1, broken(CodeResponse, nil, "reply of more than %d bytes", c.most)
	}
	err = decodeReply(reply.StatusCode, reply.Header.Get("Sigil-Request-Id"), body, out)
	if reply.StatusCode == http.StatusTooManyRequests || reply.StatusCode == http.StatusServiceUnavailable {
		wait = retryAfter(reply.Header)
		var refused *APIError
		if errors.As(err, &refused) {
			refused.RetryAfter = wait
		}
		return wait, err
	}
	return -1, err
}

func retryAfter(h http.Header) time.Duration {
	n, err := strconv.ParseUint(h.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// decodeReply reads a reply into out, or returns the *APIError that it holds.
// Members that this version doesn't know are left alone; what matters is
// verified by its own format.
func decodeReply(status int, requestID string, body []byte, out any) error {
	var e api.Envelope
	if err := json.Unmarshal(body, &e); err != nil {
		if status >= 400 { // of a proxy in between, not of the API
			return &APIError{Status: status, Code: "unexpected_response", Message: http.StatusText(status), RequestID: requestID}
		}
		return broken(CodeResponse, err, "HTTP %d isn't the API's JSON", status)
	}
	return decodeEnvelope(status, requestID, &e, out)
}

func decodeEnvelope(status int, requestID string, e *api.Envelope, out any) error {
	switch {
	case e.Error != nil && status >= 400 && e.Error.Code != "":
		return &APIError{Status: status, Code: e.Error.Code, Message: e.Error.Message, RequestID: requestID, Details: nonNull(e.Error.Details)}
	case e.Error != nil || status < 200 || status > 299 || nonNull(e.Data) == nil:
		return broken(CodeResponse, nil, "HTTP %d with neither data nor an error", status)
	}
	if err := json.Unmarshal(e.Data, out); err != nil {
		return broken(CodeResponse, err, "data isn't of the expected shape")
	}
	return nil
}

func nonNull(v []byte) []byte {
	if len(v) == 0 || string(v) == "null" {
		return nil
	}
	return v
}

// exchange prepares and sends in one step.
func (t *transport) exchange(ctx context.Context, key ed25519.PrivateKey, method, path, query string, in, out any) (*call, error) {
	var body []byte
	var err error
	if in != nil {
		if body, err = canon.EncodeJSON(in); err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
	}
	c, err := t.prepare(key, method, path, query, body, "")
	if err != nil {
		return nil, err
	}
	return c, t.send(ctx, c, out)
}

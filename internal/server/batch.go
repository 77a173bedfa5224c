package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/teelink"
)

// batchBody mirrors the workload's.
type batchBody struct {
	Items []jsontext.Value `json:"items"`
}

// batch is how a route treats its items.
type batch struct {
	most   int // items
	width  int // items in work at a time
	status int // of an item that went well
	decide func(*Server, context.Context, *signing.Call, []byte) (any, error)
}

func (s *Server) signBatch(c *call) (reply, error) {
	return s.inItems(c, batch{most: 100, width: 100, status: http.StatusOK,
		decide: func(s *Server, ctx context.Context, call *signing.Call, item []byte) (any, error) {
			return s.signature(ctx, call, item)
		}})
}

// createWallets makes few at a time: each asks the KMS eight times, and
// others' requests want workers of the TEE too.
func (s *Server) createWallets(c *call) (reply, error) {
	return s.inItems(c, batch{most: 1000, width: 16, status: http.StatusCreated,
		decide: func(s *Server, ctx context.Context, call *signing.Call, item []byte) (any, error) {
			return s.create(ctx, call, item)
		}})
}

// inItems has each item of the body decided for itself. What becomes of one
// is in its place of the reply; only what is wrong with the request as a whole
// is an error of the whole.
func (s *Server) inItems(c *call, b batch) (reply, error) {
	// What the TEE does for each item, for the whole, and early: a stranger's body
	// must not become a thousand frames. The clock is left to it, since what comes
	// late may have been decided.
	if call := c.decision(); c.proof.Auth == teelink.AuthSignature {
		if err := call.Verify(call.Made()); err != nil {
			return reply{}, asError(err)
		}
	}
	var body batchBody
	if !utf8.Valid(c.body) {
		return reply{}, refuse(api.CodeInvalidUTF8, "the body isn't valid UTF-8")
	}
	// An item that is null, or has one, is refused in its place.
	if err := strictly(c.body, &body); err != nil {
		return reply{}, err
	}
	n := len(body.Items)
	if n == 0 || n > b.most {
		return reply{}, refuse(api.CodeInvalidArgument, "%d items, 1 to %d allowed", n, b.most)
	}
	s.chargeItems(c, n)
	out := api.Batch{Items: make([]api.BatchItem, n)}
	errs := make([]error, n)
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(b.width, n) {
		workers.Go(func() {
			for i := range next {
				out.Items[i], errs[i] = s.item(c, b, i, body.Items[i])
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.Wait()
	if err := ofTheWhole(out.Items, errs); err != nil {
		return reply{}, err
	}
	return ok(http.StatusOK, out)
}

// item has one decided. When time has run out the rest isn't begun: the same
// request, sent again, goes on with it.
func (s *Server) item(c *call, b batch, index int, raw []byte) (api.BatchItem, error) {
	err := error(nil)
	if c.ctx.Err() != nil {
		err = refuse(api.CodeDeadlineExceeded, "the item's turn didn't come in time; send the same request again")
	}
	var data any
	if err == nil {
		data, err = b.decide(s, c.ctx, (signing.Call{Key: c.key, Request: c.proof}).OfItem(index, raw), raw)
	}
	if err == nil {
		var encoded json.RawMessage
		if encoded, err = json.Marshal(data); err == nil {
			return api.BatchItem{Status: b.status, Envelope: api.Envelope{Data: encoded}}, nil
		}
	}
	e, status := s.explain(c.id, err)
	return api.BatchItem{Status: status, Envelope: api.Envelope{Error: &e}}, err
}

// ofTheWhole is the error of a request of which nothing was decided because of
// who asks, how much there is to do, or what is down.
func ofTheWhole(items []api.BatchItem, errs []error) error {
	var shared error
	for i := range items {
		var no *denied
		if errs[i] == nil || errors.As(errs[i], &no) {
			return nil
		}
		switch items[i].Status {
		case http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusServiceUnavailable:
			if shared == nil {
				shared = errs[i]
			}
		}
	}
	return shared
}

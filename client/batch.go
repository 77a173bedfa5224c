package client

import (
	"context"
	"net/http"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
)

// Most items of one request.
const (
	MaxSignBatch = 100
	MaxWallets   = 1000
)

const (
	pathSignBatch   = "/v1/s2s/sign/batch"
	pathWalletsBulk = "/v1/s2s/wallets/bulk"
)

// maxBatchBody bounds a batch's body, as the service does.
const maxBatchBody = 64 << 10

// SignOutcome is what became of one item of a batch: exactly one is set.
type SignOutcome struct {
	Result *SignResult
	Err    error // as Sign would return it
}

// CreateOutcome is what became of one wallet of a request for many.
type CreateOutcome struct {
	Wallet *CreatedWallet
	Err    error // as Create would return it
}

// SignBatch has up to 100 messages and transactions signed by one request. Each is decided for
// itself and each answer is verified for itself; what became of the items is
// in their order. The items together have 64 KiB at most. With an
// idempotencyKey ("" = none; the items' own must be empty) the same items in
// the same places are one operation. An error means that there is no answer
// about any item.
func (c *Client) SignBatch(ctx context.Context, items []SignRequest, idempotencyKey string) ([]SignOutcome, error) {
	root, err := c.trusted(ctx)
	if err != nil {
		return nil, err
	}
	ops := make([]*signing, len(items))
	bodies := make([]any, len(items))
	for i := range items {
		r := &items[i]
		if r.IdempotencyKey != "" {
			return nil, badArgument("IdempotencyKey", "a batch has one for all items")
		}
		wallet, err := canon.ParseUUID(r.WalletID)
		if err != nil {
			return nil, badArgument("WalletID", "item %d: not a lower-case UUID", i)
		}
		payload, err := r.payload()
		if err != nil {
			return nil, err
		}
		cert, err := c.certs.get(ctx, wallet)
		if err != nil {
			return nil, err
		}
		ops[i] = &signing{c: c, root: root, cert: cert, network: r.Network, payload: payload}
		bodies[i] = signBody{WalletID: r.WalletID, Network: r.Network, Payload: payload}
	}
	call, err := c.prepareBatch(pathSignBatch, bodies, MaxSignBatch, idempotencyKey)
	if err != nil {
		return nil, err
	}
	replies, err := sendBatch(ctx, c.t, call)
	if err != nil {
		return nil, err
	}
	out := make([]SignOutcome, len(items))
	for i, op := range ops {
		op.call = call.ofItem(i, call.items[i])
		op.encode()
		var reply api.Signature
		if err := decodeItem(&replies[i], &reply); err != nil {
			out[i].Err = op.denied(ctx, err)
			continue
		}
		out[i].Result, out[i].Err = op.accept(ctx, &reply)
	}
	return out, nil
}

// CreateMany has up to 1,000 wallets made by one request, as SignBatch has
// messages signed.
func (w Wallets) CreateMany(ctx context.Context, items []NewWallet, idempotencyKey string) ([]CreateOutcome, error) {
	c := w.c
	root, err := c.trusted(ctx)
	if err != nil {
		return nil, err
	}
	bodies := make([]any, len(items))
	for i, n := range items {
		if n.IdempotencyKey != "" {
			return nil, badArgument("IdempotencyKey", "a batch has one for all items")
		}
		bodies[i] = createBody{n.Label}
	}
	call, err := c.prepareBatch(pathWalletsBulk, bodies, MaxWallets, idempotencyKey)
	if err != nil {
		return nil, err
	}
	replies, err := sendBatch(ctx, c.t, call)
	if err != nil {
		return nil, err
	}
	out := make([]CreateOutcome, len(items))
	for i := range replies {
		x := expectCreated(root, call.ofItem(i, call.items[i]))
		var reply api.Wallet
		if err := decodeItem(&replies[i], &reply); err != nil {
			out[i].Err = c.createDenied(ctx, x, err)
			continue
		}
		out[i].Wallet, out[i].Err = c.acceptCreated(ctx, x, &reply)
	}
	return out, nil
}

// batchCall is a signed request with the items that its body holds.
type batchCall struct {
	*call
	items [][]byte
}

// prepareBatch signs one request over all items. Their bytes are kept as they
// stand in the body: receipts name them.
func (c *Client) prepareBatch(path string, items []any, most int, idempotencyKey string) (*batchCall, error) {
	if len(items) == 0 || len(items) > most {
		return nil, badArgument("items", "want 1 to %d", most)
	}
	b := &batchCall{items: make([][]byte, len(items))}
	body := []byte(`{"items":[`)
	for i, item := range items {
		raw, err := canon.EncodeJSON(item)
		if err != nil {
			return nil, badArgument("items", "item %d: %v", i, err)
		}
		if i > 0 {
			body = append(body, ',')
		}
		b.items[i], body = raw, append(body, raw...)
	}
	body = append(body, `]}`...)
	if len(body) > maxBatchBody {
		return nil, badArgument("items", "together they have %d bytes, at most %d: send them in several requests", len(body), maxBatchBody)
	}
	var err error
	if b.call, err = c.t.prepare(c.key, "POST", path, "", body, idempotencyKey); err != nil {
		return nil, err
	}
	b.most = maxBatchReply
	return b, nil
}

// sendBatch sends the request, and sends it again while something that will
// pass has kept items from being decided: those that were decided get the same
// answer.
func sendBatch(ctx context.Context, t *transport, b *batchCall) ([]api.BatchItem, error) {
	for backoff, attempt := firstBackoff, 1; ; attempt, backoff = attempt+1, 2*backoff {
		var reply api.Batch
		if err := t.send(ctx, b.call, &reply); err != nil {
			return nil, err
		}
		if len(reply.Items) != len(b.items) {
			return nil, mismatch(CodeResponseMismatch, "items", "%d answers to %d items", len(reply.Items), len(b.items))
		}
		again := false
		for i := range reply.Items {
			s := reply.Items[i].Status
			again = again || s == http.StatusTooManyRequests || s == http.StatusServiceUnavailable
		}
		if !again || attempt == maxAttempts || t.now().Add(backoff).Sub(b.made) >= resendWithin || t.sleep(ctx, backoff) != nil {
			return reply.Items, nil
		}
	}
}

// decodeItem reads an item's answer as a reply of its own is read.
func decodeItem(item *api.BatchItem, out any) error {
	return decodeEnvelope(item.Status, "", &item.Envelope, out)
}

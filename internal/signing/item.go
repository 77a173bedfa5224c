package signing

import (
	"crypto/sha256"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/receipt"
)

// OfItem makes the call one for an item of its request: the item at an index,
// as it stands in the body.
func (c Call) OfItem(index int, item []byte) *Call {
	c.Request.Item, c.Item = uint32(index)+1, item
	return &c
}

// requestID is the request id under which the decision is stored.
func (c *Call) requestID() canon.UUID {
	if c.Request.Item == 0 {
		return c.Request.RequestID
	}
	return receipt.ItemRequestID(c.Request.RequestID, c.Request.Item-1)
}

// idempotency is the digest under which the decision is stored; zero without
// an Idempotency-Key.
func (c *Call) idempotency() [32]byte {
	if c.Request.IdempotencyKey == "" {
		return [32]byte{}
	}
	d := sha256.Sum256([]byte(c.Request.IdempotencyKey))
	if c.Request.Item == 0 {
		return d
	}
	return receipt.ItemIdempotency(d, c.Request.Item-1)
}

// body is what is decided on.
func (c *Call) body() []byte {
	if c.Request.Item == 0 {
		return c.Request.Body
	}
	return c.Item
}

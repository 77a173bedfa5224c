package workload

import (
	"crypto/sha256"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
)

// Most items of one request.
const (
	maxSignItems   = 100
	maxCreateItems = teelink.MaxBatchItems
)

// maxItemLists bounds the cache of bodies taken apart: 64 KB each.
const maxItemLists = 64

// batchBody is the body of a batch. Items are as they stand in it: their
// bytes are what receipts name.
type batchBody struct {
	Items []jsontext.Value `json:"items"`
}

// batched reports whether a path's requests hold items, and how many at most.
func batched(path string) (most int, ok bool) {
	switch path {
	case PathSignBatch:
		return maxSignItems, true
	case PathWalletsBulk:
		return maxCreateItems, true
	}
	return 0, false
}

// takeItem makes the request one for the item that the frame names: its body,
// its id and its Idempotency-Key's digest are the item's from here on. What
// authenticated the caller was the request as a whole, so a host can ask for
// each item of it and for nothing else.
func (s *Service) takeItem(r *request) error {
	most, batch := batched(r.Path)
	if batch != (r.Item != 0) {
		return remote("invalid_argument", "a batch is decided item by item, and nothing else is")
	}
	if !batch {
		return nil
	}
	items, err := s.items(r, most)
	if err != nil {
		return err
	}
	index := r.Item - 1
	if index >= uint32(len(items)) {
		return remote("invalid_argument", "the request has %d items, there is no item %d", len(items), index)
	}
	d := *r.Decide
	d.Body, d.RequestID = items[index], receipt.ItemRequestID(d.RequestID, index)
	r.Decide = &d
	r.idempotency = receipt.ItemIdempotency(r.idempotency, index)
	return nil
}

// items takes the body apart, once for all items. The key is a digest over the
// whole request, which was verified.
func (s *Service) items(r *request, most int) ([]jsontext.Value, error) {
	key := sha256.Sum256(append(r.Grant[:], r.digest[:]...))
	if items, ok := s.objects.items.get(key); ok {
		return items, nil
	}
	var body batchBody
	if err := canon.DecodeJSONLoose(r.Body, &body); err != nil {
		return nil, remote("malformed_json", "%v", err)
	}
	if len(body.Items) == 0 || len(body.Items) > most {
		return nil, remote("invalid_argument", "%d items, 1 to %d allowed", len(body.Items), most)
	}
	s.objects.items.put(key, body.Items)
	return body.Items, nil
}

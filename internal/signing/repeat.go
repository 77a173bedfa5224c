package signing

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
)

// earlier answers a request whose Idempotency-Key was used before. The caller
// must prove itself: the answer goes to the holder of the key alone.
func (s *Service) earlier(ctx context.Context, c *Call) (*Outcome, error) {
	d, err := s.store.DecisionByIdempotency(ctx, c.Key.KeyID, c.idempotency())
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, unavailable(err)
	}
	leaf, err := receipt.DecodeLeaf(d.Leaf)
	if err != nil {
		return nil, fmt.Errorf("stored leaf: %w", err)
	}
	// Without the TEE's verdict the control plane compares bodies by what the
	// leaf kept of them: it has the TEE decide again where that isn't enough.
	if leaf.Kind != receipt.KindCreateWallet {
		return nil, nil
	}
	if err := c.Verify(s.fleet.Now()); err != nil {
		return nil, nil // the TEE says what is wrong
	}
	if now := s.fleet.Now().Unix(); now >= c.Key.Expires || now < c.Key.NotBefore {
		return nil, nil // the same
	}
	if leaf.PayloadDigest != sha256.Sum256(c.body()) {
		return nil, refuse(api.CodeIdempotencyConflict, "the Idempotency-Key was used with another body")
	}
	return s.stored(ctx, d)
}

// Decided says whether the request was decided before, or another under its
// Idempotency-Key. If it was, nothing new comes of it: Decide returns the
// answer that stands, or that it was another request's.
func (s *Service) Decided(ctx context.Context, c *Call) (bool, error) {
	_, err := s.store.DecisionByRequest(ctx, c.Key.KeyID, c.requestID())
	if errors.Is(err, store.ErrNotFound) && c.Request.IdempotencyKey != "" {
		_, err = s.store.DecisionByIdempotency(ctx, c.Key.KeyID, c.idempotency())
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case err != nil:
		return false, unavailable(err)
	}
	return true, nil
}

func (c *Call) request() *authority.Request {
	r := &c.Request
	return &authority.Request{Method: r.Method, Path: r.Path, Query: r.Query, Body: r.Body, Created: r.Created,
		ID: r.RequestID, IdempotencyKey: r.IdempotencyKey, KeyID: c.Key.KeyID}
}

// Verify verifies the request's signature, as of a time, by the key that it
// names. Errors are *authority.Error.
func (c *Call) Verify(now time.Time) error {
	_, err := c.request().Verify(c.Key.VerifiedGrant.Credential, c.Request.Proof, now)
	return err
}

// Made is when the request says that it was made.
func (c *Call) Made() time.Time { return time.Unix(c.Request.Created, 0) }

// Late says whether a request was made too long ago, or will be, to be decided.
func (c *Call) Late(now time.Time) bool { return c.request().CheckClock(now) != nil }

// replay returns the stored outcome of the very same request, which must be
// signed by the key as it was the first time.
func (s *Service) replay(ctx context.Context, c *Call, d *store.Decision) (*Outcome, error) {
	leaf, err := receipt.DecodeLeaf(d.Leaf)
	if err != nil {
		return nil, fmt.Errorf("stored leaf: %w", err)
	}
	if c.Request.Auth != teelink.AuthSignature || c.request().Digest() != leaf.RequestDigest {
		return nil, refuse(api.CodeRequestIDConflict, "the request id was used for another request")
	}
	// As of its own time: only its age may be wrong with it.
	if err := c.Verify(c.Made()); err != nil {
		return nil, refuse(api.CodeSignatureInvalid, "the request signature doesn't verify")
	}
	return s.stored(ctx, d)
}

// conflict answers a request that lost to an earlier one: the winner's answer
// if it asked for the same, otherwise a refusal. What the loser signed isn't
// released.
func (s *Service) conflict(ctx context.Context, c *Call, winner *store.Decision, own []byte) (*Outcome, error) {
	old, err := receipt.DecodeLeaf(winner.Leaf)
	if err != nil {
		return nil, fmt.Errorf("stored leaf: %w", err)
	}
	now, err := receipt.DecodeLeaf(own)
	if err != nil {
		return nil, err
	}
	if winner.RequestID == c.requestID() {
		if old.RequestDigest != now.RequestDigest {
			return nil, refuse(api.CodeRequestIDConflict, "the request id was used for another request")
		}
		return s.stored(ctx, winner)
	}
	same := old.Kind == now.Kind && old.Network == now.Network && old.PayloadDigest == now.PayloadDigest &&
		(old.Kind == receipt.KindCreateWallet || old.Wallet == now.Wallet)
	if !same {
		return nil, refuse(api.CodeIdempotencyConflict, "the Idempotency-Key was used with another body")
	}
	return s.stored(ctx, winner)
}

// stored rebuilds the outcome of a committed decision, byte for byte.
func (s *Service) stored(ctx context.Context, d *store.Decision) (*Outcome, error) {
	proof, err := s.Receipt(ctx, d)
	if err != nil {
		return nil, err
	}
	leaf, err := receipt.DecodeLeaf(d.Leaf)
	if err != nil {
		return nil, Damaged(d)
	}
	batch, _, _, err := receipt.DecodeBatch(proof.Batch)
	if err != nil {
		return nil, Damaged(d)
	}
	return s.outcome(ctx, d, leaf, batch.Statement, proof)
}

// Damaged is the refusal of a decision that isn't stored as it was committed.
func Damaged(d *store.Decision) error {
	return refuse(api.CodeObjectInvalid, "the decision %s or its batch was altered in the database", d.ID)
}

// Receipt rebuilds the receipt of a committed decision.
func (s *Service) Receipt(ctx context.Context, d *store.Decision) (*receipt.Receipt, error) {
	b, err := s.store.Batch(ctx, d.Batch)
	if err != nil {
		return nil, unavailable(err)
	}
	if !b.Holds(d.Index, receipt.LeafHash(d.Leaf)) {
		return nil, Damaged(d)
	}
	return &receipt.Receipt{Leaf: d.Leaf, Index: uint32(d.Index), Path: receipt.NewTreeOfHashes(b.Hashes).Path(d.Index), Batch: b.Signed}, nil
}

func (s *Service) outcome(ctx context.Context, d *store.Decision, leaf *receipt.Leaf, statement [32]byte, proof *receipt.Receipt) (*Outcome, error) {
	out := &Outcome{Decision: d, Leaf: leaf, Receipt: proof.Encode(), Evidence: statement}
	var err error
	if leaf.Network != "" {
		out.Network, _ = s.networks.Lookup(leaf.Network)
	}
	if leaf.Kind == receipt.KindCreateWallet && leaf.Decision == receipt.Allow {
		if out.Wallet, err = s.Wallet(ctx, leaf.Organization, leaf.Wallet); err != nil {
			return nil, err
		}
		if !bytes.Equal(out.Wallet.Receipt[:], d.ID[:]) {
			return nil, errors.New("the wallet was made by another request")
		}
	}
	return out, nil
}

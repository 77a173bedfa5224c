// Package stored compares what clients were told with what a control plane has
// stored, and what is stored with itself. Tests that kill, cut and garble ask it
// after each step.
package stored

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/receipt"
)

// Checker compares what was acknowledged with a store.
type Checker struct {
	Store    store.Store
	Networks *chain.Registry
}

// Signature checks one acknowledged signature, as the API says it: its decision
// is stored as it was acknowledged, its batch's leaves replay to its root, and
// the signature verifies under the wallet's certified key.
func (c *Checker) Signature(ctx context.Context, org canon.UUID, request []byte, s *api.Signature) error {
	leaf, err := c.Receipt(ctx, org, s.Receipt)
	if err != nil {
		return err
	}
	id, err := canon.ParseUUID(s.WalletID)
	if err != nil {
		return err
	}
	row, err := c.Store.Wallet(ctx, org, id)
	if err != nil {
		return fmt.Errorf("wallet of an acknowledged signature: %w", err)
	}
	w, err := signing.OpenWallet(row, c.Networks)
	if err != nil {
		return err
	}
	n, _ := c.Networks.Lookup(s.Network)
	key, _ := w.Certificate.Key(n.Curve)
	var body struct {
		Message string `json:"message"`
	}
	if err := json.Unmarshal(request, &body); err != nil {
		return err
	}
	p, err := n.Codec.Message(n, key.PublicKey, &chain.Message{Message: body.Message})
	if err != nil {
		return err
	}
	if !n.Verify(key.PublicKey, p, s.Signature) || leaf.OutputDigest != receipt.Digest([]byte(s.Signature)) || leaf.PayloadDigest != receipt.Digest(p.SignBytes) {
		return fmt.Errorf("signature %s isn't that of its receipt", s.Receipt.ID)
	}
	return nil
}

// Receipt checks that the stored decision proves what the acknowledged one
// proved, byte for byte, and that its evidence is archived.
func (c *Checker) Receipt(ctx context.Context, org canon.UUID, ref api.ReceiptRef) (*receipt.Leaf, error) {
	id, err := canon.ParseUUID(ref.ID)
	if err != nil {
		return nil, err
	}
	d, err := c.Store.Decision(ctx, org, id)
	if err != nil {
		return nil, fmt.Errorf("decision %s: %w", ref.ID, err)
	}
	b, err := c.Store.Batch(ctx, d.Batch)
	if err != nil {
		return nil, fmt.Errorf("batch of %s: %w", ref.ID, err)
	}
	r := receipt.Receipt{Leaf: d.Leaf, Index: uint32(d.Index), Path: receipt.NewTreeOfHashes(b.Hashes).Path(d.Index), Batch: b.Signed}
	if !bytes.Equal(r.Encode(), ref.Proof) {
		return nil, fmt.Errorf("receipt %s isn't the acknowledged one", ref.ID)
	}
	leaf, batch, err := r.Open()
	if err != nil {
		return nil, err
	}
	if hex.EncodeToString(batch.Statement[:]) != ref.Evidence {
		return nil, fmt.Errorf("receipt %s names other evidence", ref.ID)
	}
	if _, err := c.Store.Evidence(ctx, batch.Statement); err != nil {
		return nil, fmt.Errorf("evidence of %s: %w", ref.ID, err)
	}
	again, err := c.Store.DecisionByRequest(ctx, d.KeyID, leaf.RequestID)
	if err != nil || again.ID != id {
		return nil, fmt.Errorf("request of %s has another decision: %w", ref.ID, err)
	}
	return leaf, nil
}

// Wallet checks one acknowledged new wallet, as the API says it.
func (c *Checker) Wallet(ctx context.Context, org canon.UUID, reply *api.Wallet) error {
	if reply.Receipt == nil {
		return fmt.Errorf("wallet %s was acknowledged without a receipt", reply.ID)
	}
	leaf, err := c.Receipt(ctx, org, *reply.Receipt)
	if err != nil {
		return err
	}
	row, err := c.Store.Wallet(ctx, org, leaf.Wallet)
	if err != nil {
		return fmt.Errorf("acknowledged wallet %s: %w", reply.ID, err)
	}
	w, err := signing.OpenWallet(row, c.Networks)
	if err != nil {
		return err
	}
	if w.ID.String() != reply.ID || !bytes.Equal(w.Signed, reply.Certificate) || w.Label != reply.Label || leaf.OutputDigest != receipt.Digest(w.Signed) {
		return fmt.Errorf("wallet %s isn't the acknowledged one", reply.ID)
	}
	return nil
}

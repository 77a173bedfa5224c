package chaos

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/receipt"

	"github.com/sigilkeys/sigil/internal/chain"
)

// checker compares what was acknowledged with a store.
type checker struct {
	store    store.Store
	networks *chain.Registry
}

// signature checks one acknowledged signature: its decision is stored as it
// was acknowledged, its batch's leaves replay to its root, and the signature
// verifies under the wallet's certified key.
func (c *checker) signature(ctx context.Context, org canon.UUID, a acknowledged) error {
	var reply struct {
		Data api.Signature `json:"data"`
	}
	if err := json.Unmarshal(a.reply, &reply); err != nil {
		return err
	}
	s := reply.Data
	leaf, err := c.receipt(ctx, org, s.Receipt)
	if err != nil {
		return err
	}
	id, err := canon.ParseUUID(s.WalletID)
	if err != nil {
		return err
	}
	row, err := c.store.Wallet(ctx, org, id)
	if err != nil {
		return fmt.Errorf("wallet of an acknowledged signature: %w", err)
	}
	w, err := signing.OpenWallet(row, c.networks)
	if err != nil {
		return err
	}
	n, _ := c.networks.Lookup(s.Network)
	key, _ := w.Certificate.Key(n.Curve)
	var body struct {
		Message string `json:"message"`
	}
	if err := json.Unmarshal(a.sent.body, &body); err != nil {
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

// receipt checks that the stored decision proves what the acknowledged one
// proved, byte for byte, and that its evidence is archived.
func (c *checker) receipt(ctx context.Context, org canon.UUID, ref api.ReceiptRef) (*receipt.Leaf, error) {
	id, err := canon.ParseUUID(ref.ID)
	if err != nil {
		return nil, err
	}
	d, err := c.store.Decision(ctx, org, id)
	if err != nil {
		return nil, fmt.Errorf("decision %s: %w", ref.ID, err)
	}
	b, err := c.store.Batch(ctx, d.Batch)
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
	if _, err := c.store.Evidence(ctx, batch.Statement); err != nil {
		return nil, fmt.Errorf("evidence of %s: %w", ref.ID, err)
	}
	again, err := c.store.DecisionByRequest(ctx, d.KeyID, leaf.RequestID)
	if err != nil || again.ID != id {
		return nil, fmt.Errorf("request of %s has another decision: %w", ref.ID, err)
	}
	return leaf, nil
}

// wallet checks one acknowledged wallet.
func (c *checker) wallet(ctx context.Context, org canon.UUID, a acknowledged) error {
	var reply struct {
		Data api.Wallet `json:"data"`
	}
	if err := json.Unmarshal(a.reply, &reply); err != nil {
		return err
	}
	leaf, err := c.receipt(ctx, org, *reply.Data.Receipt)
	if err != nil {
		return err
	}
	row, err := c.store.Wallet(ctx, org, leaf.Wallet)
	if err != nil {
		return fmt.Errorf("acknowledged wallet %s: %w", reply.Data.ID, err)
	}
	w, err := signing.OpenWallet(row, c.networks)
	if err != nil {
		return err
	}
	if w.ID.String() != reply.Data.ID || !bytes.Equal(w.Signed, reply.Data.Certificate) || w.Label != reply.Data.Label || leaf.OutputDigest != receipt.Digest(w.Signed) {
		return fmt.Errorf("wallet %s isn't the acknowledged one", reply.Data.ID)
	}
	return nil
}

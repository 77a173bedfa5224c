package receipt

import (
	"crypto/ed25519"

	"github.com/sigilkeys/sigil/internal/canon"
)

// Head is the state-log head of an organisation at the time of a batch.
type Head struct {
	Organization UUID
	Size         uint64
	Root         [32]byte
}

// Batch covers the decisions that left the workload together.
type Batch struct {
	InstanceKey [32]byte
	Statement   [32]byte // digest of the statement in force
	Number      uint64   // 1, 2, … per instance
	Previous    [32]byte // SHA-256 of the previous signed batch, zero for the first
	Time        uint64   // unix microseconds
	Count       uint32   // leaves, at least 1
	Root        [32]byte // RFC 6962 tree hash of the leaves
	Heads       []Head
}

// Sign returns the batch signed by the instance key.
func (b *Batch) Sign(instance ed25519.PrivateKey) ([]byte, error) {
	w := canon.NewWriter(magicBatch, 256).Fixed(b.InstanceKey[:]).Fixed(b.Statement[:]).U64(b.Number).
		Fixed(b.Previous[:]).U64(b.Time).U32(b.Count).Fixed(b.Root[:]).U32(uint32(len(b.Heads)))
	for _, h := range b.Heads {
		w.Fixed(h.Organization[:]).U64(h.Size).Fixed(h.Root[:])
	}
	record, err := w.Record()
	if err != nil {
		return nil, err
	}
	return sign(record, instance), nil
}

// OpenBatch decodes a signed batch and verifies it under the instance key
// that it names; whose key that is, the evidence for Statement says.
func OpenBatch(signed []byte) (*Batch, error) {
	b, record, sig, err := DecodeBatch(signed)
	if err != nil {
		return nil, err
	}
	if err := verify("batch", record, sig, b.InstanceKey); err != nil {
		return nil, err
	}
	return b, nil
}

// DecodeBatch takes a signed batch apart without verifying the signature.
func DecodeBatch(signed []byte) (b *Batch, record, sig []byte, err error) {
	record, sig, err = split("batch", signed)
	if err != nil {
		return nil, nil, nil, err
	}
	r := canon.NewReader(magicBatch, record)
	b = &Batch{}
	r.Fixed(b.InstanceKey[:])
	r.Fixed(b.Statement[:])
	b.Number = r.U64()
	r.Fixed(b.Previous[:])
	b.Time, b.Count = r.U64(), r.U32()
	r.Fixed(b.Root[:])
	n := r.Count(64)
	for range n {
		var h Head
		r.Fixed(h.Organization[:])
		h.Size = r.U64()
		r.Fixed(h.Root[:])
		b.Heads = append(b.Heads, h)
	}
	if b.Count == 0 || b.Number == 0 || (b.Number == 1) != (b.Previous == [32]byte{}) {
		r.Fail("batch %d of %d leaves", b.Number, b.Count)
	}
	if err := r.Close(); err != nil {
		return nil, nil, nil, invalid("batch", err)
	}
	return b, record, sig, nil
}

// Receipt proves one decision: the leaf, its path, and the signed batch.
type Receipt struct {
	Leaf  []byte
	Index uint32
	Path  [][32]byte
	Batch []byte // signed batch
}

// Encode returns the record.
func (r *Receipt) Encode() []byte {
	return canon.NewWriter(magicReceipt, 24+len(r.Leaf)+32*len(r.Path)+len(r.Batch)).Bytes(r.Leaf).U32(r.Index).Hashes(r.Path).Bytes(r.Batch).MustRecord()
}

// DecodeReceipt reads the record; it verifies nothing.
func DecodeReceipt(record []byte) (*Receipt, error) {
	r := canon.NewReader(magicReceipt, record)
	out := &Receipt{Leaf: r.Bytes(4096), Index: r.U32(), Path: r.Hashes(32), Batch: r.Bytes(8192)}
	if err := r.Close(); err != nil {
		return nil, invalid("receipt", err)
	}
	return out, nil
}

// Open verifies the batch's signature and that it covers the leaf, and
// returns both decoded. The evidence for Batch.Statement is checked apart.
func (r *Receipt) Open() (*Leaf, *Batch, error) {
	b, err := OpenBatch(r.Batch)
	if err != nil {
		return nil, nil, err
	}
	l, err := r.Under(b)
	if err != nil {
		return nil, nil, err
	}
	return l, b, nil
}

// Under verifies that a batch that was opened covers the leaf, and decodes it.
func (r *Receipt) Under(b *Batch) (*Leaf, error) {
	if err := VerifyPath(r.Leaf, r.Index, b.Count, r.Path, b.Root); err != nil {
		return nil, err
	}
	return DecodeLeaf(r.Leaf)
}

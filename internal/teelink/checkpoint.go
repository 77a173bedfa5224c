package teelink

import (
	"github.com/sigilkeys/sigil/internal/canon"
)

// Bounds of a checkpoint's payload.
const (
	MaxLeaves = 2048 // leaf hashes
	maxNote   = 512
	maxProof  = 64 // hashes: as many as a size has bits
)

// Checkpoint asks for a signature over the head of an organisation's ledger
// with leaves added to it.
type Checkpoint struct {
	State [32]byte // digest of the state record whose key signs
	// Previous is the newest note, "" for an empty ledger, and Frontier that
	// of its tree.
	Previous string
	Frontier [][32]byte
	// FromKnown is the consistency proof from the head that this instance
	// signed last to the previous one, where these differ.
	FromKnown [][32]byte
	Leaves    [][32]byte // hashes of those to add, in order
}

// Encode returns the payload.
func (c *Checkpoint) Encode() []byte {
	return canon.NewWriter("", 128+len(c.Previous)+32*(len(c.Frontier)+len(c.FromKnown)+len(c.Leaves))).
		Fixed(c.State[:]).Text(c.Previous).Hashes(c.Frontier).Hashes(c.FromKnown).Hashes(c.Leaves).MustRecord()
}

// DecodeCheckpoint reads the payload.
func DecodeCheckpoint(p []byte) (*Checkpoint, error) {
	r := canon.NewReader("", p)
	c := &Checkpoint{}
	r.Fixed(c.State[:])
	c.Previous = r.Text(maxNote)
	c.Frontier, c.FromKnown, c.Leaves = r.Hashes(maxProof), r.Hashes(maxProof), r.Hashes(MaxLeaves)
	return c, r.Close()
}

// EncodeCheckpointDone returns the payload of the answer: the newest note that
// the instance has signed for the ledger. Where it isn't the one that was asked
// for, that one must be shown to extend it.
func EncodeCheckpointDone(note string) []byte {
	return canon.NewWriter("", 8+len(note)).Text(note).MustRecord()
}

// DecodeCheckpointDone reads the payload of the answer.
func DecodeCheckpointDone(p []byte) (note string, err error) {
	r := canon.NewReader("", p)
	note = r.Text(maxNote)
	return note, r.Close()
}

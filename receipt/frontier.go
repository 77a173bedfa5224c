package receipt

import (
	"crypto/sha256"
	"fmt"
	"math/bits"
)

// Frontier is what a growing tree needs to know of its leaves so far: the
// roots of its full subtrees, from the left, one for each bit of its size. The
// zero value is the empty tree's.
type Frontier struct {
	size  uint64
	roots [][32]byte
}

// MaxLedger bounds the size of a ledger, in leaves.
const MaxLedger = 1 << 62

// NewFrontier takes one that was taken down, see Hashes. Whether it is that of
// a tree, its Root says.
func NewFrontier(size uint64, hashes [][32]byte) (*Frontier, error) {
	if size > MaxLedger || bits.OnesCount64(size) != len(hashes) {
		return nil, invalid("frontier", fmt.Errorf("%d hashes for %d leaves", len(hashes), size))
	}
	return &Frontier{size: size, roots: append([][32]byte(nil), hashes...)}, nil
}

// Size returns the number of leaves.
func (f *Frontier) Size() uint64 { return f.size }

// Hashes returns what NewFrontier takes.
func (f *Frontier) Hashes() [][32]byte { return append([][32]byte(nil), f.roots...) }

// Append adds a leaf by its hash.
func (f *Frontier) Append(leaf [32]byte) {
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.roots) - 1
		leaf = nodeHash(f.roots[last], leaf)
		f.roots = f.roots[:last]
	}
	f.roots = append(f.roots, leaf)
	f.size++
}

// Root returns the RFC 6962 tree hash.
func (f *Frontier) Root() [32]byte {
	if f.size == 0 {
		return sha256.Sum256(nil)
	}
	root := f.roots[len(f.roots)-1]
	for i := len(f.roots) - 2; i >= 0; i-- {
		root = nodeHash(f.roots[i], root)
	}
	return root
}

package receipt

import (
	"crypto/sha256"
	"errors"
	"math/bits"
)

// leafHash and nodeHash are those of RFC 6962 section 2.1.
func leafHash(leaf []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(leaf)
	var d [32]byte
	h.Sum(d[:0])
	return d
}

func nodeHash(left, right [32]byte) [32]byte {
	var buf [65]byte
	buf[0] = 1
	copy(buf[1:], left[:])
	copy(buf[33:], right[:])
	return sha256.Sum256(buf[:])
}

// Tree is the Merkle tree over one batch's leaves.
type Tree struct{ leaves [][32]byte }

// NewTree hashes the leaves.
func NewTree(leaves [][]byte) *Tree {
	t := &Tree{leaves: make([][32]byte, len(leaves))}
	for i, l := range leaves {
		t.leaves[i] = leafHash(l)
	}
	return t
}

// TreeHash returns the RFC 6962 tree hash of the leaves.
func TreeHash(leaves [][]byte) [32]byte { return NewTree(leaves).Root() }

// Root returns the tree hash; of no leaves, the hash of nothing.
func (t *Tree) Root() [32]byte { return rootOf(t.leaves) }

func rootOf(h [][32]byte) [32]byte {
	switch len(h) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return h[0]
	}
	k := split2(len(h))
	return nodeHash(rootOf(h[:k]), rootOf(h[k:]))
}

// split2 returns the largest power of two smaller than n > 1.
func split2(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

// Path returns the audit path of leaf i, from the leaf to the root.
func (t *Tree) Path(i int) [][32]byte {
	var path [][32]byte
	h := t.leaves
	for len(h) > 1 {
		k := split2(len(h))
		if i < k {
			path = append(path, rootOf(h[k:]))
			h = h[:k]
		} else {
			path = append(path, rootOf(h[:k]))
			h, i = h[k:], i-k
		}
	}
	// Collected from the root down; the format goes up.
	for a, b := 0, len(path)-1; a < b; a, b = a+1, b-1 {
		path[a], path[b] = path[b], path[a]
	}
	return path
}

// VerifyPath checks that leaf is number index of count under root (RFC 9162
// section 2.1.3.2).
func VerifyPath(leaf []byte, index, count uint32, path [][32]byte, root [32]byte) error {
	if index >= count {
		return invalid("receipt path", errors.New("index beyond the batch"))
	}
	fn, sn := index, count-1
	h := leafHash(leaf)
	for _, p := range path {
		if sn == 0 {
			return invalid("receipt path", errors.New("path is too long"))
		}
		if fn&1 == 1 || fn == sn {
			h = nodeHash(p, h)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			h = nodeHash(h, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 || h != root {
		return invalid("receipt path", errors.New("path doesn't lead to the batch's root"))
	}
	return nil
}

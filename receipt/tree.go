package receipt

import (
	"crypto/sha256"
	"errors"
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

// Tree is the Merkle tree over one batch's leaves, all levels of it. A node
// without a sibling moves up as it is, which gives RFC 6962's shape.
type Tree struct{ levels [][][32]byte }

// LeafHash returns the RFC 6962 hash of a leaf.
func LeafHash(leaf []byte) [32]byte { return leafHash(leaf) }

// NewTree hashes the leaves.
func NewTree(leaves [][]byte) *Tree {
	hashes := make([][32]byte, len(leaves))
	for i, l := range leaves {
		hashes[i] = leafHash(l)
	}
	return NewTreeOfHashes(hashes)
}

// NewTreeOfHashes takes leaf hashes; it keeps the slice.
func NewTreeOfHashes(hashes [][32]byte) *Tree {
	t := &Tree{levels: [][][32]byte{hashes}}
	for level := hashes; len(level) > 1; {
		up := make([][32]byte, 0, (len(level)+1)/2)
		for i := 0; i+1 < len(level); i += 2 {
			up = append(up, nodeHash(level[i], level[i+1]))
		}
		if len(level)%2 == 1 {
			up = append(up, level[len(level)-1])
		}
		t.levels = append(t.levels, up)
		level = up
	}
	return t
}

// TreeHash returns the RFC 6962 tree hash of the leaves.
func TreeHash(leaves [][]byte) [32]byte { return NewTree(leaves).Root() }

// Root returns the tree hash; of no leaves, the hash of nothing.
func (t *Tree) Root() [32]byte {
	if len(t.levels[0]) == 0 {
		return sha256.Sum256(nil)
	}
	return t.levels[len(t.levels)-1][0]
}

// Path returns the audit path of leaf i, from the leaf to the root.
func (t *Tree) Path(i int) [][32]byte {
	var path [][32]byte
	for _, level := range t.levels {
		if sibling := i ^ 1; sibling < len(level) {
			path = append(path, level[sibling])
		}
		i /= 2
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

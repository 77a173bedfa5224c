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
	return wrapInvalid("receipt path", inclusion(leafHash(leaf), uint64(index), uint64(count), path, root))
}

// VerifyInclusion checks that the leaf with that hash is number index of size
// under root (RFC 9162 section 2.1.3.2).
func VerifyInclusion(leaf [32]byte, index, size uint64, path [][32]byte, root [32]byte) error {
	return wrapInvalid("inclusion proof", inclusion(leaf, index, size, path, root))
}

func inclusion(h [32]byte, index, size uint64, path [][32]byte, root [32]byte) error {
	if index >= size {
		return errors.New("index beyond the tree")
	}
	fn, sn := index, size-1
	for _, p := range path {
		if sn == 0 {
			return errors.New("path is too long")
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
		return errors.New("path doesn't lead to the root")
	}
	return nil
}

// VerifyConsistency checks that the tree of newSize leaves under newRoot begins
// with the oldSize ones under oldRoot (RFC 9162 section 2.1.4.2). Any tree
// begins with the empty one, whose root is the hash of nothing.
func VerifyConsistency(oldSize, newSize uint64, path [][32]byte, oldRoot, newRoot [32]byte) error {
	return wrapInvalid("consistency proof", consistency(oldSize, newSize, path, oldRoot, newRoot))
}

func consistency(oldSize, newSize uint64, path [][32]byte, oldRoot, newRoot [32]byte) error {
	switch {
	case oldSize > newSize:
		return errors.New("the new tree is smaller")
	case oldSize == newSize && (len(path) != 0 || oldRoot != newRoot):
		return errors.New("two trees of one size")
	case oldSize == 0 && (len(path) != 0 || oldRoot != sha256.Sum256(nil)):
		return errors.New("the empty tree needs no proof and has one root")
	case oldSize == 0 || oldSize == newSize:
		return nil
	}
	if oldSize&(oldSize-1) == 0 { // a power of two is a node of the new tree, left out of the proof
		path = append([][32]byte{oldRoot}, path...)
	}
	if len(path) == 0 {
		return errors.New("path is empty")
	}
	fn, sn := oldSize-1, newSize-1
	for fn&1 == 1 {
		fn, sn = fn>>1, sn>>1
	}
	fr, sr := path[0], path[0]
	for _, p := range path[1:] {
		if sn == 0 {
			return errors.New("path is too long")
		}
		if fn&1 == 1 || fn == sn {
			fr, sr = nodeHash(p, fr), nodeHash(p, sr)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			sr = nodeHash(sr, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 || fr != oldRoot || sr != newRoot {
		return errors.New("path doesn't lead from one root to the other")
	}
	return nil
}

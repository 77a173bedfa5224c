package receipt_test

import (
	"crypto/sha256"
	"fmt"
	"math/bits"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sigilkeys/sigil/receipt"
)

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// stored is a log of n leaves in the memory of another implementation.
func stored(t testing.TB, n int) tlog.HashReaderFunc {
	t.Helper()
	var all []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, err error) {
		for _, i := range indexes {
			out = append(out, all[i])
		}
		return out, nil
	})
	for i := range n {
		hashes, err := tlog.StoredHashes(int64(i), fmt.Appendf(nil, "leaf %d", i), reader)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, hashes...)
	}
	return reader
}

func hashes(list []tlog.Hash) (out [][32]byte) {
	for _, h := range list {
		out = append(out, h)
	}
	return out
}

// Proofs that another implementation makes verify, and no other does.
func TestProofs(t *testing.T) {
	const most = 40
	log := stored(t, most)
	roots := [most + 1][32]byte{sha256.Sum256(nil)}
	for n := 1; n <= most; n++ {
		roots[n] = must[tlog.Hash](t)(tlog.TreeHash(int64(n), log))
	}
	for n := 1; n <= most; n++ {
		for m := range n + 1 {
			var path [][32]byte
			if m > 0 {
				path = hashes(must[tlog.TreeProof](t)(tlog.ProveTree(int64(n), int64(m), log)))
			}
			checkConsistency(t, uint64(m), uint64(n), path, roots[:])
		}
		for i := range n {
			leaf := receipt.LeafHash(fmt.Appendf(nil, "leaf %d", i))
			path := hashes(must[tlog.RecordProof](t)(tlog.ProveRecord(int64(n), int64(i), log)))
			if err := receipt.VerifyInclusion(leaf, uint64(i), uint64(n), path, roots[n]); err != nil {
				t.Fatalf("%d in %d: %v", i, n, err)
			}
			if receipt.VerifyInclusion(leaf, uint64(i), uint64(n), path, roots[n-1]) == nil || receipt.VerifyInclusion(leaf, uint64(i+1), uint64(n), path, roots[n]) == nil {
				t.Fatalf("%d in %d verifies elsewhere", i, n)
			}
		}
	}
}

func checkConsistency(t *testing.T, m, n uint64, path [][32]byte, roots [][32]byte) {
	t.Helper()
	if err := receipt.VerifyConsistency(m, n, path, roots[m], roots[n]); err != nil {
		t.Fatalf("%d to %d: %v", m, n, err)
	}
	for name, err := range map[string]error{
		"other old root": receipt.VerifyConsistency(m, n, path, [32]byte{1}, roots[n]),
		"longer path":    receipt.VerifyConsistency(m, n, append(path[:len(path):len(path)], [32]byte{}), roots[m], roots[n]),
		"old size + 1":   receipt.VerifyConsistency(m+1, n, path, roots[m], roots[n]),
		"backwards":      receipt.VerifyConsistency(n+1, m, path, roots[n], roots[m]),
	} {
		if err == nil {
			t.Errorf("%d to %d: %s verifies", m, n, name)
		}
	}
	if m > 0 && receipt.VerifyConsistency(m, n, path, roots[m], [32]byte{1}) == nil {
		t.Errorf("%d to %d: any new root verifies", m, n)
	}
	for i := range path {
		cut := append(path[:i:i], path[i+1:]...)
		flipped := append([][32]byte(nil), path...)
		flipped[i][0] ^= 1
		if receipt.VerifyConsistency(m, n, cut, roots[m], roots[n]) == nil || receipt.VerifyConsistency(m, n, flipped, roots[m], roots[n]) == nil {
			t.Errorf("%d to %d: verifies without hash %d", m, n, i)
		}
	}
}

// A frontier's root is the tree's at every size, also when it was taken down
// and taken up again; and a size that isn't its own has no frontier.
func TestFrontier(t *testing.T) {
	log := stored(t, 70)
	f := &receipt.Frontier{}
	if f.Root() != sha256.Sum256(nil) {
		t.Error("the empty tree's root")
	}
	for n := uint64(1); n <= 70; n++ {
		f.Append(receipt.LeafHash(fmt.Appendf(nil, "leaf %d", n-1)))
		if f.Size() != n || f.Root() != must[tlog.Hash](t)(tlog.TreeHash(int64(n), log)) {
			t.Fatalf("size %d", n)
		}
		again, err := receipt.NewFrontier(n, f.Hashes())
		if err != nil || again.Root() != f.Root() {
			t.Fatal(n, err)
		}
		for size := range uint64(80) {
			if g, err := receipt.NewFrontier(size, f.Hashes()); err == nil && bits.OnesCount64(size) != bits.OnesCount64(n) {
				t.Errorf("%d leaves take the frontier of %d: %v", size, n, g)
			}
		}
		f = again
	}
	if _, err := receipt.NewFrontier(1<<63, make([][32]byte, 1)); err == nil {
		t.Error("a size beyond all bounds")
	}
}

// FuzzProofs: whatever a host sends as a proof is refused without a panic.
func FuzzProofs(f *testing.F) {
	f.Add(uint64(3), uint64(7), make([]byte, 96))
	f.Add(uint64(0), uint64(0), []byte{})
	f.Add(^uint64(0), ^uint64(0), make([]byte, 64*32))
	f.Fuzz(func(t *testing.T, a, b uint64, raw []byte) {
		var path [][32]byte
		for ; len(raw) >= 32; raw = raw[32:] {
			path = append(path, [32]byte(raw[:32]))
		}
		if a != b && receipt.VerifyConsistency(a, b, path, [32]byte{1}, [32]byte{2}) == nil {
			t.Error("a made-up proof verifies")
		}
		if receipt.VerifyInclusion([32]byte{1}, a, b, path, [32]byte{2}) == nil {
			t.Error("a made-up path verifies")
		}
	})
}

package receipt_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/receipt"
)

func key(b byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32)) }

// The tree equals that of golang.org/x/mod/sumdb/tlog for every size, each
// path verifies, and none verifies at another index, count or leaf.
func TestTreeAgainstTlog(t *testing.T) {
	for n := 1; n <= 40; n++ {
		var leaves [][]byte
		var stored []tlog.Hash
		reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
			var out []tlog.Hash
			for _, i := range indexes {
				out = append(out, stored[i])
			}
			return out, nil
		})
		for i := range n {
			leaves = append(leaves, fmt.Appendf(nil, "leaf %d", i))
			hashes, err := tlog.StoredHashes(int64(i), leaves[i], reader)
			if err != nil {
				t.Fatal(err)
			}
			stored = append(stored, hashes...)
		}
		want, err := tlog.TreeHash(int64(n), reader)
		if err != nil {
			t.Fatal(err)
		}
		tree := receipt.NewTree(leaves)
		root := tree.Root()
		if root != want {
			t.Fatalf("size %d: root differs", n)
		}
		for i := range n {
			path := tree.Path(i)
			if err := receipt.VerifyPath(leaves[i], uint32(i), uint32(n), path, root); err != nil {
				t.Fatalf("%d of %d: %v", i, n, err)
			}
			for j := range n + 1 {
				if j != i && receipt.VerifyPath(leaves[i], uint32(j), uint32(n), path, root) == nil {
					t.Fatalf("%d of %d verifies as %d", i, n, j)
				}
			}
			for name, err := range map[string]error{
				"other leaf": receipt.VerifyPath([]byte("x"), uint32(i), uint32(n), path, root),
				"longer":     receipt.VerifyPath(leaves[i], uint32(i), uint32(n), append(path, root), root),
				"no leaves":  receipt.VerifyPath(leaves[i], uint32(i), 0, path, root),
				"other root": receipt.VerifyPath(leaves[i], uint32(i), uint32(n), path, [32]byte{}),
			} {
				if err == nil {
					t.Errorf("%d of %d: %s verifies", i, n, name)
				}
			}
		}
	}
}

func leaf(t testing.TB, edit func(*receipt.Leaf)) []byte {
	t.Helper()
	l := &receipt.Leaf{ID: [16]byte{1}, Kind: receipt.KindSign, Decision: receipt.Allow, Auth: receipt.AuthSignature,
		Freshness: receipt.FreshnessNone, OutputDigest: [32]byte{1}, Method: "signMessage", Network: "base",
		Reason: receipt.ReasonAllowed, Release: "sha256:00", Time: 1}
	edit(l)
	b, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLeafRefusals(t *testing.T) {
	if _, err := receipt.DecodeLeaf(leaf(t, func(*receipt.Leaf) {})); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*receipt.Leaf){
		"undecided":         func(l *receipt.Leaf) { l.Decision = 0 },
		"no kind":           func(l *receipt.Leaf) { l.Kind = 0 },
		"no auth":           func(l *receipt.Leaf) { l.Auth = 0 },
		"no freshness":      func(l *receipt.Leaf) { l.Freshness = 0 },
		"deny with output":  func(l *receipt.Leaf) { l.Decision, l.Reason = receipt.Deny, "policy_wallet" },
		"deny as allowed":   func(l *receipt.Leaf) { l.Decision, l.OutputDigest = receipt.Deny, [32]byte{} },
		"allow, no output":  func(l *receipt.Leaf) { l.OutputDigest = [32]byte{} },
		"allow with reason": func(l *receipt.Leaf) { l.Reason = "policy_wallet" },
	} {
		if _, err := receipt.DecodeLeaf(leaf(t, edit)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func sealedReceipt(t testing.TB) *receipt.Receipt {
	t.Helper()
	leaves := [][]byte{leaf(t, func(l *receipt.Leaf) { l.ID[0] = 2 }), leaf(t, func(*receipt.Leaf) {}), leaf(t, func(l *receipt.Leaf) { l.ID[0] = 3 })}
	tree := receipt.NewTree(leaves)
	b := receipt.Batch{InstanceKey: [32]byte(key(1)[32:]), Number: 1, Count: 3, Root: tree.Root()}
	signed, err := b.Sign(key(1))
	if err != nil {
		t.Fatal(err)
	}
	return &receipt.Receipt{Leaf: leaves[1], Index: 1, Path: tree.Path(1), Batch: signed}
}

func TestReceipt(t *testing.T) {
	r := sealedReceipt(t)
	back, err := receipt.DecodeReceipt(r.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := back.Open(); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*receipt.Receipt){
		"leaf":      func(r *receipt.Receipt) { r.Leaf = leaf(t, func(l *receipt.Leaf) { l.Network = "polygon" }) },
		"index":     func(r *receipt.Receipt) { r.Index = 0 },
		"path":      func(r *receipt.Receipt) { r.Path = r.Path[1:] },
		"batch":     func(r *receipt.Receipt) { r.Batch = bytes.Clone(r.Batch); r.Batch[60]++ },
		"signature": func(r *receipt.Receipt) { r.Batch = bytes.Clone(r.Batch); r.Batch[len(r.Batch)-1]++ },
		"resigned": func(r *receipt.Receipt) {
			b, record, _, err := receipt.DecodeBatch(r.Batch)
			if err != nil || b == nil {
				t.Fatal(err)
			}
			r.Batch = append(bytes.Clone(record), ed25519.Sign(key(2), record)...)
		},
	} {
		bad := *r
		edit(&bad)
		if _, _, err := bad.Open(); err == nil {
			t.Errorf("%s altered, receipt opens", name)
		}
	}
}

func TestWalletCertificate(t *testing.T) {
	state := key(7)
	c := &receipt.WalletCertificate{StateKey: [32]byte(state[32:]), Wallet: [16]byte{4}, Keys: []receipt.CertifiedKey{
		{Curve: keys.Secp256k1, Kind: receipt.KeyKindKey, PublicKey: bytes.Repeat([]byte{2}, 33)},
		{Curve: keys.Ed25519, Kind: receipt.KeyKindKey, PublicKey: bytes.Repeat([]byte{3}, 32)}}}
	by := func(k ed25519.PrivateKey) func(record, sig []byte) error {
		return func(record, sig []byte) error { copy(sig, ed25519.Sign(k, record)); return nil }
	}
	signed, err := c.Sign(by(state))
	if err != nil {
		t.Fatal(err)
	}
	got, err := receipt.OpenWalletCertificate(signed)
	if err != nil || got.Wallet != c.Wallet {
		t.Fatal(err)
	}
	if k, ok := got.Key(keys.Ed25519); !ok || k.PublicKey[0] != 3 {
		t.Fatal("no ed25519 key")
	}
	forged, err := c.Sign(by(key(8)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := receipt.OpenWalletCertificate(forged); err == nil {
		t.Error("certificate by another key opens")
	}
	for name, edit := range map[string]func(){
		"no keys":      func() { c.Keys = nil },
		"order":        func() { c.Keys[0], c.Keys[1] = c.Keys[1], c.Keys[0] },
		"flags":        func() { c.Flags = 8 },
		"key size":     func() { c.Keys[1].PublicKey = c.Keys[1].PublicKey[1:] },
		"key twice":    func() { c.Keys[1] = c.Keys[0] },
		"no curve":     func() { c.Keys[0].Curve = 0 },
		"kind of seed": func() { c.Keys[0].Kind = receipt.KeyKindSeed },
	} {
		saved := *c
		saved.Keys = append([]receipt.CertifiedKey(nil), c.Keys...)
		edit()
		signed, err := c.Sign(by(state))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := receipt.OpenWalletCertificate(signed); err == nil {
			t.Errorf("%s: opens", name)
		}
		*c = saved
	}
}

// The checkpoint is a signed note that golang.org/x/mod reads.
func TestCheckpointInterop(t *testing.T) {
	origin := receipt.LogOrigin([16]byte{1}, 1)
	c := &receipt.Checkpoint{Origin: origin, Size: 42, Root: [32]byte{9}}
	text := c.Sign(key(3))
	pub := [32]byte(key(3)[32:])
	got, err := receipt.OpenCheckpoint(text, origin, pub)
	if err != nil || *got != *c {
		t.Fatal(got, err)
	}
	vkey, err := note.NewEd25519VerifierKey(origin, pub[:])
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := note.Open([]byte(text), note.VerifierList(verifier)); err != nil || len(n.Sigs) != 1 {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"size":      replaceOnce(text, "\n42\n", "\n43\n"),
		"zero size": replaceOnce(text, "\n42\n", "\n042\n"),
		"origin":    replaceOnce(text, "/1\n", "/2\n"),
		"no sig":    text[:bytes.Index([]byte(text), []byte("\n\n"))+2],
		"extension": replaceOnce(text, "\n\n", "\nmore\n\n"),
		"empty":     "",
	} {
		if _, err := receipt.OpenCheckpoint(bad, origin, pub); err == nil {
			t.Errorf("%s: opens", name)
		}
	}
	if _, err := receipt.OpenCheckpoint(text, origin, [32]byte(key(4)[32:])); err == nil {
		t.Error("opens under another key")
	}
}

func replaceOnce(s, old, new string) string {
	return string(bytes.Replace([]byte(s), []byte(old), []byte(new), 1))
}

func FuzzLeaf(f *testing.F) {
	f.Add(leaf(f, func(*receipt.Leaf) {}))
	f.Fuzz(func(t *testing.T, in []byte) {
		if l, err := receipt.DecodeLeaf(in); err == nil {
			if out, err := l.Encode(); err != nil || !bytes.Equal(out, in) {
				t.Fatal("doesn't round-trip", err)
			}
		}
	})
}

func FuzzReceipt(f *testing.F) {
	f.Add(sealedReceipt(f).Encode())
	f.Fuzz(func(t *testing.T, in []byte) {
		if r, err := receipt.DecodeReceipt(in); err == nil {
			if !bytes.Equal(r.Encode(), in) {
				t.Fatal("doesn't round-trip")
			}
			_, _, _ = r.Open() // must not panic
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add((&receipt.Statement{}).Encode())
	f.Add((&receipt.StateRecord{Certificate: []byte("c")}).Encode())
	f.Add((&receipt.WalletRecord{Shares: [][]byte{{1}}}).Encode())
	f.Fuzz(func(t *testing.T, in []byte) {
		if s, err := receipt.DecodeStatement(in); err == nil && !bytes.Equal(s.Encode(), in) {
			t.Fatal("statement doesn't round-trip")
		}
		if s, err := receipt.DecodeStateRecord(in); err == nil && !bytes.Equal(s.Encode(), in) {
			t.Fatal("state record doesn't round-trip")
		}
		if w, err := receipt.DecodeWalletRecord(in); err == nil && !bytes.Equal(w.Encode(), in) {
			t.Fatal("wallet record doesn't round-trip")
		}
		_, _ = receipt.OpenWalletCertificate(in)
		_, _, _, _ = receipt.DecodeStateCertificate(in)
	})
}

func FuzzCheckpoint(f *testing.F) {
	origin := receipt.LogOrigin([16]byte{1}, 1)
	f.Add((&receipt.Checkpoint{Origin: origin, Size: 1}).Sign(key(3)))
	f.Fuzz(func(t *testing.T, in string) {
		if c, err := receipt.OpenCheckpoint(in, origin, [32]byte(key(3)[32:])); err == nil && c.Origin != origin {
			t.Fatal("another origin")
		}
	})
}

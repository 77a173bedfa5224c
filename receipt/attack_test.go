package receipt_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/receipt"
)

// A batch that another instance signs over the first one's record, or whose
// count or root is changed, is refused and not handed out.
func TestBatchResigned(t *testing.T) {
	r := sealedReceipt(t)
	n := len(r.Batch) - ed25519.SignatureSize
	record := r.Batch[:n:n]
	forged := append(record, ed25519.Sign(key(9), record)...)
	if b, err := receipt.OpenBatch(forged); err == nil || b != nil {
		t.Errorf("signed by another instance: %v, %v", b, err)
	}
	for i := range r.Batch {
		bad := append([]byte{}, r.Batch...)
		bad[i] ^= 1
		if b, err := receipt.OpenBatch(bad); err == nil || b != nil {
			t.Fatalf("bit of byte %d flipped: %v, %v", i, b, err)
		}
	}
	for i := range r.Batch {
		if b, err := receipt.OpenBatch(r.Batch[:i]); err == nil || b != nil {
			t.Fatalf("cut to %d bytes: %v, %v", i, b, err)
		}
	}
}

// One checkpoint has one text: no other spelling of its base64 is taken.
func TestCheckpointSpelling(t *testing.T) {
	k := key(3)
	c := receipt.Checkpoint{Origin: receipt.LogOrigin(receipt.UUID{1}, 1), Size: 7, Root: [32]byte{2}}
	note := c.Sign(k)
	if _, err := receipt.OpenCheckpoint(note, c.Origin, [32]byte(k[32:])); err != nil {
		t.Fatal(err)
	}
	root := base64.StdEncoding.EncodeToString(c.Root[:])
	for name, bad := range map[string]string{
		"carriage return in the signature": strings.TrimSuffix(note, "\n") + "\r\n",
		"carriage return in the root":      strings.Replace(note, root, root+"\r", 1),
		"other origin":                     strings.ReplaceAll(note, "/1\n", "/2\n"),
		"size with a zero":                 strings.Replace(note, "\n7\n", "\n07\n", 1),
	} {
		if got, err := receipt.OpenCheckpoint(bad, c.Origin, [32]byte(k[32:])); err == nil || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

package receipt_test

import (
	"encoding/hex"
	"testing"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/receipt"
)

// The same values stand in the tests of the TypeScript SDK.
func TestItemIDs(t *testing.T) {
	batch, err := canon.ParseUUID("01ac1f2e-3b4d-7c5e-8f60-718293a4b5c6")
	if err != nil {
		t.Fatal(err)
	}
	for index, want := range map[uint32]string{0: "01ac1f2e-3b4d-8c7b-b9da-4695fa017a2a", 1: "01ac1f2e-3b4d-809e-b1e8-bf63c1c17706", 999: "01ac1f2e-3b4d-8110-93f9-619a3b318f8b"} {
		if got := receipt.ItemRequestID(batch, index).String(); got != want {
			t.Errorf("item %d: %s", index, got)
		}
	}
	d := receipt.ItemIdempotency(receipt.Digest([]byte("order-1")), 1)
	if got := hex.EncodeToString(d[:]); got != "6e64343bc6a02e13d73e8c04d1b9ab5b77d558c21b414bf227530c3615f0e185" {
		t.Error(got)
	}
	if receipt.ItemIdempotency([32]byte{}, 1) != [32]byte{} {
		t.Error("a batch without a key has items with one")
	}
	seen := map[receipt.UUID]bool{}
	for i := range uint32(1000) {
		seen[receipt.ItemRequestID(batch, i)] = true
	}
	if len(seen) != 1000 {
		t.Error("two items share an id")
	}
}

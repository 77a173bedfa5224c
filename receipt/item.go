package receipt

import (
	"crypto/sha256"
	"encoding/binary"
)

// ItemRequestID is the request id in the receipt of a batch's item: it follows
// from the batch's own id and the item's index, so that each item of a signed
// request has one decision for ever, and an item's receipt is no other's.
//
// It is a version 8 UUID that keeps the first six bytes, which hold the time
// in those that the SDKs make, so that ids made together are stored together.
func ItemRequestID(batch UUID, index uint32) UUID {
	h := itemDigest("sigil/item-id/v1\n", batch[:], index)
	var u UUID
	copy(u[:6], batch[:6])
	copy(u[6:], h[:])
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return u
}

// ItemIdempotency is the idempotency digest in the receipt of a batch's item,
// from that of the batch; zero, for a batch without a key, stays zero.
func ItemIdempotency(batch [32]byte, index uint32) [32]byte {
	if batch == [32]byte{} {
		return batch
	}
	return itemDigest("sigil/item-idempotency/v1\n", batch[:], index)
}

func itemDigest(magic string, of []byte, index uint32) [32]byte {
	b := append([]byte(magic), of...)
	return sha256.Sum256(binary.BigEndian.AppendUint32(b, index))
}

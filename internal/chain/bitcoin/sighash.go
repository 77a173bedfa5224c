package bitcoin

import (
	"crypto/sha256"
	"encoding/binary"
)

// Signature hash types that are signed: all inputs and all outputs.
const (
	sighashDefault = 0 // Taproot alone
	sighashAll     = 1
)

// sighashes computes the digests that signatures of a transaction are made
// over. What they share is computed once.
type sighashes struct {
	t    *tx
	prev []txOut // by input, what it spends
	buf  []byte

	prevouts, sequences, outputs [32]byte // SHA-256 once; BIP-143 takes it twice
	amounts, scripts             [32]byte
}

func newSighashes(t *tx, prev []txOut) *sighashes {
	s := &sighashes{t: t, prev: prev}
	var room [128]byte
	sum := func(out *[32]byte, n int, part func(b []byte, i int) []byte) {
		h := sha256.New()
		for i := range n {
			h.Write(part(room[:0], i))
		}
		h.Sum(out[:0])
	}
	sum(&s.prevouts, len(t.in), func(b []byte, i int) []byte { return t.in[i].appendOutpoint(b) })
	sum(&s.sequences, len(t.in), func(b []byte, i int) []byte { return binary.LittleEndian.AppendUint32(b, t.in[i].sequence) })
	sum(&s.outputs, len(t.out), func(b []byte, i int) []byte { return t.out[i].appendTo(b) })
	sum(&s.amounts, len(prev), func(b []byte, i int) []byte { return binary.LittleEndian.AppendUint64(b, prev[i].value) })
	sum(&s.scripts, len(prev), func(b []byte, i int) []byte { return appendBytes(b, prev[i].script) })
	return s
}

// legacy is the digest of an input that spends an output from before segwit,
// with SIGHASH_ALL.
func (s *sighashes) legacy(at int) [32]byte {
	s.buf = s.t.appendTo(s.buf[:0], func(i int) []byte {
		if i == at {
			return s.prev[i].script
		}
		return nil
	})
	s.buf = binary.LittleEndian.AppendUint32(s.buf, sighashAll)
	return sha256d(s.buf)
}

// segwit is that of BIP-143, for a public key's hash and SIGHASH_ALL.
func (s *sighashes) segwit(at int, keyHash []byte) [32]byte {
	twice := func(once [32]byte) []byte { sum := sha256.Sum256(once[:]); return sum[:] }
	var room [256]byte
	b := binary.LittleEndian.AppendUint32(room[:0], s.t.version)
	b = append(append(b, twice(s.prevouts)...), twice(s.sequences)...)
	b = appendBytes(s.t.in[at].appendOutpoint(b), p2pkh(keyHash))
	b = binary.LittleEndian.AppendUint64(b, s.prev[at].value)
	b = binary.LittleEndian.AppendUint32(b, s.t.in[at].sequence)
	b = append(b, twice(s.outputs)...)
	b = binary.LittleEndian.AppendUint32(b, s.t.locktime)
	return sha256d(binary.LittleEndian.AppendUint32(b, sighashAll))
}

// taproot is that of BIP-341, for the key path without an annex.
func (s *sighashes) taproot(at int, kind byte) [32]byte {
	var room [256]byte
	b := append(room[:0], 0, kind) // epoch, hash type
	b = binary.LittleEndian.AppendUint32(b, s.t.version)
	b = binary.LittleEndian.AppendUint32(b, s.t.locktime)
	for _, part := range [][32]byte{s.prevouts, s.amounts, s.scripts, s.sequences, s.outputs} {
		b = append(b, part[:]...)
	}
	b = append(b, 0) // key path, no annex
	b = binary.LittleEndian.AppendUint32(b, uint32(at))
	return tagged("TapSighash", b)
}

// tagged is BIP-340's tagged hash.
func tagged(tag string, parts ...[]byte) (sum [32]byte) {
	name := sha256.Sum256([]byte(tag))
	h := sha256.New()
	for _, p := range append([][]byte{name[:], name[:]}, parts...) {
		h.Write(p)
	}
	h.Sum(sum[:0])
	return sum
}

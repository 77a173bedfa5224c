package solana

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
)

const (
	lamportsPerSignature = 5000
	microLamports        = 1_000_000

	maxUnits     = 1_400_000 // of computation, in a transaction
	defaultUnits = 200_000   // for an instruction, where no limit is set
	builtinUnits = 3_000     // for one of a builtin program

	minHeap, maxHeap, heapStep = 32 << 10, 256 << 10, 1 << 10
)

// budget is what Compute Budget instructions ask for.
type budget struct {
	seen  [5]bool // by the instruction's number
	limit uint32
	price uint64 // micro-lamports for each unit
}

// read takes one instruction. Validators refuse a transaction for one that
// they don't know or that stands twice, but not for bytes behind it or
// accounts: these are refused here.
func (b *budget) read(in *instruction) error {
	const heap, limit, price, loaded = 1, 2, 3, 4
	tag, size := 0, 0
	if len(in.data) > 0 {
		if tag = int(in.data[0]); tag >= heap && tag <= loaded {
			size = 1 + 4
		}
		if tag == price {
			size = 1 + 8
		}
	}
	switch {
	case size == 0 || len(in.data) != size || len(in.accounts) > 0:
		return errors.New("it is none of Compute Budget's instructions")
	case b.seen[tag]:
		return errors.New("an instruction of Compute Budget stands twice")
	}
	b.seen[tag] = true
	if tag == price {
		b.price = binary.LittleEndian.Uint64(in.data[1:])
		return nil
	}
	n := binary.LittleEndian.Uint32(in.data[1:])
	switch {
	case tag == limit:
		b.limit = n
	case tag == loaded && n == 0, tag == heap && (n < minHeap || n > maxHeap || n%heapStep != 0):
		return errors.New("the size is none that Compute Budget takes")
	}
	return nil
}

// feeMax returns the most that the transaction costs its fee payer: 5000
// lamports for each signature, also for those that precompiles check, and the
// price of the units that it may use, rounded up. Where it sets no limit,
// SIMD-0170 does: 3,000 units for an instruction of a builtin program, 200,000
// for any other, 1.4 million in all. A program counts as builtin that can't
// have left that state meanwhile (Stake and others can), so the sum may be
// more than is charged, not less. Sums stop at the largest number.
func (m *message) feeMax(b *budget) uint64 {
	const limit = 2
	signatures, units := uint64(m.signers), uint64(0)
	for i := range m.instructions {
		in := &m.instructions[i]
		switch m.keys[in.program] {
		case systemProgram, voteProgram, budgetProgram, loader1Program, loader2Program, upgradeableProgram, loader4Program:
			units += builtinUnits
		case ed25519Program, secp256k1Program, secp256r1Program:
			if len(in.data) > 0 {
				signatures += uint64(in.data[0])
			}
			units += defaultUnits
		default:
			units += defaultUnits
		}
	}
	if b.seen[limit] {
		units = uint64(b.limit)
	}
	hi, lo := bits.Mul64(b.price, min(units, maxUnits))
	lo, carry := bits.Add64(lo, microLamports-1, 0)
	if hi += carry; hi >= microLamports {
		return math.MaxUint64
	}
	priority, _ := bits.Div64(hi, lo, microLamports)
	fee, carry := bits.Add64(signatures*lamportsPerSignature, priority, 0)
	if carry > 0 {
		return math.MaxUint64
	}
	return fee
}

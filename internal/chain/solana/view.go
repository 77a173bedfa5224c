package solana

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/sigilkeys/sigil/internal/base58"
	"github.com/sigilkeys/sigil/internal/chain"
)

// role is what an instruction needs an account to be.
type role uint8

const (
	anyRole role = 0
	writes  role = 1 << iota
	signs
)

// maxSeed is the longest seed of a derived address; maxMultisig how many can
// own a token account together.
const (
	maxSeed     = 32
	maxMultisig = 11
)

// view reads one instruction: its data from the front, its accounts in their
// order. What isn't as the program has it makes it fail, and the instruction
// opaque; it is understood when nothing is left over either.
type view struct {
	*describer
	in         *instruction
	data       []byte
	at         int // of the accounts
	action     *chain.Action
	flags      []string
	failed     bool
	unresolved bool // an account is out of a lookup table
}

func (v *view) understood() bool { return !v.failed && len(v.data) == 0 && v.at == len(v.in.accounts) }

func (v *view) flag(words ...string) { v.flags = append(v.flags, words...) }

// is says what the instruction does.
func (v *view) is(kind, method string) { v.action.Kind, v.action.Method = kind, method }

func (v *view) bytes(n int) []byte {
	if n > len(v.data) {
		v.failed, v.data = true, nil
		return make([]byte, n)
	}
	b := v.data[:n]
	v.data = v.data[n:]
	return b
}

// tag reads the number that tells a program's instructions apart.
func (v *view) tag(size int) uint32 {
	b := v.bytes(size)
	v.action.Selector = hex.EncodeToString(b)
	var word [4]byte
	copy(word[:], b)
	return binary.LittleEndian.Uint32(word[:])
}

func (v *view) u8() byte { return v.bytes(1)[0] }

func (v *view) u32() uint32 { return binary.LittleEndian.Uint32(v.bytes(4)) }

func (v *view) u64() uint64 { return binary.LittleEndian.Uint64(v.bytes(8)) }

// amount reads base units.
func (v *view) amount() uint64 {
	n := v.u64()
	v.action.Amount = strconv.FormatUint(n, 10)
	return n
}

func (v *view) key() string { return base58.Encode(v.bytes(addressSize)) }

// present reads whether an optional field follows.
func (v *view) present() bool {
	b := v.u8()
	v.failed = v.failed || b > 1
	return b == 1
}

// optionalKey reads a key that may be left out, and is "" then.
func (v *view) optionalKey() string {
	if v.present() {
		return v.key()
	}
	return ""
}

// seed reads the text that an address is derived with.
func (v *view) seed() {
	n := v.u64()
	if n > maxSeed {
		v.failed = true
		return
	}
	v.failed = !utf8.Valid(v.bytes(int(n))) || v.failed
}

// word reads one of a few words by its number.
func (v *view) word(n uint32, words ...string) string {
	if int64(n) >= int64(len(words)) {
		v.failed = true
		return ""
	}
	return words[n]
}

func (v *view) more() bool { return v.at < len(v.in.accounts) }

// next returns the index of the next account in the message.
func (v *view) next(need role) int {
	if !v.more() {
		v.failed = true
		return 0
	}
	i := int(v.in.accounts[v.at])
	v.at++
	v.failed = v.failed || need&writes != 0 && !v.m.isWritable(i) || need&signs != 0 && i >= v.m.signers
	v.unresolved = v.unresolved || i >= len(v.m.keys)
	return i
}

// account returns the next account's address.
func (v *view) account(need role) string { return v.name(v.next(need)) }

// own is account, "" for the wallet's.
func (v *view) own(need role) string { return v.notOwn(v.account(need)) }

// named takes an account that the program wants to be one of these. One out
// of a table may be.
func (v *view) named(keys ...key) {
	if i := v.next(anyRole); i < len(v.m.keys) && !slices.Contains(keys, v.m.keys[i]) {
		v.failed = true
	}
}

// references takes what is left: accounts that the program ignores, with
// which payments are found again. They neither sign nor change.
func (v *view) references() {
	for v.more() {
		if i := v.next(anyRole); i < v.m.signers || v.m.isWritable(i) {
			v.failed = true
		}
	}
}

func either(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// Package scan looks for secrets in the memory of another process.
//
// A secret of 32 bytes is looked for in the 14 forms in which code keeps or
// prints it (see Encodings), and each form also by halves, since part of a key
// may survive where the rest was overwritten. One pass over the memory finds
// all of them: a filter over 8-byte windows rejects nearly every position, at
// some hundred MB/s.
//
// What it can't find: secrets that are masked, compressed or encrypted, limbs
// of other radices than listed, and copies in registers or in the kernel.
package scan

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"crypto/sha512"
)

// Secret is what to look for. Text forms are derived from Bytes as well.
type Secret struct {
	Label string
	Bytes []byte // 32 bytes
}

// String hides the bytes.
func (s Secret) String() string { return s.Label + " (redacted)" }

// GoString hides the bytes.
func (s Secret) GoString() string { return s.String() }

// Encoding is one form of a secret: a name and the byte strings, any of which
// is a copy.
type Encoding struct {
	Name  string
	forms func(b []byte) [][]byte
}

// Encodings returns the 14 forms.
func Encodings() []Encoding {
	return []Encoding{
		{"raw", one(slices.Clone[[]byte])},   // big-endian scalar, seed, DEK, AES round keys 0 and 1
		{"little-endian", one(reversed)},     // also 4x64-bit limbs, least significant first
		{"64-bit words", one(swapped(8))},    // most significant first, as stored by little-endian CPUs
		{"32-bit words", one(swapped(4))},    // SHA-2 schedules, AES key schedules in portable code
		{"52-bit limbs", one(limbs(52, 8))},  // scalars and fields, 5x52
		{"26-bit limbs", one(limbs(26, 4))},  // fields, 10x26
		{"Montgomery form", one(montgomery)}, // secp256k1 scalar times 2^256 mod n, little-endian limbs
		{"Ed25519 expansion", expansion},     // scalar of the seed: clamped or not, reduced or not, as bytes or limbs; nonce prefix
		{"hex", one(hexText)},                // lower case
		{"HEX", one(upperHex)},               // upper case
		{"base64", base64Forms},              // standard and URL alphabets, at the three alignments
		{"decimal", one(func(b []byte) []byte { return []byte(new(big.Int).SetBytes(b).String()) })}, // big.Int, JSON, logs
		{"list", lists},         // of bytes: %v, a JSON array, %#v and % x
		{"quoted", quotedTexts}, // %q, text logs of strings; that once more, in JSON
	}
}

func one(f func([]byte) []byte) func([]byte) [][]byte {
	return func(b []byte) [][]byte { return [][]byte{f(b)} }
}

func reversed(b []byte) []byte {
	r := slices.Clone(b)
	slices.Reverse(r)
	return r
}

func swapped(word int) func([]byte) []byte {
	return func(b []byte) []byte {
		r := slices.Clone(b)
		for w := range slices.Chunk(r, word) {
			slices.Reverse(w)
		}
		return r
	}
}

// limbs cuts a big-endian integer into limbs of so many bits, each stored
// little-endian in size bytes, least significant first.
func limbs(bits uint, size int) func([]byte) []byte {
	return func(b []byte) []byte {
		v := new(big.Int).SetBytes(b)
		mask := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), bits), big.NewInt(1))
		var out []byte
		for range (256 + bits - 1) / bits {
			var w [8]byte
			binary.LittleEndian.PutUint64(w[:], new(big.Int).And(v, mask).Uint64())
			out = append(out, w[:size]...)
			v.Rsh(v, bits)
		}
		return out
	}
}

// Orders of the two groups.
const (
	orderN = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
	orderL = "1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed"
)

func montgomery(b []byte) []byte {
	n, _ := new(big.Int).SetString(orderN, 16)
	v := new(big.Int).Lsh(new(big.Int).SetBytes(b), 256)
	return reversed(v.Mod(v, n).FillBytes(make([]byte, 32)))
}

func expansion(b []byte) [][]byte {
	h := sha512.Sum512(b)
	plain := slices.Clone(h[:32])
	h[0] &= 248
	h[31] = h[31]&63 | 64
	l, _ := new(big.Int).SetString(orderL, 16)
	scalar := reversed(h[:32])
	reduced := new(big.Int).SetBytes(scalar)
	reduced.Mod(reduced, l)
	low := reduced.FillBytes(make([]byte, 32))
	return [][]byte{h[:32], plain, h[32:], reversed(low), limbs(52, 8)(scalar), limbs(52, 8)(low)}
}

// lists are the bytes one by one, as fmt and encoding/json print arrays.
func lists(b []byte) [][]byte {
	var out [][]byte
	for _, style := range [][2]string{{"%d", " "}, {"%d", ","}, {"%d", ", "}, {"%#x", ", "}, {"%02x", " "}, {"%02x", ":"}} {
		var text []byte
		for i, c := range b {
			if i > 0 {
				text = append(text, style[1]...)
			}
			text = fmt.Appendf(text, style[0], c)
		}
		out = append(out, text)
	}
	return out
}

func quotedTexts(b []byte) [][]byte {
	q := strconv.Quote(string(b))
	q = q[1 : len(q)-1]
	return [][]byte{[]byte(q), []byte(strings.NewReplacer("\\", "\\\\", "\"", "\\\"").Replace(q))}
}

func hexText(b []byte) []byte  { return []byte(hex.EncodeToString(b)) }
func upperHex(b []byte) []byte { return []byte(strings.ToUpper(hex.EncodeToString(b))) }

// base64Forms are the characters that depend on b alone when it begins at an
// offset of 0, 1 or 2 in what is encoded.
func base64Forms(b []byte) [][]byte {
	var out [][]byte
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for lead := range 3 {
			text := enc.EncodeToString(append(make([]byte, lead), b...))
			first := (lead*8 + 5) / 6       // earlier characters mix with what stands before
			last := (lead + len(b)) * 8 / 6 // later ones with what follows
			out = append(out, []byte(text[first:last]))
		}
	}
	return out
}

// needle is half of a form. Two halves side by side are one whole copy.
type needle struct {
	secret   int
	encoding int
	bytes    []byte
	second   bool
	partner  int // length of the other half
}

func needles(secrets []Secret) ([]needle, error) {
	var out []needle
	seen := map[string]bool{}
	for i, s := range secrets {
		if len(s.Bytes) != 32 {
			return nil, fmt.Errorf("secret %q has %d bytes, not 32", s.Label, len(s.Bytes))
		}
		for j, e := range Encodings() {
			for _, f := range e.forms(s.Bytes) {
				h := len(f) / 2
				for k, part := range [][]byte{f[:h], f[h:]} {
					if binary.LittleEndian.Uint64(part) == 0 {
						return nil, fmt.Errorf("secret %q isn't random enough to be found", s.Label)
					}
					if !seen[string(part)] {
						seen[string(part)] = true
						out = append(out, needle{i, j, part, k == 1, len(f) - len(part)})
					}
				}
			}
		}
	}
	return out, nil
}

package typeddata

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/crypto/sha3"
)

const (
	wordSize    = 32
	addressSize = 20
	// maxSafe is the largest integer that JSON's numbers hold everywhere.
	maxSafe = 1<<53 - 1
)

// form is how a type without parts is written and encoded.
type form uint8

const (
	formNone form = iota // a struct
	formAddress
	formBool
	formString
	formBytes
	formFixed // bytes1 to bytes32
	formUint
	formInt
)

// atom is a type without parts; the zero value is none.
type atom struct {
	form form
	size int // bytes of formFixed, bits of integers
}

// isAtomic reports whether a name is an atomic type's or looks like one.
func isAtomic(name string) bool {
	if name == "function" || name == "fixed" || name == "ufixed" || name == "tuple" || name == "byte" {
		return true
	}
	a, err := parseAtom(name)
	return err != nil || a.form != formNone
}

// parseAtom reads an atomic type's name; others are the zero atom. What looks
// like one and isn't is an error.
func parseAtom(name string) (atom, error) {
	switch name {
	case "address":
		return atom{form: formAddress}, nil
	case "bool":
		return atom{form: formBool}, nil
	case "string":
		return atom{form: formString}, nil
	case "bytes":
		return atom{form: formBytes}, nil
	}
	for _, family := range []struct {
		prefix         string
		form           form
		step, greatest int
	}{{"bytes", formFixed, 1, 32}, {"uint", formUint, 8, 256}, {"int", formInt, 8, 256}} {
		digits, ok := strings.CutPrefix(name, family.prefix)
		if !ok || strings.Trim(digits, "0123456789") != "" {
			continue
		}
		n, err := strconv.Atoi(digits)
		if err != nil || n == 0 || n > family.greatest || n%family.step != 0 || strconv.Itoa(n) != digits {
			return atom{}, fmt.Errorf("%.40q is no type: say its size in full", name)
		}
		return atom{family.form, n}, nil
	}
	return atom{}, nil
}

// encode writes the word of a JSON value; scratch is free for use.
func (a atom) encode(v jsontext.Value, scratch hash.Hash, out []byte) error {
	clear(out)
	if a.form == formBool {
		switch string(v) {
		case "true":
			out[wordSize-1] = 1
		case "false":
		default:
			return errors.New("true or false is wanted")
		}
		return nil
	}
	if a.form == formUint || a.form == formInt {
		return a.integer(v, out)
	}
	if v.Kind() != '"' {
		return errors.New("text is wanted")
	}
	text, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return err
	}
	if a.form == formString {
		sum(scratch, text, out)
		return nil
	}
	return a.bytes(text, scratch, out)
}

func sum(h hash.Hash, b, out []byte) {
	h.Reset()
	h.Write(b)
	h.Sum(out[:0])
}

// bytes encodes what is written as 0x and pairs of hex digits.
func (a atom) bytes(text []byte, scratch hash.Hash, out []byte) error {
	if len(text) < 2 || text[0] != '0' || text[1] != 'x' {
		return errors.New("0x and hex are wanted")
	}
	digits := text[2:]
	var checksum [2 * addressSize]byte
	if a.form == formAddress {
		if len(digits) != 2*addressSize {
			return errors.New("0x and 40 hex digits are wanted")
		}
		copy(checksum[:], digits)
	}
	n, err := hex.Decode(digits, digits) // in place: the text is ours
	if err != nil {
		return errors.New("0x and pairs of hex digits are wanted")
	}
	b := digits[:n]
	switch {
	case a.form == formBytes:
		sum(scratch, b, out)
	case a.form == formAddress:
		if !properCase(checksum[:]) {
			return errors.New("the address's checksum is wrong: write it in lower case or as EIP-55 has it")
		}
		copy(out[wordSize-addressSize:], b)
	case n != a.size:
		return fmt.Errorf("%d bytes where the type has %d", n, a.size)
	default:
		copy(out, b)
	}
	return nil
}

// properCase reports whether an address's digits are all lower-case, or in
// the case that EIP-55 gives each.
func properCase(digits []byte) bool {
	lower := []byte(strings.ToLower(string(digits)))
	if string(lower) == string(digits) {
		return true
	}
	var word [wordSize]byte
	sum(sha3.NewLegacyKeccak256(), lower, word[:])
	for i, c := range lower {
		if nibble := word[i/2] >> (4 * (1 - i%2)) & 15; c >= 'a' && nibble >= 8 {
			c -= 'a' - 'A'
			lower[i] = c
		}
	}
	return string(lower) == string(digits)
}

// integer encodes a number, or text: decimal without leading zeros, or, not
// negative, 0x and hex.
func (a atom) integer(v jsontext.Value, out []byte) error {
	text := v
	quoted := v.Kind() == '"'
	if quoted {
		var err error
		if text, err = jsontext.AppendUnquote(nil, v); err != nil {
			return err
		}
	}
	if n, ok := short(text); ok && a.holds(n) { // most integers
		for i := range out[:wordSize-8] {
			out[i] = byte(n >> 63)
		}
		binary.BigEndian.PutUint64(out[wordSize-8:], uint64(n))
		return nil
	}
	n, err := parseInteger(string(text), quoted)
	if err != nil {
		return err
	}
	most := a.size
	if a.form == formInt {
		most--
	}
	magnitude := n
	if n.Sign() < 0 { // -2^(n-1) is in range, its absolute value isn't
		magnitude = new(big.Int).Not(n)
	}
	if magnitude.BitLen() > most || n.Sign() < 0 && a.form == formUint {
		return fmt.Errorf("%.80s is out of the range of its type", text)
	}
	if n.Sign() < 0 {
		n.Add(n, new(big.Int).Lsh(big.NewInt(1), 8*wordSize))
	}
	n.FillBytes(out)
	return nil
}

// short reads an integer of up to 15 decimal digits, which needs no big one.
func short(text []byte) (n int64, ok bool) {
	digits := bytes.TrimPrefix(text, []byte("-"))
	if len(digits) == 0 || len(digits) > 15 || digits[0] == '0' && len(text) > 1 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	if len(digits) < len(text) {
		n = -n
	}
	return n, true
}

// holds reports whether an integer is in the type's range.
func (a atom) holds(n int64) bool {
	bits := min(a.size, 63)
	if a.form == formUint {
		return n >= 0 && n <= 1<<bits-1
	}
	return n >= -1<<(bits-1) && n < 1<<(bits-1)
}

func parseInteger(s string, quoted bool) (*big.Int, error) {
	wrong := errors.New("an integer is wanted: in decimal, or as text 0x and hex; as a number up to 2^53-1")
	if len(s) > 80 { // 2^256 has 78 digits
		return nil, wrong
	}
	if digits, ok := strings.CutPrefix(s, "0x"); ok && quoted {
		n, valid := new(big.Int).SetString(digits, 16)
		if !valid || strings.Trim(digits, "0123456789abcdefABCDEF") != "" {
			return nil, wrong
		}
		return n, nil
	}
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" || digits[0] == '0' && s != "0" {
		return nil, wrong
	}
	n, valid := new(big.Int).SetString(s, 10)
	if !valid || !quoted && n.CmpAbs(big.NewInt(maxSafe)) > 0 {
		return nil, wrong
	}
	return n, nil
}

// Package abi reads the types of contract functions as people write them, and
// checks that calldata is a function's arguments in the one encoding that the
// Solidity ABI prescribes for them: each offset is where an encoder puts it,
// and what fills words up is zero. It knows no contracts.
package abi

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/sha3"
)

const (
	wordSize     = 32
	selectorSize = 4
	maxSignature = 4096    // bytes
	maxTypes     = 256     // of one function, all told
	maxDepth     = 16      // of tuples and arrays within one another
	maxWords     = 1 << 16 // of a static type: sizes in bytes stay far from what an int holds
)

// Function is a function by its signature.
type Function struct {
	Selector [selectorSize]byte
	inputs   kind // a tuple
}

// form is how a type is encoded.
type form uint8

const (
	formWord  form = iota + 1 // one word, checked by check
	formBytes                 // length and bytes
	formText                  // the same, of UTF-8
	formTuple
	formArray // of any length
	formFixed // of length items
)

// kind is a type.
type kind struct {
	form   form
	check  func(word []byte) bool
	parts  []kind // of a tuple; one of arrays
	length int    // of a fixed array
	// words is the size of a static type; 0 is a dynamic one.
	words int
}

// Parse reads a canonical signature, as in supply(address,(uint256,bytes)[]):
// no names, no spaces, no aliases.
func Parse(signature string) (*Function, error) {
	name, rest, ok := strings.Cut(signature, "(")
	if !ok || len(signature) > maxSignature || !isName(name) {
		return nil, errors.New("a function is its name and its types, as in transfer(address,uint256)")
	}
	p := &parser{rest: "(" + rest}
	inputs, err := p.kind(0)
	if err != nil {
		return nil, err
	}
	if p.rest != "" || inputs.form != formTuple {
		return nil, fmt.Errorf("%.40q follows the function's types", p.rest)
	}
	f := &Function{inputs: inputs}
	h := sha3.NewLegacyKeccak256()
	h.Write([]byte(signature))
	copy(f.Selector[:], h.Sum(nil))
	return f, nil
}

func isName(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '$'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

type parser struct {
	rest  string
	types int
}

// kind reads one type.
func (p *parser) kind(depth int) (kind, error) {
	if p.types++; p.types > maxTypes || depth > maxDepth {
		return kind{}, errors.New("too many types, or too deep")
	}
	var k kind
	var err error
	if strings.HasPrefix(p.rest, "(") {
		k, err = p.tuple(depth)
	} else {
		end := strings.IndexAny(p.rest, ",()[")
		if end < 0 {
			end = len(p.rest)
		}
		k, err = word(p.rest[:end])
		p.rest = p.rest[end:]
	}
	for err == nil && strings.HasPrefix(p.rest, "[") {
		if depth++; depth > maxDepth {
			return kind{}, errors.New("types are too deep")
		}
		k, err = p.array(k)
	}
	return k, err
}

func (p *parser) tuple(depth int) (kind, error) {
	k := kind{form: formTuple}
	p.rest = p.rest[1:]
	static := true
	for first := true; !strings.HasPrefix(p.rest, ")"); first = false {
		if !first {
			if !strings.HasPrefix(p.rest, ",") {
				return k, errors.New("a list of types isn't closed")
			}
			p.rest = p.rest[1:]
		}
		part, err := p.kind(depth + 1)
		if err != nil {
			return k, err
		}
		k.parts = append(k.parts, part)
		static = static && part.words > 0
		if k.words += part.words; k.words > maxWords {
			return k, errors.New("a tuple is too large")
		}
	}
	p.rest = p.rest[1:]
	if depth > 0 && len(k.parts) == 0 {
		return k, errors.New("a tuple has no types")
	}
	if !static {
		k.words = 0
	}
	return k, nil
}

func (p *parser) array(of kind) (kind, error) {
	size, rest, ok := strings.Cut(p.rest[1:], "]")
	if !ok {
		return kind{}, errors.New("an array isn't closed")
	}
	p.rest = rest
	if size == "" {
		return kind{form: formArray, parts: []kind{of}}, nil
	}
	n, err := strconv.Atoi(size)
	if err != nil || n < 1 || n > maxTypes || strconv.Itoa(n) != size {
		return kind{}, fmt.Errorf("an array of %.10q items is none", size)
	}
	if of.words > maxWords/n {
		return kind{}, errors.New("an array is too large")
	}
	return kind{form: formFixed, parts: []kind{of}, length: n, words: n * of.words}, nil
}

// word reads an elementary type.
func word(name string) (kind, error) {
	switch name {
	case "address":
		return kind{form: formWord, words: 1, check: func(w []byte) bool { return zero(w[:12]) }}, nil
	case "bool":
		return kind{form: formWord, words: 1, check: func(w []byte) bool { return zero(w[:31]) && w[31] <= 1 }}, nil
	case "bytes":
		return kind{form: formBytes}, nil
	case "string":
		return kind{form: formText}, nil
	}
	for _, family := range []struct {
		prefix         string
		step, greatest int
	}{{"bytes", 1, 32}, {"uint", 8, 256}, {"int", 8, 256}} {
		digits, ok := strings.CutPrefix(name, family.prefix)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 || n > family.greatest || n%family.step != 0 || strconv.Itoa(n) != digits {
			break
		}
		return kind{form: formWord, words: 1, check: padded(family.prefix, n)}, nil
	}
	return kind{}, fmt.Errorf("%.40q is no type: write uint256, not uint", name)
}

// padded checks what fills a word up around a value of n bits, or bytes.
func padded(prefix string, n int) func([]byte) bool {
	switch prefix {
	case "bytes":
		return func(w []byte) bool { return zero(w[n:]) }
	case "uint":
		return func(w []byte) bool { return zero(w[:wordSize-n/8]) }
	}
	return func(w []byte) bool { // the sign fills a word up
		sign := byte(0)
		if w[wordSize-n/8]&0x80 != 0 {
			sign = 0xff
		}
		for _, b := range w[:wordSize-n/8] {
			if b != sign {
				return false
			}
		}
		return true
	}
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Encodes reports whether data is a call of the function, with its arguments
// in their one encoding and nothing behind them.
func (f *Function) Encodes(data []byte) bool {
	if len(data) < selectorSize || string(data[:selectorSize]) != string(f.Selector[:]) {
		return false
	}
	end, ok := sequence(data[selectorSize:], f.inputs.parts)
	return ok && end == len(data)-selectorSize
}

// sequence checks parts encoded one behind the other, with what is dynamic
// behind all, in order; it returns where they end. Every word is visited once,
// since each part lies behind the one before.
func sequence(b []byte, parts []kind) (end int, ok bool) {
	head := 0
	for i := range parts {
		head += max(1, parts[i].words) * wordSize
	}
	if head > len(b) {
		return 0, false
	}
	end = head
	at := 0
	for i := range parts {
		if parts[i].words > 0 {
			n, ok := value(b[at:at+parts[i].words*wordSize], &parts[i])
			if !ok || n != parts[i].words*wordSize {
				return 0, false
			}
			at += n
			continue
		}
		if offset, ok := number(b[at : at+wordSize]); !ok || offset != end {
			return 0, false
		}
		at += wordSize
		n, ok := value(b[end:], &parts[i])
		if !ok {
			return 0, false
		}
		end += n
	}
	return end, true
}

// value checks one value at the beginning of b and returns its size.
func value(b []byte, k *kind) (size int, ok bool) {
	switch k.form {
	case formWord:
		return wordSize, len(b) >= wordSize && k.check(b[:wordSize])
	case formBytes:
		return text(b, false)
	case formText:
		return text(b, true)
	case formTuple:
		return sequence(b, k.parts)
	case formFixed:
		return items(b, &k.parts[0], k.length)
	case formArray:
		if len(b) < wordSize {
			return 0, false
		}
		n, ok := number(b[:wordSize])
		if !ok || n > (len(b)-wordSize)/wordSize { // an item has a word at least
			return 0, false
		}
		size, ok := items(b[wordSize:], &k.parts[0], n)
		return size + wordSize, ok
	}
	return 0, false
}

// items checks n values of one type.
func items(b []byte, k *kind, n int) (end int, ok bool) {
	if k.words > 0 {
		for range n {
			if len(b)-end < k.words*wordSize {
				return 0, false
			}
			size, ok := value(b[end:end+k.words*wordSize], k)
			if !ok {
				return 0, false
			}
			end += size
		}
		return end, true
	}
	if end = n * wordSize; end > len(b) {
		return 0, false
	}
	for i := range n {
		if offset, ok := number(b[i*wordSize : (i+1)*wordSize]); !ok || offset != end {
			return 0, false
		}
		size, ok := value(b[end:], k)
		if !ok {
			return 0, false
		}
		end += size
	}
	return end, true
}

func text(b []byte, utf bool) (size int, ok bool) {
	if len(b) < wordSize {
		return 0, false
	}
	n, ok := number(b[:wordSize])
	if !ok || n > len(b)-wordSize {
		return 0, false
	}
	if utf && !utf8.Valid(b[wordSize:wordSize+n]) {
		return 0, false
	}
	whole := (n + wordSize - 1) / wordSize * wordSize
	return wordSize + whole, whole <= len(b)-wordSize && zero(b[wordSize+n:wordSize+whole])
}

// number reads a word that counts bytes or items.
func number(w []byte) (int, bool) {
	n := 0
	for _, b := range w[wordSize-4:] {
		n = n<<8 | int(b)
	}
	return n, zero(w[:wordSize-4]) && n >= 0
}

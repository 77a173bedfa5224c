// Package typeddata reads typed structured data of EIP-712 and hashes it. It
// is pure, and knows nothing of what a document is worth.
//
// It is strict: widely used libraries sign different things for one document
// that is loose, or some sign it and others refuse. A document is taken here
// only where viem, ethers and go-ethereum make the same digest of it. So all
// that a document says is hashed, there are no aliases, defaults or
// conversions, and each value has one or two ways of being written, on whose
// meaning everybody agrees.
package typeddata

import (
	"bytes"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/crypto/sha3"
)

// Bounds of a document.
const (
	MaxSize   = 32 << 10 // bytes of JSON
	maxTypes  = 64
	maxFields = 256 // of all types together
	maxName   = 128
	maxDepth  = 16 // structs and arrays within one another
)

// domainType is the name of the domain's type.
const domainType = "EIP712Domain"

// Document is a document that was read whole.
type Document struct {
	// PrimaryType is the message's type, EncodedType its encodeType: what
	// names it exactly, as Mail(Person from)Person(address wallet).
	PrimaryType string
	EncodedType string
	Domain      Domain
	// Message is the message's JSON, whose members are those of the type: a
	// part of what was read.
	Message jsontext.Value
	// Preimage is 0x19 0x01 ‖ domain separator ‖ hashStruct(message), whose
	// Keccak-256 is signed.
	Preimage [66]byte
}

// Domain has the domain's members, each "" where it isn't declared.
type Domain struct {
	Name, Version     string
	ChainID           string // decimal
	VerifyingContract string // 0x and lower-case hex
	Salt              string // 0x and lower-case hex of 32 bytes
}

// Parse reads a document: JSON without duplicate names. Errors say where it
// is wrong, and hold no secrets.
func Parse(doc []byte) (*Document, error) {
	if len(doc) > MaxSize {
		return nil, fmt.Errorf("it has over %d bytes", MaxSize)
	}
	members, err := readMembers(doc)
	if err != nil {
		return nil, err
	}
	p := &parser{hash: sha3.NewLegacyKeccak256()}
	if err := p.readTypes(members.types, members.primaryType); err != nil {
		return nil, err
	}
	d := &Document{PrimaryType: members.primaryType, EncodedType: p.encoded, Message: members.message}
	d.Preimage[0], d.Preimage[1] = 0x19, 0x01
	if err := p.hashRoot(domainType, "domain", members.domain, d.Preimage[2:34]); err != nil {
		return nil, err
	}
	if err := p.hashRoot(d.PrimaryType, "message", members.message, d.Preimage[34:]); err != nil {
		return nil, err
	}
	return d, d.Domain.read(members.domain)
}

// members are the parts of a document.
type members struct {
	types, domain, message jsontext.Value // each a part of the document's text
	primaryType            string
}

// readMembers finds them, and that all of the document is JSON without
// duplicate names.
func readMembers(doc []byte) (*members, error) {
	wrong := func(err error) error {
		return fmt.Errorf("it isn't an object of types, domain, primaryType and message: %.300s", err.Error())
	}
	d := &reader{jsontext.NewDecoder(bytes.NewBuffer(doc), jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false))}
	if !d.begins('{') {
		return nil, wrong(errors.New("no object"))
	}
	m := &members{}
	for d.inside('}') {
		name, err := d.name()
		if err != nil {
			return nil, wrong(err)
		}
		from, err := d.skip()
		if err != nil {
			return nil, wrong(err)
		}
		part := jsontext.Value(doc[from:d.d.InputOffset()])
		switch {
		case name == "types":
			m.types = part
		case name == "domain":
			m.domain = part
		case name == "message":
			m.message = part
		case name == "primaryType" && part.Kind() == '"':
			text, err := jsontext.AppendUnquote(nil, part)
			if err != nil {
				return nil, wrong(err)
			}
			m.primaryType = string(text)
		default:
			return nil, wrong(fmt.Errorf("the member %.40q", name))
		}
	}
	if err := d.end(); err != nil {
		return nil, wrong(err)
	}
	if _, err := d.d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, wrong(errors.New("something follows"))
	}
	if m.types == nil || m.domain == nil || m.message == nil {
		return nil, errors.New("types, domain or message is missing")
	}
	return m, nil
}

// parser has the types of a document, and what hashing needs over and over.
type parser struct {
	types   map[string]*structType
	sorted  []*structType // by name
	hash    hash.Hash
	text    []byte // of the encodeType that is hashed
	encoded string // encodeType of the primary type
	levels  []*level
	path    []step // where hashing is, for errors
}

// step is a member, or where the name is empty an item.
type step struct {
	name string
	item int
}

// level is what hashing uses at one depth.
type level struct {
	hash  hash.Hash
	words []byte // of a struct's members, in the order of the type
	seen  []bool
}

func (p *parser) level(depth int) (*level, error) {
	if depth >= maxDepth {
		return nil, p.wrong("structs and arrays are over %d deep", maxDepth)
	}
	for len(p.levels) <= depth {
		p.levels = append(p.levels, &level{hash: sha3.NewLegacyKeccak256()})
	}
	return p.levels[depth], nil
}

// wrong is an error about where hashing is, as message.part[1].x.
func (p *parser) wrong(format string, args ...any) error {
	var b strings.Builder
	for i, s := range p.path {
		switch {
		case s.name == "":
			fmt.Fprintf(&b, "[%d]", s.item)
			continue
		case i > 0:
			b.WriteByte('.')
		}
		fmt.Fprintf(&b, "%.40s", s.name)
	}
	return fmt.Errorf("%s: %s", b.String(), fmt.Sprintf(format, args...))
}

// hashRoot writes hashStruct of a JSON value.
func (p *parser) hashRoot(name, where string, v jsontext.Value, out []byte) error {
	p.path = append(p.path[:0], step{name: where})
	d := decoder(v)
	if err := p.hashStruct(d, p.types[name], 0, out); err != nil {
		return err
	}
	if d.more() {
		return p.wrong("something follows")
	}
	return nil
}

// hashStruct reads an object whose members are exactly the type's, in any
// order, and writes keccak256(typeHash ‖ encodeData).
func (p *parser) hashStruct(d *reader, t *structType, depth int, out []byte) error {
	l, err := p.level(depth)
	if err != nil {
		return err
	}
	if !d.begins('{') {
		return p.wrong("%.40s is an object", t.name)
	}
	l.words = slices.Grow(l.words[:0], wordSize*len(t.fields))[:wordSize*len(t.fields)]
	l.seen = slices.Grow(l.seen[:0], len(t.fields))[:len(t.fields)]
	clear(l.seen)
	for d.inside('}') {
		name, err := d.name()
		if err != nil {
			return p.wrong("%v", err)
		}
		i := slices.IndexFunc(t.fields, func(f field) bool { return f.name == name })
		if i < 0 {
			return p.wrong("%.40s has no member %.40q", t.name, name)
		}
		if l.seen[i] {
			return p.wrong("the member %.40q stands twice", name)
		}
		l.seen[i] = true
		p.path = append(p.path, step{name: name})
		if err := p.hashValue(d, &t.fields[i].kind, len(t.fields[i].kind.lengths), depth+1, l.words[wordSize*i:wordSize*(i+1)]); err != nil {
			return err
		}
		p.path = p.path[:len(p.path)-1]
	}
	if err := d.end(); err != nil {
		return p.wrong("%v", err)
	}
	if i := slices.Index(l.seen, false); i >= 0 {
		return p.wrong("the member %.40q of %.40s is missing", t.fields[i].name, t.name)
	}
	l.hash.Reset()
	l.hash.Write(t.hash[:])
	l.hash.Write(l.words)
	l.hash.Sum(out[:0])
	return nil
}

// hashValue writes the word of a value: of an array of so many dimensions, of
// a struct, or of something atomic.
func (p *parser) hashValue(d *reader, k *kind, dimensions, depth int, out []byte) error {
	switch {
	case dimensions > 0:
		return p.hashArray(d, k, dimensions, depth, out)
	case k.of != nil:
		return p.hashStruct(d, k.of, depth, out)
	}
	v, err := d.value()
	if err != nil {
		return p.wrong("%v", err)
	}
	l, err := p.level(depth)
	if err != nil {
		return err
	}
	if err := k.atom.encode(v, l.hash, out); err != nil {
		return p.wrong("%v", err)
	}
	return nil
}

func (p *parser) hashArray(d *reader, k *kind, dimensions, depth int, out []byte) error {
	l, err := p.level(depth)
	if err != nil {
		return err
	}
	if !d.begins('[') {
		return p.wrong("an array is wanted")
	}
	l.hash.Reset()
	n := 0
	var word [wordSize]byte
	p.path = append(p.path, step{})
	for ; d.inside(']'); n++ {
		p.path[len(p.path)-1].item = n
		// Items write over the levels below this one alone.
		if err := p.hashValue(d, k, dimensions-1, depth+1, word[:]); err != nil {
			return err
		}
		l.hash.Write(word[:])
	}
	p.path = p.path[:len(p.path)-1]
	if err := d.end(); err != nil {
		return p.wrong("%v", err)
	}
	if want := k.lengths[dimensions-1]; want >= 0 && n != want {
		return p.wrong("%d items where the type has %d", n, want)
	}
	l.hash.Sum(out[:0])
	return nil
}

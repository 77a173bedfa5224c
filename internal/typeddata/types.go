package typeddata

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/crypto/sha3"

	"github.com/sigilkeys/sigil/internal/canon"
)

// structType is a type that a document declares.
type structType struct {
	name    string
	fields  []field
	encoded string // encodeType
	hash    [32]byte
	state   int8 // of the walk from the primary type: 1 begun, 2 done
}

type field struct {
	name string
	text string // the type as written
	kind kind
}

// kind is a field's type.
type kind struct {
	atom atom
	of   *structType
	// lengths of the arrays, from the innermost to the outermost; -1 is any.
	lengths []int
}

// readTypes reads the declarations. Each type but the domain's is reached from
// the primary type, none from itself: ethers takes the one type that no other
// mentions for the primary one, whatever the document says.
func (p *parser) readTypes(v jsontext.Value, primary string) error {
	var declared map[string][]struct {
		Name string `json:"name"`
		Type string `json:"type"`
	}
	if err := canon.DecodeJSONLoose(v, &declared); err != nil {
		return fmt.Errorf("types: not lists of name and type: %w", err)
	}
	if len(declared) > maxTypes {
		return fmt.Errorf("types: over %d", maxTypes)
	}
	p.types = make(map[string]*structType, len(declared))
	total := 0
	for name, fields := range declared {
		if !isIdentifier(name) || isAtomic(name) {
			return fmt.Errorf("types: %.40q can't be a type's name", name)
		}
		if total += len(fields); total > maxFields {
			return fmt.Errorf("types: over %d members", maxFields)
		}
		if len(fields) == 0 { // encodeType of it differs among libraries
			return fmt.Errorf("types.%s: it has no members", name)
		}
		t := &structType{name: name, fields: make([]field, len(fields))}
		for i, f := range fields {
			if !isIdentifier(strings.TrimLeft(f.Name, "_")) || f.Name == "__proto__" || slices.ContainsFunc(t.fields[:i], func(o field) bool { return o.name == f.Name }) {
				return fmt.Errorf("types.%s: the member %.40q is named badly, or twice", name, f.Name)
			}
			t.fields[i] = field{name: f.Name, text: f.Type}
		}
		p.types[name] = t
	}
	return p.resolve(primary)
}

// resolve finds what the fields' types are.
func (p *parser) resolve(primary string) error {
	domain, root := p.types[domainType], p.types[primary]
	switch {
	case domain == nil:
		return fmt.Errorf("types: %s isn't declared", domainType)
	case primary == domainType || root == nil:
		return fmt.Errorf("primaryType: %.40q isn't declared, or the domain's", primary)
	}
	if err := checkDomain(domain); err != nil {
		return err
	}
	for _, t := range []*structType{domain, root} {
		if err := p.walk(t, 0); err != nil {
			return err
		}
		if err := p.encodeType(t); err != nil {
			return err
		}
	}
	for name, t := range p.types {
		if t.state == 0 {
			return fmt.Errorf("types.%s: neither the domain nor %s has anything of it", name, primary)
		}
		if t.encoded == "" {
			if err := p.encodeType(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// walk resolves a type's fields and those below.
func (p *parser) walk(t *structType, depth int) error {
	t.state = 1
	for i := range t.fields {
		f := &t.fields[i]
		base, err := f.kind.parse(f.text)
		if err != nil {
			return fmt.Errorf("types.%s.%s: %w", t.name, f.name, err)
		}
		if f.kind.atom != (atom{}) {
			continue
		}
		of := p.types[base]
		switch {
		case of == nil || base == domainType:
			return fmt.Errorf("types.%s.%s: there is no type %.40q", t.name, f.name, base)
		case of.state == 1:
			return fmt.Errorf("types.%s.%s: %s contains itself", t.name, f.name, base)
		case depth == maxDepth:
			return fmt.Errorf("types.%s: over %d deep", t.name, maxDepth)
		}
		f.kind.of = of
		if of.state == 0 {
			if err := p.walk(of, depth+1); err != nil {
				return err
			}
		}
	}
	t.state = 2
	return nil
}

// parse reads a type as it is written, without the struct that base names.
func (k *kind) parse(text string) (base string, err error) {
	base, rest, _ := strings.Cut(text, "[")
	if len(text) > maxName {
		return "", errors.New("the type's name is too long")
	}
	if rest != "" || strings.HasSuffix(text, "[") {
		for part := range strings.SplitSeq(rest, "[") {
			digits, ok := strings.CutSuffix(part, "]")
			n := -1
			if digits != "" {
				n, err = strconv.Atoi(digits)
				ok = ok && err == nil && n > 0 && n <= math.MaxInt16 && strconv.Itoa(n) == digits
			}
			if !ok {
				return "", fmt.Errorf("%.40q is no type", text)
			}
			k.lengths = append(k.lengths, n)
		}
	}
	if k.atom, err = parseAtom(base); err != nil {
		return "", err
	}
	return base, nil
}

// encodeType writes the type and those that it mentions, in their order
// (EIP-712), and hashes that.
func (p *parser) encodeType(t *structType) error {
	mentioned := map[string]*structType{}
	t.mention(mentioned)
	delete(mentioned, t.name)
	names := make([]string, 0, len(mentioned))
	for name := range mentioned {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	t.write(&b)
	for _, name := range names {
		mentioned[name].write(&b)
	}
	if b.Len() > MaxSize {
		return fmt.Errorf("types.%s: encodeType is over %d bytes", t.name, MaxSize)
	}
	t.encoded = b.String()
	h := sha3.NewLegacyKeccak256()
	h.Write([]byte(t.encoded))
	h.Sum(t.hash[:0])
	return nil
}

func (t *structType) mention(in map[string]*structType) {
	if in[t.name] != nil {
		return
	}
	in[t.name] = t
	for i := range t.fields {
		if of := t.fields[i].kind.of; of != nil {
			of.mention(in)
		}
	}
}

func (t *structType) write(b *strings.Builder) {
	b.WriteString(t.name)
	for i, f := range t.fields {
		b.WriteByte("(,"[min(i, 1)])
		b.WriteString(f.text)
		b.WriteByte(' ')
		b.WriteString(f.name)
	}
	b.WriteByte(')')
}

// checkDomain takes the five members of the standard with their types, some
// of them, in its order: ethers knows no other.
func checkDomain(t *structType) error {
	rest := []field{{name: "name", text: "string"}, {name: "version", text: "string"}, {name: "chainId", text: "uint256"},
		{name: "verifyingContract", text: "address"}, {name: "salt", text: "bytes32"}}
	for _, f := range t.fields {
		i := slices.IndexFunc(rest, func(o field) bool { return o.name == f.name && o.text == f.text })
		if i < 0 {
			return fmt.Errorf("types.%s: the member %s %s isn't the standard's, or not in its order", domainType, f.text, f.name)
		}
		rest = rest[i+1:]
	}
	return nil
}

// isIdentifier takes the names that every library takes for types; those of
// members may begin with underscores.
func isIdentifier(s string) bool {
	if s == "" || len(s) > maxName || s[0] >= '0' && s[0] <= '9' || s[0] == '_' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_') {
			return false
		}
	}
	return true
}

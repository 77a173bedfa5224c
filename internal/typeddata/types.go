package typeddata

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// structType is a type that a document declares.
type structType struct {
	name      string
	fields    []field
	hash      [32]byte    // of encodeType
	state     int8        // of the walk from the primary type: 1 begun, 2 done
	mentioned *structType // by which it was mentioned last
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
	d := decoder(v)
	if !d.begins('{') {
		return errors.New("types: an object is wanted")
	}
	p.types = map[string]*structType{}
	total := 0
	for d.inside('}') {
		name, err := d.name()
		switch {
		case err != nil:
			return fmt.Errorf("types: %w", err)
		case !isIdentifier(name) || isAtomic(name):
			return fmt.Errorf("types: %.40q can't be a type's name", name)
		case p.types[name] != nil:
			return fmt.Errorf("types: %.40q stands twice", name)
		case len(p.sorted) == maxTypes:
			return fmt.Errorf("types: over %d", maxTypes)
		}
		t := &structType{name: name}
		if err := t.read(d, maxFields-total); err != nil {
			return fmt.Errorf("types.%.40s: %w", name, err)
		}
		total += len(t.fields)
		p.types[name], p.sorted = t, append(p.sorted, t)
	}
	if err := d.end(); err != nil {
		return fmt.Errorf("types: %w", err)
	}
	slices.SortFunc(p.sorted, func(a, b *structType) int { return strings.Compare(a.name, b.name) })
	return p.resolve(primary)
}

// read reads a type's list of up to so many members, each an object of name
// and type.
func (t *structType) read(d *reader, most int) error {
	if !d.begins('[') {
		return errors.New("a list of members is wanted")
	}
	t.fields = make([]field, 0, 4)
	for d.inside(']') {
		if len(t.fields) == most {
			return fmt.Errorf("over %d members, of all types together", maxFields)
		}
		var f field
		if err := f.read(d); err != nil {
			return err
		}
		if !isIdentifier(strings.TrimLeft(f.name, "_")) || f.name == "__proto__" || slices.ContainsFunc(t.fields, func(o field) bool { return o.name == f.name }) {
			return fmt.Errorf("the member %.40q is named badly, or twice", f.name)
		}
		t.fields = append(t.fields, f)
	}
	if err := d.end(); err != nil {
		return err
	}
	if len(t.fields) == 0 { // encodeType of it differs among libraries
		return errors.New("it has no members")
	}
	return nil
}

var errNotMember = errors.New("a member is an object of name and type, both text")

func (f *field) read(d *reader) error {
	if !d.begins('{') {
		return errNotMember
	}
	n := 0
	for ; d.inside('}'); n++ {
		key, err := d.name()
		if err != nil {
			return err
		}
		out := &f.name
		switch key {
		case "name":
		case "type":
			out = &f.text
		default:
			return errNotMember
		}
		if d.kind() != '"' {
			return errNotMember
		}
		if *out, err = d.name(); err != nil {
			return err
		}
	}
	if err := d.end(); err != nil {
		return err
	}
	if n != 2 {
		return errNotMember
	}
	return nil
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
	}
	for _, t := range p.sorted {
		if t.state == 0 {
			return fmt.Errorf("types.%.40s: neither the domain nor %.40s has anything of it", t.name, primary)
		}
		p.encodeType(t)
		if t == root {
			p.encoded = string(p.text)
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
			return fmt.Errorf("types.%.40s.%.40s: %w", t.name, f.name, err)
		}
		if f.kind.atom != (atom{}) {
			continue
		}
		of := p.types[base]
		switch {
		case of == nil || base == domainType:
			return fmt.Errorf("types.%.40s.%.40s: there is no type %.40q", t.name, f.name, base)
		case of.state == 1:
			return fmt.Errorf("types.%.40s.%.40s: %.40s contains itself", t.name, f.name, base)
		case depth == maxDepth:
			return fmt.Errorf("types.%.40s: over %d deep", t.name, maxDepth)
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
// (EIP-712), to p.text, and hashes that. All types together would be far
// larger than the document, so none keeps its own.
func (p *parser) encodeType(t *structType) {
	t.mention(t)
	p.text = t.append(p.text[:0])
	for _, o := range p.sorted {
		if o.mentioned == t && o != t {
			p.text = o.append(p.text)
		}
	}
	sum(p.hash, p.text, t.hash[:])
}

// mention marks the type and what it mentions as mentioned by root.
func (t *structType) mention(root *structType) {
	if t.mentioned == root {
		return
	}
	t.mentioned = root
	for i := range t.fields {
		if of := t.fields[i].kind.of; of != nil {
			of.mention(root)
		}
	}
}

func (t *structType) append(b []byte) []byte {
	b = append(b, t.name...)
	for i, f := range t.fields {
		b = append(b, "(,"[min(i, 1)])
		b = append(b, f.text...)
		b = append(b, ' ')
		b = append(b, f.name...)
	}
	return append(b, ')')
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

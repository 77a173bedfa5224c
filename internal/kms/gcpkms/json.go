package gcpkms

import "errors"

// A JSON reader for the replies' one flat object. It works in the reply's
// buffer and allocates nothing: no string or map with a DEK in it is left to
// the heap. Members that it doesn't know are Google's to add and are skipped;
// a second value for one that it knows is refused.

var errJSON = errors.New("malformed JSON")

// reply holds the members of an encrypt or decrypt reply, as slices of the
// reply's buffer.
type reply struct {
	name, data, crc       []byte // data: plaintext or ciphertext, base64
	verified, verifiedAAD bool
	seen                  [5]bool
}

// errorReply is what is read of {"error":{"status":…}}.
type errorReply struct{ status []byte }

type parser struct {
	b []byte
	i int
}

// parseReply reads a reply whose data member is called data.
func parseReply(b []byte, data string) (r reply, err error) {
	p := parser{b: b}
	err = p.object(func(key []byte) error {
		switch string(key) {
		case "name":
			return p.once(&r.seen[0], &r.name)
		case data:
			return p.once(&r.seen[1], &r.data)
		case data + "Crc32c":
			return p.once(&r.seen[2], &r.crc)
		case "verifiedPlaintextCrc32c", "verifiedCiphertextCrc32c":
			return p.onceBool(&r.seen[3], &r.verified)
		case "verifiedAdditionalAuthenticatedDataCrc32c":
			return p.onceBool(&r.seen[4], &r.verifiedAAD)
		}
		return p.skip(0)
	})
	return r, errors.Join(err, p.end())
}

// parseError reads the status enum of an error reply; anything else is "".
func parseError(b []byte) (r errorReply) {
	p := parser{b: b}
	err := p.object(func(key []byte) error {
		if string(key) != "error" {
			return p.skip(0)
		}
		return p.object(func(key []byte) (err error) {
			if string(key) != "status" {
				return p.skip(0)
			}
			r.status, err = p.text()
			return err
		})
	})
	if err != nil || p.end() != nil {
		return errorReply{}
	}
	return r
}

func (p *parser) once(seen *bool, dst *[]byte) (err error) {
	if *seen {
		return errJSON
	}
	*seen = true
	*dst, err = p.text()
	return err
}

func (p *parser) onceBool(seen, dst *bool) error {
	if *seen {
		return errJSON
	}
	*seen = true
	p.space()
	switch {
	case p.literal("true"):
		*dst = true
		return nil
	case p.literal("false"):
		return nil
	}
	return errJSON
}

func (p *parser) space() {
	for p.i < len(p.b) && (p.b[p.i] == ' ' || p.b[p.i] == '\n' || p.b[p.i] == '\r' || p.b[p.i] == '\t') {
		p.i++
	}
}

func (p *parser) take(c byte) bool {
	p.space()
	if p.i < len(p.b) && p.b[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *parser) literal(s string) bool {
	if len(p.b)-p.i >= len(s) && string(p.b[p.i:p.i+len(s)]) == s {
		p.i += len(s)
		return true
	}
	return false
}

func (p *parser) end() error {
	if p.space(); p.i != len(p.b) {
		return errJSON
	}
	return nil
}

// object calls member with each key; member must read the value.
func (p *parser) object(member func(key []byte) error) error {
	if !p.take('{') {
		return errJSON
	}
	if p.take('}') {
		return nil
	}
	for {
		key, err := p.text()
		if err != nil || !p.take(':') {
			return errJSON
		}
		if err := member(key); err != nil {
			return err
		}
		if p.take('}') {
			return nil
		}
		if !p.take(',') {
			return errJSON
		}
	}
}

// text reads a string and undoes its escapes in place.
func (p *parser) text() ([]byte, error) {
	if !p.take('"') {
		return nil, errJSON
	}
	start, w := p.i, p.i
	for p.i < len(p.b) {
		c := p.b[p.i]
		p.i++
		switch {
		case c == '"':
			return p.b[start:w:w], nil
		case c < 0x20:
			return nil, errJSON
		case c == '\\':
			var ok bool
			if c, ok = p.escape(); !ok {
				return nil, errJSON
			}
		}
		p.b[w] = c
		w++
	}
	return nil, errJSON
}

// escape reads what follows a backslash. Only escapes of ASCII characters can
// matter here; others become '?', which no member that is used may contain.
func (p *parser) escape() (byte, bool) {
	if p.i >= len(p.b) {
		return 0, false
	}
	c := p.b[p.i]
	p.i++
	switch c {
	case '"', '\\', '/':
		return c, true
	case 'b', 'f', 'n', 'r', 't':
		return '?', true
	case 'u':
	default:
		return 0, false
	}
	if len(p.b)-p.i < 4 {
		return 0, false
	}
	v := 0
	for range 4 {
		h, ok := hexValue(p.b[p.i])
		if !ok {
			return 0, false
		}
		v, p.i = v<<4|h, p.i+1
	}
	if v < 0x20 || v > 0x7e {
		return '?', true
	}
	return byte(v), true
}

func hexValue(c byte) (int, bool) {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0'), true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10, true
	}
	return 0, false
}

// maxDepth bounds the nesting of members that are skipped.
const maxDepth = 16

// skip reads any value.
func (p *parser) skip(depth int) error {
	if depth > maxDepth {
		return errJSON
	}
	p.space()
	if p.i >= len(p.b) {
		return errJSON
	}
	switch p.b[p.i] {
	case '"':
		_, err := p.text()
		return err
	case '{':
		return p.object(func([]byte) error { return p.skip(depth + 1) })
	case '[':
		return p.array(depth)
	}
	if p.literal("true") || p.literal("false") || p.literal("null") {
		return nil
	}
	return p.number()
}

func (p *parser) array(depth int) error {
	p.take('[')
	if p.take(']') {
		return nil
	}
	for {
		if err := p.skip(depth + 1); err != nil {
			return err
		}
		if p.take(']') {
			return nil
		}
		if !p.take(',') {
			return errJSON
		}
	}
}

// number skips a number (RFC 8259 section 6).
func (p *parser) number() error {
	p.literal("-")
	if !p.literal("0") && p.digits() == 0 {
		return errJSON
	}
	if p.literal(".") && p.digits() == 0 {
		return errJSON
	}
	if p.literal("e") || p.literal("E") {
		_ = p.literal("+") || p.literal("-")
		if p.digits() == 0 {
			return errJSON
		}
	}
	return nil
}

func (p *parser) digits() (n int) {
	for p.i < len(p.b) && p.b[p.i] >= '0' && p.b[p.i] <= '9' {
		p.i++
		n++
	}
	return n
}

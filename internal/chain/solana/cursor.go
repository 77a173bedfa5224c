package solana

// legacy is the version of messages from before there were versions.
const legacy = -1

// header is how a message begins, as it stands there.
type header struct {
	version      int // legacy, or 0 to 127
	signers      int // the first accounts
	readSigned   int // of these the last
	readUnsigned int // of all accounts the last
	keys         []byte
	accounts     int // in keys
	blockhash    []byte
}

// plausible says whether the counts can be those of a message.
func (h *header) plausible() bool {
	return h.signers > 0 && h.accounts >= h.signers && h.readSigned <= h.signers && h.readUnsigned <= h.accounts-h.signers
}

// instruction is one call of a program, as it stands in a message.
type instruction struct {
	program  int    // index of an account
	accounts []byte // indexes
	data     []byte
}

// cursor reads the encodings of a message, strictly or not: after an error it
// stays at the end and isn't ok; after a length in more bytes than it needs it
// is loose, which the decoder minds and the recogniser doesn't.
type cursor struct {
	b      []byte
	failed bool
	loose  bool
}

func (c *cursor) ok() bool { return !c.failed }

func (c *cursor) skip(n int) {
	if n > len(c.b) {
		c.failed, c.b = true, nil
		return
	}
	c.b = c.b[n:]
}

// take returns the next n bytes, nil when there aren't as many.
func (c *cursor) take(n int) []byte {
	b := c.b
	if c.skip(n); c.failed {
		return nil
	}
	return b[:n:n]
}

func (c *cursor) u8() int {
	if len(c.b) == 0 {
		c.failed = true
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return int(v)
}

// compact reads a compact-u16: little-endian groups of 7 bits, at most 3.
func (c *cursor) compact() int {
	v := 0
	for i := range 3 {
		b := c.u8()
		v |= b & 0x7f << (7 * i)
		if b < 0x80 {
			c.loose = c.loose || i > 0 && b == 0 || v > 0xffff
			return v
		}
	}
	c.failed = true
	return 0
}

func (c *cursor) header() (h header) {
	h.version = legacy
	first := c.u8()
	if first >= 0x80 {
		h.version, first = first&0x7f, c.u8()
	}
	h.signers, h.readSigned, h.readUnsigned = first, c.u8(), c.u8()
	h.accounts = c.compact()
	h.keys = c.take(addressSize * h.accounts)
	h.blockhash = c.take(addressSize)
	return h
}

func (c *cursor) instruction() instruction {
	i := instruction{program: c.u8()}
	i.accounts = c.take(c.compact())
	i.data = c.take(c.compact())
	return i
}

package solana

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

const (
	signatureSize = 64
	// maxPacket is the size of the largest transaction, signatures included,
	// that validators take in the legacy format and version 0.
	maxPacket = 1232
	// maxAccounts is how many an index of one byte can name.
	maxAccounts = 256
	// maxInstructions is how many validators can number. They run 64 at most.
	maxInstructions = 255
)

// key is an account's address.
type key [addressSize]byte

// message is what a transaction's signers sign: legacy or version 0.
type message struct {
	version      int
	signers      int
	readSigned   int
	readUnsigned int
	keys         []key // static ones; the first is the fee payer
	blockhash    key
	instructions []instruction
	lookups      []lookup
	accounts     int // with those from tables
}

// lookup takes accounts from an on-chain table: which ones they are, a
// message doesn't say.
type lookup struct {
	table    key
	writable []byte // indexes into the table
	readonly []byte
}

// parseMessage is strict: what it takes is what a validator takes at most, in
// the one encoding that encode writes. It doesn't hold on to b's capacity, but
// to its bytes.
func parseMessage(b []byte) (*message, error) {
	if len(b) > maxPacket-1-signatureSize {
		return nil, fmt.Errorf("a message of %d bytes is larger than any transaction's", len(b))
	}
	c := &cursor{b: b}
	h := c.header()
	switch {
	case h.version > 0:
		return nil, fmt.Errorf("version %d isn't known here; legacy and 0 are", h.version)
	case c.failed:
		return nil, errors.New("the message ends within its header, accounts or blockhash")
	case !h.plausible():
		return nil, fmt.Errorf("the header's counts are no message's: %d signers (%d of them read-only), %d accounts (%d unsigned read-only)", h.signers, h.readSigned, h.accounts, h.readUnsigned)
	case h.readSigned == h.signers:
		return nil, errors.New("the fee payer isn't writable")
	case 1+signatureSize*h.signers+len(b) > maxPacket:
		return nil, fmt.Errorf("with its %d signatures the transaction is larger than %d bytes", h.signers, maxPacket)
	}
	m := &message{version: h.version, signers: h.signers, readSigned: h.readSigned, readUnsigned: h.readUnsigned, blockhash: key(h.blockhash)}
	m.keys = make([]key, h.accounts)
	for i := range m.keys {
		m.keys[i] = key(h.keys[addressSize*i:])
		if slices.Contains(m.keys[:i], m.keys[i]) {
			return nil, fmt.Errorf("account %d stands twice", i)
		}
	}
	if err := m.body(c); err != nil {
		return nil, err
	}
	if c.loose {
		return nil, errors.New("a length has more bytes than it needs")
	}
	if again := m.encode(); !bytes.Equal(again, b) {
		return nil, errors.New("the message isn't in its one encoding")
	}
	return m, nil
}

// body reads what follows the blockhash.
func (m *message) body(c *cursor) error {
	n := c.compact()
	if n > maxInstructions {
		return fmt.Errorf("%d instructions are more than %d", n, maxInstructions)
	}
	m.instructions = make([]instruction, min(n, len(c.b)/3))
	for i := range n {
		in := c.instruction()
		if c.failed || i == len(m.instructions) {
			return errors.New("the message ends within its instructions")
		}
		m.instructions[i] = in
	}
	m.accounts = len(m.keys)
	if m.version != legacy {
		more, err := m.tables(c)
		if err != nil {
			return err
		}
		m.accounts += more
	}
	switch {
	case c.failed:
		return errors.New("the message ends too early")
	case len(c.b) > 0:
		return fmt.Errorf("%d bytes follow the message", len(c.b))
	case m.accounts > maxAccounts:
		return fmt.Errorf("%d accounts are more than %d", m.accounts, maxAccounts)
	}
	for i, in := range m.instructions {
		// The fee payer is no program, nor is an account out of a table.
		if in.program == 0 || in.program >= len(m.keys) {
			return fmt.Errorf("instruction %d has no program at index %d", i, in.program)
		}
		for _, a := range in.accounts {
			if int(a) >= m.accounts {
				return fmt.Errorf("instruction %d has no account at index %d", i, a)
			}
		}
	}
	return nil
}

// tables reads the lookups of a versioned message and returns how many
// accounts they add.
func (m *message) tables(c *cursor) (int, error) {
	n, total := c.compact(), 0
	for i := range n {
		l := lookup{}
		if b := c.take(addressSize); b != nil {
			l.table = key(b)
		}
		l.writable, l.readonly = c.take(c.compact()), c.take(c.compact())
		if c.failed {
			return 0, errors.New("the message ends within its lookup tables")
		}
		if len(l.writable)+len(l.readonly) == 0 {
			return 0, fmt.Errorf("lookup table %d adds no account", i)
		}
		if slices.ContainsFunc(m.lookups, func(o lookup) bool { return o.table == l.table }) {
			return 0, fmt.Errorf("lookup table %d stands twice", i)
		}
		var seen [maxAccounts]bool
		for _, list := range [][]byte{l.writable, l.readonly} {
			for _, at := range list {
				if seen[at] {
					return 0, fmt.Errorf("lookup table %d has index %d twice", i, at)
				}
				seen[at] = true
			}
		}
		m.lookups = append(m.lookups, l)
		total += len(l.writable) + len(l.readonly)
	}
	return total, nil
}

// encode is parseMessage's inverse, from what was understood alone.
func (m *message) encode() []byte {
	b := make([]byte, 0, maxPacket)
	if m.version != legacy {
		b = append(b, 0x80|byte(m.version))
	}
	b = append(b, byte(m.signers), byte(m.readSigned), byte(m.readUnsigned))
	b = appendCompact(b, len(m.keys))
	for i := range m.keys {
		b = append(b, m.keys[i][:]...)
	}
	b = append(b, m.blockhash[:]...)
	b = appendCompact(b, len(m.instructions))
	for _, in := range m.instructions {
		b = append(b, byte(in.program))
		b = append(appendCompact(b, len(in.accounts)), in.accounts...)
		b = append(appendCompact(b, len(in.data)), in.data...)
	}
	if m.version == legacy {
		return b
	}
	b = appendCompact(b, len(m.lookups))
	for i := range m.lookups {
		l := &m.lookups[i]
		b = append(b, l.table[:]...)
		b = append(appendCompact(b, len(l.writable)), l.writable...)
		b = append(appendCompact(b, len(l.readonly)), l.readonly...)
	}
	return b
}

func appendCompact(b []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// isWritable says whether the message lets an account change.
func (m *message) isWritable(i int) bool {
	switch {
	case i < m.signers:
		return i < m.signers-m.readSigned
	case i < len(m.keys):
		return i < len(m.keys)-m.readUnsigned
	}
	// All tables' writable accounts come before all read-only ones.
	i -= len(m.keys)
	for _, l := range m.lookups {
		if i -= len(l.writable); i < 0 {
			return true
		}
	}
	return false
}

// looked returns the place in a table that stands for an account, false for a
// static one.
func (m *message) looked(i int) (table *key, index byte, ok bool) {
	if i -= len(m.keys); i < 0 {
		return nil, 0, false
	}
	for n := range m.lookups {
		if l := &m.lookups[n]; i < len(l.writable) {
			return &l.table, l.writable[i], true
		} else {
			i -= len(l.writable)
		}
	}
	for n := range m.lookups {
		if l := &m.lookups[n]; i < len(l.readonly) {
			return &l.table, l.readonly[i], true
		} else {
			i -= len(l.readonly)
		}
	}
	return nil, 0, false
}

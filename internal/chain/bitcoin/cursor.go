package bitcoin

import "encoding/binary"

// cursor reads Bitcoin's encodings strictly: after anything that isn't there,
// or isn't in its one form, it stays at the end and has failed.
type cursor struct {
	b      []byte
	failed bool
}

func (c *cursor) fail() { c.failed, c.b = true, nil }

// take returns the next n bytes, nil when there aren't as many.
func (c *cursor) take(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.fail()
		return nil
	}
	b := c.b[:n:n]
	c.b = c.b[n:]
	return b
}

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if b := c.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// compact reads a compact size: one byte, or 0xfd, 0xfe, 0xff and two, four,
// eight, in the fewest that hold it.
func (c *cursor) compact() uint64 {
	b := c.take(1)
	if b == nil {
		return 0
	}
	var v, least uint64
	switch b[0] {
	case 0xfd:
		if b = c.take(2); b != nil {
			v, least = uint64(binary.LittleEndian.Uint16(b)), 0xfd
		}
	case 0xfe:
		v, least = uint64(c.u32()), 1<<16
	case 0xff:
		v, least = c.u64(), 1<<32
	default:
		return uint64(b[0])
	}
	if v < least {
		c.fail()
		return 0
	}
	return v
}

// bytes reads a compact size and as many bytes.
func (c *cursor) bytes() []byte { return c.take(c.compact()) }

// done says whether all was read and nothing is left.
func (c *cursor) done() bool { return !c.failed && len(c.b) == 0 }

func appendCompact(b []byte, n uint64) []byte {
	switch {
	case n < 0xfd:
		return append(b, byte(n))
	case n < 1<<16:
		return binary.LittleEndian.AppendUint16(append(b, 0xfd), uint16(n))
	case n < 1<<32:
		return binary.LittleEndian.AppendUint32(append(b, 0xfe), uint32(n))
	}
	return binary.LittleEndian.AppendUint64(append(b, 0xff), n)
}

func appendBytes(b, content []byte) []byte {
	return append(appendCompact(b, uint64(len(content))), content...)
}

// sizeBytes is the size of what appendBytes appends for n bytes.
func sizeBytes(n int) int {
	switch {
	case n < 0xfd:
		return 1 + n
	case n < 1<<16:
		return 3 + n
	}
	return 5 + n
}

// Package teelink carries requests between the control plane and a TEE
// workload: length-prefixed frames over one long-lived TLS 1.3 connection.
//
// Trust. The control plane is not trusted by the workload: whoever connects
// may send anything, so every payload is decoded strictly, sizes are bounded
// before memory is taken, and what a frame says is believed only as far as
// the signatures inside it reach. The workload is authenticated to the
// control plane by its attested link key (Statement.LinkKey), for honest
// routing; clients don't rely on that, they check receipts and evidence.
//
// Throughput. Each side's writer takes everything that is queued and sends it
// in one write. On the workload's side one such flush is one receipt batch, and
// the writer waits a moment while more requests are in work than items are
// queued, so under load a batch signature, a system call and (in the control
// plane) an fsync are shared by many of the requests in flight.
//
// The layout of frames and payloads is docs/FORMATS.md section 8.
package teelink

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// MaxFrame bounds the length field of a frame: a body of 64 KiB, the largest
// reply and 32 KiB for everything around them.
const MaxFrame = 96 << 10

const headerSize = 8 + 1 + 8 // id, op, timeout

// ErrProtocol is wrapped by errors about frames that a correct peer never
// sends; the connection is closed after one.
var ErrProtocol = errors.New("link protocol violation")

// Versions of the link, as TLS's protocol names (ALPN), newest first. Each end
// speaks all of them, and both use what the handshake chose: a control plane
// and a workload needn't be updated together.
const (
	ALPN  = "sigil-link/3"
	ALPN2 = "sigil-link/2" // without OpDecideItem
	ALPN1 = "sigil-link/1" // without OpCheckpoint
)

func versions() []string { return []string{ALPN, ALPN2, ALPN1} }

// knows reports whether a version has the operation.
func knows(version string, op Op) bool {
	switch op {
	case OpHello, OpPut, OpDecide, OpProvision, OpAttest:
		return slices.Contains(versions(), version)
	case OpCheckpoint:
		return version == ALPN || version == ALPN2
	case OpDecideItem:
		return version == ALPN
	}
	return false
}

// Op names the operation of a frame.
type Op uint8

// Operations; a reply is the request's op with the top bit set. OpBatch
// answers any number of decide and decide item frames at once and carries id 0.
const (
	OpHello          Op = 0x01
	OpPut            Op = 0x02
	OpDecide         Op = 0x03
	OpProvision      Op = 0x04
	OpAttest         Op = 0x05
	OpCheckpoint     Op = 0x06 // from version 2 on
	OpDecideItem     Op = 0x07 // from version 3 on
	OpHelloReply     Op = 0x81
	OpPutReply       Op = 0x82
	OpBatch          Op = 0x83
	OpProvisionReply Op = 0x84
	OpAttestReply    Op = 0x85
	OpCheckpointDone Op = 0x86
	OpError          Op = 0xFF
)

// Frame is one message: length u32, id u64, op u8, timeout u64, payload. The
// timeout is a span, not a moment, since the two ends' clocks needn't agree.
type Frame struct {
	ID      uint64
	Op      Op
	Timeout uint64 // microseconds from its arrival, 0 = none
	Payload []byte
}

// AppendFrame appends the frame's encoding to dst.
func AppendFrame(dst []byte, f Frame) ([]byte, error) {
	n := headerSize + len(f.Payload)
	if n > MaxFrame {
		return dst, fmt.Errorf("%w: frame of %d bytes, at most %d", ErrProtocol, n, MaxFrame)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	dst = binary.BigEndian.AppendUint64(dst, f.ID)
	dst = append(dst, byte(f.Op))
	dst = binary.BigEndian.AppendUint64(dst, f.Timeout)
	return append(dst, f.Payload...), nil
}

// ReadFrame reads one frame. The payload is freshly allocated and belongs to
// the caller. io.EOF means the peer closed between frames.
func ReadFrame(r *bufio.Reader) (Frame, error) {
	var head [4 + headerSize]byte
	if _, err := io.ReadFull(r, head[:4]); err != nil {
		return Frame{}, err
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n < headerSize || n > MaxFrame {
		return Frame{}, fmt.Errorf("%w: frame length %d", ErrProtocol, n)
	}
	if _, err := io.ReadFull(r, head[4:]); err != nil {
		return Frame{}, unexpected(err)
	}
	f := Frame{
		ID:      binary.BigEndian.Uint64(head[4:12]),
		Op:      Op(head[12]),
		Timeout: binary.BigEndian.Uint64(head[13:21]),
		Payload: make([]byte, n-headerSize),
	}
	if _, err := io.ReadFull(r, f.Payload); err != nil {
		return Frame{}, unexpected(err)
	}
	return f, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

package gcpkms

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// The part of HTTP/1.1 (RFC 9112) that one POST with a small JSON reply needs.
// Requests and replies live in two buffers of the connection, so that a DEK is
// in as few places as can be, all of them known.

const (
	maxRequest = 24 << 10 // a federated token may take 12 KiB of it
	maxReply   = 16 << 10
)

var errHTTP = errors.New("malformed HTTP reply")

// appendRequest appends head and body; token must be free of control bytes.
func appendRequest(dst []byte, host, path, token string, body []byte) []byte {
	dst = append(dst, "POST "...)
	dst = append(dst, path...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, host...)
	dst = append(dst, "\r\nAuthorization: Bearer "...)
	dst = append(dst, token...)
	dst = append(dst, "\r\nContent-Type: application/json\r\nAccept: application/json\r\nUser-Agent: sigil-tee\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, body...)
}

// response is a reply taken apart; body is a slice of the reader's buffer.
type response struct {
	status int
	body   []byte
	close  bool // the connection must not be used again
}

// reader reads one reply into buf.
type reader struct {
	src  io.Reader
	buf  []byte
	r, w int // buf[r:w] is read and not used yet
}

// fill reads more, or fails when buf is full or the stream ends.
func (rd *reader) fill() error {
	if rd.w == len(rd.buf) {
		return fmt.Errorf("%w: longer than %d bytes", errHTTP, len(rd.buf))
	}
	n, err := rd.src.Read(rd.buf[rd.w:])
	rd.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// line returns the next line without its CRLF.
func (rd *reader) line() ([]byte, error) {
	for from := rd.r; ; {
		if i := bytes.IndexByte(rd.buf[from:rd.w], '\n'); i >= 0 {
			l := rd.buf[rd.r : from+i]
			rd.r = from + i + 1
			if len(l) == 0 || l[len(l)-1] != '\r' {
				return nil, fmt.Errorf("%w: bare line feed", errHTTP)
			}
			return l[:len(l)-1], nil
		}
		from = rd.w
		if err := rd.fill(); err != nil {
			return nil, err
		}
	}
}

// need returns the next n bytes.
func (rd *reader) need(n int) ([]byte, error) {
	for rd.w-rd.r < n {
		if err := rd.fill(); err != nil {
			return nil, err
		}
	}
	b := rd.buf[rd.r : rd.r+n]
	rd.r += n
	return b, nil
}

// readResponse reads one final reply. It takes a Content-Length or chunks and
// nothing else: no reply that ends with its connection, no compression, no
// interim replies, no folded headers.
func readResponse(rd *reader) (*response, error) {
	l, err := rd.line()
	if err != nil {
		return nil, err
	}
	res := &response{}
	if res.status, err = parseStatus(l); err != nil {
		return nil, err
	}
	length, err := readHeaders(rd, res)
	switch {
	case err != nil:
	case length == chunked:
		res.body, err = readChunks(rd)
	case length == unknown:
		err = fmt.Errorf("%w: no length", errHTTP)
	default:
		res.body, err = rd.need(length)
	}
	if err != nil {
		return nil, err
	}
	if rd.r != rd.w {
		res.close = true // more than was asked for: don't trust what follows
	}
	return res, nil
}

func parseStatus(l []byte) (int, error) {
	if len(l) < 12 || string(l[:9]) != "HTTP/1.1 " || (len(l) > 12 && l[12] != ' ') {
		return 0, fmt.Errorf("%w: status line", errHTTP)
	}
	status, ok := parseUint(l[9:12], 999)
	if !ok || status < 200 {
		return 0, fmt.Errorf("%w: status code", errHTTP)
	}
	return status, nil
}

// Values of a body's length that aren't lengths.
const (
	unknown = -1
	chunked = -2
)

func readHeaders(rd *reader, res *response) (length int, err error) {
	length = unknown
	for {
		l, err := rd.line()
		if err != nil {
			return 0, err
		}
		if len(l) == 0 {
			return length, nil
		}
		name, value, ok := bytes.Cut(l, []byte{':'})
		if !ok || len(name) == 0 || bytes.ContainsAny(name, " \t") {
			return 0, fmt.Errorf("%w: header line", errHTTP)
		}
		value = bytes.Trim(value, " \t")
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			n, ok := parseUint(value, maxReply)
			if !ok || length != unknown {
				return 0, fmt.Errorf("%w: content length", errHTTP)
			}
			length = n
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			if length != unknown || !bytes.EqualFold(value, []byte("chunked")) {
				return 0, fmt.Errorf("%w: transfer encoding", errHTTP)
			}
			length = chunked
		case bytes.EqualFold(name, []byte("content-encoding")):
			if !bytes.EqualFold(value, []byte("identity")) {
				return 0, fmt.Errorf("%w: content encoding", errHTTP)
			}
		case bytes.EqualFold(name, []byte("connection")):
			res.close = res.close || !bytes.EqualFold(value, []byte("keep-alive"))
		}
	}
}

// readChunks joins the chunks in place. Trailers are read and ignored.
func readChunks(rd *reader) ([]byte, error) {
	start := rd.r
	end := start
	for {
		l, err := rd.line()
		if err != nil {
			return nil, err
		}
		size, _, _ := bytes.Cut(l, []byte{';'})
		n, ok := parseHex(bytes.TrimRight(size, " \t"), maxReply)
		if !ok {
			return nil, fmt.Errorf("%w: chunk size", errHTTP)
		}
		if n == 0 {
			break
		}
		b, err := rd.need(n + 2)
		if err != nil {
			return nil, err
		}
		if string(b[n:]) != "\r\n" {
			return nil, fmt.Errorf("%w: chunk end", errHTTP)
		}
		end += copy(rd.buf[end:], b[:n])
	}
	for {
		l, err := rd.line()
		if err != nil {
			return nil, err
		}
		if len(l) == 0 {
			return rd.buf[start:end], nil
		}
	}
}

// parseUint reads decimal digits, at most limit.
func parseUint(b []byte, limit int) (int, bool) {
	if len(b) == 0 || len(b) > 10 {
		return 0, false
	}
	v := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int(c-'0')
	}
	return v, v <= limit
}

// parseHex reads hexadecimal digits, at most limit.
func parseHex(b []byte, limit int) (int, bool) {
	if len(b) == 0 || len(b) > 8 {
		return 0, false
	}
	v := 0
	for _, c := range b {
		h, ok := hexValue(c)
		if !ok {
			return 0, false
		}
		v = v<<4 | h
	}
	return v, v <= limit
}

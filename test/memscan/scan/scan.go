package scan

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Hit is a copy of a secret, or of half of one.
type Hit struct {
	Label    string
	Encoding string
	Whole    bool
	Address  uint64
	Mapping  string // line of /proc/<pid>/maps
}

// String describes the hit without the secret.
func (h Hit) String() string {
	size := "half of it"
	if h.Whole {
		size = "whole"
	}
	return fmt.Sprintf("%s as %s (%s) at %#x in %s", h.Label, h.Encoding, size, h.Address, h.Mapping)
}

// Report is the result of a scan.
type Report struct {
	Hits  []Hit
	Bytes int64 // memory read
}

// Scanner looks for a fixed set of secrets. It is not safe for concurrent use.
type Scanner struct {
	secrets []Secret
	needles []needle
	filter  [1 << 10]uint64
	first   map[uint64][]int // needles by their first 8 bytes
	longest int
	buf     []byte
}

// New prepares a scanner.
func New(secrets []Secret) (*Scanner, error) {
	ns, err := needles(secrets)
	if err != nil {
		return nil, err
	}
	s := &Scanner{secrets: secrets, needles: ns, first: map[uint64][]int{}, buf: make([]byte, 1<<20)}
	for i, n := range ns {
		u := binary.LittleEndian.Uint64(n.bytes)
		s.first[u] = append(s.first[u], i)
		h := hash(u)
		s.filter[h>>6] |= 1 << (h & 63)
		s.longest = max(s.longest, len(n.bytes))
	}
	return s, nil
}

func hash(u uint64) uint64 { return u * 0x9e3779b97f4a7c15 >> 48 }

// find calls found with the offset and needle of each match in b.
func (s *Scanner) find(b []byte, found func(at, needle int)) {
	for i := 0; i+8 <= len(b); i++ {
		u := binary.LittleEndian.Uint64(b[i:])
		if u == 0 && i+16 <= len(b) && binary.LittleEndian.Uint64(b[i+8:]) == 0 {
			i += 7 // no needle begins with 8 zeros
			continue
		}
		h := hash(u)
		if s.filter[h>>6]&(1<<(h&63)) == 0 {
			continue
		}
		for _, n := range s.first[u] {
			if bytes.HasPrefix(b[i:], s.needles[n].bytes) {
				found(i, n)
			}
		}
	}
}

// Process scans all readable memory of a process, which keeps running. It
// needs the right to trace it: root for a process that is not dumpable.
func (s *Scanner) Process(pid int) (*Report, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	maps, err := os.ReadFile(dir + "/maps")
	if err != nil {
		return nil, err
	}
	mem, err := os.Open(dir + "/mem")
	if err != nil {
		return nil, err
	}
	defer func() { _ = mem.Close() }()
	r := &Report{}
	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		if err := s.mapping(mem, lines.Text(), r); err != nil {
			return nil, err
		}
	}
	if r.Bytes == 0 {
		return nil, errors.New("no memory could be read")
	}
	return r, nil
}

// File scans a file; a hit's Mapping is the path.
func (s *Scanner) File(path string) (*Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	r := &Report{}
	if err := s.region(f, 0, uint64(info.Size()), path, r); err != nil {
		return nil, err
	}
	if info.Size() > 0 && r.Bytes < info.Size() {
		return nil, fmt.Errorf("%s: %d of %d bytes could be read", path, r.Bytes, info.Size())
	}
	return r, nil
}

// Bytes scans b; a hit's address is an offset.
func (s *Scanner) Bytes(b []byte) []Hit {
	r := &Report{}
	_ = s.region(bytes.NewReader(b), 0, uint64(len(b)), "", r) // of memory it never fails
	return r.Hits
}

// mapping scans one line of the maps file.
func (s *Scanner) mapping(mem io.ReaderAt, line string, r *Report) error {
	fields := strings.Fields(line)
	if len(fields) < 5 {
		return fmt.Errorf("malformed mapping %q", line)
	}
	lo, hi, ok := strings.Cut(fields[0], "-")
	start, err1 := strconv.ParseUint(lo, 16, 64)
	end, err2 := strconv.ParseUint(hi, 16, 64)
	if !ok || err1 != nil || err2 != nil || end < start {
		return fmt.Errorf("malformed mapping %q", line)
	}
	name := strings.Join(fields[5:], " ")
	if !strings.HasPrefix(fields[1], "r") || name == "[vvar]" || name == "[vvar_vclock]" || name == "[vsyscall]" {
		return nil
	}
	return s.region(mem, start, end, line, r)
}

func (s *Scanner) region(mem io.ReaderAt, start, end uint64, line string, r *Report) error {
	halves := map[[3]uint64]int{} // secret, encoding, address of the whole: index in Hits
	seen := map[[2]uint64]bool{}  // needle, address
	step := uint64(len(s.buf) - s.longest)
	for at := start; at < end; at += step {
		b := s.buf[:min(uint64(len(s.buf)), end-at)]
		n, err := mem.ReadAt(b, int64(at))
		if err != nil && n == 0 {
			return nil // gone meanwhile, or a device
		}
		r.Bytes += int64(n)
		s.find(b[:n], func(off, i int) {
			addr := at + uint64(off)
			if k := [2]uint64{uint64(i), addr}; seen[k] {
				return // in the overlap of two reads
			} else {
				seen[k] = true
			}
			s.add(r, halves, i, addr, line)
		})
		if n < len(b) {
			return nil
		}
	}
	return nil
}

// add notes a hit, and joins two halves to a whole.
func (s *Scanner) add(r *Report, halves map[[3]uint64]int, i int, addr uint64, line string) {
	n := &s.needles[i]
	whole := addr
	if n.second {
		whole -= uint64(n.partner)
	}
	key := [3]uint64{uint64(n.secret), uint64(n.encoding), whole}
	if j, ok := halves[key]; ok {
		r.Hits[j].Whole = true
		return
	}
	halves[key] = len(r.Hits)
	r.Hits = append(r.Hits, Hit{Label: s.secrets[n.secret].Label, Encoding: Encodings()[n.encoding].Name, Address: addr, Mapping: line})
}

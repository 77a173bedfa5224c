package secrets

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"

	"github.com/sigilkeys/sigil/test/memscan/scan"
)

// Find returns the names of the secrets that are in b, whole or by half, in
// any of the forms of scan.Encodings.
func (x *Set) Find(b []byte) ([]string, error) {
	var found []string
	for _, s := range x.texts {
		if bytes.Contains(b, s.Bytes) {
			found = append(found, s.Label)
		}
	}
	if len(x.list) > 0 {
		scanner, err := scan.New(x.list)
		if err != nil {
			return nil, err
		}
		for _, h := range scanner.Bytes(b) {
			found = append(found, h.Label+" as "+h.Encoding)
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// credentials are the shapes of what opens something by itself, whoever's it
// is: tokens of Sigil, attestation tokens (JWT), access tokens of Google and
// of the emulator, private keys in files.
var credentials = regexp.MustCompile(`[sa][ks]_live_[0-9A-Za-z_-]{20}|eyJ[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,}\.|ya29\.[0-9A-Za-z._-]{20}|AGE-SECRET-KEY-1|-----BEGIN [A-Z ]*PRIVATE KEY`)

// Log is Find for texts that hold no credential of any kind either: logs,
// errors, what a crash prints.
func (x *Set) Log(b []byte) ([]string, error) {
	found, err := x.Find(b)
	for _, m := range credentials.FindAll(b, 10) {
		found = append(found, "credential like "+string(m[:8])+"…")
	}
	return found, err
}

// Logs is Log for all files under a folder; it also returns how many bytes
// those have.
func (x *Set) Logs(dir string) (found []string, size int, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		size += len(b)
		names, err := x.Log(b)
		for _, n := range names {
			found = append(found, d.Name()+": "+n)
		}
		return err
	})
	return found, size, err
}

// Buffer collects what several goroutines write. The zero value is empty.
type Buffer struct {
	mu  sync.Mutex // guards buf
	buf []byte
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf = append(b.buf, p...)
	return len(p), nil
}

// Bytes returns a copy of what was written.
func (b *Buffer) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.buf)
}

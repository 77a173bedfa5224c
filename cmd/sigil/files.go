package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sigilkeys/sigil/client"
)

// maxInput bounds files and messages that are read.
const maxInput = 1 << 20

// create writes a new file, readable by its owner alone, and syncs it. It
// never overwrites: what lies there may be the only copy of a key.
func create(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return withHint(fmt.Errorf("%s exists", path), "files are never overwritten; choose another name or move it away")
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// absent refuses paths at which something lies, before anything is done whose
// result would have no place. "" is the path of nothing to be written, and "-",
// which elsewhere is standard output, is none.
func absent(paths ...string) error {
	for _, p := range paths {
		if p == "-" {
			return usagef("standard output has the summary; write ./- for a file of this name", "- is no file to write to")
		}
		if _, err := os.Lstat(p); err == nil {
			return withHint(fmt.Errorf("%s exists", p), "files are never overwritten; choose another name or move it away")
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f, path)
}

// readInput reads a file, or standard input for "-".
func (a *app) readInput(path string) ([]byte, error) {
	if path == "-" {
		return readBounded(a.in, "standard input")
	}
	return read(path)
}

// readEnvelope reads a file with a signed document, maybe indented.
func readEnvelope(path string) ([]byte, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	envelope, err := client.CanonicalEnvelope(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return envelope, nil
}

func readBounded(r io.Reader, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(b) > maxInput {
		return nil, fmt.Errorf("%s has more than %d bytes", name, maxInput)
	}
	return b, nil
}

// readSecret reads a file that others mustn't be able to read.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return "", withHint(fmt.Errorf("%s can be read by others (mode %#o)", path, info.Mode().Perm()), fmt.Sprintf("chmod 600 %q", filepath.Clean(path)))
	}
	b, err := read(path)
	if err != nil {
		return "", err
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if strings.ContainsAny(line, "\r\n") {
		return "", fmt.Errorf("%s has more than one line", path)
	}
	return line, nil
}

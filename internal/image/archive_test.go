package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/test/memory"
)

// rawEntry is an archive's entry as bytes: Go's writer makes no sparse ones.
func rawEntry(kind byte, name string, size int, data string) []byte {
	return rawEntryOf("ustar\x0000", kind, name, size, data)
}

// rawEntryOf is rawEntry of another format than POSIX's, by its magic bytes.
func rawEntryOf(magic string, kind byte, name string, size int, data string) []byte {
	b := make([]byte, 512, 1024+len(data))
	copy(b, name)
	copy(b[100:], "0000444\x000000000\x000000000\x00")
	copy(b[124:], fmt.Sprintf("%011o\x00%011o\x00        ", size, 0))
	b[156] = kind
	copy(b[257:], magic)
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	b = append(b, data...)
	return append(b, make([]byte, (512-len(data)%512)%512)...)
}

// sparse is the archive of one file of the size that it says, all of it a hole.
func sparse(path string, size int) []byte {
	var records strings.Builder
	for _, r := range [][2]string{{"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"}, {"GNU.sparse.name", path[1:]}, {"GNU.sparse.realsize", fmt.Sprint(size)}} {
		line := " " + r[0] + "=" + r[1] + "\n"
		n := len(line) + 2
		if n > 99 {
			panic("record too long")
		}
		fmt.Fprintf(&records, "%d%s", n, line)
	}
	holes := fmt.Sprintf("1\n%d\n0\n", size)
	holes += strings.Repeat("\x00", 512-len(holes))
	b := rawEntry('x', "PaxHeaders/x", records.Len(), records.String())
	b = append(b, rawEntry('0', path[1:], len(holes), holes)...)
	return append(b, make([]byte, 1024)...)
}

func TestSparseEntriesTakeNoMemory(t *testing.T) {
	const size = 64 << 20
	b := sparse(ProgramPath, size)
	h, err := tar.NewReader(bytes.NewReader(b)).Next()
	if err != nil || h.Size != size || "/"+h.Name != ProgramPath {
		t.Fatal("canary: that is no sparse file:", h, err)
	}
	took := memory.Allocated(func() { _, err = fileIn(b, ProgramPath) })
	if err == nil || !strings.Contains(err.Error(), "no plain file") {
		t.Error("a sparse file passes:", err)
	}
	if took > 1<<20 {
		t.Errorf("%d bytes of an archive took %d of memory", len(b), took)
	}
}

func TestUnusualEntriesAreRefused(t *testing.T) {
	good, err := layer(file{ConfigPath, 0o444, []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := fileIn(good, ConfigPath); err != nil || string(b) != "x" {
		t.Fatal("canary: our own layer is refused:", err)
	}
	records := "19 comment=a sigil\n"
	for name, before := range map[string][]byte{
		"link":         rawEntry('1', "a", 0, ""),
		"symlink":      rawEntry('2', "a", 0, ""),
		"device":       rawEntry('3', "a", 0, ""),
		"pipe":         rawEntry('6', "a", 0, ""),
		"old sparse":   rawEntryOf("ustar  \x00", 'S', "a", 0, ""),
		"PAX records":  append(rawEntry('x', "a", len(records), records), rawEntry('0', "a", 0, "")...),
		"global PAX":   rawEntry('g', "a", len(records), records),
		"GNU":          rawEntryOf("ustar  \x00", '0', "a", 0, ""),
		"before POSIX": rawEntryOf("", '0', "a", 0, ""),
		"larger":       rawEntry('0', ConfigPath[1:], 1<<30, ""),
		"escape signs": rawEntry('6', "\x1b[2J", 0, ""),
	} {
		_, err := fileIn(append(before, good...), ConfigPath)
		if err == nil || !strings.Contains(err.Error(), "no plain file") || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s before the file: %v", name, err)
		}
	}
}

// FuzzLayer: what is read of an archive is a part of it, and of our own
// layers it is the file.
func FuzzLayer(f *testing.F) {
	good, err := layer(file{ConfigPath, 0o444, []byte("{}")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(sparse(ConfigPath, 1<<20))
	f.Add(rawEntry('0', ConfigPath[1:], 3, "abc"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if data, err := fileIn(b, ConfigPath); err == nil && !bytes.Contains(b, data) {
			t.Errorf("%d bytes aren't in the archive", len(data))
		}
		ours, err := layer(file{ConfigPath, 0o444, b})
		if err != nil {
			t.Fatal(err)
		}
		if data, err := fileIn(ours, ConfigPath); err != nil || !bytes.Equal(data, b) {
			t.Error("our own layer isn't read:", err)
		}
	})
}

package scan

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func newSecret(tb testing.TB, label string) Secret {
	tb.Helper()
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		tb.Fatal(err)
	}
	return Secret{label, b}
}

// fakeMem is memory that begins at address 0x10000.
type fakeMem []byte

func (m fakeMem) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m).ReadAt(p, off-0x10000)
}

func scanBytes(tb testing.TB, s *Scanner, mem []byte) *Report {
	tb.Helper()
	r := &Report{}
	if err := s.mapping(fakeMem(mem), fmt.Sprintf("10000-%x rw-p 00000000 00:00 0 [heap]", 0x10000+len(mem)), r); err != nil {
		tb.Fatal(err)
	}
	return r
}

// Every form is found, whole and by halves, at any place, across the borders
// of reads too.
func TestFindsEveryForm(t *testing.T) {
	key, other := newSecret(t, "key"), newSecret(t, "other")
	s, err := New([]Secret{key, other})
	if err != nil {
		t.Fatal(err)
	}
	mem := make([]byte, 3<<20)
	for _, e := range Encodings() {
		for _, f := range e.forms(key.Bytes) {
			for _, at := range []int{0, 13, 4096 - 5, 1<<20 - 17, 1<<20 - s.longest, 3<<20 - len(f)} {
				for part, want := range map[string]bool{string(f): true, string(f[:len(f)/2]): false, string(f[len(f)/2:]): false} {
					clear(mem)
					copy(mem[at:], part)
					r := scanBytes(t, s, mem)
					if len(r.Hits) != 1 || r.Hits[0].Whole != want || r.Hits[0].Label != "key" || r.Hits[0].Encoding != e.Name {
						t.Errorf("%s, %d bytes at %d: %v", e.Name, len(part), at, r.Hits)
					}
				}
			}
		}
	}
	clear(mem)
	if r := scanBytes(t, s, mem); len(r.Hits) != 0 || r.Bytes < 3<<20 {
		t.Errorf("%+v in nothing", r)
	}
}

func TestRefuses(t *testing.T) {
	for _, bad := range []Secret{{"short", make([]byte, 31)}, {"zero", make([]byte, 32)}} {
		if _, err := New([]Secret{bad}); err == nil {
			t.Errorf("%s accepted", bad.Label)
		}
	}
	s, err := New([]Secret{newSecret(t, "key")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Process(-1); err == nil {
		t.Error("scanned no process")
	}
	if err := s.mapping(fakeMem(nil), "junk", &Report{}); err == nil {
		t.Error("junk is no mapping")
	}
}

func TestRedacted(t *testing.T) {
	s := Secret{"key", []byte("0123456789abcdef0123456789abcdef")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, s); strings.Contains(got, "0123") || strings.Contains(got, "48, 49") || strings.Contains(got, "48 49") {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

// The test's own memory holds the secret.
func TestOwnProcess(t *testing.T) {
	key := newSecret(t, "key")
	s, err := New([]Secret{key})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Process(os.Getpid())
	if err != nil {
		t.Skip("memory of the own process can't be read here:", err)
	}
	if !slices.ContainsFunc(r.Hits, func(h Hit) bool { return h.Whole && h.Encoding == "raw" }) {
		t.Fatalf("doesn't find its own secret: %v", r.Hits)
	}
}

func BenchmarkScan(b *testing.B) {
	var secrets []Secret
	for i := range 8 {
		secrets = append(secrets, newSecret(b, fmt.Sprint(i)))
	}
	s, err := New(secrets)
	if err != nil {
		b.Fatal(err)
	}
	mem := make([]byte, 16<<20)
	if _, err := rand.Read(mem); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(mem)))
	for b.Loop() {
		s.find(mem, func(int, int) {})
	}
}

func TestFile(t *testing.T) {
	key := newSecret(t, "key")
	s, err := New([]Secret{key})
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/log"
	if err := os.WriteFile(path, fmt.Appendf(make([]byte, 1<<20-70), `{"key":"%x"}`, key.Bytes), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := s.File(path)
	if err != nil || len(r.Hits) != 1 || r.Hits[0].Encoding != "hex" || !r.Hits[0].Whole || r.Hits[0].Mapping != path {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := s.File(path + "2"); err == nil {
		t.Error("a file that isn't there is clean")
	}
}

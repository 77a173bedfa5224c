package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/test/stack"
)

// auditScene is a whole stack with an organisation that has signed something.
type auditScene struct {
	t    *testing.T
	dir  string
	data string // folder of the service's database
	org  *client.OwnedOrganization
	c    *client.Client
	base []string // flags of every command that asks the service
	last *client.SignResult
}

func newAuditScene(t *testing.T) *auditScene {
	t.Helper()
	data := t.TempDir()
	st := stack.Start(t, stack.Options{Ledger: true, DataDir: data})
	_, key, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	admin, err := client.NewAdmin(client.AdminConfig{BaseURL: st.API.URL, Keys: []ed25519.PrivateKey{key}})
	check(t, err)
	s := &auditScene{t: t, dir: t.TempDir(), data: data}
	s.org, err = admin.CreateOrganization(t.Context(), client.NewOrganization{Name: "Acme", Quorum: 1, TEEs: []client.TEE{st.TEEReference()},
		Admins: []client.AdminKey{{Name: "root", PublicKey: hex.EncodeToString(key[32:])}}})
	check(t, err)
	all := []string{"*"}
	k, err := admin.CreateKey(t.Context(), s.org.Genesis, s.org.StateKey, client.NewKey{Name: "backend", Wallets: all, Networks: []string{"base"}, Methods: all, Expires: time.Now().Add(time.Hour)}, nil)
	check(t, err)
	file := filepath.Join(s.dir, "backend.key")
	check(t, os.WriteFile(file, []byte(k.Reveal()), 0o600))
	s.c, err = client.New(client.Config{BaseURL: st.API.URL, SecretKey: k.Reveal()})
	check(t, err)
	s.base = []string{"--api-url", st.API.URL, "--key-file", file}
	s.sign(5)
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sign makes a wallet, n signatures and a denial, and waits for the ledger.
func (s *auditScene) sign(n int) {
	s.t.Helper()
	before := uint64(0)
	if h, err := s.c.LedgerHead(s.t.Context()); err == nil {
		before = h.Size
	}
	w, err := s.c.Wallets().Create(s.t.Context(), client.NewWallet{})
	check(s.t, err)
	for i := range n {
		s.last, err = s.c.Sign(s.t.Context(), client.SignRequest{WalletID: w.ID, Network: "base", Message: fmt.Sprint(i)})
		check(s.t, err)
	}
	if _, err := s.c.Sign(s.t.Context(), client.SignRequest{WalletID: w.ID, Network: "polygon", Message: "denied"}); err == nil {
		s.t.Fatal("signed beyond the grant")
	}
	for {
		if h, err := s.c.LedgerHead(s.t.Context()); err == nil && h.Size == before+uint64(n)+2 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// run runs a command and returns its exit code and what it printed.
func (s *auditScene) run(args ...string) (code int, out, errOut string) {
	s.t.Helper()
	a, stdout, stderr := testApp(nil)
	code = run(context.Background(), a, append([]string{"audit"}, args...))
	return code, stdout.String(), stderr.String()
}

func (s *auditScene) path(name string) string { return filepath.Join(s.dir, name) }

// The ledger is exported, and verifies offline with the checkpoints that were
// kept; a checkpoint proves what it contains.
func TestAudit(t *testing.T) {
	s := newAuditScene(t)
	must := func(args ...string) string {
		t.Helper()
		code, out, errOut := s.run(args...)
		if code != 0 {
			t.Fatalf("%v: %d\n%s%s", args, code, out, errOut)
		}
		return out
	}
	must(append(s.base, "checkpoint", "--out", s.path("june.note"))...)
	s.sign(2)
	out := must(append(s.base, "checkpoint", "--extends", s.path("june.note"), "--receipt", s.last.Receipt.ID, "--out", s.path("july.note"), "--json")...)
	if !strings.Contains(out, `"size": 11`) || !strings.Contains(out, `"index": 9`) {
		t.Error(out)
	}
	out = must(append(s.base, "export", "--out", s.path("ledger.jsonl"))...)
	if !strings.Contains(out, "7 signatures, 2 wallets, 2 denied") {
		t.Error(out)
	}
	if code, _, errOut := s.run(append(s.base, "export", "--out", s.path("ledger.jsonl"))...); code == 0 || !strings.Contains(errOut, "exists") {
		t.Error("overwrites:", errOut)
	}
	if code, _, errOut := s.run(append(s.base, "export", "--out", "-")...); code != exitUsage || !strings.Contains(errOut, "no file to write to") {
		t.Error("a file of the name -:", code, errOut)
	}
	out = must("verify", s.path("ledger.jsonl"), "--genesis-digest", digestText(s.org.GenesisDigest), "--checkpoint", s.path("june.note"), "--checkpoint", s.path("july.note"))
	if !strings.Contains(out, "the checkpoint of 7 entries") || !strings.Contains(out, "11 entries") {
		t.Error(out)
	}
	var summary struct {
		Ledger client.AuditReport `json:"ledger"`
	}
	check(t, json.Unmarshal([]byte(must("verify", s.path("ledger.jsonl"), "--genesis-digest", digestText(s.org.GenesisDigest), "--json")), &summary))
	if in := summary.Ledger.Instances; len(in) != 1 || in[0].Missing != 0 || in[0].Others != 0 || in[0].First != 1 {
		t.Errorf("a sole organisation's ledger has gaps: %+v", in)
	}
	if code, _, errOut := s.run("verify", s.path("ledger.jsonl"), "--genesis-digest", strings.Repeat("0", 64), "--json"); code != exitUnverified || !strings.Contains(errOut, "pin_mismatch") {
		t.Error(code, errOut)
	}
	if _, err := os.Stat(s.path("ledger.jsonl.part")); err == nil {
		t.Error("a part is left behind")
	}
	check(t, os.WriteFile(s.path("ids"), []byte(s.last.Receipt.ID+"\n"), 0o600))
	must("verify", s.path("ledger.jsonl"), "--genesis-digest", digestText(s.org.GenesisDigest), "--receipts", s.path("ids"))
	check(t, os.WriteFile(s.path("hidden"), []byte(s.last.Receipt.ID+"\n0b9d3c34-5d53-4e6f-9f43-3c1f6d0f6a55\n"), 0o600))
	if code, _, errOut := s.run("verify", s.path("ledger.jsonl"), "--genesis-digest", digestText(s.org.GenesisDigest), "--receipts", s.path("hidden")); code != exitUnverified || !strings.Contains(errOut, "0b9d3c34") {
		t.Error(code, errOut)
	}
	s.attackExport(t)
}

// attackExport alters the export in every way that somebody might, and wants
// the line named at which it shows.
func (s *auditScene) attackExport(t *testing.T) {
	raw, err := os.ReadFile(s.path("ledger.jsonl"))
	check(t, err)
	lines := bytes.Split(bytes.TrimSpace(raw), []byte("\n"))
	entry := func(n int) int { // line of entry n, from 0
		for i, l := range lines {
			if bytes.Contains(l, []byte(fmt.Sprintf(`{"entry":{"index":%d,`, n))) {
				return i
			}
		}
		t.Fatal("no entry", n)
		return 0
	}
	kind := func(prefix string) int {
		for i, l := range lines {
			if bytes.HasPrefix(l, []byte(prefix)) {
				return i
			}
		}
		t.Fatal("no", prefix)
		return 0
	}
	other := newAuditScene(t)
	code, _, errOut := other.run(append(other.base, "export", "--out", other.path("ledger.jsonl"))...)
	if code != 0 {
		t.Fatal(errOut)
	}
	otherRaw, err := os.ReadFile(other.path("ledger.jsonl"))
	check(t, err)
	foreign := bytes.Split(bytes.TrimSpace(otherRaw), []byte("\n"))
	renumber := func(line []byte, from, to int) []byte {
		return bytes.Replace(line, []byte(fmt.Sprintf(`"index":%d,`, from)), []byte(fmt.Sprintf(`"index":%d,`, to)), 1)
	}
	swap := func(at int, from, to string) func([][]byte) [][]byte {
		return func(l [][]byte) [][]byte {
			if !bytes.Contains(l[at], []byte(from)) {
				t.Errorf("no %s in line %d", from, at+1)
			}
			l[at] = bytes.Replace(l[at], []byte(from), []byte(to), 1)
			return l
		}
	}
	var header struct {
		Note string `json:"note"`
	}
	check(t, json.Unmarshal(lines[0], &header))
	for name, c := range map[string]struct {
		edit func(l [][]byte) [][]byte
		says string // in the error
	}{
		"an entry left out": {func(l [][]byte) [][]byte { return append(l[:entry(4)], l[entry(4)+1:]...) }, fmt.Sprintf("line %d ", entry(4)+1)},
		"left out, renumbered": {func(l [][]byte) [][]byte {
			at := entry(4)
			l = append(l[:at], l[at+1:]...)
			for n := 5; n < 11; n++ {
				l[at+n-5] = renumber(l[at+n-5], n, n-1)
			}
			return l
		}, "after the last line"},
		"two exchanged": {func(l [][]byte) [][]byte {
			a, b := entry(3), entry(5)
			l[a], l[b] = renumber(l[b], 5, 3), renumber(l[a], 3, 5)
			return l
		}, "after the last line"},
		"one twice": {func(l [][]byte) [][]byte {
			l[entry(5)] = renumber(bytes.Clone(l[entry(4)]), 4, 5)
			return l
		}, fmt.Sprintf("line %d ", entry(5)+1)},
		"end cut off":     {func(l [][]byte) [][]byte { return l[:len(l)-1] }, "ends after 10 of 11"},
		"only the header": {func(l [][]byte) [][]byte { return l[:1] }, "after the last line"},
		"a bit of a receipt": {func(l [][]byte) [][]byte {
			at := entry(6)
			line := bytes.Clone(l[at])
			line[len(line)/2] ^= 1
			l[at] = line
			return l
		}, fmt.Sprintf("line %d ", entry(6)+1)},
		"no evidence": {func(l [][]byte) [][]byte { return append(l[:kind(`{"evidence"`)], l[kind(`{"evidence"`)+1:]...) }, "no evidence"},
		"no grant":    {func(l [][]byte) [][]byte { return append(l[:kind(`{"grant"`)], l[kind(`{"grant"`)+1:]...) }, "line 3 "},
		"another organisation's entry": {func(l [][]byte) [][]byte {
			for _, f := range foreign {
				if bytes.Contains(f, []byte(`{"entry":{"index":2,`)) {
					l[entry(2)] = f
				}
			}
			return l
		}, fmt.Sprintf("line %d ", entry(2)+1)},
		"another organisation's checkpoint": {func(l [][]byte) [][]byte {
			var h struct {
				Note string `json:"note"`
			}
			check(t, json.Unmarshal(foreign[0], &h))
			a, b := quote(t, header.Note), quote(t, h.Note)
			l[0] = bytes.Replace(l[0], a, b, 1)
			return l
		}, "line 1 (entry 0)"},
		"the checkpoint's origin": {swap(0, `sigilkeys.com/`, `sigilkeys.org/`), "line 1 (entry 0)"},
		"evidence's token":        {swap(kind(`{"evidence"`), `"token":"e`, `"token":"f`), fmt.Sprintf("line %d (entry 0)", kind(`{"evidence"`)+1)},
		"evidence's statement":    {swap(kind(`{"evidence"`), `"statement":"`, `"statement":"AAAA`), fmt.Sprintf("line %d (entry 0)", kind(`{"evidence"`)+1)},
		"a blank line":            {func(l [][]byte) [][]byte { return slices.Insert(l, 1, []byte(" ")) }, "line 2 "},
		"a blank line at the end": {func(l [][]byte) [][]byte { return append(l, nil, nil) }, fmt.Sprintf("line %d ", len(lines)+1)},
		"a second header":         {func(l [][]byte) [][]byte { return append([][]byte{l[0]}, l...) }, "line 2 "},
		"an unknown member":       {func(l [][]byte) [][]byte { return append(l, []byte(`{"more":1}`)) }, "line"},
		"not JSON":                {func(l [][]byte) [][]byte { return append(l, []byte(`entry`)) }, "line"},
	} {
		file := filepath.Join(t.TempDir(), "altered.jsonl")
		altered := c.edit(append([][]byte(nil), lines...))
		check(t, os.WriteFile(file, bytes.Join(altered, []byte("\n")), 0o600))
		code, out, errOut := s.run("verify", file, "--genesis-digest", digestText(s.org.GenesisDigest))
		if code != exitUnverified || out != "" || !strings.Contains(errOut, c.says) {
			t.Errorf("%s: exit code %d, want %d with %q\n%s%s", name, code, exitUnverified, c.says, out, errOut)
		}
	}
	// A checkpoint that this ledger doesn't have: another ledger's.
	check(t, os.WriteFile(s.path("other.note"), []byte(strings.Replace(header.Note, "\n11\n", "\n5\n", 1)), 0o600))
	if code, _, errOut := s.run("verify", s.path("ledger.jsonl"), "--genesis-digest", digestText(s.org.GenesisDigest), "--checkpoint", s.path("other.note")); code != exitUnverified {
		t.Error("a made-up checkpoint:", code, errOut)
	}
}

func quote(t *testing.T, s string) []byte {
	t.Helper()
	b, err := json.Marshal(s)
	check(t, err)
	return b
}

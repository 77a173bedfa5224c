package solana

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/base58"
)

// sample is a message with everything in it: two signers of which one is
// read-only, and accounts from two tables unless it is a legacy one.
func sample(version int) *message {
	m := &message{version: version, signers: 2, readSigned: 1, readUnsigned: 2, blockhash: key{0xbb}}
	for i := range 6 {
		m.keys = append(m.keys, key{byte(i + 1), 31: 7})
	}
	m.instructions = []instruction{
		{program: 4, accounts: []byte{0, 2, 3}, data: []byte("\x02\x00\x00\x00 some lamports")},
		{program: 5, accounts: nil, data: bytes.Repeat([]byte{9}, 200)},
	}
	if version != legacy {
		m.lookups = []lookup{{table: key{0xa1}, writable: []byte{3, 1}, readonly: []byte{0}}, {table: key{0xa2}, readonly: []byte{1, 255}}}
		m.instructions[1].accounts = []byte{6, 7, 8, 9, 10}
	}
	return m
}

// whole puts a message behind places for its signatures.
func whole(m *message) []byte {
	return (&transaction{message: m, signBytes: m.encode(), signatures: make([][]byte, m.signers)}).assemble(-1, nil)
}

// samples are valid inputs in both forms and versions, and those that the
// project's test data has.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{"legacy": sample(legacy).encode(), "v0": sample(0).encode(), "whole legacy": whole(sample(legacy)), "whole v0": whole(sample(0))}
	for _, v := range read[published](t, "transactions.json", 52) {
		b, err := base64.StdEncoding.DecodeString(v.Unsigned)
		if err != nil {
			t.Fatal(err)
		}
		out[v.ID] = b
	}
	if len(out) < 56 {
		t.Fatalf("%d samples", len(out))
	}
	return out
}

// TestTransactionsDecode: both forms, and everything comes back.
func TestTransactionsDecode(t *testing.T) {
	for name, b := range samples(t) {
		x, err := parseTransaction(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again := x.assemble(-1, nil); !bytes.Equal(again, b) && !bytes.Equal(x.signBytes, b) {
			t.Errorf("%s becomes %x", name, again)
		}
		if !isTransaction(b) || !isTransaction(x.signBytes) {
			t.Errorf("%s isn't recognised as a transaction among messages", name)
		}
		bare, err := parseTransaction(x.signBytes)
		if err != nil || !bytes.Equal(bare.message.encode(), x.signBytes) {
			t.Errorf("%s: its message alone: %v", name, err)
		}
	}
	m := sample(0)
	writable := ""
	for i := range 11 {
		writable += map[bool]string{true: "w", false: "r"}[m.isWritable(i)]
	}
	if writable != "wrwwrrwwrrr" {
		t.Errorf("writable: %s", writable)
	}
	for i, want := range []struct {
		table byte
		index byte
	}{{0xa1, 3}, {0xa1, 1}, {0xa1, 0}, {0xa2, 1}, {0xa2, 255}} {
		table, index, ok := m.looked(6 + i)
		if !ok || table[0] != want.table || index != want.index {
			t.Errorf("account %d is %v %d", 6+i, table, index)
		}
	}
	if _, _, ok := m.looked(5); ok {
		t.Error("a static account is out of a table")
	}
	if _, _, ok := m.looked(11); ok {
		t.Error("an account behind the last is out of a table")
	}
}

// TestTruncatedAndTrailing: no beginning of a transaction is one, nor is one
// with bytes behind it.
func TestTruncatedAndTrailing(t *testing.T) {
	n := 0
	for name, b := range samples(t) {
		for i := range b {
			n++
			if x, err := parseTransaction(b[:i]); err == nil {
				t.Errorf("%s: %d of %d bytes are accepted: %+v", name, i, len(b), x.message)
			}
		}
		for _, more := range []string{"\x00", "\x01", "\xff", "\x00\x00", strings.Repeat("\x00", 64)} {
			if x, err := parseTransaction(append(bytes.Clone(b), more...)); err == nil {
				t.Errorf("%s with %x behind it is accepted: %+v", name, more, x.message)
			}
		}
	}
	if n < 10_000 {
		t.Errorf("only %d beginnings", n)
	}
}

// TestLooseLengths writes each length of a message in more bytes than it
// needs. The recogniser of messages that are transactions still takes them.
func TestLooseLengths(t *testing.T) {
	for _, version := range []int{legacy, 0} {
		m := sample(version)
		b := m.encode()
		at := []int{3}
		if version == 0 {
			at[0]++
		}
		at = append(at, at[0]+1+32*len(m.keys)+32)
		i := at[1] + 1
		for _, in := range m.instructions {
			at = append(at, i+1, i+2+len(in.accounts))
			i += 2 + len(in.accounts) + len(appendCompact(nil, len(in.data))) + len(in.data)
		}
		if version == 0 {
			at = append(at, i)
			i++
			for _, l := range m.lookups {
				at = append(at, i+32, i+33+len(l.writable))
				i += 34 + len(l.writable) + len(l.readonly)
			}
		}
		if i != len(b) {
			t.Fatalf("lengths end at %d of %d", i, len(b))
		}
		for _, i := range at {
			end := i
			for b[end] >= 0x80 {
				end++
			}
			loose := append(append(bytes.Clone(b[:end]), b[end]|0x80, 0), b[end+1:]...)
			if _, err := parseMessage(loose); err == nil || !isTransaction(loose) {
				t.Errorf("version %d, length at %d: %v", version, i, err)
			}
		}
	}
	w := whole(sample(legacy))
	loose := append([]byte{w[0] | 0x80, 0}, w[1:]...)
	if _, err := parseTransaction(loose); err == nil || !isTransaction(loose) {
		t.Errorf("number of signatures: %v", err)
	}
}

func TestMessagesRefused(t *testing.T) {
	for name, change := range map[string]func(*message){
		"no signer":                  func(m *message) { m.signers, m.readSigned = 0, 0 },
		"fee payer is read-only":     func(m *message) { m.readSigned = 2 },
		"more read-only than signed": func(m *message) { m.readSigned = 3 },
		"more signers than accounts": func(m *message) { m.signers = 7 },
		"more read-only than others": func(m *message) { m.readUnsigned = 5 },
		"an account twice":           func(m *message) { m.keys[5] = m.keys[2] },
		"the fee payer twice":        func(m *message) { m.keys[5] = m.keys[0] },
		"the fee payer as program":   func(m *message) { m.instructions[0].program = 0 },
		"no such program":            func(m *message) { m.instructions[0].program = 6 },
		"no such account":            func(m *message) { m.instructions[1].accounts = []byte{0, 11} },
		"version 1":                  func(m *message) { m.version = 1 },
		"version 127":                func(m *message) { m.version = 127 },
		"an empty table":             func(m *message) { m.lookups[1].readonly = nil },
		"a table twice":              func(m *message) { m.lookups[1].table = m.lookups[0].table },
		"an index of a table twice":  func(m *message) { m.lookups[0].readonly = []byte{3} },
		"256 instructions": func(m *message) {
			m.lookups, m.instructions = nil, slices.Repeat([]instruction{{program: 4}}, 256)
		},
		"too large": func(m *message) {
			m.instructions[1].data = bytes.Repeat([]byte{9}, maxPacket-len(whole(m))+201)
		},
	} {
		m := sample(0)
		change(m)
		if _, err := parseTransaction(m.encode()); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if m.signers > 0 {
			if _, err := parseTransaction(whole(m)); err == nil {
				t.Errorf("%s: accepted behind signatures", name)
			}
		}
	}
	m := sample(0)
	m.instructions[1].data = bytes.Repeat([]byte{9}, maxPacket-len(whole(m))+200)
	if b := whole(m); len(b) != maxPacket {
		t.Fatalf("%d bytes", len(b))
	} else if _, err := parseTransaction(b); err != nil {
		t.Errorf("the largest: %v", err)
	}
	m.signers, m.readSigned = 1, 0
	other := append([]byte{2}, whole(m)[1:]...)
	other = append(other[:1+64:1+64], append(make([]byte, 64), m.encode()...)...)
	if _, err := parseTransaction(other); err == nil {
		t.Error("another number of signatures than signers: accepted")
	}
	if _, err := parseTransaction(append([]byte{0}, m.encode()...)); err == nil {
		t.Error("no signatures: accepted")
	}
}

// TestAmbiguous builds bytes that are a message and at once a transaction
// whose message is another one.
func TestAmbiguous(t *testing.T) {
	inner := &message{version: legacy, signers: 1, readUnsigned: 1, keys: []key{{0: 1, 31: 5}, {2}}, blockhash: key{3}}
	inner.instructions = []instruction{{program: 1}}
	b := append(make([]byte, 65), inner.encode()...)
	copy(b, []byte{1, 0, 1, 3, 9}) // header, three accounts, the first begins with 9
	b[132] = 1                     // one instruction, in the inner one's last byte of its second account
	copy(b[133:], []byte{1, 0, 33})
	if _, err := parseMessage(b); err != nil {
		t.Fatalf("the canary is no message: %v", err)
	}
	if _, err := parseWhole(b); err != nil {
		t.Fatalf("the canary is no transaction: %v", err)
	}
	if x, err := parseTransaction(b); err == nil {
		t.Errorf("taken for %+v", x.message)
	}
}

func TestSlots(t *testing.T) {
	m := sample(legacy)
	b := whole(m)
	other, own := bytes.Repeat([]byte{0xee}, 64), bytes.Repeat([]byte{0xaa}, 64)
	copy(b[1:], other)
	x, err := parseTransaction(b)
	if err != nil {
		t.Fatal(err)
	}
	at, err := x.slot(m.keys[1][:])
	if err != nil || at != 1 {
		t.Fatalf("slot %d, %v", at, err)
	}
	signed, err := x.signed(at, own)
	want := append(append(append([]byte{2}, other...), own...), m.encode()...)
	if err != nil || signed.Text != base64.StdEncoding.EncodeToString(want) || signed.ID != base58.Encode(other) {
		t.Errorf("%+v, %v", signed, err)
	}
	if signed, err := x.signed(at, own[:63]); err == nil {
		t.Errorf("a short signature gives %+v", signed)
	}
	if _, err := x.slot(m.keys[0][:]); err == nil {
		t.Error("a signature that is there is replaced")
	}
	for i := 2; i < 6; i++ {
		if _, err := x.slot(m.keys[i][:]); err == nil {
			t.Errorf("account %d signs", i)
		}
	}
	if _, err := x.slot(nil); err == nil {
		t.Error("nobody signs")
	}
	bare, err := parseTransaction(m.encode())
	if err != nil {
		t.Fatal(err)
	}
	if signed, err := bare.signed(1, own); err != nil || signed.ID != "" || !bytes.Equal(bare.assemble(1, own), append(append(append([]byte{2}, make([]byte, 64)...), own...), m.encode()...)) {
		t.Errorf("%+v, %v", signed, err)
	}
}

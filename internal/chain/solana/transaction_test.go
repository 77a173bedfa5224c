package solana

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/base58"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/test/memory"
)

// described is an entry of testdata/effects.json.
type described struct {
	Name        string          `json:"name"`
	Transaction string          `json:"transaction"`
	Refused     string          `json:"refused"`
	Effects     json.RawMessage `json:"effects"`
}

// published is an entry of testdata/transactions.json.
type published struct {
	ID         string `json:"id"`
	Unsigned   string `json:"unsigned_tx_base64"`
	SignBytes  string `json:"sign_bytes_hex"`
	Signed     string `json:"signed_tx"`
	Signatures []struct {
		Index   int    `json:"index"`
		Private string `json:"private_key_hex"`
	} `json:"signatures"`
}

// withOthers returns the unsigned transaction with the signatures whose keys
// the entry doesn't have.
func (v *published) withOthers(t testing.TB) string {
	t.Helper()
	unsigned, err := base64.StdEncoding.DecodeString(v.Unsigned)
	signed, err2 := base64.StdEncoding.DecodeString(v.Signed)
	if err != nil || err2 != nil || len(unsigned) != len(signed) {
		t.Fatalf("%s: %v, %v", v.ID, err, err2)
	}
	own := map[int]bool{}
	for _, s := range v.Signatures {
		own[s.Index] = true
	}
	for i := range int(unsigned[0]) {
		if at := 1 + signatureSize*i; !own[i] {
			copy(unsigned[at:at+signatureSize], signed[at:])
		}
	}
	return base64.StdEncoding.EncodeToString(unsigned)
}

func read[T any](t testing.TB, file string, least int) (list []T) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &list); err != nil || len(list) < least {
		t.Fatalf("%s: %d entries, %v", file, len(list), err)
	}
	return list
}

// TestEffects holds what published messages are said to do to what a reader
// found right; the wallet is their fee payer.
func TestEffects(t *testing.T) {
	n := Networks()[0]
	refused := 0
	for _, v := range read[described](t, "effects.json", 60) {
		b, err := base64.StdEncoding.DecodeString(v.Transaction)
		if err != nil {
			t.Fatal(err)
		}
		x, err := parseTransaction(b)
		var wallet []byte
		if err == nil {
			wallet = x.message.keys[0][:]
		}
		p, err := Codec{}.Transaction(&n, wallet, v.Transaction)
		if err != nil {
			refused++
			if v.Refused == "" || !strings.HasSuffix(err.Error(), v.Refused) {
				t.Errorf("%s: %v, want %q", v.Name, err, v.Refused)
			}
			continue
		}
		got, err := canon.EncodeJSON(p.Intent.Effects)
		if err != nil || string(got) != string(v.Effects) {
			t.Errorf("%s: %s, %v\nwant %s", v.Name, got, err, v.Effects)
		}
	}
	if refused < 10 {
		t.Errorf("%d refused", refused)
	}
}

// TestPublishedTransactions signs by every key that an entry has, one after
// the other, and must get the published transaction.
func TestPublishedTransactions(t *testing.T) {
	n := Networks()[0]
	for _, v := range read[published](t, "transactions.json", 52) {
		text := v.withOthers(t)
		for _, s := range v.Signatures {
			b, err := hex.DecodeString(s.Private)
			if err != nil {
				t.Fatal(err)
			}
			priv, pub := [32]byte(b), make([]byte, 32)
			if err := keys.Public(keys.Ed25519, &priv, pub); err != nil {
				t.Fatal(err)
			}
			p, err := Codec{}.Transaction(&n, pub, text)
			if err != nil {
				t.Fatalf("%s: %v", v.ID, err)
			}
			// The key of an account that becomes a nonce's is no wallet's after that.
			a, unruled := p.Intent.Effects.Unruled()
			becomes := slices.Contains([]string{"solana-0156", "solana-0157"}, v.ID) && a.To == base58.Encode(pub)
			if unruled != (becomes || slices.Contains([]string{"solana-0168", "solana-0169"}, v.ID)) {
				t.Errorf("%s: %+v", v.ID, a)
			}
			var raw [64]byte
			if err := keys.Sign(keys.Ed25519, &priv, pub, p.SignBytes, raw[:]); err != nil {
				t.Fatal(err)
			}
			signed, err := p.Assemble(raw[:])
			if err != nil || hex.EncodeToString(p.SignBytes) != v.SignBytes || p.Intent.Length != len(p.SignBytes) || !strings.HasPrefix(p.Intent.Format, "solana-") {
				t.Errorf("%s: %+v, %v", v.ID, p, err)
			}
			text = signed.Text
			if _, err := (Codec{}).Transaction(&n, pub, text); refusalCode(err) != chain.CodeInvalid {
				t.Errorf("%s: signed twice: %v", v.ID, err)
			}
		}
		if text != v.Signed {
			t.Errorf("%s: %s, want %s", v.ID, text, v.Signed)
		}
	}
}

func refusalCode(err error) string {
	var e *chain.RefusedError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestTransactionText(t *testing.T) {
	n := Networks()[0]
	b := compile(legacy, call{"system", "me:sw x:w", data(u(2), 7)}, call{"memo1", "", []byte("xx")}).encode()
	me, other := known("me"), known("x")
	text := base64.StdEncoding.EncodeToString(b)
	if _, err := (Codec{}).Transaction(&n, me[:], text); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(text, "=") {
		t.Fatal("the padding isn't tried")
	}
	unpadded := strings.TrimRight(text, "=")
	stray := unpadded[:len(unpadded)-1] + string(rune(unpadded[len(unpadded)-1]+1)) + "="
	for name, bad := range map[string]string{
		"empty": "", "hex": hex.EncodeToString(b), "base58": base58.Encode(b), "no padding": unpadded, "stray bits": stray, "a line break": text[:8] + "\n" + text[8:],
		"a space": text + " ", "URL alphabet": "-_-_", "too long": strings.Repeat("A", 1648), "cut": text[:len(text)-4],
	} {
		if _, err := (Codec{}).Transaction(&n, me[:], bad); refusalCode(err) != chain.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, pub := range [][]byte{other[:], systemProgram[:], nil} {
		if _, err := (Codec{}).Transaction(&n, pub, text); refusalCode(err) != chain.CodeInvalid {
			t.Errorf("%x signs: %v", pub, err)
		}
	}
	twice := compile(legacy, call{"budget", "", data(byte(2), u(1))}, call{"budget", "", data(byte(2), u(1))})
	if _, err := (Codec{}).Transaction(&n, me[:], base64.StdEncoding.EncodeToString(twice.encode())); refusalCode(err) != chain.CodeInvalid {
		t.Errorf("a limit twice: %v", err)
	}
	none := compile(legacy, call{"budget", "", data(byte(2), u(1))})
	if p, err := (Codec{}).Transaction(&n, me[:], base64.StdEncoding.EncodeToString(none.encode())); err != nil {
		t.Error(err)
	} else if _, unruled := p.Intent.Effects.Unruled(); !unruled {
		t.Error("what does nothing is allowed")
	}
}

// FuzzTransaction: what is taken encodes again to the same bytes, is a
// transaction among messages, is described within bounds, and whatever is
// taken of a message alone is taken behind free places for signatures.
func FuzzTransaction(f *testing.F) {
	for _, v := range read[described](f, "effects.json", 60) {
		b, err := base64.StdEncoding.DecodeString(v.Transaction)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, b := range samples(f) {
		f.Add(b)
	}
	for _, c := range understood() {
		f.Add(compile(legacy, c).encode())
	}
	n := Networks()[0]
	f.Fuzz(func(t *testing.T, b []byte) {
		text := base64.StdEncoding.EncodeToString(b)
		x, err := parseTransaction(b)
		if err != nil {
			if p, err := (Codec{}).Transaction(&n, make([]byte, 32), text); p != nil || refusalCode(err) != chain.CodeInvalid {
				t.Errorf("%x is prepared: %v", b, err)
			}
			return
		}
		if again := x.message.encode(); !bytes.Equal(again, x.signBytes) || !bytes.Equal(x.assemble(-1, nil), b) && !bytes.Equal(again, b) {
			t.Errorf("%x becomes %x", b, again)
		}
		if !isTransaction(b) || !isTransaction(x.signBytes) {
			t.Errorf("%x is signed as a message", b)
		}
		if !bytes.Equal(x.signBytes, b) || len(b) > maxPacket {
			return
		}
		pub := x.message.keys[x.message.signers-1]
		p, err := Codec{}.Transaction(&n, pub[:], text)
		if err != nil {
			return // a Compute Budget that validators don't take
		}
		if q, err := (Codec{}).Transaction(&n, pub[:], base64.StdEncoding.EncodeToString(x.assemble(-1, nil))); err != nil || !bytes.Equal(q.SignBytes, b) || !bytes.Equal(p.SignBytes, b) {
			t.Errorf("%x behind signatures: %v", b, err)
		}
		if calls := len(x.message.instructions); len(p.Intent.Effects.Actions) > calls {
			t.Errorf("%d instructions do %d things", calls, len(p.Intent.Effects.Actions))
		}
		for _, a := range p.Intent.Effects.Actions {
			if chain.Ruled(a.Kind) && strings.Contains(a.From+a.To+a.Spender+a.Asset+a.Account+a.Authority, "lookup:") {
				t.Errorf("%x: %+v", b, a)
			}
		}
	})
}

// TestAllocations bounds what a request can make the decoder allocate.
func TestAllocations(t *testing.T) {
	n := Networks()[0]
	me := known("me")
	many := func(c call) []byte {
		var calls []call
		for {
			calls = append(calls, c)
			if m := compile(legacy, calls...); len(whole(m)) > maxPacket || len(calls) > maxInstructions {
				return compile(legacy, calls[1:]...).encode()
			}
		}
	}
	inputs := map[string][]byte{
		"unknown calls": many(call{"who", "", nil}), "memos": many(call{"memo1", "", []byte("x")}), "empty memos": many(call{"memo1", "", nil}),
		"transfers": many(call{"system", "me:sw x:w", data(u(2), 7)}), "revocations": many(call{"token", "a:w me:s", data(byte(5))}),
		"garbage": bytes.Repeat([]byte{1}, maxPacket), "many instructions": append(compile(legacy, call{"who", "", nil}).encode()[:3+1+64+32], 0xff, 0xff, 3),
	}
	for name, b := range inputs {
		text := base64.StdEncoding.EncodeToString(b)
		memory.Bounded(t, name, len(b), func() { _, _ = Codec{}.Transaction(&n, me[:], text) })
	}
}

func BenchmarkTransaction(b *testing.B) {
	n := Networks()[0]
	me := known("me")
	memos := make([]call, 200)
	for i := range memos {
		memos[i] = call{"memo1", "", []byte("x")}
	}
	for name, m := range map[string]*message{
		"transfer":     compile(legacy, call{"system", "me:sw x:w", data(u(2), 7)}),
		"200 memos":    compile(legacy, memos...),
		"50 transfers": compile(legacy, slices.Repeat([]call{{"token", "a:w m: b:w me:s", data(byte(12), 5, byte(6))}}, 50)...),
	} {
		text := base64.StdEncoding.EncodeToString(m.encode())
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := (Codec{}).Transaction(&n, me[:], text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

var update = flag.Bool("update", false, "write testdata/instructions.json")

// TestRecordedInstructions keeps what the SDKs' tests are held to: each
// instruction that is understood, in a message of its own, with an account out
// of a table as well, and some that aren't.
func TestRecordedInstructions(t *testing.T) {
	var lines []string
	n := Networks()[0]
	me := known("me")
	record := func(name string, m *message) {
		v := struct {
			Name        string         `json:"name"`
			Transaction string         `json:"transaction"`
			Digest      string         `json:"intent_digest"`
			Effects     *chain.Effects `json:"effects"`
		}{Name: name, Transaction: base64.StdEncoding.EncodeToString(m.encode())}
		p, err := Codec{}.Transaction(&n, me[:], v.Transaction)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		digest, err := p.Intent.Digest()
		if err != nil {
			t.Fatal(err)
		}
		v.Digest, v.Effects = hex.EncodeToString(digest[:]), p.Intent.Effects
		b, err := canon.EncodeJSON(&v)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(b))
	}
	for _, name := range slices.Sorted(maps.Keys(understood())) {
		c := understood()[name]
		record(name, compile(legacy, c))
		m := compile(0, c)
		m.lookups = []lookup{{table: known("table"), writable: []byte{7, 8}}, {table: known("other table"), writable: []byte{255}, readonly: []byte{9}}}
		for i, a := range m.instructions[0].accounts {
			if int(a) >= m.signers {
				m.instructions[0].accounts[i] = byte(len(m.keys) + 2)
				break
			}
		}
		record(name+", of a table", m)
	}
	for _, name := range slices.Sorted(maps.Keys(strange())) {
		record(name, compile(legacy, strange()[name]))
	}
	for i, c := range fees() {
		record(fmt.Sprintf("fee %d, %s", i, c.name), compile(legacy, c.calls...))
	}
	file := "testdata/instructions.json"
	text := "[\n" + strings.Join(lines, ",\n") + "\n]\n"
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != text {
		t.Errorf("%s isn't what the decoder says (-update writes it): %v", file, err)
	}
}

package bitcoin

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/test/memory"
)

// seedPSBTs are published PSBTs and scenes in both versions.
func seedPSBTs(t testing.TB) [][]byte {
	var list []struct{ PSBT string }
	b, err := os.ReadFile("testdata/psbts.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for _, e := range list {
		if raw, err := base64.StdEncoding.DecodeString(e.PSBT); err == nil {
			out = append(out, raw)
		}
	}
	for _, kinds := range [][]scriptKind{{scriptP2WPKH}, {scriptP2TR, scriptOther}, allKinds} {
		s := newScene(t, kinds...)
		out = append(out, s.bytes(0), s.bytes(2))
	}
	return out
}

// FuzzPSBT: nothing panics; what parses encodes again to the same bytes; what
// is prepared for signing has an intent that adds up, and what is put together
// of it parses again.
func FuzzPSBT(f *testing.F) {
	for _, b := range seedPSBTs(f) {
		f.Add(b)
	}
	w := walletOf(f, bytes.Repeat([]byte{9}, 32))
	n := networkOf(f, "bitcoin")
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePSBT(b)
		if err != nil {
			return
		}
		if again := p.encode(len(b), func(int) []byte { return nil }); !bytes.Equal(again, b) {
			t.Fatalf("%x becomes %x", b, again)
		}
		if u, err := parseUnsigned(p.tx.unsigned()); err != nil || !bytes.Equal(u.unsigned(), p.tx.unsigned()) || u.size() != len(u.unsigned()) {
			t.Fatalf("%x: its transaction doesn't parse: %v", b, err)
		}
		prepared, err := n.Codec.(Codec).prepare(n, p, w)
		if err != nil {
			return
		}
		raw := make([]byte, 0, 65*len(prepared.Parts))
		for _, part := range prepared.Parts {
			raw = append(raw, bytes.Repeat([]byte{1}, part.Scheme.SignatureSize(keys.Secp256k1))...)
			raw[len(raw)-1] = 1
		}
		signed, err := prepared.Assemble(raw)
		if err != nil {
			t.Fatal(err)
		}
		after, err := chain.Base64(signed.PSBT)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsePSBT(after); err != nil {
			t.Fatalf("%x, signed, is %x: %v", b, after, err)
		}
		if signed.ID != "" {
			if _, ok := scanTx(unhex(t, signed.Text)); !ok {
				t.Fatalf("%x is put together as %s", b, signed.Text)
			}
		}
	})
}

// FuzzTransaction holds the scanner of whole transactions against the parser
// of unsigned ones.
func FuzzTransaction(f *testing.F) {
	s := newScene(f, scriptP2WPKH)
	f.Add(s.tx.unsigned())
	f.Add(s.whole[0])
	f.Add(unhex(f, "01000000000101db6b1b20aa0fd7b23880be2ecbd4a98130974cf4748fb66092ac4d3ceb1a5477010000001716001479091972186c449eb1ded22b78e40d009bdf0089feffffff02b8b4eb0b000000001976a914a457b684d7f0d539a46a45bbc043f35b59d0d96388ac0008af2f000000001976a914fd270b1ee6abcaea97fea7ad0402e8bd8ad6d77c88ac0100"+"92040000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, ok := scanTx(b)
		u, err := parseUnsigned(b)
		if err == nil {
			if !bytes.Equal(u.unsigned(), b) {
				t.Fatalf("%x becomes %x", b, u.unsigned())
			}
			if !ok && len(u.in) > 0 && len(u.out) > 0 {
				t.Fatalf("%x isn't recognised", b)
			}
		}
		if !ok {
			return
		}
		if _, ok := w.output(uint32(w.count)); ok {
			t.Fatal("there is an output behind the last")
		}
		for i := range uint32(min(w.count, 300)) {
			o, ok := w.output(i)
			if !ok || err == nil && len(u.in) > 0 && (o.value != u.out[i].value || !bytes.Equal(o.script, u.out[i].script)) {
				t.Fatalf("output %d of %x", i, b)
			}
		}
		if id := w.txid(); err == nil && len(u.in) > 0 && id != sha256d(b) {
			t.Fatalf("id of %x", b)
		}
	})
}

// FuzzAddress: an address has one script and one text, and each script has an
// address that means it.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH", "3JvL6Ymt8MVWiCNHC7oWU6nLeHNJKLZGLN", "BC1SW50QGDZ25J", "script:6a", "bc1pfeessrawgf", "1111111111111111111114oLvT2"} {
		f.Add(s)
	}
	c := networkOf(f, "bitcoin").Codec.(Codec)
	f.Fuzz(func(t *testing.T, text string) {
		if script, err := c.ParseAddress(text); err == nil {
			if again := c.address(script); again != text && again != strings.ToLower(text) {
				t.Fatalf("%q becomes %q", text, again)
			}
		}
		own := c.address([]byte(text))
		if script, err := c.ParseAddress(own); err != nil || string(script) != text {
			t.Fatalf("%x is %q, which is %x, %v", text, own, script, err)
		}
	})
}

// FuzzMessage: what isn't refused is no transaction, and its digest is that of
// its own bytes.
func FuzzMessage(f *testing.F) {
	s := newScene(f, scriptP2WPKH)
	for _, b := range [][]byte{nil, []byte("hello"), s.tx.unsigned(), s.bytes(0), []byte(s.text(2)), []byte(hex.EncodeToString(s.whole[0])), make([]byte, 182), make([]byte, 175)} {
		f.Add(b)
	}
	n := networkOf(f, "bitcoin")
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, format := range []string{"", chain.FormatBIP322P2TR, chain.FormatBIP137P2PKH} {
			p, err := n.Codec.Message(n, s.wallet.pub, &chain.Message{Message: hex.EncodeToString(b), Encoding: "hex", Format: format})
			if err != nil {
				continue
			}
			if len(p.SignBytes) != 32 || p.Intent.Length != len(b) || bytes.HasPrefix(b, []byte(magic)) {
				t.Fatalf("%x: %+v", b, p)
			}
			if u, err := parseUnsigned(b); err == nil && len(u.in) > 0 && len(u.out) > 0 && !slices.ContainsFunc(u.out, func(o txOut) bool { return o.value > maxMoney }) {
				t.Fatalf("%x is a transaction", b)
			}
		}
	})
}

// FuzzSignatureText: a text that reads as a message's signature is the one
// text of it.
func FuzzSignatureText(f *testing.F) {
	n, priv := networkOf(f, "bitcoin"), bytes.Repeat([]byte{5}, 32)
	pub := publicOf(f, priv)
	var prepared []*chain.Prepared
	for _, format := range []string{"", chain.FormatBIP322P2TR, chain.FormatBIP137P2WPKH} {
		p, err := n.Codec.Message(n, pub, &chain.Message{Message: "hello", Format: format})
		if err != nil {
			f.Fatal(err)
		}
		text, err := n.EncodeSignature(p, signParts(f, priv, p.Signatures()))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		prepared = append(prepared, p)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range prepared {
			raw, err := p.Text.DecodeSignature(text)
			if err != nil {
				continue
			}
			if again, err := p.Text.EncodeSignature(raw); err != nil || again != text {
				t.Fatalf("%q becomes %q, %v", text, again, err)
			}
		}
	})
}

// bombs are texts that say more than they hold, and such that are as large as
// they may be and make as much of it as they can.
func bombs(t testing.TB) map[string][]byte {
	s := newScene(t, scriptP2TR)
	s.in[0].remove([]byte{inPrevious})
	many := newBuilder(&tx{version: 2})
	for i := range 400 {
		many.tx.in = append(many.tx.in, txIn{txid: binary.BigEndian.AppendUint32(make([]byte, 28), uint32(i))})
		many.in = append(many.in, fieldList{{{inSpent}, (&txOut{1000, s.wallet.p2tr}).appendTo(nil)}})
	}
	many.tx.out, many.out = []txOut{{255_000, s.wallet.p2tr}}, []fieldList{nil}
	few := newBuilder(many.tx)
	few.tx = &tx{version: 2, in: many.tx.in[:maxOwn], out: many.tx.out}
	few.in, few.out = many.in[:maxOwn], many.out
	pay := newScene(t, scriptP2TR)
	for range 1000 {
		pay.tx.out = append(pay.tx.out, txOut{1, foreignScript})
		pay.out = append(pay.out, nil)
	}
	pay.tx.out[1].value -= 50_000
	burn := newScene(t, scriptP2TR)
	burn.addReturns(1600)
	legacy := newScene(t, slices.Repeat([]scriptKind{scriptP2PKH}, 150)...)
	fields := newScene(t, scriptP2TR)
	for i := range 250 {
		fields.in[0] = append(fields.in[0], [2][]byte{{0x80, byte(i)}, nil})
	}
	global := []byte(magic)
	for i := range 10_000 {
		global = append(global, 2, 0x80+byte(i>>8), byte(i), 0)
	}
	out := map[string][]byte{
		"inputs":          append([]byte(magic), 1, 0, 0xfd, 0x0a, 0, 2, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0, 0, 0),
		"counts":          slices.Concat([]byte(magic), []byte{1, 2, 4, 2, 0, 0, 0, 1, 4, 9}, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 5, 1, 0, 1, 0xfb, 4, 2, 0, 0, 0, 0}),
		"too many inputs": many.bytes(0), "many inputs": few.bytes(0), "many inputs, v2": few.bytes(2), "many outputs": pay.bytes(0), "many returns": burn.bytes(2),
		"many legacy inputs": legacy.bytes(0), "many fields": fields.bytes(0), "global fields": append(global, 0),
	}
	return out
}

// TestAllocations: whatever comes, what is allocated is at most 16 times what
// came and 64 KiB.
func TestAllocations(t *testing.T) {
	n := networkOf(t, "bitcoin")
	pub := publicOf(t, bytes.Repeat([]byte{9}, 32))
	_, _ = n.Codec.(Codec).AddressTypes(pub) // tables of constants
	all := bombs(t)
	for i, b := range seedPSBTs(t) {
		all["seed "+hex.EncodeToString([]byte{byte(i)})] = b
	}
	signed := 0
	for name, b := range all {
		text := base64.StdEncoding.EncodeToString(b)
		var p *chain.Prepared
		var err error
		memory.Bounded(t, name, len(text), func() { p, err = n.Codec.(chain.Transactor).Transaction(n, pub, text) })
		if err == nil {
			signed += len(p.Parts)
		}
		for _, m := range []string{text, string(b)} {
			memory.Bounded(t, name+" as a message", len(m), func() { _, _ = n.Codec.Message(n, pub, &chain.Message{Message: m}) })
		}
	}
	if signed < 2*maxOwn {
		t.Errorf("%d signatures: the large ones aren't signed", signed)
	}
}

// BenchmarkDecode decodes a PSBT of two inputs and two outputs and computes its
// two digests; previous transactions have one input and two outputs.
func BenchmarkDecode(b *testing.B) {
	for name, kind := range map[string]scriptKind{"P2WPKH": scriptP2WPKH, "P2TR": scriptP2TR} {
		s := newScene(b, kind, kind)
		n, text := networkOf(b, "bitcoin"), s.text(0)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := n.Codec.(chain.Transactor).Transaction(n, s.wallet.pub, text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

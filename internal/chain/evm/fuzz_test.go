package evm

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/test/memory"
)

// appendRLP is the plain encoder that the recogniser is held against.
func appendRLP(out []byte, short byte, content []byte) []byte {
	if len(content) < 56 {
		out = append(out, short+byte(len(content)))
	} else {
		out = append(out, short+55+2, byte(len(content)>>8), byte(len(content)))
	}
	return append(out, content...)
}

// FuzzLookalike: the recogniser doesn't panic, and whatever the fields hold, a
// list of a transaction's size with or without a type byte is recognised.
func FuzzLookalike(f *testing.F) {
	f.Add([]byte{1}, uint8(2), uint8(9))
	f.Add([]byte("\xeb\x80\x85\x04\xa8\x17\xc8\x00\x82\x52\x08"), uint8(0), uint8(6))
	f.Add([]byte{0x19, 1, 0xf9, 0xff, 0xff}, uint8(5), uint8(3))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, uint8(4), uint8(13))
	f.Fuzz(func(t *testing.T, data []byte, kind, fields uint8) {
		looksLikeTransaction(data)
		kind %= 0x80
		var list []byte
		for i := range int(fields % 20) {
			field := data[len(data)*i/20:]
			if kind == 0 && i == 3 {
				field = make([]byte, 20)
			}
			list = appendRLP(list, 0x80, field[:min(len(field), 100+i)])
		}
		tx := appendRLP(nil, 0xc0, list)
		want := fields%20 == 6 || fields%20 == 9
		if kind > 0 {
			tx = append([]byte{kind}, tx...)
			want = fields%20 >= 3 && kind != 0x19 && (kind <= 5 || !utf8.Valid(tx))
		}
		if got := looksLikeTransaction(tx); want && !got {
			t.Errorf("%x isn't recognised", tx)
		}
		if want && looksLikeTransaction(append(tx, 0)) {
			t.Errorf("%x: trailing bytes don't matter", tx)
		}
	})
}

// FuzzMessage: what isn't refused has the EIP-191 digest of its own bytes,
// however they are written.
func FuzzMessage(f *testing.F) {
	for _, s := range []string{"", "hello", "0x02c3010203", strings.Repeat("\x00", 32), "\x19\x01"} {
		f.Add([]byte(s))
	}
	n := Networks()[0]
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Codec{}.Message(&n, nil, &chain.Message{Message: hex.EncodeToString(b), Encoding: "hex"})
		if err != nil {
			return
		}
		if len(p.SignBytes) != 32 || p.Intent.Length != len(b) || p.Intent.Network != n.Slug || looksLikeTransaction(b) {
			t.Errorf("%x: %+v", b, p)
		}
		if utf8.Valid(b) {
			q, err := Codec{}.Message(&n, nil, &chain.Message{Message: string(b)})
			if err != nil || !bytes.Equal(p.SignBytes, q.SignBytes) || p.Intent != q.Intent {
				t.Errorf("%x: text and hex differ: %v", b, err)
			}
		}
	})
}

// FuzzSignatureText: decoding is the strict inverse of encoding.
func FuzzSignatureText(f *testing.F) {
	f.Add("0x" + strings.Repeat("ab", 64) + "1b")
	f.Fuzz(func(t *testing.T, s string) {
		raw, err := Codec{}.DecodeSignature(s)
		if err != nil {
			return
		}
		if again, err := (Codec{}).EncodeSignature(raw); err != nil || again != s {
			t.Errorf("%q becomes %q, %v", s, again, err)
		}
	})
}

// FuzzTransaction: what is taken encodes again to the same bytes, with and
// without a signature, is for the network, and is described; decoding takes
// memory in proportion.
// addCalls adds some of the published calls, and those of routers, and returns
// the key of the wallet that they call.
func addCalls(f *testing.F) []byte {
	type call struct {
		Name       string `json:"name"`
		PrivateKey string `json:"private_key_hex"`
		UnsignedTx string `json:"unsigned_tx"`
	}
	read := func(name string) (list []call) {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if err := json.Unmarshal(data, &list); err != nil {
			f.Fatal(err)
		}
		return list
	}
	list := slices.DeleteFunc(read("testdata/transactions.json"), func(v call) bool {
		return !slices.Contains([]string{"Multicall3 in Multicall3", "own executeBatch of lists", "own execute, mode batch", "Safe transaction, several calls", "Permit2 permit of several", "multicall in multicall"}, v.Name)
	})
	pub := make([]byte, keys.Secp256k1.PublicKeySize())
	for _, v := range append(read("testdata/routers.json"), list...) {
		raw, err := hex.DecodeString(v.UnsignedTx[2:])
		private, err2 := hex.DecodeString(v.PrivateKey)
		if err != nil || err2 != nil || keys.Public(keys.Secp256k1, (*[32]byte)(private), pub) != nil {
			f.Fatal(v.Name)
		}
		f.Add(raw)
	}
	return pub
}

func FuzzTransaction(f *testing.F) {
	n := Networks()[slices.IndexFunc(Networks(), func(n chain.Network) bool { return n.ChainID == 1 })]
	pub := addCalls(f)
	address := appendRLP(nil, 0x80, bytes.Repeat([]byte{0x11}, addressSize))
	zeros, one := []byte("\x80\x80\x80\x80\x80"), []byte{1}
	call := func(to []byte) []byte { return slices.Concat([]byte("\x01\x07\x02\x52"), to, []byte("\x80\x80")) }
	for _, large := range []struct {
		kind, before, item string
		n                  int
	}{
		{"\x01", string(call(address)), string(appendRLP(nil, 0xc0, append(address, 0xc0))), 680},
		{"\x01", string(call(address)), "\xc0", 16000},
		{"\x01", string(call(address)), "\x01", 16000},
		{"\x03", string(slices.Concat(one, call(address), []byte("\xc0\x01"))), "\x01", 16000},
		{"\x04", string(slices.Concat(one, call(address), []byte("\xc0"))), string(appendRLP(nil, 0xc0, slices.Concat(zeros[:1], address, zeros[:2], one, one))), 580},
		{"\x04", string(slices.Concat(one, call(address), []byte("\xc0"))), "\xc0", 16000},
	} {
		list := appendRLP(nil, 0xc0, bytes.Repeat([]byte(large.item), large.n))
		f.Add(append([]byte(large.kind), appendRLP(nil, 0xc0, append([]byte(large.before), list...))...))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		text := hexText(raw)
		var p *chain.Prepared
		var err error
		memory.Bounded(t, "transaction", len(raw), func() { p, err = Codec{}.Transaction(&n, pub, text) })
		if err != nil {
			if p != nil {
				t.Errorf("%x: refused and prepared", raw)
			}
			return
		}
		tx, fault := decode(raw)
		if fault != "" || !bytes.Equal(tx.unsigned(), raw) || tx.chainID != n.ChainID || !bytes.Equal(p.SignBytes, keccak(raw)) {
			t.Fatalf("%x: taken, but %s", raw, fault)
		}
		if e := p.Intent.Effects; len(e.Actions) == 0 || e.FeeMax == "" || e.Nonce == "" || p.Intent.Length != len(raw) {
			t.Errorf("%x: %+v", raw, p.Intent)
		}
		for i, a := range p.Intent.Effects.Actions {
			if a.Kind != chain.ActionProceeds {
				continue
			}
			if data, _, ok := p.Intent.Effects.Behind(i); !ok || len(data) < selectorSize || !bytes.Contains(raw, data) {
				t.Errorf("%x: a trade that nothing accepts: %+v", raw, a)
			}
		}
		if !looksLikeTransaction(raw) {
			t.Errorf("%x would be signed as a message too", raw)
		}
		signature := bytes.Repeat([]byte{0, 0xab}, 33)[:65]
		signature[64] = 1
		s, err := p.Assemble(signature)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := hex.DecodeString(s.Text[2:])
		if err != nil || !looksLikeTransaction(signed) || s.ID != hexText(keccak(signed)) {
			t.Errorf("%x assembles to %+v", raw, s)
		}
		if _, err := (Codec{}).Transaction(&n, pub, s.Text); err == nil {
			t.Errorf("%x: signed, it is taken again", raw)
		}
	})
}

package evm_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/keys"
)

// vector is an entry of testdata, in the shape of published test vectors.
type vector struct {
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	Family     string          `json:"family"`
	Kind       string          `json:"kind"`
	Network    string          `json:"network"`
	PrivateKey string          `json:"private_key_hex"`
	Address    string          `json:"address"`
	Message    json.RawMessage `json:"message"`
	MessageHex string          `json:"message_hex"`
	SignHash   string          `json:"sign_hash"`
	Signature  json.RawMessage `json:"signature"`
	Expect     string          `json:"expect"`
	Input      string          `json:"input"`
	Code       string          `json:"code"`
	UnsignedTx string          `json:"unsigned_tx"`
	SignedTx   string          `json:"signed_tx"`
	TxHash     string          `json:"tx_hash"`
	Actions    json.RawMessage `json:"actions"`
	Flags      []string        `json:"flags"`
	Intent     string          `json:"intent_digest"`
}

// shared is where published vectors lie beside a checkout that has them; what
// the project needs without them is in testdata.
const shared = "../../../../shared/vectors/"

func vectors(t testing.TB, file string) (list []vector) {
	t.Helper()
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) && strings.HasPrefix(file, shared) {
		t.Logf("%s isn't there; testdata alone is read", filepath.Base(file))
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var entries []json.RawMessage // of all families; each has its own fields
	if err := json.Unmarshal(b, &entries); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for _, e := range entries {
		var family struct{ Family string }
		if err := json.Unmarshal(e, &family); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if family.Family != "" && family.Family != evm.Family {
			continue
		}
		var v vector
		if err := json.Unmarshal(e, &v); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		list = append(list, v)
	}
	return list
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func key(t testing.TB, privateHex string) (*[32]byte, []byte) {
	t.Helper()
	priv, pub := [32]byte(unhex(t, privateHex)), make([]byte, 33)
	if err := keys.Public(keys.Secp256k1, &priv, pub); err != nil {
		t.Fatal(err)
	}
	return &priv, pub
}

func message(m *chain.Message) (*chain.Prepared, error) {
	return evm.Codec{}.Message(&evm.Networks()[0], nil, m)
}

func code(err error) string {
	var e *chain.RefusedError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestAddresses(t *testing.T) {
	slugs := map[string]bool{}
	for _, n := range evm.Networks() {
		for _, name := range append(n.Aliases, n.Slug) {
			slugs[name] = true
		}
	}
	ran, left := 0, map[string]int{}
	for _, v := range append(vectors(t, "testdata/addresses.json"), vectors(t, shared+"addresses.json")...) {
		// Some have addresses of another family as well.
		if !slugs[v.Network] || !strings.HasPrefix(v.Address, "0x") {
			left[v.Network]++
			continue
		}
		ran++
		_, pub := key(t, v.PrivateKey)
		if got, err := (evm.Codec{}).Address(pub); err != nil || got != v.Address {
			t.Errorf("%s: %s, %v; want %s", v.Network, got, err, v.Address)
		}
	}
	if ran < 16 {
		t.Errorf("only %d addresses", ran)
	}
	t.Logf("%d addresses compared; left out, since the network isn't of this registry: %d entries of %d networks", ran, sum(left), len(left))
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

func TestAddressRefuses(t *testing.T) {
	_, pub := key(t, strings.Repeat("01", 32))
	bad := append([]byte{}, pub...)
	bad[0] = 4
	for _, b := range [][]byte{nil, pub[:32], append(append([]byte{}, pub...), 0), bad, make([]byte, 33)} {
		if got, err := (evm.Codec{}).Address(b); err == nil {
			t.Errorf("%x: %s", b, got)
		}
	}
}

func TestMessages(t *testing.T) {
	ran := 0
	for _, v := range vectors(t, "testdata/messages.json") {
		if v.Expect == "reject" {
			continue
		}
		ran++
		requests := map[string]chain.Message{"hex": {Message: v.MessageHex, Encoding: "hex"}}
		if v.Message != nil {
			var text string
			if err := json.Unmarshal(v.Message, &text); err != nil {
				t.Fatal(err)
			}
			requests["text"] = chain.Message{Message: text}
		}
		for name, m := range requests {
			p, err := message(&m)
			if err != nil {
				t.Errorf("%s as %s: %v", v.ID, name, err)
				continue
			}
			if got := "0x" + hex.EncodeToString(p.SignBytes); got != v.SignHash {
				t.Errorf("%s as %s: digest %s, want %s", v.ID, name, got, v.SignHash)
			}
			priv, pub := key(t, v.PrivateKey)
			var raw [65]byte
			if err := keys.Sign(keys.Secp256k1, priv, pub, p.SignBytes, raw[:]); err != nil {
				t.Fatal(err)
			}
			text, err := evm.Codec{}.EncodeSignature(raw[:])
			if err != nil || `"`+text+`"` != string(v.Signature) {
				t.Errorf("%s as %s: signature %s, %v; want %s", v.ID, name, text, err, v.Signature)
			}
			if !evm.Networks()[0].Verify(pub, p, text) {
				t.Errorf("%s: own signature doesn't verify", v.ID)
			}
		}
	}
	t.Logf("%d messages signed", ran)
	if ran < 25 {
		t.Error("vectors are missing")
	}
}

// TestRefusals plays who wants a transaction, an authorisation, typed data or
// a user operation signed by calling it a message: as bytes and as hex text.
func TestRefusals(t *testing.T) {
	list := vectors(t, "testdata/messages.json")
	for _, v := range vectors(t, shared+"txs.json") {
		if v.Family == "evm" && v.Kind == "transaction" {
			list = append(list, vector{ID: v.ID, Expect: "reject", Input: v.UnsignedTx, Code: chain.CodeTransaction},
				vector{ID: v.ID, Expect: "reject", Input: v.SignedTx, Code: chain.CodeTransaction})
		}
	}
	ran := 0
	for _, v := range list {
		if v.Expect != "reject" {
			continue
		}
		ran++
		bare := strings.TrimPrefix(v.Input, "0x")
		requests := map[string]chain.Message{"hex": {Message: v.Input, Encoding: "hex"}}
		if v.Code == chain.CodeTransaction { // 64 digits of text are no digest
			requests["text"] = chain.Message{Message: v.Input}
			requests["bare text"] = chain.Message{Message: strings.ToUpper(bare)}
			requests["padded text"] = chain.Message{Message: " 0x" + bare + "\n"}
		}
		for name, m := range requests {
			if p, err := message(&m); p != nil || code(err) != v.Code {
				t.Errorf("%s %s as %s: %v, want %s", v.ID, v.Name, name, err, v.Code)
			}
		}
	}
	t.Logf("%d refused", ran)
}

// TestShortTextsAreNoTransactions: UTF-8 that has the shape of RLP.
func TestShortTextsAreNoTransactions(t *testing.T) {
	for _, text := range []string{"é", "ÅÅÅ", "Ё, hello world 12", "5Ё, hello world 12", "Öé 1234567890abcdefghi", "\u0100abcd"} {
		if _, err := message(&chain.Message{Message: text}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestOtherFormatsAreRefused(t *testing.T) {
	for _, m := range []chain.Message{
		{Message: "x", Format: chain.FormatOffchainV0}, {Message: "x", Format: "eip712"}, {Message: "x", ApplicationDomain: "1"},
		{Message: "x", ContentFormat: "ascii"}, {Message: "x", RequiredSignatories: []string{"1"}},
	} {
		if _, err := message(&m); code(err) != chain.CodeFormat {
			t.Errorf("%+v: %v", m, err)
		}
	}
}

func TestSignatureText(t *testing.T) {
	good := "0x" + strings.Repeat("ab", 64) + "1b"
	raw, err := evm.Codec{}.DecodeSignature(good)
	if err != nil || raw[64] != 0 {
		t.Fatalf("%x, %v", raw, err)
	}
	if again, err := (evm.Codec{}).EncodeSignature(raw); err != nil || again != good {
		t.Errorf("%s, %v", again, err)
	}
	for _, s := range []string{"", "0x", good[2:], "0X" + good[2:], strings.ToUpper(good), good + "00", good[:len(good)-2],
		good[:len(good)-2] + "00", good[:len(good)-2] + "01", good[:len(good)-2] + "1d", good[:len(good)-2] + "1a", " " + good, "0x0x" + good[2:]} {
		if _, err := (evm.Codec{}).DecodeSignature(s); err == nil {
			t.Errorf("%q accepted", s)
		}
	}
	for _, b := range [][]byte{nil, raw[:64], append(raw[:64:64], 2), append(raw[:64:64], 27), append(raw[:65:65], 0)} {
		if _, err := (evm.Codec{}).EncodeSignature(b); err == nil {
			t.Errorf("%x encoded", b)
		}
	}
}

func BenchmarkMessage(b *testing.B) {
	n := evm.Networks()[0]
	m := chain.Message{Message: "audit-log-2026-06"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Codec.Message(&n, nil, &m); err != nil {
			b.Fatal(err)
		}
	}
}

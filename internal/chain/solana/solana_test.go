package solana_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/base58"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/solana"
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
	Message    json.RawMessage `json:"message"` // text or offchain
	SignBytes  string          `json:"sign_bytes_hex"`
	Signature  string          `json:"signature"`
	Base58     string          `json:"signature_base58"`
	Signatures json.RawMessage `json:"signatures"`
	Envelope   string          `json:"envelope_hex"`
	Expect     string          `json:"expect"`
	Input      string          `json:"input"`
	Code       string          `json:"code"`
	UnsignedTx string          `json:"unsigned_tx_base64"`
	SignedTx   string          `json:"signed_tx"`
}

type offchain struct {
	Version             int             `json:"version"`
	ApplicationDomain   string          `json:"applicationDomain"`
	Content             json.RawMessage `json:"content"`
	RequiredSignatories []struct {
		Address string `json:"address"`
	} `json:"requiredSignatories"`
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
		var family struct{ Family, Network string }
		if err := json.Unmarshal(e, &family); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if family.Network != "solana" {
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
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func key(t testing.TB, privateHex string) (*[32]byte, []byte) {
	t.Helper()
	priv, pub := [32]byte(unhex(t, privateHex)), make([]byte, 32)
	if err := keys.Public(keys.Ed25519, &priv, pub); err != nil {
		t.Fatal(err)
	}
	return &priv, pub
}

func code(err error) string {
	var e *chain.RefusedError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// request writes a vector's message as a request has it.
func (v *vector) request(t *testing.T) *chain.Message {
	t.Helper()
	m := &chain.Message{}
	if v.Kind != "offchain-message" {
		if v.Kind == "offchain-message-v0-legacy-header" {
			m.Format = chain.FormatOffchainV0Legacy
		}
		if err := json.Unmarshal(v.Message, &m.Message); err != nil {
			t.Fatal(err)
		}
		return m
	}
	var o offchain
	if err := json.Unmarshal(v.Message, &o); err != nil {
		t.Fatal(err)
	}
	for _, s := range o.RequiredSignatories {
		m.RequiredSignatories = append(m.RequiredSignatories, s.Address)
	}
	if o.Version == 1 {
		m.Format = chain.FormatOffchainV1
		if err := json.Unmarshal(o.Content, &m.Message); err != nil {
			t.Fatal(err)
		}
		return m
	}
	var content struct {
		Format solana.ContentFormat
		Text   string
	}
	if err := json.Unmarshal(o.Content, &content); err != nil {
		t.Fatal(err)
	}
	m.Format, m.ApplicationDomain, m.Message, m.ContentFormat = chain.FormatOffchainV0, o.ApplicationDomain, content.Text, content.Format.String()
	return m
}

func TestAddresses(t *testing.T) {
	ran := 0
	for _, v := range append(append(vectors(t, "testdata/addresses.json"), vectors(t, shared+"addresses.json")...), vectors(t, "testdata/messages.json")...) {
		if v.Address == "" {
			continue
		}
		ran++
		_, pub := key(t, v.PrivateKey)
		if got, err := (solana.Codec{}).Address(pub); err != nil || got != v.Address {
			t.Errorf("%s, %v; want %s", got, err, v.Address)
		}
	}
	t.Logf("%d addresses compared", ran)
	for _, size := range []int{0, 31, 33, 64} {
		if got, err := (solana.Codec{}).Address(make([]byte, size)); err == nil {
			t.Errorf("%d bytes are %s", size, got)
		}
	}
}

func TestMessages(t *testing.T) {
	ran := map[string]int{}
	n := solana.Networks()[0]
	for _, v := range vectors(t, "testdata/messages.json") {
		if v.Expect == "reject" {
			continue
		}
		m := v.request(t)
		priv, pub := key(t, v.PrivateKey)
		p, err := n.Codec.Message(&n, pub, m)
		if err != nil {
			t.Errorf("%s: %v", v.ID, err)
			continue
		}
		if v.SignBytes != "" && hex.EncodeToString(p.SignBytes) != v.SignBytes {
			t.Errorf("%s: bytes %x, want %s", v.ID, p.SignBytes, v.SignBytes)
		}
		var raw [64]byte
		if err := keys.Sign(keys.Ed25519, priv, pub, p.SignBytes, raw[:]); err != nil {
			t.Fatal(err)
		}
		text, err := n.Codec.EncodeSignature(raw[:])
		if err != nil || hex.EncodeToString(raw[:]) != v.Signature || text != v.Base58 || !n.Verify(pub, p, text) {
			t.Errorf("%s: signature %s, %v; want %s", v.ID, text, err, v.Base58)
		}
		if v.Envelope != "" {
			checkEnvelope(t, &v, m.Format, p.SignBytes)
		}
		ran[v.Kind]++
	}
	t.Logf("signed: %v", ran)
	if ran["message-raw"] < 10 || ran["offchain-message"] < 15 || ran["offchain-message-v0-legacy-header"] < 5 {
		t.Error("vectors are missing")
	}
}

func checkEnvelope(t *testing.T, v *vector, layout string, signed []byte) {
	t.Helper()
	want := unhex(t, v.Envelope)
	signatures, message, o, err := solana.ParseEnvelope(layout, want)
	if err != nil || !bytes.Equal(message, signed) {
		t.Errorf("%s: envelope: %v", v.ID, err)
		return
	}
	if !slices.ContainsFunc(signatures, func(s []byte) bool { return hex.EncodeToString(s) == v.Signature }) {
		t.Errorf("%s: the signature isn't in the envelope", v.ID)
	}
	if again, err := solana.Envelope(signatures, message); err != nil || !bytes.Equal(again, want) {
		t.Errorf("%s: envelope becomes %x, %v", v.ID, again, err)
	}
	if again, err := o.Encode(); err != nil || !bytes.Equal(again, signed) {
		t.Errorf("%s: message becomes %x, %v", v.ID, again, err)
	}
}

// TestRefusals plays who wants a transaction or an off-chain message signed by
// calling it a message: as bytes and in every text form.
func TestRefusals(t *testing.T) {
	list := vectors(t, "testdata/messages.json")
	for _, v := range vectors(t, shared+"txs.json") {
		if v.Kind != "transaction" {
			continue
		}
		list = append(list, vector{ID: v.ID, Expect: "reject", Input: v.SignBytes, Code: chain.CodeTransaction})
		for _, tx := range []string{v.UnsignedTx, v.SignedTx} {
			b, err := base64.StdEncoding.DecodeString(tx)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, vector{ID: v.ID, Expect: "reject", Input: hex.EncodeToString(b), Code: chain.CodeTransaction})
		}
	}
	ran := 0
	n := solana.Networks()[0]
	for _, v := range list {
		if v.Expect != "reject" {
			continue
		}
		ran++
		b := unhex(t, v.Input)
		requests := map[string]chain.Message{
			"hex":    {Message: v.Input, Encoding: "hex"},
			"base64": {Message: base64.StdEncoding.EncodeToString(b), Encoding: "base64"},
		}
		if v.Code == chain.CodeTransaction && !bytes.HasPrefix(b, []byte("\xff")) && b[0] != 0x81 {
			requests["hex text"] = chain.Message{Message: v.Input}
			requests["base64 text"] = chain.Message{Message: base64.StdEncoding.EncodeToString(b)}
			requests["URL base64 text"] = chain.Message{Message: base64.RawURLEncoding.EncodeToString(b) + "\n"}
			requests["base58 text"] = chain.Message{Message: base58.Encode(b)}
		}
		for name, m := range requests {
			if p, err := n.Codec.Message(&n, nil, &m); p != nil || code(err) != v.Code {
				t.Errorf("%s %s as %s: %v, want %s", v.ID, v.Name, name, err, v.Code)
			}
		}
	}
	t.Logf("%d refused", ran)
	if ran < 15 {
		t.Error("vectors are missing")
	}
}

func TestRequests(t *testing.T) {
	_, pub := key(t, strings.Repeat("01", 32))
	own, err := solana.Codec{}.Address(pub)
	if err != nil {
		t.Fatal(err)
	}
	domain, system, alien := base58.Encode(bytes.Repeat([]byte{7}, 32)), strings.Repeat("1", 32), base58.Encode(bytes.Repeat([]byte{9}, 32))
	const v0, v1, legacy = chain.FormatOffchainV0, chain.FormatOffchainV1, chain.FormatOffchainV0Legacy
	long := strings.Repeat("x", 1300)
	var crowd []string
	for i := range 256 {
		crowd = append(crowd, base58.Encode(append(bytes.Repeat([]byte{5}, 31), byte(i))))
	}
	for _, c := range []struct {
		name string
		m    chain.Message
		code string
	}{
		{"raw", chain.Message{Message: "x"}, ""},
		{"raw with a domain", chain.Message{Message: "x", ApplicationDomain: domain}, chain.CodeArgument},
		{"raw with signatories", chain.Message{Message: "x", RequiredSignatories: []string{own}}, chain.CodeArgument},
		{"raw with a content format", chain.Message{Message: "x", ContentFormat: "ascii"}, chain.CodeArgument},
		{"unknown format", chain.Message{Message: "x", Format: "solana-offchain-v2"}, chain.CodeFormat},
		{"v0", chain.Message{Message: "x", Format: v0}, ""},
		{"v0 in full", chain.Message{Message: "x", Format: v0, ApplicationDomain: domain, RequiredSignatories: []string{alien, own, system}, ContentFormat: "utf8-long"}, ""},
		{"v0, empty", chain.Message{Format: v0}, chain.CodeEncoding},
		{"v0, not UTF-8", chain.Message{Message: "ff", Encoding: "hex", Format: v0}, chain.CodeEncoding},
		{"v0, long", chain.Message{Message: long, Format: v0}, ""},
		{"v0, too long for ASCII", chain.Message{Message: long, Format: v0, ContentFormat: "ascii"}, chain.CodeTooLarge},
		{"v0, too long for UTF-8", chain.Message{Message: long, Format: v0, ContentFormat: "utf8"}, chain.CodeTooLarge},
		{"v0, no ASCII", chain.Message{Message: "é", Format: v0, ContentFormat: "ascii"}, chain.CodeTooLarge},
		{"v0, control character", chain.Message{Message: "a\nb", Format: v0, ContentFormat: "ascii"}, chain.CodeTooLarge},
		{"v0, unknown content format", chain.Message{Message: "x", Format: v0, ContentFormat: "0"}, chain.CodeFormat},
		{"v0, short domain", chain.Message{Message: "x", Format: v0, ApplicationDomain: "abc"}, chain.CodeArgument},
		{"v0, domain of no base58", chain.Message{Message: "x", Format: v0, ApplicationDomain: strings.Repeat("0", 43)}, chain.CodeArgument},
		{"v0, without the wallet", chain.Message{Message: "x", Format: v0, RequiredSignatories: []string{alien}}, chain.CodeArgument},
		{"v0, signatory twice", chain.Message{Message: "x", Format: v0, RequiredSignatories: []string{own, own}}, chain.CodeArgument},
		{"v0, no address", chain.Message{Message: "x", Format: v0, RequiredSignatories: []string{own, "x"}}, chain.CodeArgument},
		{"v0, a crowd", chain.Message{Message: "x", Format: v0, RequiredSignatories: append(slices.Clone(crowd), own)}, chain.CodeArgument},
		{"v0, many", chain.Message{Message: "x", Format: v0, RequiredSignatories: append(slices.Clone(crowd[:254]), own)}, ""},
		{"v1", chain.Message{Message: "x", Format: v1}, ""},
		{"v1 with a domain", chain.Message{Message: "x", Format: v1, ApplicationDomain: domain}, chain.CodeArgument},
		{"v1 with a content format", chain.Message{Message: "x", Format: v1, ContentFormat: "utf8"}, chain.CodeArgument},
		{"v1, empty", chain.Message{Format: v1}, chain.CodeEncoding},
		{"v1, signatory twice", chain.Message{Message: "x", Format: v1, RequiredSignatories: []string{own, own}}, chain.CodeArgument},
		{"legacy", chain.Message{Message: "x", Format: legacy}, ""},
		{"legacy with a domain", chain.Message{Message: "x", Format: legacy, ApplicationDomain: domain}, chain.CodeArgument},
		{"legacy with signatories", chain.Message{Message: "x", Format: legacy, RequiredSignatories: []string{own}}, chain.CodeArgument},
		{"legacy, too long for ASCII", chain.Message{Message: long, Format: legacy, ContentFormat: "ascii"}, chain.CodeTooLarge},
		{"too large", chain.Message{Message: strings.Repeat("x", chain.MaxMessage+1)}, chain.CodeTooLarge},
		{"off-chain message as raw bytes", chain.Message{Message: hex.EncodeToString([]byte("\xffsolana offchain\x00")), Encoding: "hex"}, chain.CodeTransaction},
		{"high byte, text", chain.Message{Message: "é starts high"}, ""},
		{"32 words", chain.Message{Message: "exactly thirty-two letters, yes!"}, ""},
		{"digest", chain.Message{Message: strings.Repeat("a1", 32), Encoding: "hex"}, chain.CodeDigest},
	} {
		n := solana.Networks()[0]
		p, err := n.Codec.Message(&n, pub, &c.m)
		if code(err) != c.code || (p != nil) != (c.code == "") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	n := solana.Networks()[0]
	m := chain.Message{Message: "audit-log-2026-06"}
	sig := bytes.Repeat([]byte{0xab}, 64)
	b.Run("message", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := n.Codec.Message(&n, nil, &m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("signature", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := n.Codec.EncodeSignature(sig); err != nil {
				b.Fatal(err)
			}
		}
	})
}

package chain_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/bitcoin"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/chain/solana"
	"github.com/sigilkeys/sigil/internal/keys"
)

func refusal(err error) string {
	var e *chain.RefusedError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestRegistry(t *testing.T) {
	r, err := chain.NewRegistry(bitcoin.Networks(), evm.Networks(), solana.Networks())
	if err != nil {
		t.Fatal(err)
	}
	var slugs []string
	for _, n := range r.List() {
		slugs = append(slugs, n.Slug)
		found, ok := r.Lookup(n.Slug)
		if !ok || found.Slug != n.Slug || (n.Family == "evm") != (n.ChainID != 0) {
			t.Errorf("%s: found %v", n.Slug, found)
		}
	}
	if len(slugs) != len(bitcoin.Networks())+len(evm.Networks())+len(solana.Networks()) || len(slugs) < 90 {
		t.Errorf("networks %s", slugs)
	}
	for name, want := range map[string]string{"matic": "polygon", "XDAI": "gnosis", "base": "base", "solana-mainnet": "solana", "eth": ""} {
		if n, ok := r.Named(name); ok != (want != "") || ok && n.Slug != want {
			t.Errorf("%s is %v", name, n)
		}
		if _, ok := r.Lookup(name); ok != (name == "base") {
			t.Errorf("%s stands in requests: %v", name, ok)
		}
	}
	for _, slug := range []string{"", "Ethereum", "ethereum ", "eth", "evm:1"} {
		if _, ok := r.Lookup(slug); ok {
			t.Errorf("%q is known", slug)
		}
	}
}

func TestRegistryRefuses(t *testing.T) {
	good := evm.Networks()[0]
	change := func(f func(*chain.Network)) []chain.Network {
		n := good
		f(&n)
		return []chain.Network{good, n}
	}
	for name, list := range map[string][]chain.Network{
		"same slug":     {good, good},
		"same chain id": change(func(n *chain.Network) { n.Slug = "other" }),
		"no slug":       change(func(n *chain.Network) { n.Slug, n.ChainID = "", 2 }),
		"upper case":    change(func(n *chain.Network) { n.Slug, n.ChainID = "Other", 2 }),
		"long slug":     change(func(n *chain.Network) { n.Slug, n.ChainID = strings.Repeat("x", 33), 2 }),
		"no name":       change(func(n *chain.Network) { n.Slug, n.ChainID, n.Name = "other", 2, "" }),
		"no family":     change(func(n *chain.Network) { n.Slug, n.ChainID, n.Family = "other", 2, "" }),
		"no codec":      change(func(n *chain.Network) { n.Slug, n.ChainID, n.Codec = "other", 2, nil }),
		"incomparable":  change(func(n *chain.Network) { n.Slug, n.ChainID, n.Codec = "other", 2, incomparable{Codec: evm.Codec{}} }),
		"other's alias": change(func(n *chain.Network) { n.Slug, n.ChainID, n.Aliases = "other", 2, []string{"ethereum"} }),
		"alias twice":   change(func(n *chain.Network) { n.Slug, n.ChainID, n.Aliases = "other", 2, []string{"x", "x"} }),
		"valid nowhere": change(func(n *chain.Network) { n.Slug, n.ChainID, n.AlsoValidOn = "other", 2, "nowhere" }),
		"no curve":      change(func(n *chain.Network) { n.Slug, n.ChainID, n.Curve = "other", 2, 0 }),
	} {
		if _, err := chain.NewRegistry(list); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// incomparable is a codec that can't stand for its addresses.
type incomparable struct {
	chain.Codec
	_ []byte
}

// counting counts how often addresses are derived.
type counting struct {
	chain.Codec
	n *int
}

func (c counting) Address(pub []byte) (string, error) { *c.n++; return c.Codec.Address(pub) }

func TestAddresses(t *testing.T) {
	var n int
	list := evm.Networks()
	for i := range list {
		list[i].Codec = counting{list[i].Codec, &n}
	}
	r, err := chain.NewRegistry(list, solana.Networks())
	if err != nil {
		t.Fatal(err)
	}
	var priv [32]byte
	pub := make([]byte, 33)
	if err := keys.Generate(keys.Secp256k1, rand.NewChaCha8([32]byte{1}), &priv, pub); err != nil {
		t.Fatal(err)
	}
	of := func(c keys.Curve) ([]byte, bool) { return pub, c == keys.Secp256k1 }
	got, err := r.Addresses(of)
	want, _ := evm.Codec{}.Address(pub)
	listed := 0
	for _, n := range list {
		if n.AddressOf == "" {
			listed++
		}
	}
	if err != nil || len(got) != listed || listed < 15 || got["linea"] != "" || n != 1 || got["base"] != want || got["sepolia"] != want {
		t.Errorf("%v, %v; derived %d times", got, err, n)
	}
	pub = pub[:5]
	if got, err := r.Addresses(of); err == nil {
		t.Errorf("of half a key: %v", got)
	}
}

func TestMessageBytes(t *testing.T) {
	for _, c := range []struct {
		name, message, encoding, want, code string
	}{
		{"text", "é", "", "é", ""},
		{"utf8", "é", "utf8", "é", ""},
		{"empty", "", "", "", ""},
		{"hex", "0x6869", "hex", "hi", ""},
		{"bare hex", "6869", "hex", "hi", ""},
		{"base64", "aGk=", "base64", "hi", ""},
		{"largest", strings.Repeat("x", chain.MaxMessage), "", strings.Repeat("x", chain.MaxMessage), ""},
		{"too large", strings.Repeat("x", chain.MaxMessage+1), "", "", chain.CodeTooLarge},
		{"bad UTF-8", "\xff", "", "", chain.CodeEncoding},
		{"odd hex", "0x123", "hex", "", chain.CodeEncoding},
		{"no hex", "0xzz", "hex", "", chain.CodeEncoding},
		{"no padding", "aGk", "base64", "", chain.CodeEncoding},
		{"stray bits", "aGl=", "base64", "", chain.CodeEncoding},
		{"line break", "aG\nk=", "base64", "", chain.CodeEncoding},
		{"URL alphabet", "-_-_", "base64", "", chain.CodeEncoding},
		{"unknown", "hi", "UTF8", "", chain.CodeEncoding},
	} {
		m := chain.Message{Message: c.message, Encoding: c.encoding}
		b, err := m.Bytes()
		if string(b) != c.want || refusal(err) != c.code || (err == nil) != (c.code == "") {
			t.Errorf("%s: %.20q, %v", c.name, b, err)
		}
	}
}

func TestRefuseDigest(t *testing.T) {
	for _, text := range []string{"any other length passes", strings.Repeat("\xff", 31), strings.Repeat("\xff", 33), ""} {
		if err := chain.RefuseDigest([]byte(text)); err != nil {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
	for _, text := range []string{
		"exactly thirty-two letters, yes!", "0123456789abcdef0123456789abcdef", "0123456789ABCDEF0123456789ABCDEF",
		"Hello World this is 32 long, ok?", "THIS MESSAGE HAS THIRTY TWO CAPS",
		"日本語の文章です。十 1", "Привет мирный мир", "👩‍👩‍👧‍👦 family", "żółć gęślą jaźń, dwa 12",
	} {
		if err := chain.RefuseDigest([]byte(text)); len(text) != 32 || err != nil {
			t.Errorf("%q (%d bytes): %v", text, len(text), err)
		}
	}
	for _, digest := range []string{
		strings.Repeat("\x00", 32), strings.Repeat("\xff", 32), "exactly thirty-two letters, yes\x00", "exactly thirty-two letters, ye\x7fs",
		// Printable, as a hash can be made to be by trying.
		"k8#Vq~2!mZp^R0xW{tB}7Lc&Yd*Jf$Qh", "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1eF", "c3VwZXIgc2VjcmV0IGJhc2U2NCBkYXRh",
	} {
		if err := chain.RefuseDigest([]byte(digest)); len(digest) != 32 || refusal(err) != chain.CodeDigest {
			t.Errorf("%q (%d bytes): %v", digest, len(digest), err)
		}
	}
}

// TestDigestsAreNotGround plays who tries field values until a hash reads as
// text: the chance of one try, counted over the classes of ASCII bytes that
// RefuseDigest tells apart, must be out of reach. The canary shows that
// "printable" would not be.
func TestDigestsAreNotGround(t *testing.T) {
	plain, odd := 0, 0 // single bytes by how they count in lower-case text
	base := []byte(strings.Repeat("a", 27) + "#####")
	for c := range 0x80 {
		b := bytes.Clone(base)
		b[31] = byte(c)
		switch chain.RefuseDigest(b) {
		case nil:
			plain++ // four odd ones are left
		default:
			b = append([]byte(strings.Repeat("a", 31)), byte(c))
			if chain.RefuseDigest(b) == nil {
				odd++
			}
		}
	}
	if plain != 37 || plain+odd != 98 {
		t.Fatalf("%d plain and %d odd bytes", plain, odd)
	}
	// chance[n][k]: n random bytes are n bytes of such text with k odd ones.
	var chance [33][5]float64
	chance[0][0] = 1
	for n := 1; n <= 32; n++ {
		for k := range 5 {
			add := func(size, odd int, p float64) {
				if n >= size && k >= odd {
					chance[n][k] += p * chance[n-size][k-odd]
				}
			}
			add(1, 0, float64(plain)/(1<<8))
			add(1, 1, float64(odd)/(1<<8))
			add(2, 0, 192.0/(1<<16))          // accented letters
			add(3, 0, 2.0/(1<<24))            // joiner, selector
			add(4, 0, 0xb00*math.Pow(2, -32)) // emoji
		}
	}
	total := 0.0
	for _, c := range chance[32] {
		total += 2 * c // lower or upper case
	}
	if bits := -math.Log2(total); bits < 64 {
		t.Errorf("one hash in 2^%.1f reads as text", bits)
	}
	if printable := -32 * math.Log2(98.0/256); printable > 48 {
		t.Errorf("canary: one hash in 2^%.1f is printable", printable)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 200_000 { // printable ASCII alone, chosen at random
		b := make([]byte, 32)
		for i := range b {
			b[i] = byte(0x20 + random.IntN(95))
		}
		if chain.RefuseDigest(b) == nil {
			t.Fatalf("random printable bytes pass: %q", b)
		}
	}
}

func TestHexText(t *testing.T) {
	for _, c := range []struct {
		text  string
		least int
		want  string
		ok    bool
	}{
		{"0x6869", 2, "hi", true}, {"6869", 0, "hi", true}, {" 0X6869\n", 2, "hi", true}, {"6A6b", 2, "jk", true},
		{"6869", 3, "", false}, {"686", 1, "", false}, {"68zz", 1, "", false}, {"0x", 1, "", false}, {"", 0, "", true}, {"6@69", 1, "", false},
	} {
		b, ok := chain.HexText([]byte(c.text), c.least)
		if string(b) != c.want || ok != c.ok {
			t.Errorf("%q: %q, %v", c.text, b, ok)
		}
	}
}

func TestIntentDigest(t *testing.T) {
	n := evm.Networks()[0]
	i := chain.MessageIntent(&n, "eip191", []byte("hi"))
	d, err := i.Digest()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[[32]byte]bool{d: true}
	for _, other := range []chain.Intent{
		chain.MessageIntent(&n, "eip191", []byte("ho")),
		chain.MessageIntent(&n, "solana-raw", []byte("hi")),
		chain.MessageIntent(&chain.Network{Slug: "base"}, "eip191", []byte("hi")),
	} {
		d, err := other.Digest()
		if err != nil || seen[d] {
			t.Errorf("%+v: %x, %v", other, d, err)
		}
		seen[d] = true
	}
}

// TestVerifyBindsKeyAndMessage: only the very message under the very key.
func TestVerifyBindsKeyAndMessage(t *testing.T) {
	for _, n := range append(evm.Networks()[:1], solana.Networks()...) {
		var priv [32]byte
		pub, raw := make([]byte, n.Curve.PublicKeySize()), make([]byte, n.Curve.SignatureSize())
		other := make([]byte, len(pub))
		random := rand.NewChaCha8([32]byte{1})
		if err := errors.Join(keys.Generate(n.Curve, random, &priv, other), keys.Generate(n.Curve, random, &priv, pub)); err != nil {
			t.Fatal(err)
		}
		p, err := n.Codec.Message(&n, pub, &chain.Message{Message: "hello"})
		if err != nil {
			t.Fatal(err)
		}
		q, err := n.Codec.Message(&n, pub, &chain.Message{Message: "hello!"})
		if err != nil {
			t.Fatal(err)
		}
		if err := keys.Sign(n.Curve, &priv, pub, p.SignBytes, raw); err != nil {
			t.Fatal(err)
		}
		text, err := n.Codec.EncodeSignature(raw)
		if err != nil || !n.Verify(pub, p, text) {
			t.Fatalf("%s: own signature %s refused: %v", n.Slug, text, err)
		}
		if n.Verify(other, p, text) || n.Verify(pub, q, text) || n.Verify(pub, p, text+"1") || n.Verify(pub, p, "") || n.Verify(nil, p, text) {
			t.Errorf("%s: a signature verifies that shouldn't", n.Slug)
		}
	}
}

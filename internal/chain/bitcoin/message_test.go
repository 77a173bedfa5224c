package bitcoin

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	decred "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/sigilkeys/sigil/internal/base58"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
)

// fromWIF reads a compressed private key of the main network.
func fromWIF(t testing.TB, text string) []byte {
	t.Helper()
	b, err := base58.Decode(text, 1+32+1+4)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256d(b[:34]); b[0] != 0x80 || b[33] != 1 || !bytes.Equal(sum[:4], b[34:]) {
		t.Fatalf("%s is no compressed key", text)
	}
	return b[1:33]
}

func refusal(err error) string {
	var e *chain.RefusedError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

type bip322Case struct {
	Message, Address, Type string
	Private                []string `json:"private_keys"`
	Signatures             []string `json:"bip322_signatures"`
	Signature              string
	Description            string
}

// TestBIP322Hashes has the published hashes of messages and transactions.
func TestBIP322Hashes(t *testing.T) {
	var file struct {
		Hashes []map[string]string `json:"tx_hashes"`
	}
	readJSON(t, "bip-0322-basic.json", &file)
	c := networkOf(t, "bitcoin").Codec.(Codec)
	for _, e := range file.Hashes {
		script, err := c.ParseAddress(e["address"])
		if err != nil {
			t.Fatal(err)
		}
		sign := toSign([]byte(e["message"]), script)
		id := sha256d(sign.unsigned())
		hash := tagged("BIP0322-signed-message", []byte(e["message"]))
		if got := txidText(sign.in[0].txid); got != e["to_spend_tx_hash"] {
			t.Errorf("%q: to_spend is %s", e["message"], got)
		}
		if txidText(id[:]) != e["to_sign_tx_hash"] || hex.EncodeToString(hash[:]) != e["message_hash"] {
			t.Errorf("%q: to_sign is %s, hash %x", e["message"], txidText(id[:]), hash)
		}
	}
	if len(file.Hashes) != 3 {
		t.Errorf("%d cases", len(file.Hashes))
	}
}

// TestBIP322Simple signs the published messages of single keys. One of the
// signatures of a message is made as here; those with low R or a Taproot key
// (whose aux isn't known) are read and verified. The prefix "smp" that newer
// texts have is no part of the signature.
func TestBIP322Simple(t *testing.T) {
	made, verified, left := 0, 0, 0
	for _, name := range []string{"bip-0322-basic.json", "bip-0322-generated.json"} {
		var file struct{ Simple []bip322Case }
		readJSON(t, name, &file)
		for _, e := range file.Simple {
			format := map[string]string{"p2wpkh": chain.FormatBIP322P2WPKH, "p2tr": chain.FormatBIP322P2TR}[e.Type]
			if format == "" {
				left++
				continue
			}
			n, priv := networkOf(t, "bitcoin"), fromWIF(t, e.Private[0])
			pub := publicOf(t, priv)
			p, err := n.Codec.Message(n, pub, &chain.Message{Message: e.Message, Format: format})
			if err != nil {
				t.Errorf("%q: %v", e.Message, err)
				continue
			}
			text, err := n.EncodeSignature(p, signParts(t, priv, p.Parts))
			if err != nil || !n.Verify(pub, p, text) {
				t.Errorf("%q: own signature %s, %v", e.Message, text, err)
			}
			wanted := false
			for _, s := range e.Signatures {
				s = strings.TrimPrefix(s, "smp")
				wanted = wanted || s == text
				if !n.Verify(pub, p, s) {
					t.Errorf("%q: %s doesn't verify", e.Message, s)
				}
				verified++
			}
			if e.Type == "p2wpkh" {
				made++
				if !wanted {
					t.Errorf("%q: made %s", e.Message, text)
				}
			}
		}
	}
	t.Logf("%d published signatures verified, of which %d made as well; %d of scripts left out", verified, made, left)
	if made != 3 || verified != 7 || left != 3 {
		t.Errorf("made %d, verified %d, left out %d", made, verified, left)
	}
}

// TestBIP322Errors: none of the published bad signatures verifies.
func TestBIP322Errors(t *testing.T) {
	ran := 0
	for _, name := range []string{"bip-0322-basic.json", "bip-0322-generated.json"} {
		var file struct {
			Simple []bip322Case
			Error  []json.RawMessage
		}
		readJSON(t, name, &file)
		var pubs [][]byte
		for _, e := range file.Simple {
			pubs = append(pubs, publicOf(t, fromWIF(t, e.Private[0])))
		}
		for _, raw := range file.Error {
			var e bip322Case
			if err := json.Unmarshal(raw, &e); err != nil {
				t.Fatal(err)
			}
			n := networkOf(t, "bitcoin")
			for _, pub := range pubs {
				for _, format := range []string{chain.FormatBIP322P2WPKH, chain.FormatBIP322P2TR} {
					types, _ := n.Codec.(Codec).AddressTypes(pub)
					if types[strings.TrimPrefix(format, "bip322-")] != e.Address {
						continue
					}
					p, err := n.Codec.Message(n, pub, &chain.Message{Message: e.Message, Format: format})
					if err != nil {
						t.Fatal(err)
					}
					ran++
					for _, s := range []string{e.Signature, strings.TrimPrefix(e.Signature, "smp")} {
						if n.Verify(pub, p, s) {
							t.Errorf("%s: verifies", e.Description)
						}
					}
				}
			}
		}
	}
	t.Logf("%d bad signatures of the keys' own addresses", ran)
	if ran < 5 {
		t.Errorf("%d cases", ran)
	}
}

// TestBIP137 holds the signatures against another library's compact ones,
// whose header is that of P2PKH.
func TestBIP137(t *testing.T) {
	n := networkOf(t, "bitcoin")
	for i := range 20 {
		priv := bytes.Repeat([]byte{byte(i + 1)}, 32)
		pub := publicOf(t, priv)
		text := strings.Repeat("long ", 60*(i%2)) + "message"
		digest := bip137Digest([]byte(text))
		compact := decred.SignCompact(secp256k1.PrivKeyFromBytes(priv), digest[:], true)
		for format, header := range map[string]byte{chain.FormatBIP137P2PKH: 31, chain.FormatBIP137P2SH: 35, chain.FormatBIP137P2WPKH: 39} {
			p, err := n.Codec.Message(n, pub, &chain.Message{Message: text, Format: format})
			if err != nil {
				t.Fatal(err)
			}
			got, err := n.EncodeSignature(p, signParts(t, priv, p.Signatures()))
			want := slices.Concat([]byte{compact[0] - 31 + header}, compact[1:])
			if err != nil || got != base64.StdEncoding.EncodeToString(want) || !n.Verify(pub, p, got) || p.Intent.Format != format {
				t.Errorf("%s: %s, %v; want %x", format, got, err, want)
			}
			for _, h := range []byte{0, header - 4, header + 2, header + 4, 255} {
				bad := base64.StdEncoding.EncodeToString(slices.Concat([]byte{h}, want[1:]))
				if n.Verify(pub, p, bad) {
					t.Errorf("%s: header %d verifies", format, h)
				}
			}
		}
	}
	// The digest of an empty message, as many wallets have it.
	if got := bip137Digest(nil); hex.EncodeToString(got[:]) != "80e795d4a4caadd7047af389d9f7f220562feb6196032e2131e10563352c4bcc" {
		t.Errorf("%x", got)
	}
}

func TestMessageRefuses(t *testing.T) {
	n := networkOf(t, "bitcoin")
	pub := publicOf(t, bytes.Repeat([]byte{3}, 32))
	var list []publishedTx
	readJSON(t, "transactions.json", &list)
	u, err := parseUnsigned(unhex(t, list[0].Unsigned))
	if err != nil {
		t.Fatal(err)
	}
	psbt := newBuilder(u).bytes(2)
	cases := map[string]struct {
		m    chain.Message
		code string
	}{
		"format":        {chain.Message{Message: "x", Format: "bip322"}, chain.CodeFormat},
		"Solana's":      {chain.Message{Message: "x", Format: chain.FormatOffchainV0}, chain.CodeFormat},
		"domain":        {chain.Message{Message: "x", ApplicationDomain: "1"}, chain.CodeFormat},
		"signatories":   {chain.Message{Message: "x", RequiredSignatories: []string{"1"}}, chain.CodeFormat},
		"encoding":      {chain.Message{Message: "x", Encoding: "hex"}, chain.CodeEncoding},
		"digest":        {chain.Message{Message: strings.Repeat("ab", 32), Encoding: "hex"}, chain.CodeDigest},
		"PSBT":          {chain.Message{Message: hex.EncodeToString(psbt), Encoding: "hex"}, chain.CodeTransaction},
		"PSBT's text":   {chain.Message{Message: base64.StdEncoding.EncodeToString(psbt)}, chain.CodeTransaction},
		"PSBT's hex":    {chain.Message{Message: hex.EncodeToString(psbt)}, chain.CodeTransaction},
		"PSBT of v9":    {chain.Message{Message: magic + "\x01", Encoding: ""}, chain.CodeEncoding},
		"unsigned":      {chain.Message{Message: list[0].Unsigned, Encoding: "hex"}, chain.CodeTransaction},
		"signed":        {chain.Message{Message: list[0].SignedTx, Encoding: "hex"}, chain.CodeTransaction},
		"signed, hex":   {chain.Message{Message: " 0x" + list[0].SignedTx + "\n"}, chain.CodeTransaction},
		"BIP-143":       {chain.Message{Message: hex.EncodeToString(append([]byte{2}, make([]byte, 181)...)), Encoding: "hex"}, chain.CodeTransaction},
		"BIP-341":       {chain.Message{Message: hex.EncodeToString(make([]byte, 175)), Encoding: "hex"}, chain.CodeTransaction},
		"not base64":    {chain.Message{Message: base64.StdEncoding.EncodeToString(psbt) + "!"}, ""},
		"words":         {chain.Message{Message: "psbt and a transaction"}, ""},
		"nothing":       {chain.Message{}, ""},
		"any bytes":     {chain.Message{Message: "00ff", Encoding: "hex"}, ""},
		"text of 182":   {chain.Message{Message: strings.Repeat("a", 182)}, ""},
		"long sentence": {chain.Message{Message: strings.Repeat("pay to nobody ", 400)}, ""},
	}
	for name, c := range cases {
		for _, format := range []string{"", chain.FormatBIP322P2TR, chain.FormatBIP137P2PKH} {
			m := c.m
			if m.Format == "" {
				m.Format = format
			}
			p, err := n.Codec.Message(n, pub, &m)
			if refusal(err) != c.code || (err == nil) != (c.code == "") {
				t.Errorf("%s as %q: %+v, %v", name, format, p, err)
			}
		}
	}
}

// TestMessageText: a signature has one text, and each text is of one format.
func TestMessageText(t *testing.T) {
	n, priv := networkOf(t, "bitcoin"), bytes.Repeat([]byte{5}, 32)
	pub := publicOf(t, priv)
	formats := []string{"", chain.FormatBIP322P2TR, chain.FormatBIP137P2PKH, chain.FormatBIP137P2SH, chain.FormatBIP137P2WPKH}
	texts, prepared := map[string]string{}, map[string]*chain.Prepared{}
	for _, f := range formats {
		p, err := n.Codec.Message(n, pub, &chain.Message{Message: "hello", Format: f})
		if err != nil {
			t.Fatal(err)
		}
		raw := signParts(t, priv, p.Signatures())
		text, err := n.EncodeSignature(p, raw)
		if err != nil {
			t.Fatal(err)
		}
		texts[f], prepared[f] = text, p
		if got, err := p.Text.DecodeSignature(text); err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%s: %x, %v", f, got, err)
		}
		for i := range text {
			bad := []byte(text)
			bad[i] ^= 1
			if n.Verify(pub, p, string(bad)) {
				t.Errorf("%s: character %d doesn't matter", f, i)
			}
		}
		for _, size := range []int{0, 63, 66} {
			if text, err := n.EncodeSignature(p, make([]byte, size)); err == nil {
				t.Errorf("%s: %d bytes are %s", f, size, text)
			}
		}
		if s, err := n.Assemble(p, text); err != nil || s.Text != "" {
			t.Errorf("%s: assembled %v, %v", f, s, err)
		}
	}
	for _, f := range formats {
		for _, g := range formats {
			if f != g && n.Verify(pub, prepared[f], texts[g]) {
				t.Errorf("a signature of %q is one of %q", g, f)
			}
		}
	}
	// High S says the same and isn't made.
	p := prepared[""]
	raw, err := p.Text.DecodeSignature(texts[""])
	if err != nil {
		t.Fatal(err)
	}
	var s secp256k1.ModNScalar
	s.SetByteSlice(raw[32:64])
	s.Negate().PutBytesUnchecked(raw[32:64])
	raw[64] ^= 1
	if text, err := p.Text.EncodeSignature(raw); err != nil || n.Verify(pub, p, text) {
		t.Errorf("high S verifies: %v", err)
	}
	if keys.Verify(keys.Secp256k1, pub, p.SignBytes, raw) {
		t.Error("high S verifies")
	}
}

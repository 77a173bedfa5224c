package solana

import (
	"bytes"
	"encoding/hex"
	"testing"
	"unicode/utf8"

	"github.com/sigilkeys/sigil/internal/chain"
)

// FuzzLookalike: the recogniser doesn't panic, and every message built from
// the parts is recognised, alone and behind signatures.
func FuzzLookalike(f *testing.F) {
	f.Add([]byte{1, 0, 1, 3}, uint8(1), uint8(3), uint8(2), false)
	f.Add([]byte("any data"), uint8(2), uint8(130), uint8(0), true)
	f.Fuzz(func(t *testing.T, data []byte, signers, accounts, instructions uint8, versioned bool) {
		isTransaction(data)
		isTransactionText(data)
		signers = signers%16 + 1
		accounts = max(accounts, signers)
		msg := []byte{signers, 0, accounts - signers}
		if versioned {
			msg = append([]byte{0x80}, msg...)
		}
		msg = appendCompact(msg, int(accounts))
		msg = append(msg, bytes.Repeat([]byte{byte(len(data))}, 32*int(accounts)+32)...)
		msg = appendCompact(msg, int(instructions%8))
		for i := range instructions % 8 {
			msg = appendCompact(append(msg, i), 2)
			msg = append(appendCompact(append(msg, 0, 1), len(data)), data...)
		}
		if versioned {
			msg = append(msg, 0)
		}
		tx := append(appendCompact(nil, int(signers)), bytes.Repeat([]byte{0xee}, 64*int(signers))...)
		for _, b := range [][]byte{msg, append(tx, msg...), append([]byte{0}, msg...)} {
			if len(data) < 1<<14 && !isTransaction(b) {
				t.Errorf("%x isn't recognised", b)
			}
		}
	})
}

// FuzzParseOffchain: parsing is the strict inverse of encoding, and no bytes
// are a message in both layouts of version 0.
func FuzzParseOffchain(f *testing.F) {
	layouts := []string{chain.FormatOffchainV0, chain.FormatOffchainV0Legacy, chain.FormatOffchainV1}
	for _, layout := range layouts {
		o := &Offchain{Layout: layout, Text: []byte("hello")}
		if layout != chain.FormatOffchainV0Legacy {
			o.Signatories = [][]byte{bytes.Repeat([]byte{0x81}, 32), bytes.Repeat([]byte{0x82}, 32)}
		}
		b, err := o.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, layout := range layouts {
			o, err := ParseOffchain(layout, b)
			if err != nil {
				continue
			}
			if again, err := o.Encode(); err != nil || !bytes.Equal(again, b) {
				t.Errorf("%s: %x becomes %x, %v", layout, b, again, err)
			}
			if !utf8.Valid(o.Text) || len(o.Text) == 0 {
				t.Errorf("%s: text %q", layout, o.Text)
			}
			if refuseBlind(b) == nil {
				t.Errorf("%x is signed as raw bytes", b)
			}
		}
	})
}

// FuzzParseEnvelope: parsing is the strict inverse of writing.
func FuzzParseEnvelope(f *testing.F) {
	o := &Offchain{Layout: chain.FormatOffchainV0Legacy, Text: []byte("hello")}
	b, err := o.Encode()
	if err != nil {
		f.Fatal(err)
	}
	envelope, err := Envelope([][]byte{make([]byte, 64)}, b)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(envelope)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, layout := range []string{chain.FormatOffchainV0, chain.FormatOffchainV0Legacy, chain.FormatOffchainV1} {
			signatures, message, _, err := ParseEnvelope(layout, b)
			if err != nil {
				continue
			}
			if again, err := Envelope(signatures, message); err != nil || !bytes.Equal(again, b) {
				t.Errorf("%s: %x becomes %x, %v", layout, b, again, err)
			}
		}
	})
}

// FuzzMessage: a raw message that isn't refused is signed as it is, and is
// neither a transaction nor an off-chain message.
func FuzzMessage(f *testing.F) {
	for _, s := range []string{"", "hello", "\x80\x01", signingDomain, "é"} {
		f.Add([]byte(s))
	}
	n := Networks()[0]
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Codec{}.Message(&n, nil, &chain.Message{Message: hex.EncodeToString(b), Encoding: "hex"})
		if err != nil {
			return
		}
		if !bytes.Equal(p.SignBytes, b) || p.Intent.Length != len(b) || isTransaction(b) || bytes.HasPrefix(b, []byte(signingDomain)) {
			t.Errorf("%x: %+v", b, p)
		}
	})
}

func TestParseOffchainRefuses(t *testing.T) {
	own := bytes.Repeat([]byte{0x81}, 32)
	good := &Offchain{Layout: chain.FormatOffchainV0, Signatories: [][]byte{own}, Text: []byte("hello")}
	b, err := good.Encode()
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, to byte) []byte {
		c := bytes.Clone(b)
		c[at] = to
		return c
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "other domain": change(1, 'S'), "version 1": change(16, 1), "version 2": change(16, 2), "format 3": change(49, 3),
		"no signer": change(50, 0), "two signers": change(50, 2), "length": change(83, 4), "trailing": append(bytes.Clone(b), 'x'),
		"cut": b[:len(b)-1], "not UTF-8": change(85, 0xff), "not ASCII": change(85, '\n'),
	} {
		if o, err := ParseOffchain(chain.FormatOffchainV0, bad); err == nil {
			t.Errorf("%s: %+v", name, o)
		}
	}
	for _, layout := range []string{chain.FormatOffchainV0Legacy, chain.FormatOffchainV1, "", "v0"} {
		if o, err := ParseOffchain(layout, b); err == nil {
			t.Errorf("as %q: %+v", layout, o)
		}
	}
	for name, o := range map[string]*Offchain{
		"descending": {Layout: chain.FormatOffchainV1, Signatories: [][]byte{bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{1}, 32)}, Text: []byte("x")},
		"twice":      {Layout: chain.FormatOffchainV1, Signatories: [][]byte{own, own}, Text: []byte("x")},
		"twice, v0":  {Layout: chain.FormatOffchainV0, Signatories: [][]byte{own, own}, Text: []byte("x")},
		"short key":  {Layout: chain.FormatOffchainV0, Signatories: [][]byte{own[:31]}, Text: []byte("x")},
		"no layout":  {Signatories: [][]byte{own}, Text: []byte("x")},
		"no text":    {Layout: chain.FormatOffchainV1, Signatories: [][]byte{own}},
	} {
		if b, err := o.Encode(); err == nil {
			t.Errorf("%s: %x", name, b)
		}
	}
}

// TestLayoutsAreNotConfused plays a caller whose text makes a message of one
// layout of version 0 read as one of the other.
func TestLayoutsAreNotConfused(t *testing.T) {
	// Read as v0 this has the application domain 00 5d 00 61…, and a
	// signatory of 32 letters.
	text := []byte(string(bytes.Repeat([]byte("a"), 29)) + "\x00\x01" + string(bytes.Repeat([]byte("k"), 32)) + "\x01\x00!")
	o := &Offchain{Layout: chain.FormatOffchainV0Legacy, Content: UTF8, Text: text}
	b, err := o.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseOffchain(chain.FormatOffchainV0, b); err != nil {
		t.Fatalf("the canary isn't ambiguous: %v", err)
	}
	_, err = Codec{}.Message(&Networks()[0], make([]byte, 32), &chain.Message{Message: string(text), Format: chain.FormatOffchainV0Legacy})
	if err == nil {
		t.Error("signed")
	}
}

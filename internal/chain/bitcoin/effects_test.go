package bitcoin

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
)

func TestFlags(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *scene)
		want   string
	}{
		"lock time":             {func(s *scene) { s.tx.locktime, s.tx.in[0].sequence = 800_000, finalSequence-1 }, flagLocktime},
		"lock time, all final":  {func(s *scene) { s.tx.locktime = 800_000 }, ""},
		"no lock time":          {func(s *scene) { s.tx.in[0].sequence = finalSequence - 1 }, ""},
		"replaceable":           {func(s *scene) { s.tx.in[0].sequence = finalSequence - 2 }, flagReplace},
		"relative":              {func(s *scene) { s.tx.in[0].sequence = 10 }, flagRelative + " " + flagReplace},
		"relative in version 1": {func(s *scene) { s.tx.in[0].sequence, s.tx.version = 10, 1 }, flagReplace},
		"relative of nothing":   {func(s *scene) { s.tx.in[0].sequence = 0 }, flagReplace},
		"dust":                  {func(s *scene) { s.tx.out[0].value = 293 }, flagDust},
		"no dust":               {func(s *scene) { s.tx.out[0].value = 294 }, ""},
		"P2PKH dust":            {func(s *scene) { s.tx.out[0] = txOut{545, p2pkh(make([]byte, 20))} }, flagDust},
		"no P2PKH dust":         {func(s *scene) { s.tx.out[0] = txOut{546, p2pkh(make([]byte, 20))} }, ""},
		"no P2TR dust":          {func(s *scene) { s.tx.out[0] = txOut{330, p2tr(make([]byte, 32))} }, ""},
		"P2SH dust":             {func(s *scene) { s.tx.out[0] = txOut{539, p2sh(make([]byte, 20))} }, flagDust},
		"unknown script":        {func(s *scene) { s.tx.out[0].script = []byte{op1} }, flagUnknown},
		"future version":        {func(s *scene) { s.tx.out[0].script = append([]byte{op16, 32}, make([]byte, 32)...) }, flagUnknown},
		"memo":                  {func(s *scene) { s.addReturns(maxUnusual) }, flagData},
		"burn":                  {func(s *scene) { s.tx.out[0].script = []byte{opReturn, 1, 0x61} }, flagBurns},
		"high fee": {func(s *scene) {
			s.respend(0, txOut{110_000, s.wallet.p2wpkh})
			s.tx.out[0].value, s.tx.out[1].value = 50_000, 48_000
		}, flagHighFee},
	} {
		s := newScene(t, scriptP2WPKH)
		before := s.tx.out[0].value
		c.change(s)
		if v := s.tx.out[0].value; v < before && name != "high fee" { // the fee stays
			s.tx.out[1].value += before - v
		}
		p, err := s.bothVersions(t)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := strings.Join(p.Intent.Effects.Flags, " "); got != c.want {
			t.Errorf("%s: flags %q, want %q", name, got, c.want)
		}
		if _, unruled := p.Intent.Effects.Unruled(); unruled {
			t.Errorf("%s: no policy could allow it", name)
		}
	}
}

func TestOutputsWithoutAddress(t *testing.T) {
	s := newScene(t, scriptP2WPKH)
	s.tx.out = append(s.tx.out, txOut{0, []byte{opReturn, 2, 'h', 'i'}}, txOut{7, []byte{opReturn}}, txOut{400, []byte{op1, 2, 0x4e, 0x73}}, txOut{600, []byte{opDup}})
	s.out = append(s.out, nil, nil, nil, nil)
	s.tx.out[1].value -= 1007
	p, err := s.bothVersions(t)
	if err != nil {
		t.Fatal(err)
	}
	want := []chain.Action{
		{Kind: chain.ActionMemo, Text: "026869"},
		{Kind: chain.ActionBurn, Asset: chain.AssetNative, Amount: "7"},
		{Kind: chain.ActionTransfer, Asset: chain.AssetNative, To: "bc1pfeessrawgf", Amount: "400"},
		{Kind: chain.ActionTransfer, Asset: chain.AssetNative, To: "script:76", Amount: "600"},
	}
	if got := p.Intent.Effects.Actions[2:]; !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	if got := strings.Join(p.Intent.Effects.Flags, " "); got != "burns_value data_output unknown_script" {
		t.Errorf("flags %q", got)
	}
}

// TestForeignInputs: others' inputs stay as they are, and the transaction is
// complete once they are final.
func TestForeignInputs(t *testing.T) {
	n := networkOf(t, "bitcoin")
	s := newScene(t, scriptOther, scriptP2WPKH, scriptP2TR)
	sign := func() *chain.Signed {
		t.Helper()
		p, err := s.bothVersions(t)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Parts) != 2 || !slices.Contains(p.Intent.Effects.Flags, flagForeign) || p.Intent.Effects.Nonce != txidText(s.tx.in[1].txid)+":1" {
			t.Errorf("%+v", p)
		}
		text, err := n.EncodeSignature(p, signParts(t, s.priv, p.Parts))
		if err != nil || !n.Verify(s.wallet.pub, p, text) {
			t.Fatal(err)
		}
		signed, err := n.Assemble(p, text)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	signed := sign()
	if signed.ID != "" || signed.Text != signed.PSBT {
		t.Errorf("a signature is missing: %+v", signed)
	}
	before := s.bytes(0)
	p, err := s.prepare(t, 0)
	if err != nil {
		t.Fatal(err)
	}
	signed, err = p.Assemble(signParts(t, s.priv, p.Parts))
	if err != nil {
		t.Fatal(err)
	}
	after, _ := base64.StdEncoding.DecodeString(signed.PSBT)
	if a, err := parsePSBT(after); err != nil || !bytes.Contains(before, a.inputs[0].raw) || len(after) != len(before)+(1+34+1+72)+(1+1+1+64)-a.inputs[1].shortSignature() {
		t.Errorf("%x becomes %x, %v", before, after, err)
	}
	// Another signs: a PSBT from which all can be put together.
	witness := appendBytes(appendBytes([]byte{2}, bytes.Repeat([]byte{0x30}, 71)), bytes.Repeat([]byte{2}, 33))
	s.in[0].set([]byte{inFinalWitness}, witness)
	signed = sign()
	whole, ok := scanTx(unhex(t, signed.Text))
	if id := whole.txid(); !ok || txidText(id[:]) != signed.ID || !strings.Contains(signed.Text, hex.EncodeToString(witness)) {
		t.Errorf("%+v", signed)
	}
	// A final script that isn't one leaves the input open.
	s.in[0].set([]byte{inFinalWitness}, witness)
	s.in[0].remove([]byte{inFinalWitness})
	s.in[0].set([]byte{inFinalScript}, nil)
	if signed = sign(); signed.ID != "" {
		t.Errorf("%+v", signed)
	}
}

// shortSignature says by how much the input's DER signature with its hash type is below 72 bytes.
func (in *input) shortSignature() int {
	c := &cursor{b: in.raw}
	for {
		r, end := c.record()
		if end {
			return 0
		}
		if r.kind == inPartialSig {
			return 72 - len(r.value)
		}
	}
}

// TestUnknownFieldsStay: what nobody here knows is kept byte for byte, and in
// its place.
func TestUnknownFieldsStay(t *testing.T) {
	s := newScene(t, scriptP2WPKH)
	s.global.set([]byte{0x77, 1}, []byte("global"))
	s.global.set([]byte{proprietary, 1, 'x', 0}, []byte("own"))
	s.in[0].set([]byte{0x78}, []byte("input"))
	s.in[0].set([]byte{0xfd, 0xfd, 0}, []byte("long type"))
	s.out[1].set([]byte{0x79}, nil)
	before := s.bytes(2)
	p, err := s.prepare(t, 2)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := p.Assemble(signParts(t, s.priv, p.Parts))
	if err != nil {
		t.Fatal(err)
	}
	after, _ := base64.StdEncoding.DecodeString(signed.PSBT)
	a, err := parsePSBT(after)
	if err != nil {
		t.Fatal(err)
	}
	c := &cursor{b: a.inputs[0].raw}
	var field []byte
	for {
		left := c.b
		r, end := c.record()
		if end {
			t.Fatal("no signature")
		}
		if r.kind == inPartialSig {
			field = left[:len(left)-len(c.b)]
			break
		}
	}
	if got := bytes.Replace(after, field, nil, 1); !bytes.Equal(got, before) {
		t.Errorf("%x becomes %x", before, got)
	}
	for i, key := range [][]byte{{proprietary}, {proprietary, 5, 'x'}} {
		s := newScene(t, scriptP2WPKH)
		s.global.set(key, nil)
		if _, err := s.bothVersions(t); err == nil {
			t.Errorf("proprietary key %d is taken", i)
		}
	}
}

// TestTaprootAll: SIGHASH_ALL may be asked for, and has a byte of its own.
func TestTaprootAll(t *testing.T) {
	s := newScene(t, scriptP2TR)
	plain, err := s.bothVersions(t)
	if err != nil {
		t.Fatal(err)
	}
	s.in[0].set([]byte{inSighash}, le32(sighashAll))
	s.in[0].set([]byte{inTapKey}, s.wallet.pub[1:])
	p, err := s.bothVersions(t)
	if err != nil || bytes.Equal(p.SignBytes, plain.SignBytes) {
		t.Fatalf("%+v, %v", p, err)
	}
	raw := signParts(t, s.priv, p.Parts)
	signed, err := p.Assemble(raw)
	if err != nil || !strings.Contains(signed.Text, "0141"+hex.EncodeToString(raw)+"01") {
		t.Errorf("%+v, %v", signed, err)
	}
}

func TestSignatureSizes(t *testing.T) {
	s := newScene(t, scriptP2WPKH, scriptP2TR)
	p, err := s.bothVersions(t)
	if err != nil {
		t.Fatal(err)
	}
	raw := signParts(t, s.priv, p.Parts)
	bad := bytes.Clone(raw)
	bad[64] = 2
	for _, b := range [][]byte{nil, raw[:128], append(bytes.Clone(raw), 0), raw[:64], bad} {
		if signed, err := p.Assemble(b); err == nil {
			t.Errorf("%d bytes: %+v", len(b), signed)
		}
		if text, err := p.Text.EncodeSignature(b); err == nil {
			t.Errorf("%d bytes: %s", len(b), text)
		}
		if got, err := p.Text.DecodeSignature(base64.StdEncoding.EncodeToString(b)); err == nil {
			t.Errorf("%d bytes: %x", len(b), got)
		}
	}
	text, err := p.Text.EncodeSignature(raw)
	if got, err2 := p.Text.DecodeSignature(text); err != nil || err2 != nil || !bytes.Equal(got, raw) {
		t.Errorf("%x, %v, %v", got, err, err2)
	}
	if got, err := p.Text.DecodeSignature(text + "\n"); err == nil {
		t.Errorf("%x", got)
	}
}

// TestDER has edges of DER integers.
func TestDER(t *testing.T) {
	for raw, want := range map[string]string{
		strings.Repeat("00", 31) + "01" + strings.Repeat("00", 30) + "80ff":        "3008" + "020101" + "0203" + "0080ff" + "01",
		"80" + strings.Repeat("00", 31) + "7f" + strings.Repeat("ff", 31):          "3045" + "022100" + "80" + strings.Repeat("00", 31) + "0220" + "7f" + strings.Repeat("ff", 31) + "01",
		"00" + "ff" + strings.Repeat("00", 30) + "0000" + strings.Repeat("11", 30): "3042" + "022000" + "ff" + strings.Repeat("00", 30) + "021e" + strings.Repeat("11", 30) + "01",
	} {
		got := der(append(unhex(t, raw), 0), sighashAll)
		if hex.EncodeToString(got) != want {
			t.Errorf("%s: %x, want %s", raw, got, want)
		}
		if again, ok := rawOf(got); !ok || hex.EncodeToString(again[:64]) != raw {
			t.Errorf("%s: %x", raw, again)
		}
	}
	for _, bad := range []string{"", "30", "3006020101020101", "300602010102010101ff", "3006030101020101" + "01", "3006020001020101" + "01", "3007020101020101" + "01", "3006020101020201" + "01"} {
		if raw, ok := rawOf(unhex(t, bad)); ok {
			t.Errorf("%s: %x", bad, raw)
		}
	}
}

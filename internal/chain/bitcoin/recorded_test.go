package bitcoin

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/canon"
)

var update = flag.Bool("update", false, "write testdata/signed.json")

// recorded is a PSBT, and what becomes of it.
type recorded struct {
	Name      string `json:"name"`
	PublicKey string `json:"public_key"`
	PSBT      string `json:"psbt"`
	Refused   string `json:"refused,omitzero"`

	Unsigned    string `json:"unsigned,omitzero"` // SHA-256 of what the intent is of
	SignBytes   string `json:"sign_bytes,omitzero"`
	Signature   string `json:"signature,omitzero"`
	Transaction string `json:"signed_transaction,omitzero"`
	ID          string `json:"transaction_hash,omitzero"`
	SignedPSBT  string `json:"signed_psbt,omitzero"`
}

func (s *scene) record(t *testing.T, name string, version uint32) recorded {
	t.Helper()
	v := recorded{Name: fmt.Sprintf("%s, version %d", name, version), PublicKey: hex.EncodeToString(s.wallet.pub), PSBT: s.text(version)}
	p, err := s.prepare(t, version)
	if err != nil {
		v.Refused = err.Error()
		return v
	}
	n := networkOf(t, "bitcoin")
	if v.Signature, err = n.EncodeSignature(p, signParts(t, s.priv, p.Parts)); err != nil {
		t.Fatal(err)
	}
	signed, err := n.Assemble(p, v.Signature)
	if err != nil {
		t.Fatal(err)
	}
	v.Unsigned, v.SignBytes = p.Intent.SHA256, hex.EncodeToString(p.SignBytes)
	v.Transaction, v.ID, v.SignedPSBT = signed.Text, signed.ID, signed.PSBT
	return v
}

// honest is what is signed, each in a form of its own.
func honest(t *testing.T) map[string]*scene {
	t.Helper()
	all := map[string]*scene{
		"P2WPKH": newScene(t, scriptP2WPKH), "P2TR": newScene(t, scriptP2TR), "P2PKH": newScene(t, scriptP2PKH), "P2SH-P2WPKH": newScene(t, scriptP2SH),
		"all kinds": newScene(t, allKinds...), "another's input": newScene(t, scriptOther, scriptP2TR, scriptP2WPKH), "another's final input": newScene(t, scriptOther, scriptP2PKH),
		"another's empty final script": newScene(t, scriptP2TR, scriptOther), "Taproot without proof": newScene(t, scriptP2TR, scriptOther), "Taproot with SIGHASH_ALL": newScene(t, scriptP2TR, scriptP2TR),
		"unknown fields": newScene(t, scriptP2WPKH), "lock times": newScene(t, scriptP2WPKH, scriptP2TR),
	}
	all["another's final input"].in[0].set([]byte{inFinalWitness}, appendBytes(appendBytes([]byte{2}, bytes.Repeat([]byte{0x30}, 71)), bytes.Repeat([]byte{2}, 33)))
	all["another's empty final script"].in[1].set([]byte{inFinalScript}, nil)
	for i := range 2 {
		all["Taproot without proof"].in[i].remove([]byte{inPrevious})
	}
	s := all["Taproot with SIGHASH_ALL"]
	s.in[0].set([]byte{inSighash}, le32(sighashAll))
	s.in[0].set([]byte{inTapKey}, s.wallet.pub[1:])
	s.in[1].set([]byte{inSighash}, le32(sighashDefault))
	s = all["unknown fields"]
	s.global.set([]byte{0x77, 1}, []byte("global"))
	s.global.set([]byte{proprietary, 1, 'x', 0}, []byte("own"))
	s.in[0].set([]byte{0x78}, []byte("input"))
	s.in[0].set([]byte{0xfd, 0xfd, 0}, []byte("long type"))
	s.out[1].set([]byte{0x79}, nil)
	s = all["lock times"]
	s.tx.locktime, s.tx.in[0].sequence, s.tx.in[1].sequence = 800_000, 0xfffffffd, 5
	return all
}

// TestRecorded keeps what the SDKs' tests are held to: PSBTs that are signed,
// with all that comes of them, and such as aren't. The aux of Taproot
// signatures is all zeros.
func TestRecorded(t *testing.T) {
	var lines []string
	add := func(v recorded) {
		b, err := canon.EncodeJSON(&v)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(b))
	}
	scenes := honest(t)
	for _, name := range slices.Sorted(maps.Keys(scenes)) {
		for _, version := range []uint32{0, 2} {
			add(scenes[name].record(t, name, version))
		}
	}
	locked := newScene(t, scriptP2WPKH, scriptP2TR)
	locked.in[0].set([]byte{inMinHeight}, le32(700_000))
	locked.in[1].set([]byte{inMinHeight}, le32(800_000))
	locked.in[1].set([]byte{inMinTime}, le32(timeThreshold))
	add(locked.record(t, "required lock times", 2))
	for i, name := range slices.Sorted(maps.Keys(changes())) {
		c := changes()[name]
		s := newScene(t, c.kinds...)
		c.change(s)
		add(s.record(t, name, uint32(i%2)*2))
	}
	file, text := "testdata/signed.json", "[\n"+strings.Join(lines, ",\n")+"\n]\n"
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != text {
		t.Errorf("%s isn't what the decoder says (-update writes it): %v", file, err)
	}
}

package bitcoin

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
)

func readJSON(t testing.TB, name string, out any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, out); err != nil {
		t.Fatal(err)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func publicOf(t testing.TB, priv []byte) []byte {
	t.Helper()
	pub := make([]byte, 33)
	if err := keys.Public(keys.Secp256k1, (*[32]byte)(priv), pub); err != nil {
		t.Fatal(err)
	}
	return pub
}

func walletOf(t testing.TB, priv []byte) *wallet {
	t.Helper()
	w, err := newWallet(publicOf(t, priv))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// signParts signs as the workload does: each part by its scheme. The aux of
// Taproot signatures is all zeros.
func signParts(t testing.TB, priv []byte, parts []chain.Part) []byte {
	t.Helper()
	pub := publicOf(t, priv)
	v, err := keys.NewVerifier(keys.Secp256k1, pub)
	if err != nil {
		t.Fatal(err)
	}
	var raw []byte
	for _, p := range parts {
		sig := make([]byte, p.Scheme.SignatureSize(keys.Secp256k1))
		if err := keys.SignScheme(keys.Secp256k1, p.Scheme, (*[32]byte)(priv), pub, p.Bytes, sig, bytes.NewReader(make([]byte, 32))); err != nil {
			t.Fatal(err)
		}
		if !v.VerifyScheme(p.Scheme, p.Bytes, sig) {
			t.Fatal("a signature doesn't verify")
		}
		raw = append(raw, sig...)
	}
	return raw
}

func networkOf(t testing.TB, slug string) *chain.Network {
	t.Helper()
	list := Networks()
	i := slices.IndexFunc(list, func(n chain.Network) bool { return n.Slug == slug })
	if i < 0 {
		t.Fatalf("no network %s", slug)
	}
	return &list[i]
}

// publishedInput is one input of a published transaction.
type publishedInput struct {
	Index   int
	Type    string
	Amount  *uint64
	Script  string `json:"script_pubkey"`
	Sighash string
	Kind    *byte  `json:"sighash_type"`
	Private string `json:"private_key_hex"`
	Sig     string `json:"signature"`
}

type publishedTx struct {
	ID       string
	Unsigned string `json:"unsigned_tx_hex"`
	Inputs   []publishedInput
	SignedTx string `json:"signed_tx"`
	TxID     string
	Outputs  []struct{ Value, Script string }
}

// TestPublishedTransactions signs and assembles published transactions below
// the PSBT, as their previous transactions weren't published; those whose
// wallet's inputs are Taproot go through a PSBT as well.
func TestPublishedTransactions(t *testing.T) {
	var list []publishedTx
	readJSON(t, "transactions.json", &list)
	direct, throughPSBT, schnorr := 0, 0, 0
	for _, e := range list {
		u, err := parseUnsigned(unhex(t, e.Unsigned))
		if err != nil || !bytes.Equal(u.unsigned(), unhex(t, e.Unsigned)) || u.size() != len(e.Unsigned)/2 {
			t.Fatalf("%s: %v", e.ID, err)
		}
		prev := make([]txOut, len(u.in))
		for _, in := range e.Inputs {
			prev[in.Index].script = unhex(t, in.Script)
			if in.Amount != nil {
				prev[in.Index].value = *in.Amount
			}
		}
		unlocks, comparable := make([]unlock, len(u.in)), true
		for _, in := range e.Inputs {
			priv := unhex(t, in.Private)
			w := walletOf(t, priv)
			if !w.owns(prev[in.Index].script) {
				t.Fatalf("%s: input %d isn't the wallet's", e.ID, in.Index)
			}
			s := spend{index: in.Index, kind: kindOf(prev[in.Index].script), sighash: *in.Kind}
			digest := digests(u, prev, []spend{s}, w)
			if hex.EncodeToString(digest) != in.Sighash {
				t.Errorf("%s input %d: digest %x, want %s", e.ID, in.Index, digest, in.Sighash)
			}
			raw := signParts(t, priv, []chain.Part{{Scheme: s.scheme(), Bytes: digest}})
			var signature []byte
			unlocks[in.Index], signature = s.unlock(w, raw)
			if s.kind == scriptP2TR { // made with an aux that isn't known
				want := unhex(t, in.Sig)
				v, _ := keys.NewVerifier(keys.Secp256k1, w.pub)
				if !v.VerifyScheme(keys.SchemeTaproot, digest, want[:64]) {
					t.Errorf("%s input %d: the published signature doesn't verify", e.ID, in.Index)
				}
				unlocks[in.Index], _ = s.unlock(w, want[:64])
				schnorr++
			} else if hex.EncodeToString(signature) != in.Sig {
				t.Errorf("%s input %d: signature %x, want %s", e.ID, in.Index, signature, in.Sig)
			}
		}
		if text, id := finish(u, unlocks); comparable && (text != e.SignedTx || id != e.TxID) {
			t.Errorf("%s: %s is\n%s, want\n%s", e.ID, id, text, e.SignedTx)
		}
		direct++
		if e.Inputs[0].Type == "p2tr-keypath" {
			publishedThroughPSBT(t, &e, u, prev)
			throughPSBT++
		}
	}
	t.Logf("%d published transactions below the PSBT, of which %d through a PSBT too; %d Schnorr signatures verified", direct, throughPSBT, schnorr)
	if direct != 28 || throughPSBT != 4 {
		t.Errorf("%d and %d transactions ran", direct, throughPSBT)
	}
}

// publishedThroughPSBT builds a PSBT of a transaction whose first input is a
// wallet's Taproot one, and has that wallet sign it.
func publishedThroughPSBT(t *testing.T, e *publishedTx, u *tx, prev []txOut) {
	t.Helper()
	for _, version := range []uint32{0, 2} {
		b := newBuilder(u)
		for i := range prev {
			b.in[i].set([]byte{inSpent}, prev[i].appendTo(nil))
		}
		n := networkOf(t, "bitcoin")
		priv := unhex(t, e.Inputs[0].Private)
		p, err := n.Codec.(chain.Transactor).Transaction(n, publicOf(t, priv), b.text(version))
		if err != nil {
			t.Errorf("%s in version %d: %v", e.ID, version, err)
			continue
		}
		if hex.EncodeToString(p.SignBytes) != e.Inputs[0].Sighash || len(p.Parts) != 1 || p.Parts[0].Scheme != keys.SchemeTaproot {
			t.Errorf("%s in version %d: signs %x by %d parts", e.ID, version, p.SignBytes, len(p.Parts))
		}
		signed, err := p.Assemble(unhex(t, e.Inputs[0].Sig)[:64])
		switch {
		case err != nil:
			t.Errorf("%s in version %d: %v", e.ID, version, err)
		case len(prev) == 1 && (signed.Text != e.SignedTx || signed.ID != e.TxID):
			t.Errorf("%s in version %d: %+v", e.ID, version, signed)
		case len(prev) > 1 && (signed.Text != signed.PSBT || signed.ID != ""):
			t.Errorf("%s in version %d: another's signature is missing, yet %+v", e.ID, version, signed)
		}
	}
}

// TestPublishedPSBTs runs the cases of BIP-174, 370 and 371.
func TestPublishedPSBTs(t *testing.T) {
	var list []struct {
		BIP, Case, PSBT, Expect string
		Locktime                *uint32
	}
	readJSON(t, "psbts.json", &list)
	ran := map[string]int{}
	w := walletOf(t, bytes.Repeat([]byte{7}, 32))
	for _, e := range list {
		raw, err := base64.StdEncoding.DecodeString(e.PSBT)
		if err != nil && e.Expect != "invalid" {
			t.Fatal(err)
		}
		p, err := parsePSBT(raw)
		ran[e.BIP+" "+e.Expect]++
		switch e.Expect {
		case "invalid":
			if err == nil {
				t.Errorf("%s, %s: accepted", e.BIP, e.Case)
			}
			continue
		case "signer":
			if err == nil {
				_, _, err = p.prevouts(w)
			}
			if err == nil || !strings.Contains(err.Error(), "script") && !strings.Contains(err.Error(), "witness_utxo") {
				t.Errorf("%s, %s: %v", e.BIP, e.Case, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s, %s: %v", e.BIP, e.Case, err)
			continue
		}
		if again := p.encode(0, func(int) []byte { return nil }); !bytes.Equal(again, raw) {
			t.Errorf("%s, %s: becomes %x", e.BIP, e.Case, again)
		}
		if e.Locktime != nil && p.tx.locktime != *e.Locktime {
			t.Errorf("%s, %s: lock time %d, want %d", e.BIP, e.Case, p.tx.locktime, *e.Locktime)
		}
	}
	t.Log(ran)
	if len(list) != 99 {
		t.Errorf("%d cases", len(list))
	}
}

// TestBIP143 has the proposal's examples of the kinds that are signed.
func TestBIP143(t *testing.T) {
	for _, c := range []struct {
		name, tx, priv string
		at             int
		kind           scriptKind
		value          uint64
		digest, sig    string
	}{
		{"native P2WPKH", "0100000002fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f0000000000eeffffffef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac11000000",
			"619c335025c7f4012e556c2a58b2506e30b8511b53ade95ea316fd8c3286feb9", 1, scriptP2WPKH, 600_000_000,
			"c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670", "304402203609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a0220573a954c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee01"},
		{"P2SH-P2WPKH", "0100000001db6b1b20aa0fd7b23880be2ecbd4a98130974cf4748fb66092ac4d3ceb1a54770100000000feffffff02b8b4eb0b000000001976a914a457b684d7f0d539a46a45bbc043f35b59d0d96388ac0008af2f000000001976a914fd270b1ee6abcaea97fea7ad0402e8bd8ad6d77c88ac92040000",
			"eb696a065ef48a2192da5b28b694f87544b30fae8327c4510137a922f32c6dcf", 0, scriptP2SH, 1_000_000_000,
			"64f3b0f4dd2bb3aa1ce8566d220cc74dda9df97d8490cc81d89d735c92e59fb6", "3044022047ac8e878352d3ebbde1c94ce3a10d057c24175747116f8288e5d794d12d482f0220217f36a485cae903c713331d877c1f64677e3622ad4010726870540656fe9dcb01"},
	} {
		u, err := parseUnsigned(unhex(t, c.tx))
		if err != nil {
			t.Fatal(err)
		}
		priv := unhex(t, c.priv)
		w := walletOf(t, priv)
		prev := make([]txOut, len(u.in))
		prev[c.at].value = c.value
		s := spend{index: c.at, kind: c.kind, sighash: sighashAll}
		digest := digests(u, prev, []spend{s}, w)
		_, sig := s.unlock(w, signParts(t, priv, []chain.Part{{Bytes: digest}}))
		if hex.EncodeToString(digest) != c.digest || hex.EncodeToString(sig) != c.sig {
			t.Errorf("%s: digest %x, signature %x", c.name, digest, sig)
		}
	}
}

// TestBIP341 has the proposal's wallet vectors: addresses, and the key path
// inputs of the hash types that are signed. Those of a script tree aren't a
// wallet's here, but what is signed doesn't depend on it.
func TestBIP341(t *testing.T) {
	var file struct {
		ScriptPubKey []struct {
			Given struct {
				InternalPubkey string
				ScriptTree     json.RawMessage
			}
			Intermediary struct{ TweakedPubkey string }
			Expected     struct{ ScriptPubKey, Bip350Address string }
		}
		KeyPathSpending []struct {
			Given struct {
				RawUnsignedTx string
				UtxosSpent    []struct {
					ScriptPubKey string
					AmountSats   uint64
				}
			}
			InputSpending []struct {
				Given struct {
					TxinIndex, HashType int
					InternalPrivkey     string
					MerkleRoot          *string
				}
				Intermediary struct{ SigHash string }
			}
		}
	}
	readJSON(t, "bip-0341.json", &file)
	c := networkOf(t, "bitcoin").Codec.(Codec)
	bare, digested := 0, 0
	for _, e := range file.ScriptPubKey {
		script := unhex(t, e.Expected.ScriptPubKey)
		if got := c.address(script); got != e.Expected.Bip350Address {
			t.Errorf("%x: %s", script, got)
		}
		if got, err := c.ParseAddress(e.Expected.Bip350Address); err != nil || !bytes.Equal(got, script) {
			t.Errorf("%s: %x, %v", e.Expected.Bip350Address, got, err)
		}
		if string(e.Given.ScriptTree) != "null" {
			continue
		}
		w, err := newWallet(append([]byte{3}, unhex(t, e.Given.InternalPubkey)...))
		if err != nil || !bytes.Equal(w.p2tr, script) {
			t.Errorf("%s: %x, %v", e.Given.InternalPubkey, w.p2tr, err)
		}
		bare++
	}
	for _, e := range file.KeyPathSpending {
		u, err := parseUnsigned(unhex(t, e.Given.RawUnsignedTx))
		if err != nil {
			t.Fatal(err)
		}
		var prev []txOut
		for _, o := range e.Given.UtxosSpent {
			prev = append(prev, txOut{o.AmountSats, unhex(t, o.ScriptPubKey)})
		}
		for _, in := range e.InputSpending {
			if in.Given.HashType > sighashAll {
				continue
			}
			s := spend{index: in.Given.TxinIndex, kind: scriptP2TR, sighash: byte(in.Given.HashType)}
			if got := digests(u, prev, []spend{s}, walletOf(t, unhex(t, in.Given.InternalPrivkey))); hex.EncodeToString(got) != in.Intermediary.SigHash {
				t.Errorf("input %d: %x, want %s", s.index, got, in.Intermediary.SigHash)
			}
			digested++
		}
	}
	if bare != 1 || digested != 2 {
		t.Errorf("%d outputs without a tree, %d digests", bare, digested)
	}
}

// TestBIP86 has the proposal's addresses.
func TestBIP86(t *testing.T) {
	c := networkOf(t, "bitcoin").Codec.(Codec)
	for key, want := range map[string]string{
		"cc8a4bc64d897bddc5fbc2f670f7a8ba0b386779106cf1223c6fc5d7cd6fc115": "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr",
		"83dfe85a3151d2517290da461fe2815591ef69f2b18a2ce63f01697a8b313145": "bc1p4qhjn9zdvkux4e44uhx8tc55attvtyu358kutcqkudyccelu0was9fqzwh",
		"399f1b2f4393f29a18c937859c5dd8a77350103157eb880f02e8c08214277cef": "bc1p3qkhfews2uk44qtvauqyr2ttdsw7svhkl9nkm9s9c3x4ax5h60wqwruhk7",
	} {
		got, err := c.AddressTypes(append([]byte{2}, unhex(t, key)...))
		if err != nil || got[TypeP2TR] != want {
			t.Errorf("%s: %v, %v", key, got, err)
		}
	}
}

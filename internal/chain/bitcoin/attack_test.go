package bitcoin

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
)

// scene is an honest payment from a wallet, for attackers to change: what each
// input spends is in a previous transaction of its own.
type scene struct {
	*builder
	priv   []byte
	wallet *wallet
	prev   []txOut
	whole  [][]byte // by input, its previous transaction
}

var foreignScript = p2wpkh(bytes.Repeat([]byte{0xf0}, 20))

// newScene pays 100,000 sat to a stranger from the inputs, of 1 BTC each, and
// the rest but 1,000 sat back.
func newScene(t testing.TB, kinds ...scriptKind) *scene {
	t.Helper()
	s := &scene{priv: bytes.Repeat([]byte{9}, 32)}
	s.wallet = walletOf(t, s.priv)
	w := s.wallet
	u := &tx{version: 2, locktime: 0}
	for i, kind := range kinds {
		script := map[scriptKind][]byte{scriptP2WPKH: w.p2wpkh, scriptP2TR: w.p2tr, scriptP2PKH: w.p2pkh, scriptP2SH: w.p2sh, scriptOther: foreignScript}[kind]
		out := txOut{value: 100_000_000, script: script}
		s.prev = append(s.prev, out)
		s.whole = append(s.whole, previousOf(byte(i), out))
		id := sha256d(s.whole[i])
		u.in = append(u.in, txIn{txid: id[:], vout: 1, sequence: finalSequence})
	}
	u.out = []txOut{{100_000, foreignScript}, {uint64(len(kinds))*100_000_000 - 101_000, w.p2wpkh}}
	s.builder = newBuilder(u)
	for i, kind := range kinds {
		s.in[i].set([]byte{inPrevious}, s.whole[i])
		if kind != scriptP2PKH {
			s.in[i].set([]byte{inSpent}, s.prev[i].appendTo(nil))
		}
		if kind == scriptP2SH {
			s.in[i].set([]byte{inRedeemScript}, w.p2wpkh)
		}
	}
	return s
}

// previousOf makes a transaction whose second output is out.
func previousOf(salt byte, out txOut) []byte {
	t := &tx{version: 2, in: []txIn{{txid: bytes.Repeat([]byte{salt + 1}, 32)}}, out: []txOut{{5, []byte{opReturn}}, out}}
	return t.unsigned()
}

// respend gives an input another previous transaction, and names it.
func (s *scene) respend(i int, out txOut) {
	s.prev[i] = out
	s.whole[i] = previousOf(byte(i), out)
	id := sha256d(s.whole[i])
	s.tx.in[i].txid = id[:]
	s.in[i].set([]byte{inPrevious}, s.whole[i])
	s.in[i].set([]byte{inSpent}, out.appendTo(nil))
}

func (s *scene) prepare(t testing.TB, version uint32) (*chain.Prepared, error) {
	n := networkOf(t, "bitcoin")
	return n.Codec.(chain.Transactor).Transaction(n, s.wallet.pub, s.text(version))
}

// bothVersions prepares the PSBT in both versions, which mean the same.
func (s *scene) bothVersions(t testing.TB) (*chain.Prepared, error) {
	t.Helper()
	p, err := s.prepare(t, 0)
	q, err2 := s.prepare(t, 2)
	switch {
	case (err == nil) != (err2 == nil):
		t.Errorf("version 0: %v; version 2: %v", err, err2)
	case err == nil:
		q.Intent.Format = p.Intent.Format
		a, _ := p.Intent.Digest()
		b, _ := q.Intent.Digest()
		if a != b || !bytes.Equal(p.SignBytes, q.SignBytes) {
			t.Errorf("versions differ: %+v, %+v", p, q)
		}
	}
	return p, err
}

var allKinds = []scriptKind{scriptP2WPKH, scriptP2TR, scriptP2PKH, scriptP2SH}

// TestHonest is what the attacks below start from: each kind of input alone,
// and all together, signs in both versions and is complete.
func TestHonest(t *testing.T) {
	for _, kinds := range [][]scriptKind{{scriptP2WPKH}, {scriptP2TR}, {scriptP2PKH}, {scriptP2SH}, allKinds} {
		s := newScene(t, kinds...)
		for _, version := range []uint32{0, 2} {
			p, err := s.prepare(t, version)
			if err != nil {
				t.Fatalf("%v: %v", kinds, err)
			}
			n := networkOf(t, "bitcoin")
			text, err := n.EncodeSignature(p, signParts(t, s.priv, p.Parts))
			if err != nil || !n.Verify(s.wallet.pub, p, text) {
				t.Fatalf("%v: %s, %v", kinds, text, err)
			}
			signed, err := n.Assemble(p, text)
			if err != nil {
				t.Fatal(err)
			}
			checkSigned(t, s, p, signed)
		}
		p, err := s.bothVersions(t)
		if err != nil {
			t.Fatal(err)
		}
		e := p.Intent.Effects
		want := []chain.Action{
			{Kind: chain.ActionTransfer, Asset: chain.AssetNative, To: codecOf(t).address(foreignScript), Amount: "100000"},
			{Kind: chain.ActionChange, Asset: chain.AssetNative, To: addressOf(t, s), Amount: "99899000"},
		}
		if len(kinds) > 1 {
			want[1].Amount = "399899000"
		}
		if !slices.Equal(e.Actions, want) || e.FeeMax != "1000" || e.FeePayer != "" || len(e.Flags) != 0 || e.Nonce != txidText(s.tx.in[0].txid)+":1" {
			t.Errorf("%v: %+v", kinds, e)
		}
		if p.Intent.Length != s.tx.size() {
			t.Errorf("length %d", p.Intent.Length)
		}
	}
}

func codecOf(t testing.TB) Codec { return networkOf(t, "bitcoin").Codec.(Codec) }

func addressOf(t testing.TB, s *scene) string {
	t.Helper()
	a, err := codecOf(t).Address(s.wallet.pub)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// checkSigned reads what was assembled: a transaction that nodes take, and a
// PSBT that has the signatures and is otherwise as it was.
func checkSigned(t *testing.T, s *scene, p *chain.Prepared, signed *chain.Signed) {
	t.Helper()
	whole, ok := scanTx(unhex(t, signed.Text))
	if id := whole.txid(); !ok || txidText(id[:]) != signed.ID {
		t.Fatalf("%s isn't a transaction with the id %s", signed.Text, signed.ID)
	}
	raw, err := base64.StdEncoding.DecodeString(signed.PSBT)
	if err != nil {
		t.Fatal(err)
	}
	again, err := parsePSBT(raw)
	if err != nil {
		t.Fatal(err)
	}
	for i := range again.inputs {
		if !again.inputs[i].signed {
			t.Errorf("input %d isn't signed in the PSBT", i)
		}
	}
	if !bytes.Equal(again.tx.unsigned(), s.tx.unsigned()) {
		t.Error("the PSBT's transaction changed")
	}
	if _, _, err := again.prevouts(s.wallet); err == nil {
		t.Error("what is signed is signed again")
	}
	// Estimated sizes are those of the greatest signatures.
	size := (len(signed.Text)/2 + 3*(4+len(whole.body)+4) + 3) / 4
	if estimate := int(again.vsize(s.prev)); estimate < size || estimate > size+2*len(s.prev) {
		t.Errorf("%d vbytes, estimated %d", size, estimate)
	}
	if len(p.Parts) != len(s.prev) {
		t.Errorf("%d parts", len(p.Parts))
	}
}

// change makes a PSBT of an honest one that isn't signed.
type change struct {
	kinds  []scriptKind
	change func(s *scene)
	says   string
}

// changes changes one thing each.
func changes() map[string]change {
	return map[string]change{
		"no previous transaction, segwit":  {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.in[0].remove([]byte{inPrevious}) }, "previous transaction is missing"},
		"no previous transaction, nested":  {[]scriptKind{scriptP2SH}, func(s *scene) { s.in[0].remove([]byte{inPrevious}) }, "previous transaction is missing"},
		"no previous transaction, legacy":  {[]scriptKind{scriptP2PKH}, func(s *scene) { s.in[0].remove([]byte{inPrevious}) }, "doesn't say what it spends"},
		"Taproot beside segwit, unproved":  {[]scriptKind{scriptP2WPKH, scriptP2TR}, func(s *scene) { s.in[1].remove([]byte{inPrevious}) }, "input 1: its previous transaction is missing"},
		"stranger beside segwit, unproved": {[]scriptKind{scriptP2WPKH, scriptOther}, func(s *scene) { s.in[1].remove([]byte{inPrevious}) }, "input 1: its previous transaction is missing"},
		"stranger beside Taproot, unknown": {[]scriptKind{scriptP2TR, scriptOther}, func(s *scene) { s.in[1] = nil }, "doesn't say what it spends"},
		"witness_utxo has another amount":  {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.in[0].set([]byte{inSpent}, (&txOut{1, s.wallet.p2wpkh}).appendTo(nil)) }, "isn't what the previous"},
		"witness_utxo has another script":  {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.in[0].set([]byte{inSpent}, (&txOut{100_000_000, s.wallet.p2tr}).appendTo(nil)) }, "isn't what the previous"},
		"Taproot's witness_utxo lies":      {[]scriptKind{scriptP2TR}, func(s *scene) { s.in[0].set([]byte{inSpent}, (&txOut{100_000_001, s.wallet.p2tr}).appendTo(nil)) }, "isn't what the previous"},
		"witness_utxo of a legacy output":  {[]scriptKind{scriptP2PKH}, func(s *scene) { s.in[0].set([]byte{inSpent}, s.prev[0].appendTo(nil)) }, "from before segwit"},
		"other previous transaction":       {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.in[0].set([]byte{inPrevious}, previousOf(99, s.prev[0])) }, "isn't the transaction that it spends"},
		"stranger's previous transaction":  {[]scriptKind{scriptP2TR, scriptOther}, func(s *scene) { s.in[1].set([]byte{inPrevious}, previousOf(99, s.prev[1])) }, "isn't the transaction that it spends"},
		"no such output":                   {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.tx.in[0].vout = 2 }, "no such output"},
		"output that isn't the wallet's":   {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.tx.in[0].vout = 0; s.in[0].remove([]byte{inSpent}) }, "no input is the wallet's"},
		"SIGHASH_NONE":                     {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.in[0].set([]byte{inSighash}, le32(2)) }, "hash type 0x2"},
		"SIGHASH_SINGLE":                   {[]scriptKind{scriptP2PKH}, func(s *scene) { s.in[0].set([]byte{inSighash}, le32(3)) }, "hash type 0x3"},
		"SIGHASH_ALL|ANYONECANPAY":         {[]scriptKind{scriptP2SH}, func(s *scene) { s.in[0].set([]byte{inSighash}, le32(0x81)) }, "hash type 0x81"},
		"SIGHASH_NONE, Taproot":            {[]scriptKind{scriptP2TR}, func(s *scene) { s.in[0].set([]byte{inSighash}, le32(2)) }, "hash type 0x2"},
		"SIGHASH_DEFAULT, ECDSA":           {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.in[0].set([]byte{inSighash}, le32(0)) }, "hash type 0x0"},
		"SIGHASH_ALL in the high bits":     {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.in[0].set([]byte{inSighash}, le32(0x101)) }, "hash type 0x101"},
		"no redeem script":                 {[]scriptKind{scriptP2SH}, func(s *scene) { s.in[0].remove([]byte{inRedeemScript}) }, "no redeem script"},
		"other redeem script":              {[]scriptKind{scriptP2SH}, func(s *scene) { s.in[0].set([]byte{inRedeemScript}, foreignScript) }, "redeem script isn't"},
		"redeem script of P2WPKH":          {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.in[0].set([]byte{inRedeemScript}, s.wallet.p2wpkh) }, "redeem script isn't"},
		"stranger's redeem script":         {[]scriptKind{scriptP2TR, scriptOther}, func(s *scene) { s.in[1].set([]byte{inRedeemScript}, []byte{1}) }, "redeem script isn't"},
		"witness script":                   {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.in[0].set([]byte{inWitnessScript}, []byte{opReturn}) }, "witness script isn't"},
		"signature there, ECDSA":           {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.in[0].set(append([]byte{inPartialSig}, s.wallet.pub...), someDER()) }, "has a signature"},
		"signature there, Taproot":         {[]scriptKind{scriptP2TR}, func(s *scene) { s.in[0].set([]byte{inTapKeySig}, make([]byte, 64)) }, "has a signature"},
		"final script there":               {[]scriptKind{scriptP2PKH}, func(s *scene) { s.in[0].set([]byte{inFinalScript}, nil) }, "has a signature"},
		"final witness there":              {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.in[0].set([]byte{inFinalWitness}, []byte{1, 0}) }, "has a signature"},
		"other internal key":               {[]scriptKind{scriptP2TR}, func(s *scene) { s.in[0].set([]byte{inTapKey}, make([]byte, 32)) }, "another Taproot key"},
		"script tree":                      {[]scriptKind{scriptP2TR}, func(s *scene) { s.in[0].set([]byte{inTapRoot}, make([]byte, 32)) }, "script tree"},
		"leaf script":                      {[]scriptKind{scriptP2TR}, func(s *scene) { s.in[0].set(append([]byte{inTapLeaf}, make([]byte, 33)...), []byte{1, 0xc0}) }, "isn't the wallet's"},
		"outputs over inputs":              {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.tx.out[0].value = 200_000_000 }, "the outputs have 299899000 sat and the inputs 100000000"},
		"output over 21 million":           {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.tx.out[0].value = maxMoney + 1 }, "more than there is"},
		"outputs overflow":                 {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.tx.out[0].value, s.tx.out[1].value = 1<<63, 1<<63 }, "more than there is"},
		"input over 21 million":            {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.respend(0, txOut{maxMoney + 1, s.wallet.p2wpkh}) }, "more than there is"},
		"inputs over 21 million":           {[]scriptKind{scriptP2WPKH, scriptP2WPKH}, func(s *scene) { s.respend(0, txOut{maxMoney, s.wallet.p2wpkh}) }, "more than there is"},
		"one outpoint twice":               {[]scriptKind{scriptP2WPKH, scriptP2WPKH}, func(s *scene) { s.tx.in[1], s.in[1] = s.tx.in[0], s.in[0] }, "spends what another"},
		"fee over 0.1 BTC":                 {[]scriptKind{scriptP2WPKH, scriptP2WPKH}, func(s *scene) { s.tx.out[1].value -= maxFee }, "over 10000000 sat"},
		"fee rate":                         {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.tx.out[1].value -= 200_000 }, "sat/vB"},
		"fee rate behind a long script": {[]scriptKind{scriptP2WPKH, scriptOther}, func(s *scene) {
			s.tx.out[1].value -= 9_000_000
			s.in[1].set([]byte{inFinalScript}, bytes.Repeat([]byte{1}, 10_000))
		}, "sat/vB"},
		"no change":                          {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.tx.out, s.out = s.tx.out[:1], s.out[:1] }, "fee"},
		"no output":                          {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.tx.out, s.out = nil, nil }, "no outputs"},
		"anyone's output":                    {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.tx.out[0].script = []byte{} }, "anyone could take it"},
		"version 0":                          {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.tx.version = 0 }, "version 1, 2 or 3"},
		"negative version":                   {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.tx.version = 1 << 31 }, "version 1, 2 or 3"},
		"another wallet's inputs":            {[]scriptKind{scriptOther}, func(*scene) {}, "no input is the wallet's"},
		"too many without address":           {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.addReturns(maxUnusual + 1) }, "have no address"},
		"another's signature isn't one":      {[]scriptKind{scriptP2TR, scriptOther}, func(s *scene) { s.in[1].set(append([]byte{inPartialSig}, s.wallet.pub...), []byte{0x30}) }, "isn't of its form"},
		"a field twice, by its length":       {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.in[0] = append(s.in[0], s.in[0][0]) }, "stands twice"},
		"unknown field twice":                {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.out[0] = append(s.out[0], [2][]byte{{0x77}, {1}}, [2][]byte{{0x77}, {2}}) }, "stands twice"},
		"a type in more bytes than it takes": {[]scriptKind{scriptP2WPKH}, func(s *scene) { s.in[0].set([]byte{0xfd, 3, 0}, le32(2)) }, "shortest form"},
	}
}

func TestRefuses(t *testing.T) {
	for name, c := range changes() {
		s := newScene(t, c.kinds...)
		if _, err := s.bothVersions(t); err != nil && !slices.Contains(c.kinds, scriptOther) {
			t.Errorf("%s: the honest PSBT is refused: %v", name, err)
		}
		c.change(s)
		p, err := s.bothVersions(t)
		if refusal(err) != chain.CodeInvalid || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %+v, %v; want %q", name, p, err, c.says)
		}
	}
}

func someDER() []byte { return append([]byte{0x30, 6, 2, 1, 1, 2, 1, 1}, sighashAll) }

func (s *scene) addReturns(n int) {
	for range n {
		s.tx.out = append(s.tx.out, txOut{0, []byte{opReturn, 1, 0x61}})
		s.out = append(s.out, nil)
	}
}

// TestRefusesByVersion has what only one version can say.
func TestRefusesByVersion(t *testing.T) {
	s := newScene(t, scriptP2PKH)
	s.scriptSig = []byte{op1}
	if _, err := s.prepare(t, 0); refusal(err) != chain.CodeInvalid || !strings.Contains(err.Error(), "has a script") {
		t.Errorf("a script in the unsigned transaction: %v", err)
	}
	for flags := range 256 {
		s = newScene(t, scriptP2WPKH)
		s.global.set([]byte{globalModifiable}, []byte{byte(flags)})
		_, err := s.prepare(t, 2)
		if (err == nil) != (flags == 0) || err != nil && !strings.Contains(err.Error(), "may still be changed") {
			t.Errorf("flags %#x: %v", flags, err)
		}
		if _, err := s.prepare(t, 0); err == nil {
			t.Error("flags in version 0")
		}
	}
	good := newScene(t, scriptP2WPKH).bytes(0)
	for name, text := range map[string]string{
		"empty": "", "hex": hex.EncodeToString(good), "cut": base64.StdEncoding.EncodeToString(good[:len(good)-1]),
		"trailing": base64.StdEncoding.EncodeToString(append(bytes.Clone(good), 0)), "line break": "\n" + base64.StdEncoding.EncodeToString(good),
		"a transaction": base64.StdEncoding.EncodeToString(s.tx.unsigned()), "too large": base64.StdEncoding.EncodeToString(make([]byte, maxPSBT+1)),
		"version 1": base64.StdEncoding.EncodeToString(append([]byte(magic), 1, 0xfb, 4, 1, 0, 0, 0, 0)),
	} {
		n := networkOf(t, "bitcoin")
		if p, err := n.Codec.(chain.Transactor).Transaction(n, s.wallet.pub, text); refusal(err) != chain.CodeInvalid {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	for n := range good {
		if p, err := parsePSBT(good[:n]); err == nil {
			t.Fatalf("the first %d bytes are %+v", n, p)
		}
	}
}

// TestLiesGainNothing has the attacks that the proof of amounts is about, with
// the defence off (the digests below it) as the canary.
func TestLiesGainNothing(t *testing.T) {
	// Two segwit inputs, of which each request lies about the other's amount:
	// both signatures are valid for the real transaction, whose fee is 1 BTC.
	real := newScene(t, scriptP2WPKH, scriptP2WPKH)
	real.tx.out[1].value -= 99_998_000
	sign := func(prev []txOut, index int) []byte {
		return digests(real.tx, prev, []spend{{index: index, kind: scriptP2WPKH, sighash: sighashAll}}, real.wallet)
	}
	lie := func(at int) []txOut {
		prev := slices.Clone(real.prev)
		prev[at].value = 2_000
		return prev
	}
	if !bytes.Equal(sign(lie(1), 0), sign(real.prev, 0)) || !bytes.Equal(sign(lie(0), 1), sign(real.prev, 1)) {
		t.Fatal("the canary is dead: BIP-143 covers other inputs' amounts")
	}
	if _, err := real.bothVersions(t); err == nil || !strings.Contains(err.Error(), "fee") {
		t.Errorf("with the truth: %v", err)
	}
	for at := range 2 {
		s := newScene(t, scriptP2WPKH, scriptP2WPKH)
		*s.tx = *real.tx
		s.in[at].set([]byte{inSpent}, lie(at)[at].appendTo(nil))
		if _, err := s.bothVersions(t); err == nil {
			t.Error("a lie beside the previous transaction is signed")
		}
		s.in[at].remove([]byte{inPrevious})
		if _, err := s.bothVersions(t); err == nil {
			t.Error("a lie without the previous transaction is signed")
		}
		// The liar calls the other input Taproot, for which an output alone
		// may do.
		s.in[at].set([]byte{inSpent}, (&txOut{2_000, s.wallet.p2tr}).appendTo(nil))
		if _, err := s.bothVersions(t); err == nil || !strings.Contains(err.Error(), "previous transaction is missing") {
			t.Errorf("a lie that says Taproot: %v", err)
		}
	}

	// A Taproot input beside a stranger's: the lie is signed, and is no
	// signature of the transaction.
	s := newScene(t, scriptP2TR, scriptOther)
	s.in[0].remove([]byte{inPrevious})
	s.in[1].remove([]byte{inPrevious})
	honest, err := s.bothVersions(t)
	if err != nil {
		t.Fatal(err)
	}
	s.in[1].set([]byte{inSpent}, (&txOut{99_999_500, foreignScript}).appendTo(nil))
	lied, err := s.bothVersions(t)
	if err != nil {
		t.Fatal(err)
	}
	v, err := keys.NewVerifier(keys.Secp256k1, s.wallet.pub)
	if err != nil || v.VerifyScheme(keys.SchemeTaproot, honest.SignBytes, signParts(t, s.priv, lied.Parts)) {
		t.Error("a signature with a lie is good for the transaction")
	}
	if !slices.Contains(honest.Intent.Effects.Flags, flagForeign) {
		t.Errorf("flags %q", honest.Intent.Effects.Flags)
	}
}

// TestChangeIsByScript: hints that an output is the wallet's don't make it so.
func TestChangeIsByScript(t *testing.T) {
	s := newScene(t, scriptP2WPKH)
	path := append(make([]byte, 4), le32(1)...)
	s.out[0].set(append([]byte{outDerivation}, s.wallet.pub...), path)
	s.out[0].set([]byte{outRedeemScript}, s.wallet.p2wpkh)
	s.out[0].set([]byte{outTapKey}, s.wallet.pub[1:])
	p, err := s.bothVersions(t)
	if err != nil {
		t.Fatal(err)
	}
	if a := p.Intent.Effects.Actions; a[0].Kind != chain.ActionTransfer || a[1].Kind != chain.ActionChange {
		t.Errorf("%+v", a)
	}
	// And each of the wallet's own scripts is change without any hint.
	for _, script := range [][]byte{s.wallet.p2wpkh, s.wallet.p2tr, s.wallet.p2pkh, s.wallet.p2sh} {
		s := newScene(t, scriptP2WPKH)
		s.tx.out[0].script = script
		p, err := s.bothVersions(t)
		if err != nil || p.Intent.Effects.Actions[0].Kind != chain.ActionChange {
			t.Errorf("%x: %+v, %v", script, p, err)
		}
	}
}

package nodes

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil"
	"github.com/btcsuite/btcd/btcutil/psbt"
	"github.com/btcsuite/btcd/chaincfg"
	"github.com/btcsuite/btcd/chaincfg/chainhash"
	"github.com/btcsuite/btcd/database"
	_ "github.com/btcsuite/btcd/database/ffldb"
	"github.com/btcsuite/btcd/mining"
	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"

	"github.com/sigilkeys/sigil/internal/chain/bitcoin"
	"github.com/sigilkeys/sigil/unsigned"
)

// regtest is btcd's chain: it checks each block as it would on the network.
type regtest struct {
	t     *testing.T
	chain *blockchain.BlockChain
	now   time.Time
}

func newRegtest(t *testing.T) *regtest {
	t.Helper()
	params := chaincfg.RegressionNetParams
	db, err := database.Create("ffldb", t.TempDir(), params.Net)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	c := &regtest{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} // BIP-16 goes by time
	c.chain, err = blockchain.New(&blockchain.Config{DB: db, ChainParams: &params, TimeSource: blockchain.NewMedianTime(), UtxoCacheMaxSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// block makes the next block, whose reward pays the script.
func (c *regtest) block(script []byte, txs ...*wire.MsgTx) *btcutil.Block {
	c.t.Helper()
	best := c.chain.BestSnapshot()
	height := best.Height + 1
	coinbase := wire.NewMsgTx(2)
	in, err := txscript.NewScriptBuilder().AddInt64(int64(height)).AddInt64(0).Script()
	if err != nil {
		c.t.Fatal(err)
	}
	coinbase.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&chainhash.Hash{}, wire.MaxPrevOutIndex), in, nil))
	coinbase.AddTxOut(wire.NewTxOut(blockchain.CalcBlockSubsidy(height, &chaincfg.RegressionNetParams), script))
	list := []*btcutil.Tx{btcutil.NewTx(coinbase)}
	for _, tx := range txs {
		list = append(list, btcutil.NewTx(tx))
	}
	if len(txs) > 0 {
		mining.AddWitnessCommitment(list[0], list)
	}
	c.now = c.now.Add(10 * time.Minute)
	version, err := c.chain.CalcNextBlockVersion()
	if err != nil {
		c.t.Fatal(err)
	}
	bits, err := c.chain.CalcNextRequiredDifficulty(c.now)
	if err != nil {
		c.t.Fatal(err)
	}
	b := wire.NewMsgBlock(&wire.BlockHeader{Version: version, PrevBlock: best.Hash, MerkleRoot: blockchain.CalcMerkleRoot(list, false), Timestamp: c.now, Bits: bits})
	for _, tx := range list {
		if err := b.AddTransaction(tx.MsgTx()); err != nil {
			c.t.Fatal(err)
		}
	}
	for target := blockchain.CompactToBig(bits); ; b.Header.Nonce++ {
		if hash := b.BlockHash(); blockchain.HashToBig(&hash).Cmp(target) <= 0 {
			return btcutil.NewBlock(b)
		}
	}
}

// mine adds a block, and returns its reward's transaction.
func (c *regtest) mine(script []byte, txs ...*wire.MsgTx) *wire.MsgTx {
	c.t.Helper()
	b := c.block(script, txs...)
	if main, orphan, err := c.chain.ProcessBlock(b, blockchain.BFNone); err != nil || !main || orphan {
		c.t.Fatalf("block %d: %v", c.chain.BestSnapshot().Height+1, err)
	}
	return b.MsgBlock().Transactions[0]
}

// pay makes a PSBT that spends the first output of each previous transaction.
func (c *regtest) pay(w *wallet, to []byte, previous ...*wire.MsgTx) string {
	c.t.Helper()
	tx, total := wire.NewMsgTx(2), int64(0)
	for _, p := range previous {
		hash := p.TxHash()
		tx.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&hash, 0), nil, nil))
		total += p.TxOut[0].Value
	}
	tx.AddTxOut(wire.NewTxOut(total-20_000, to))
	p, err := psbt.NewFromUnsignedTx(tx)
	if err != nil {
		c.t.Fatal(err)
	}
	for i, prev := range previous {
		p.Inputs[i].NonWitnessUtxo = prev
		if script := prev.TxOut[0].PkScript; txscript.IsPayToScriptHash(script) {
			p.Inputs[i].RedeemScript = append([]byte{0, 20}, btcutil.Hash160(w.pub)...)
		}
	}
	text, err := p.B64Encode()
	if err != nil {
		c.t.Fatal(err)
	}
	return text
}

// built has package unsigned spend the fourth reward of each kind.
func (c *regtest) built(w *wallet, rewards map[string][]*wire.MsgTx, kinds []string) string {
	c.t.Helper()
	p := unsigned.BitcoinPayment{Network: w.n.Slug, PublicKey: hex.EncodeToString(w.pub), ChangeAddress: w.address(), FeeRate: 3,
		Recipients: []unsigned.BitcoinRecipient{{Address: "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", Amount: 123_456}}}
	for _, kind := range kinds {
		var b bytes.Buffer
		if err := rewards[kind][3].Serialize(&b); err != nil {
			c.t.Fatal(err)
		}
		p.Inputs = append(p.Inputs, unsigned.BitcoinInput{Transaction: hex.EncodeToString(b.Bytes()), Index: 0})
	}
	built, err := p.Build()
	if err != nil || built.Change == 0 {
		c.t.Fatalf("%+v: %v", built, err)
	}
	return built.Transaction
}

func parse(t *testing.T, text string) *wire.MsgTx {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	tx := new(wire.MsgTx)
	if err := tx.Deserialize(bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	return tx
}

// TestBitcoin: outputs of each type that a wallet's key has are spent, one by
// one and together, in blocks that btcd takes, and so is what package unsigned
// builds; one that was altered it refuses.
func TestBitcoin(t *testing.T) {
	w, c := newWallet(t, "bitcoin-regtest"), newRegtest(t)
	codec := w.n.Codec.(bitcoin.Codec)
	addresses, err := codec.AddressTypes(w.pub)
	if err != nil {
		t.Fatal(err)
	}
	kinds := []string{bitcoin.TypeP2WPKH, bitcoin.TypeP2TR, bitcoin.TypeP2PKH, bitcoin.TypeP2SHP2WPKH}
	scripts, rewards := map[string][]byte{}, map[string][]*wire.MsgTx{}
	for _, kind := range kinds {
		if scripts[kind], err = codec.ParseAddress(addresses[kind]); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			rewards[kind] = append(rewards[kind], c.mine(scripts[kind]))
		}
	}
	nobody := make([]byte, 22)
	nobody[1] = 20
	if _, err := rand.Read(nobody[2:]); err != nil {
		t.Fatal(err)
	}
	for range 500 { // rewards ripen, and Segwit and Taproot come into force
		c.mine(nobody)
	}
	var all []*wire.MsgTx
	for _, kind := range kinds {
		s := w.transaction(c.pay(w, nobody, rewards[kind][0]))
		tx := parse(t, s.Text)
		if tx.TxHash().String() != s.ID {
			t.Errorf("%s: the id is %s, want %s", kind, s.ID, tx.TxHash())
		}
		c.mine(nobody, tx)
		all = append(all, rewards[kind][1])
	}
	c.mine(nobody, parse(t, w.transaction(c.pay(w, nobody, all...)).Text))
	c.mine(nobody, parse(t, w.transaction(c.built(w, rewards, kinds)).Text))
	for _, kind := range kinds { // the canary
		tx := parse(t, w.transaction(c.pay(w, nobody, rewards[kind][2])).Text)
		tx.TxOut[0].Value--
		if _, _, err := c.chain.ProcessBlock(c.block(nobody, tx), blockchain.BFNone); err == nil {
			t.Errorf("%s: btcd takes what was altered", kind)
		}
	}
}

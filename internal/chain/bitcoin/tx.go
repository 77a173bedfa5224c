package bitcoin

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
)

// maxMoney is more than all bitcoin that will ever be, in satoshi.
const maxMoney = 21_000_000 * 100_000_000

// Sizes of the least input (outpoint, empty script, sequence) and output.
const (
	minTxIn  = 32 + 4 + 1 + 4
	minTxOut = 8 + 1
)

// txIn spends an output of a previous transaction.
type txIn struct {
	txid     []byte // in the order that it is hashed in, not as it is shown
	vout     uint32
	sequence uint32
}

// txOut is an output; of an input, the one that it spends.
type txOut struct {
	value  uint64 // satoshi
	script []byte
}

// tx is an unsigned transaction: there are no input scripts and witnesses.
type tx struct {
	version  uint32
	in       []txIn
	out      []txOut
	locktime uint32
}

// parseUnsigned reads the encoding from before there were witnesses, in which
// alone a transaction without inputs isn't ambiguous. Input scripts must be
// empty.
func parseUnsigned(b []byte) (*tx, error) {
	c := &cursor{b: b}
	t := &tx{version: c.u32()}
	n := c.compact()
	if n > uint64(len(c.b)/minTxIn) {
		return nil, errors.New("the transaction ends within its inputs")
	}
	t.in = make([]txIn, n)
	for i := range t.in {
		in := &t.in[i]
		in.txid, in.vout = c.take(32), c.u32()
		if script := c.bytes(); len(script) > 0 {
			return nil, errors.New("an input of the unsigned transaction has a script")
		}
		in.sequence = c.u32()
	}
	if n = c.compact(); c.failed || n > uint64(len(c.b)/minTxOut) {
		return nil, errors.New("the transaction ends within its outputs")
	}
	t.out = make([]txOut, n)
	for i := range t.out {
		t.out[i].value, t.out[i].script = c.u64(), c.bytes()
	}
	t.locktime = c.u32()
	if !c.done() {
		return nil, errors.New("the transaction isn't in the one encoding without witnesses")
	}
	return t, nil
}

// appendTo writes the encoding without witnesses. The scripts of inputs are
// those that script returns.
func (t *tx) appendTo(b []byte, script func(i int) []byte) []byte {
	return t.appendEnd(t.appendInputs(binary.LittleEndian.AppendUint32(b, t.version), script))
}

func (t *tx) appendInputs(b []byte, script func(i int) []byte) []byte {
	b = appendCompact(b, uint64(len(t.in)))
	for i := range t.in {
		b = appendBytes(t.in[i].appendOutpoint(b), script(i))
		b = binary.LittleEndian.AppendUint32(b, t.in[i].sequence)
	}
	b = appendCompact(b, uint64(len(t.out)))
	for i := range t.out {
		b = t.out[i].appendTo(b)
	}
	return b
}

func (t *tx) appendEnd(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, t.locktime) }

// size is that of the encoding without witnesses and scripts.
func (t *tx) size() int {
	n := 4 + sizeBytes(len(t.in)) - len(t.in) + minTxIn*len(t.in) + sizeBytes(len(t.out)) - len(t.out) + 4
	for i := range t.out {
		n += 8 + sizeBytes(len(t.out[i].script))
	}
	return n
}

// unsigned returns the encoding of the transaction as it is.
func (t *tx) unsigned() []byte {
	return t.appendTo(make([]byte, 0, t.size()), func(int) []byte { return nil })
}

func (in *txIn) appendOutpoint(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(append(b, in.txid...), in.vout)
}

func (o *txOut) appendTo(b []byte) []byte {
	return appendBytes(binary.LittleEndian.AppendUint64(b, o.value), o.script)
}

// parseOutput reads an output that is all of b.
func parseOutput(b []byte) (o txOut, ok bool) {
	c := &cursor{b: b}
	o.value, o.script = c.u64(), c.bytes()
	return o, c.done()
}

// wholeTx is a transaction of the chain as its bytes: signed, with or without
// witnesses. Only what is asked for is read from it.
type wholeTx struct {
	head, body, tail []byte // version; inputs and outputs; lock time: what the id is made of
	outputs          []byte
	count            uint64
}

// scanTx walks over a transaction and keeps nothing of it.
func scanTx(b []byte) (w wholeTx, ok bool) {
	c := &cursor{b: b}
	w.head = c.take(4)
	witnesses := len(c.b) > 1 && c.b[0] == 0 && c.b[1] == 1
	if witnesses {
		c.take(2)
	}
	from := c.b
	inputs := c.compact()
	for i := uint64(0); i < inputs && !c.failed; i++ {
		c.take(32 + 4)
		c.bytes()
		c.take(4)
	}
	w.count = c.compact()
	w.outputs = c.b
	for i := uint64(0); i < w.count && !c.failed; i++ {
		c.take(8)
		c.bytes()
	}
	w.body = from[:len(from)-len(c.b)]
	full := !witnesses // witnesses that are all empty have no encoding
	for i := uint64(0); witnesses && i < inputs && !c.failed; i++ {
		items := c.compact()
		full = full || items > 0
		for j := uint64(0); j < items && !c.failed; j++ {
			c.bytes()
		}
	}
	w.tail = c.take(4)
	return w, c.done() && full && inputs > 0 && w.count > 0
}

// txid returns the hash that outpoints name the transaction by.
func (w *wholeTx) txid() [32]byte {
	h := sha256.New()
	h.Write(w.head)
	h.Write(w.body)
	h.Write(w.tail)
	var sum [32]byte
	h.Sum(sum[:0])
	return sha256.Sum256(sum[:])
}

// output returns an output by its index.
func (w *wholeTx) output(n uint32) (o txOut, ok bool) {
	if uint64(n) >= w.count {
		return o, false
	}
	c := &cursor{b: w.outputs}
	for range n + 1 {
		o.value, o.script = c.u64(), c.bytes()
	}
	return o, !c.failed
}

// txidText is how a transaction's hash is shown: in reverse.
func txidText(id []byte) string {
	b := slices.Clone(id)
	slices.Reverse(b)
	return hex.EncodeToString(b)
}

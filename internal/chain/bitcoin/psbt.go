package bitcoin

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// magic begins every PSBT (BIP-174).
const magic = "psbt\xff"

// psbt is a decoded PSBT of version 0 or 2. Slices are parts of the input: its
// maps stay as they are, in their order, unknown fields included, and only
// signatures are added to them.
type psbt struct {
	version uint32 // 0 or 2
	global  []byte // magic and global map
	tx      *tx
	inputs  []input
	outputs []output
	v2      globals
}

// globals are the fields of a global map.
type globals struct {
	unsigned                              []byte // the whole transaction of version 0
	version, txVersion, fallback          uint32
	inputs, outputs                       uint64
	hasVersion, hasTxVersion, hasFallback bool
	hasInputs, hasOutputs, hasModifiable  bool
	modifiable                            byte
}

// input is what stands about an input.
type input struct {
	raw []byte // its map, with the end mark

	previous      []byte // PSBT_IN_NON_WITNESS_UTXO
	spent         []byte // PSBT_IN_WITNESS_UTXO
	sighash       []byte
	redeemScript  []byte
	witnessScript []byte
	finalScript   []byte
	finalWitness  []byte
	tapKey        []byte // PSBT_IN_TAP_INTERNAL_KEY
	tapRoot       []byte
	signed        bool // there is a signature of any kind
	tapScript     bool // there is a leaf of a script tree

	// Version 2.
	txid, vout, sequence, minTime, minHeight []byte
}

// output is what stands about an output.
type output struct {
	raw            []byte // its map, with the end mark
	amount, script []byte // version 2
}

// record is one key and value of a map.
type record struct {
	kind  uint64
	key   []byte // type and data
	data  []byte
	value []byte
}

// record reads the next record of a map; end is its end mark.
func (c *cursor) record() (r record, end bool) {
	r.key = c.bytes()
	if len(r.key) == 0 {
		return r, true
	}
	k := &cursor{b: r.key}
	r.kind = k.compact()
	r.data = k.b
	if k.failed {
		c.fail()
	}
	r.value = c.bytes()
	return r, c.failed
}

// fields reads a map, calls visit for each record and returns the map's bytes.
// No key stands twice.
func (c *cursor) fields(visit func(r *record) error) ([]byte, error) {
	from, n := *c, 0
	for {
		if _, end := c.record(); end {
			break
		}
		n++
	}
	if c.failed {
		return nil, errors.New("it ends within a map, or a size isn't in its shortest form")
	}
	again, seen := from, make([][]byte, 0, n)
	var r record
	for range n {
		r, _ = again.record()
		if err := visit(&r); err != nil {
			return nil, err
		}
		seen = append(seen, r.key)
	}
	slices.SortFunc(seen, bytes.Compare)
	for i := 1; i < n; i++ {
		if bytes.Equal(seen[i], seen[i-1]) {
			return nil, fmt.Errorf("key %.80x stands twice in a map", seen[i])
		}
	}
	return from.b[:len(from.b)-len(c.b)], nil
}

// parsePSBT reads a PSBT that is all of b.
func parsePSBT(b []byte) (*psbt, error) {
	if !bytes.HasPrefix(b, []byte(magic)) {
		return nil, errors.New("it doesn't begin like one")
	}
	p, c := &psbt{}, &cursor{b: b[len(magic):]}
	g := &p.v2
	global, err := c.fields(g.set)
	if err != nil {
		return nil, fmt.Errorf("global map: %w", err)
	}
	p.global, p.version = b[:len(magic)+len(global)], g.version
	if err := p.open(len(c.b)); err != nil {
		return nil, err
	}
	for i := range p.inputs {
		in := &p.inputs[i]
		if in.raw, err = c.fields(func(r *record) error { return in.set(r, p.version) }); err == nil {
			err = in.complete(p.version)
		}
		if err != nil {
			return nil, fmt.Errorf("input %d: %w", i, err)
		}
	}
	for i := range p.outputs {
		out := &p.outputs[i]
		if out.raw, err = c.fields(func(r *record) error { return out.set(r, p.version) }); err == nil && p.version == 2 && (out.amount == nil || out.script == nil) {
			err = errors.New("no amount or no script")
		}
		if err != nil {
			return nil, fmt.Errorf("output %d: %w", i, err)
		}
	}
	if !c.done() {
		return nil, errors.New("there is something behind its last map")
	}
	if p.version == 2 {
		return p, p.build()
	}
	return p, nil
}

// Sizes of the least map of an input and an output in version 2.
const (
	minInputV2  = 3 + 32 + 3 + 4 + 1
	minOutputV2 = 3 + 8 + 3 + 1
)

// open checks the global map and makes room for the others, of which left
// bytes are still to come.
func (p *psbt) open(left int) error {
	g := &p.v2
	v2 := g.hasTxVersion || g.hasFallback || g.hasInputs || g.hasOutputs || g.hasModifiable
	switch {
	case g.version != 0 && g.version != 2:
		return fmt.Errorf("there is no version %d", g.version)
	case g.version == 0 && (v2 || g.unsigned == nil):
		return errors.New("version 0 has the unsigned transaction in its global map and no field of version 2")
	case g.version == 2 && (g.unsigned != nil || !g.hasTxVersion || !g.hasInputs || !g.hasOutputs):
		return errors.New("version 2 has the transaction's version and counts in its global map, and no unsigned transaction")
	case g.version == 2 && (g.inputs > uint64(left/minInputV2) || g.outputs > uint64(left/minOutputV2)):
		return errors.New("it has fewer maps than it counts")
	case g.version == 2:
		p.inputs, p.outputs = make([]input, g.inputs), make([]output, g.outputs)
		return nil
	}
	var err error
	if p.tx, err = parseUnsigned(g.unsigned); err != nil {
		return err
	}
	p.inputs, p.outputs = make([]input, len(p.tx.in)), make([]output, len(p.tx.out))
	return nil
}

// encode writes the PSBT again, with records added to the maps of inputs: a
// record goes before the first whose key is greater.
func (p *psbt) encode(size int, added func(i int) []byte) []byte {
	b := append(make([]byte, 0, size), p.global...)
	for i := range p.inputs {
		b = insert(b, p.inputs[i].raw, added(i))
	}
	for i := range p.outputs {
		b = append(b, p.outputs[i].raw...)
	}
	return b
}

func insert(b, raw, added []byte) []byte {
	key := (&cursor{b: added}).bytes()
	c := &cursor{b: raw}
	for {
		left := len(c.b)
		r, end := c.record()
		if end || len(key) > 0 && bytes.Compare(r.key, key) > 0 {
			at := len(raw) - left
			return append(append(append(b, raw[:at]...), added...), raw[at:]...)
		}
	}
}

package bitcoin

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"slices"
)

// builder makes PSBTs, good ones and bad ones.
type builder struct {
	tx      *tx
	global  fieldList
	in, out []fieldList
	// scriptSig stands in the unsigned transaction's first input.
	scriptSig []byte
}

type fieldList [][2][]byte

// set adds a field, or replaces it.
func (l *fieldList) set(key, value []byte) {
	for i := range *l {
		if bytes.Equal((*l)[i][0], key) {
			(*l)[i][1] = value
			return
		}
	}
	*l = append(*l, [2][]byte{key, value})
}

func (l *fieldList) remove(key []byte) {
	*l = slices.DeleteFunc(*l, func(f [2][]byte) bool { return bytes.Equal(f[0], key) })
}

func (l fieldList) appendTo(b []byte) []byte {
	sorted := slices.Clone(l)
	slices.SortStableFunc(sorted, func(x, y [2][]byte) int { return bytes.Compare(x[0], y[0]) })
	for _, f := range sorted {
		b = appendBytes(appendBytes(b, f[0]), f[1])
	}
	return append(b, 0)
}

func newBuilder(t *tx) *builder {
	return &builder{tx: t, in: make([]fieldList, len(t.in)), out: make([]fieldList, len(t.out))}
}

func le32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
func le64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

func (b *builder) bytes(version uint32) []byte {
	global, in, out := slices.Clone(b.global), slices.Clone(b.in), slices.Clone(b.out)
	if version == 0 {
		global.set([]byte{globalUnsigned}, b.tx.appendTo(nil, func(i int) []byte {
			if i == 0 {
				return b.scriptSig
			}
			return nil
		}))
	} else {
		global.set([]byte{globalVersion}, le32(2))
		global.set([]byte{globalTxVersion}, le32(b.tx.version))
		global.set([]byte{globalFallback}, le32(b.tx.locktime))
		global.set([]byte{globalInputs}, appendCompact(nil, uint64(len(in))))
		global.set([]byte{globalOutputs}, appendCompact(nil, uint64(len(out))))
		for i := range in {
			in[i] = slices.Clone(in[i])
			in[i].set([]byte{inTxid}, b.tx.in[i].txid)
			in[i].set([]byte{inVout}, le32(b.tx.in[i].vout))
			in[i].set([]byte{inSequence}, le32(b.tx.in[i].sequence))
		}
		for i := range out {
			out[i] = slices.Clone(out[i])
			out[i].set([]byte{outAmount}, le64(b.tx.out[i].value))
			out[i].set([]byte{outScript}, b.tx.out[i].script)
		}
	}
	all := global.appendTo([]byte(magic))
	for _, l := range append(in, out...) {
		all = l.appendTo(all)
	}
	return all
}

func (b *builder) text(version uint32) string {
	return base64.StdEncoding.EncodeToString(b.bytes(version))
}

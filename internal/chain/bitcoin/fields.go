package bitcoin

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	//lint:ignore SA1019 PSBTs may hold its preimages
	"golang.org/x/crypto/ripemd160"
)

// Types of global fields (BIP-174, BIP-370).
const (
	globalUnsigned   = 0x00
	globalXpub       = 0x01
	globalTxVersion  = 0x02
	globalFallback   = 0x03
	globalInputs     = 0x04
	globalOutputs    = 0x05
	globalModifiable = 0x06
	globalVersion    = 0xfb
	proprietary      = 0xfc // in every map
)

// Types of an input's fields (BIP-174, BIP-370, BIP-371).
const (
	inPrevious      = 0x00
	inSpent         = 0x01
	inPartialSig    = 0x02
	inSighash       = 0x03
	inRedeemScript  = 0x04
	inWitnessScript = 0x05
	inDerivation    = 0x06
	inFinalScript   = 0x07
	inFinalWitness  = 0x08
	inRipemd160     = 0x0a
	inSha256        = 0x0b
	inHash160       = 0x0c
	inHash256       = 0x0d
	inTxid          = 0x0e
	inVout          = 0x0f
	inSequence      = 0x10
	inMinTime       = 0x11
	inMinHeight     = 0x12
	inTapKeySig     = 0x13
	inTapScriptSig  = 0x14
	inTapLeaf       = 0x15
	inTapDerivation = 0x16
	inTapKey        = 0x17
	inTapRoot       = 0x18
)

// Types of an output's fields.
const (
	outRedeemScript  = 0x00
	outWitnessScript = 0x01
	outDerivation    = 0x02
	outAmount        = 0x03
	outScript        = 0x04
	outTapKey        = 0x05
	outTapTree       = 0x06
	outTapDerivation = 0x07
)

// timeThreshold divides lock times: block heights are below, unix seconds not.
const timeThreshold = 500_000_000

func malformed(r *record) error {
	return fmt.Errorf("the field of type %#02x isn't of its form", r.kind)
}

var errOtherVersion = errors.New("it has a field of the other version")

// bare says whether the key is its type alone, as of fields that stand once.
func (r *record) bare() bool { return len(r.data) == 0 }

func (r *record) is(n int) bool { return r.bare() && len(r.value) == n }

func (r *record) u32() uint32 { return binary.LittleEndian.Uint32(r.value) }

// set takes a field of the global map.
func (g *globals) set(r *record) error {
	ok := true
	switch r.kind {
	case globalUnsigned:
		ok, g.unsigned = r.bare() && len(r.value) > 0, r.value
	case globalXpub: // depth is the number of the path's elements
		ok = len(r.data) == 78 && len(r.value) == 4+4*int(r.data[4])
	case globalVersion:
		if ok = r.is(4); ok {
			g.version, g.hasVersion = r.u32(), true
		}
	case globalTxVersion:
		if ok = r.is(4); ok {
			g.txVersion, g.hasTxVersion = r.u32(), true
		}
	case globalFallback:
		if ok = r.is(4); ok {
			g.fallback, g.hasFallback = r.u32(), true
		}
	case globalInputs:
		g.inputs, ok = r.count()
		g.hasInputs = true
	case globalOutputs:
		g.outputs, ok = r.count()
		g.hasOutputs = true
	case globalModifiable:
		if ok = r.is(1); ok {
			g.modifiable, g.hasModifiable = r.value[0], true
		}
	case proprietary:
		ok = r.isProprietary()
	}
	if !ok {
		return malformed(r)
	}
	return nil
}

func (r *record) count() (uint64, bool) {
	c := &cursor{b: r.value}
	n := c.compact()
	return n, r.bare() && c.done()
}

func (r *record) isProprietary() bool {
	c := &cursor{b: r.data}
	c.bytes()   // identifier
	c.compact() // subtype
	return !c.failed
}

// set takes a field of an input's map.
func (in *input) set(r *record, version uint32) error {
	if version == 0 && r.kind >= inTxid && r.kind <= inMinHeight {
		return errOtherVersion
	}
	if !in.wellFormed(r) {
		return malformed(r)
	}
	switch r.kind {
	case inPrevious:
		in.previous = r.value
	case inSpent:
		in.spent = r.value
	case inSighash:
		in.sighash = r.value
	case inRedeemScript:
		in.redeemScript = r.value
	case inWitnessScript:
		in.witnessScript = r.value
	case inFinalScript:
		in.finalScript = r.value
	case inFinalWitness:
		in.finalWitness = r.value
	case inTapKey:
		in.tapKey = r.value
	case inTapRoot:
		in.tapRoot = r.value
	case inPartialSig, inTapKeySig, inTapScriptSig:
		in.signed = true
	case inTapLeaf:
		in.tapScript = true
	case inTxid:
		in.txid = r.value
	case inVout:
		in.vout = r.value
	case inSequence:
		in.sequence = r.value
	case inMinTime:
		in.minTime = r.value
	case inMinHeight:
		in.minHeight = r.value
	}
	return nil
}

// wellFormed checks a field of an input by its type. Types that nobody here
// knows may be anything.
func (*input) wellFormed(r *record) bool {
	switch r.kind {
	case inPrevious:
		_, ok := scanTx(r.value)
		return ok && r.bare()
	case inSpent:
		_, ok := parseOutput(r.value)
		return ok && r.bare()
	case inPartialSig:
		return isPublicKey(r.data) && isDER(r.value)
	case inSighash, inVout, inSequence:
		return r.is(4)
	case inRedeemScript, inWitnessScript, inFinalScript:
		return r.bare()
	case inFinalWitness:
		return r.bare() && isWitness(r.value)
	case inDerivation:
		return isPublicKey(r.data) && isPath(r.value)
	case inRipemd160:
		h := ripemd160.New()
		h.Write(r.value)
		return bytes.Equal(r.data, h.Sum(nil))
	case inSha256:
		sum := sha256.Sum256(r.value)
		return bytes.Equal(r.data, sum[:])
	case inHash160:
		return bytes.Equal(r.data, hash160(r.value))
	case inHash256:
		sum := sha256d(r.value)
		return bytes.Equal(r.data, sum[:])
	case inTxid, inTapKey, inTapRoot:
		return r.is(32)
	case inMinTime:
		return r.is(4) && r.u32() >= timeThreshold
	case inMinHeight:
		return r.is(4) && r.u32() > 0 && r.u32() < timeThreshold
	case inTapKeySig:
		return r.bare() && isSchnorr(r.value)
	case inTapScriptSig:
		return len(r.data) == 32+32 && isSchnorr(r.value)
	case inTapLeaf: // control block: leaf version, internal key, path of at most 128 hashes
		n := len(r.data)
		return n >= 33 && n <= 33+32*128 && (n-33)%32 == 0 && len(r.value) > 0
	case inTapDerivation:
		return len(r.data) == 32 && isTapPath(r.value)
	case proprietary:
		return r.isProprietary()
	}
	return true
}

// complete checks that an input has what its version needs.
func (in *input) complete(version uint32) error {
	if version == 2 && (in.txid == nil || in.vout == nil) {
		return errors.New("it doesn't say what it spends")
	}
	return nil
}

// set takes a field of an output's map.
func (o *output) set(r *record, version uint32) error {
	if version == 0 && (r.kind == outAmount || r.kind == outScript) {
		return errOtherVersion
	}
	ok := true
	switch r.kind {
	case outRedeemScript, outWitnessScript:
		ok = r.bare()
	case outDerivation:
		ok = isPublicKey(r.data) && isPath(r.value)
	case outAmount:
		ok, o.amount = r.is(8), r.value
	case outScript:
		ok, o.script = r.bare(), r.value
	case outTapKey:
		ok = r.is(32)
	case outTapTree:
		ok = r.bare() && isTapTree(r.value)
	case outTapDerivation:
		ok = len(r.data) == 32 && isTapPath(r.value)
	case proprietary:
		ok = r.isProprietary()
	}
	if !ok {
		return malformed(r)
	}
	return nil
}

// isPublicKey looks at size and first byte of a SEC 1 point, compressed or
// not.
func isPublicKey(b []byte) bool {
	return len(b) == 33 && b[0]&^1 == 2 || len(b) == 65 && b[0] == 4
}

// isDER looks at the frame of an ECDSA signature with its hash type.
func isDER(b []byte) bool {
	return len(b) >= 9 && len(b) <= 73 && b[0] == 0x30 && int(b[1]) == len(b)-3
}

// isSchnorr: the default hash type has no byte.
func isSchnorr(b []byte) bool { return len(b) == 64 || len(b) == 65 }

// isPath is a fingerprint and a derivation path.
func isPath(b []byte) bool { return len(b) >= 4 && len(b)%4 == 0 }

// isTapPath is a list of leaf hashes before a path.
func isTapPath(b []byte) bool {
	c := &cursor{b: b}
	n := c.compact()
	if n > uint64(len(c.b)/32) {
		return false
	}
	c.take(32 * n)
	return !c.failed && isPath(c.b)
}

// isTapTree is a list of depth, leaf version and script.
func isTapTree(b []byte) bool {
	c := &cursor{b: b}
	for !c.failed && len(c.b) > 0 {
		if depth := c.take(2); depth == nil || depth[0] > 128 {
			return false
		}
		c.bytes()
	}
	return c.done() && len(b) > 0
}

// isWitness is a stack of items.
func isWitness(b []byte) bool {
	c := &cursor{b: b}
	n := c.compact()
	for i := uint64(0); i < n && !c.failed; i++ {
		c.bytes()
	}
	return c.done() && n > 0
}

// build makes the transaction of a PSBT of version 2.
func (p *psbt) build() error {
	t := &tx{version: p.v2.txVersion, in: make([]txIn, len(p.inputs)), out: make([]txOut, len(p.outputs))}
	p.tx = t
	for i := range p.inputs {
		in := &p.inputs[i]
		t.in[i] = txIn{txid: in.txid, vout: binary.LittleEndian.Uint32(in.vout), sequence: 0xffffffff}
		if in.sequence != nil {
			t.in[i].sequence = binary.LittleEndian.Uint32(in.sequence)
		}
	}
	for i := range p.outputs {
		out := &p.outputs[i]
		t.out[i] = txOut{value: binary.LittleEndian.Uint64(out.amount), script: out.script}
	}
	var ok bool
	if t.locktime, ok = p.requiredLock(); !ok {
		return errors.New("some inputs need a lock time in blocks and others one in seconds")
	}
	return nil
}

// requiredLock determines the lock time as BIP-370 says: the greatest that any
// input needs, of the kind that all which need one take, blocks before
// seconds.
func (p *psbt) requiredLock() (uint32, bool) {
	height, seconds := uint32(0), uint32(0)
	byHeight, bySeconds, needed := true, true, false
	for i := range p.inputs {
		in := &p.inputs[i]
		if in.minHeight == nil && in.minTime == nil {
			continue
		}
		needed = true
		byHeight, bySeconds = byHeight && in.minHeight != nil, bySeconds && in.minTime != nil
		if in.minHeight != nil {
			height = max(height, binary.LittleEndian.Uint32(in.minHeight))
		}
		if in.minTime != nil {
			seconds = max(seconds, binary.LittleEndian.Uint32(in.minTime))
		}
	}
	switch {
	case !needed:
		return p.v2.fallback, true
	case byHeight:
		return height, true
	}
	return seconds, bySeconds
}

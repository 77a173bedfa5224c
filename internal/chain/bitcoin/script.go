package bitcoin

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	//lint:ignore SA1019 Bitcoin's addresses are made of it
	"golang.org/x/crypto/ripemd160"

	"github.com/sigilkeys/sigil/internal/keys"
)

// Opcodes of the scripts that are understood.
const (
	op0           = 0x00
	opPush20      = 0x14
	opPush32      = 0x20
	opPushData1   = 0x4c
	op1           = 0x51
	op16          = 0x60
	opReturn      = 0x6a
	opDup         = 0x76
	opEqual       = 0x87
	opEqualVerify = 0x88
	opHash160     = 0xa9
	opCheckSig    = 0xac
)

// scriptKind is the shape of an output's script.
type scriptKind int

const (
	scriptOther   scriptKind = iota
	scriptP2PKH              // DUP HASH160 <20> EQUALVERIFY CHECKSIG
	scriptP2SH               // HASH160 <20> EQUAL
	scriptP2WPKH             // 0 <20>
	scriptP2WSH              // 0 <32>
	scriptP2TR               // 1 <32>
	scriptWitness            // any other witness program: nobody knows yet what spends it
	scriptReturn             // RETURN …: nobody can spend it
)

// kindOf recognises a script by its bytes.
func kindOf(s []byte) scriptKind {
	switch version, program, ok := witnessProgram(s); {
	case ok && version == 0 && len(program) == 20:
		return scriptP2WPKH
	case ok && version == 0 && len(program) == 32:
		return scriptP2WSH
	case ok && version == 1 && len(program) == 32:
		return scriptP2TR
	case ok && version > 0:
		return scriptWitness
	case len(s) == 25 && s[0] == opDup && s[1] == opHash160 && s[2] == opPush20 && s[23] == opEqualVerify && s[24] == opCheckSig:
		return scriptP2PKH
	case len(s) == 23 && s[0] == opHash160 && s[1] == opPush20 && s[22] == opEqual:
		return scriptP2SH
	case len(s) > 0 && s[0] == opReturn:
		return scriptReturn
	}
	return scriptOther
}

// witnessProgram splits a segwit output script (BIP-141).
func witnessProgram(s []byte) (version byte, program []byte, ok bool) {
	if len(s) < 4 || len(s) > 2+maxProgram || int(s[1]) != len(s)-2 {
		return 0, nil, false
	}
	switch {
	case s[0] == op0:
		return 0, s[2:], true
	case s[0] >= op1 && s[0] <= op16:
		return s[0] - op1 + 1, s[2:], true
	}
	return 0, nil, false
}

// segwit says whether inputs that spend the script carry a witness, and so
// may be described by their output alone.
func (k scriptKind) segwit() bool {
	return k == scriptP2WPKH || k == scriptP2WSH || k == scriptP2TR || k == scriptWitness
}

func p2pkh(hash []byte) []byte {
	return slices.Concat([]byte{opDup, opHash160, opPush20}, hash, []byte{opEqualVerify, opCheckSig})
}

func p2sh(hash []byte) []byte {
	return slices.Concat([]byte{opHash160, opPush20}, hash, []byte{opEqual})
}

func p2wpkh(hash []byte) []byte { return append([]byte{op0, opPush20}, hash...) }

func p2tr(key []byte) []byte { return append([]byte{op1, opPush32}, key...) }

func hash160(b []byte) []byte {
	sum := sha256.Sum256(b)
	h := ripemd160.New()
	h.Write(sum[:])
	return h.Sum(nil)
}

// wallet is what belongs to a key: the four scripts that it alone can spend.
type wallet struct {
	pub    []byte // compressed
	x      []byte // of the Taproot output key
	p2wpkh []byte
	p2tr   []byte
	p2pkh  []byte
	p2sh   []byte // of p2wpkh, its redeem script
}

func newWallet(pub []byte) (*wallet, error) {
	x, err := keys.OutputKey(pub) // checks that it is a point
	if err != nil {
		return nil, err
	}
	hash := hash160(pub)
	w := &wallet{pub: pub, x: x, p2wpkh: p2wpkh(hash), p2tr: p2tr(x), p2pkh: p2pkh(hash)}
	w.p2sh = p2sh(hash160(w.p2wpkh))
	return w, nil
}

// owns says whether the wallet's key alone spends the script, and how.
func (w *wallet) owns(script []byte) bool {
	return bytes.Equal(script, w.p2wpkh) || bytes.Equal(script, w.p2tr) || bytes.Equal(script, w.p2pkh) || bytes.Equal(script, w.p2sh)
}

// otherScript goes before the hex of a script that has no address.
const otherScript = "script:"

// address returns the address of an output's script, or otherScript and its
// hex.
func (c Codec) address(script []byte) string {
	switch kindOf(script) {
	case scriptP2PKH:
		return encodeBase58Check(c.keyHash, script[3:23])
	case scriptP2SH:
		return encodeBase58Check(c.scriptHash, script[2:22])
	case scriptP2WPKH, scriptP2WSH, scriptP2TR, scriptWitness:
		version, program, _ := witnessProgram(script)
		return encodeSegwit(c.hrp, version, program)
	}
	return otherScript + hex.EncodeToString(script)
}

// ParseAddress returns the script that pays an address of the network, as
// addresses stand in an Intent, other scripts included; bech32 may be in upper
// case too.
func (c Codec) ParseAddress(text string) ([]byte, error) {
	if digits, ok := strings.CutPrefix(text, otherScript); ok {
		script, err := hex.DecodeString(digits)
		if err != nil || c.address(script) != text {
			return nil, errors.New("not the lower-case hex of a script without an address")
		}
		return script, nil
	}
	if version, program, err := decodeSegwit(c.hrp, text); err == nil {
		opcode := byte(op0)
		if version > 0 {
			opcode = op1 + version - 1
		}
		return append([]byte{opcode, byte(len(program))}, program...), nil
	} else if strings.HasPrefix(strings.ToLower(text), c.hrp+"1") {
		return nil, err
	}
	version, hash, err := decodeBase58Check(text)
	switch {
	case err != nil:
		return nil, err
	case version == c.keyHash:
		return p2pkh(hash), nil
	case version == c.scriptHash:
		return p2sh(hash), nil
	}
	return nil, errors.New("an address of another network")
}

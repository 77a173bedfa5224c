package evm

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/typeddata"
)

// version is one of ERC-4337's entry points.
type version uint8

const (
	version06 version = 6 + iota
	version07
	version08
	version09
)

func (v version) String() string { return fmt.Sprintf("0.%d", uint8(v)) }

// entryPoint returns the version of the entry point at an address. Others may
// hash what they like, and are none.
func entryPoint(address string) (version, bool) {
	switch address {
	case "0x5ff137d4b0fdcd49dca30c7cf57e578a026d2789":
		return version06, true
	case "0x0000000071727de22e5e9d8baf0edac6f37da032":
		return version07, true
	case "0x4337084d9e255ff0702461cf8895ce9e3b5ff108":
		return version08, true
	case "0x433709009b8330fda32311df1c2afa402ed8d009":
		return version09, true
	}
	return 0, false
}

const (
	// maxGasBits is of what entry points take as gas and its price (AA94).
	maxGasBits = 120
	// halfWord has one of the two integers that packed operations put into a
	// word.
	halfWord = wordSize / 2
	// maxPaymasterSignature is what its length in two bytes can say.
	maxPaymasterSignature = 1<<16 - 1
)

// operationFields are a user operation as bundlers take it; null is as good
// as nothing.
type operationFields struct {
	Sender               string         `json:"sender"`
	Nonce                jsontext.Value `json:"nonce"`
	CallData             *string        `json:"callData"`
	CallGasLimit         jsontext.Value `json:"callGasLimit"`
	VerificationGasLimit jsontext.Value `json:"verificationGasLimit"`
	PreVerificationGas   jsontext.Value `json:"preVerificationGas"`
	MaxFeePerGas         jsontext.Value `json:"maxFeePerGas"`
	MaxPriorityFeePerGas jsontext.Value `json:"maxPriorityFeePerGas"`
	Signature            *string        `json:"signature"` // to be replaced

	InitCode         *string `json:"initCode"` // these two 0.6 alone
	PaymasterAndData *string `json:"paymasterAndData"`

	Factory                       *string        `json:"factory"` // and these from 0.7 on
	FactoryData                   *string        `json:"factoryData"`
	Paymaster                     *string        `json:"paymaster"`
	PaymasterVerificationGasLimit jsontext.Value `json:"paymasterVerificationGasLimit"`
	PaymasterPostOpGasLimit       jsontext.Value `json:"paymasterPostOpGasLimit"`
	PaymasterData                 *string        `json:"paymasterData"`
	PaymasterSignature            *string        `json:"paymasterSignature"` // from 0.9 on
	Authorization                 jsontext.Value `json:"eip7702Auth"`        // from 0.8 on
}

// operation is a user operation as decoded.
type operation struct {
	version  version
	at       []byte // the entry point
	sender   []byte
	nonce    *big.Int
	callData []byte

	callGas, verificationGas, preVerificationGas, maxFee, maxTip *big.Int

	// factory makes the account: an address, or none. With delegate, the
	// account takes that address's code instead (EIP-7702).
	factory, factoryData, delegate []byte

	paymaster                      []byte // an address, or none
	paymasterGas, paymasterPostGas *big.Int
	paymasterData                  []byte
	paymasterSigns                 bool // outside of what is hashed
}

// userOperation prepares an operation of ERC-4337 for its account's owner. No
// hash is taken.
func userOperation(n *chain.Network, pub, doc []byte) (*chain.Prepared, error) {
	var members struct {
		EntryPoint string         `json:"entry_point"`
		Version    string         `json:"entry_point_version"`
		Scheme     string         `json:"signature_scheme"`
		Operation  jsontext.Value `json:"user_operation"`
	}
	if err := canon.DecodeJSONLoose(doc, &members); err != nil {
		return nil, chain.Refuse(chain.CodePayloadInvalid, "a user_operation is an object of entry_point, user_operation and perhaps entry_point_version and signature_scheme: %v", err)
	}
	v, ok := entryPoint(strings.ToLower(members.EntryPoint))
	if !ok || !typeddata.IsAddress(members.EntryPoint) {
		return nil, chain.Refuse(chain.CodePayloadInvalid, "entry_point isn't one of ERC-4337's, versions 0.6 to 0.9")
	}
	if members.Version != "" && members.Version != v.String() {
		return nil, chain.Refuse(chain.CodePayloadInvalid, "entry_point is that of version %s, not %.10q", v, members.Version)
	}
	var fields operationFields
	if err := canon.DecodeJSONLoose(members.Operation, &fields); err != nil {
		return nil, chain.Refuse(chain.CodePayloadInvalid, "user_operation isn't one as bundlers take it: %v", err)
	}
	r := &operationReader{n: n}
	o := r.read(v, &fields)
	if r.fault != "" {
		return nil, chain.Refuse(chain.CodePayloadInvalid, "not a user operation of version %s: %s", v, r.fault)
	}
	o.at = r.address("entry_point", members.EntryPoint)
	e, err := o.effects(n, pub)
	if err != nil {
		return nil, err
	}
	p := &chain.Prepared{}
	preimage, err := scheme(p, v, members.Scheme, o.preimage(n.ChainID))
	if err != nil {
		return nil, err
	}
	p.SignBytes = keccak(preimage)
	p.Intent = chain.EffectsIntent(n, chain.KindUserOperation, "erc4337-v"+v.String(), preimage, e)
	return p, nil
}

// Schemes by which accounts take their owner's signature.
const (
	schemeEIP191       = "eip191"           // of the hash as a message; the default before 0.8
	schemeDigest       = "digest"           // of the hash itself; the default from 0.8 on, where it is EIP-712's
	schemeLightAccount = "light-account-v2" // EIP-191, with a zero byte before the signature
)

// scheme returns what is hashed to be signed, for an operation's preimage.
func scheme(p *chain.Prepared, v version, name string, preimage []byte) ([]byte, error) {
	if name == "" {
		name = schemeEIP191
		if v >= version08 {
			name = schemeDigest
		}
	}
	switch name {
	case schemeDigest:
		return preimage, nil
	case schemeLightAccount:
		p.Text = lightAccount{}
	case schemeEIP191:
	default:
		return nil, chain.Refuse(chain.CodePayloadInvalid, "signature_scheme is %.40q; use %s, %s or %s", name, schemeEIP191, schemeDigest, schemeLightAccount)
	}
	return append([]byte("\x19Ethereum Signed Message:\n32"), keccak(preimage)...), nil
}

// lightAccount writes signatures as LightAccount v2 takes those of an owner
// that is no contract: a byte 0 before.
type lightAccount struct{ Codec }

// EncodeSignature implements chain.TextForm.
func (l lightAccount) EncodeSignature(raw []byte) (string, error) {
	text, err := l.Codec.EncodeSignature(raw)
	if err != nil {
		return "", err
	}
	return "0x00" + text[2:], nil
}

// DecodeSignature implements chain.TextForm.
func (l lightAccount) DecodeSignature(text string) ([]byte, error) {
	rest, ok := strings.CutPrefix(text, "0x00")
	if !ok {
		rest = ""
	}
	return l.Codec.DecodeSignature("0x" + rest)
}

// preimage is what an operation's hash is the Keccak-256 of: from 0.8 on that
// of typed data, before the hash of the packed operation, the entry point and
// the chain.
func (o *operation) preimage(chainID uint64) []byte {
	chainWord, at := word(new(big.Int).SetUint64(chainID).Bytes()), word(o.at)
	if o.version < version08 {
		return bytes.Join([][]byte{keccak(o.packed()), at, chainWord}, nil)
	}
	domain := keccak(keccak([]byte("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")),
		keccak([]byte("ERC4337")), keccak([]byte("1")), chainWord, at)
	kind := keccak([]byte("PackedUserOperation(address sender,uint256 nonce,bytes initCode,bytes callData,bytes32 accountGasLimits,uint256 preVerificationGas,bytes32 gasFees,bytes paymasterAndData)"))
	return bytes.Join([][]byte{{0x19, 0x01}, domain, keccak(kind, o.packed())}, nil)
}

// packed encodes the operation as entry points hash it.
func (o *operation) packed() []byte {
	out := append(word(o.sender), word(o.nonce.Bytes())...)
	out = append(out, keccak(o.initCode())...)
	out = append(out, keccak(o.callData)...)
	if o.version == version06 {
		for _, v := range []*big.Int{o.callGas, o.verificationGas, o.preVerificationGas, o.maxFee, o.maxTip} {
			out = append(out, word(v.Bytes())...)
		}
		return append(out, keccak(o.paymaster, o.paymasterData)...)
	}
	out = append(out, halves(o.verificationGas, o.callGas)...)
	out = append(out, word(o.preVerificationGas.Bytes())...)
	out = append(out, halves(o.maxTip, o.maxFee)...)
	if len(o.paymaster) == 0 {
		return append(out, keccak()...)
	}
	return append(out, keccak(o.paymaster, halves(o.paymasterGas, o.paymasterPostGas), o.paymasterData, o.paymasterMark())...)
}

// initCode makes the account; in its hash the delegate stands for the marker
// of EIP-7702.
func (o *operation) initCode() []byte {
	if len(o.delegate) > 0 {
		return append(bytes.Clone(o.delegate), o.factoryData...)
	}
	return append(bytes.Clone(o.factory), o.factoryData...)
}

// paymasterMark stands for a signature of the paymaster, which isn't hashed
// (ERC-4337 from 0.9 on): the first eight bytes of the Keccak-256 of
// "PaymasterSignature".
func (o *operation) paymasterMark() []byte {
	if !o.paymasterSigns {
		return nil
	}
	return []byte(paymasterMagic)
}

const paymasterMagic = "\x22\xe3\x25\xa2\x97\x43\x96\x56"

func word(b []byte) []byte {
	return append(make([]byte, wordSize-len(b), wordSize), b...)
}

func halves(high, low *big.Int) []byte {
	out := make([]byte, wordSize)
	high.FillBytes(out[:halfWord])
	low.FillBytes(out[halfWord:])
	return out
}

// hexBytes reads 0x and pairs of hex digits.
func hexBytes(text string) ([]byte, bool) {
	digits, ok := strings.CutPrefix(text, "0x")
	b, err := hex.DecodeString(digits)
	return b, ok && err == nil
}

package evm

import (
	"encoding/hex"
	"math/big"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/typeddata"
)

// Flags of user operations (docs/FORMATS.md).
const (
	flagDeploysAccount = "deploys_account" // a factory makes the account first
	flagPaymaster      = "paymaster"       // another contract pays, and may want something for it
)

// entryPoints are the canonical contracts of ERC-4337, by address.
func entryPoints() map[string]string {
	return map[string]string{
		"0x5ff137d4b0fdcd49dca30c7cf57e578a026d2789": "0.6",
		"0x0000000071727de22e5e9d8baf0edac6f37da032": "0.7",
		"0x4337084d9e255ff0702461cf8895ce9e3b5ff108": "0.8",
		"0x433709009b8330fda32311df1c2afa402ed8d009": "0.9",
	}
}

// Schemes by which accounts take their owner's signature.
const (
	schemeEIP191       = "eip191"           // of the hash as a message; the default before 0.8
	schemeDigest       = "digest"           // of the hash itself; the default from 0.8 on, where it is EIP-712's
	schemeLightAccount = "light-account-v2" // EIP-191, with a zero byte before the signature
)

// paymasterSignature ends data that a paymaster's signature is part of (0.9).
const paymasterSignature = "22e325a297439656"

// userOperation is an operation as bundlers take it, unpacked.
type userOperation struct {
	Sender               string         `json:"sender"`
	Nonce                jsontext.Value `json:"nonce"`
	CallData             string         `json:"callData"`
	CallGasLimit         jsontext.Value `json:"callGasLimit"`
	VerificationGasLimit jsontext.Value `json:"verificationGasLimit"`
	PreVerificationGas   jsontext.Value `json:"preVerificationGas"`
	MaxFeePerGas         jsontext.Value `json:"maxFeePerGas"`
	MaxPriorityFeePerGas jsontext.Value `json:"maxPriorityFeePerGas"`
	Signature            string         `json:"signature"`

	InitCode         string `json:"initCode"` // 0.6
	PaymasterAndData string `json:"paymasterAndData"`

	Factory                       string         `json:"factory"` // from 0.7 on
	FactoryData                   string         `json:"factoryData"`
	Paymaster                     string         `json:"paymaster"`
	PaymasterVerificationGasLimit jsontext.Value `json:"paymasterVerificationGasLimit"`
	PaymasterPostOpGasLimit       jsontext.Value `json:"paymasterPostOpGasLimit"`
	PaymasterData                 string         `json:"paymasterData"`
}

// operation is a user operation in bytes; integers are words.
type operation struct {
	version, entryPoint                            string
	sender                                         []byte
	callData                                       []byte
	factory, factoryData, paymaster, paymasterData []byte

	nonce, callGas, verificationGas, preVerificationGas, maxFee, maxTip, paymasterVerificationGas, paymasterPostOpGas []byte
}

// userOperationDocument prepares a user operation of ERC-4337: its hash is
// made here, and what the account is told to do is decoded.
func userOperationDocument(n *chain.Network, pub, doc []byte) (*chain.Prepared, error) {
	var body struct {
		EntryPoint    string        `json:"entry_point"`
		UserOperation userOperation `json:"user_operation"`
		Scheme        string        `json:"signature_scheme"`
	}
	if err := canon.DecodeJSONLoose(doc, &body); err != nil {
		return nil, chain.Refuse(chain.CodePayloadInvalid, "a user_operation is an object of entry_point, user_operation and signature_scheme: %v", err)
	}
	version, ok := entryPoints()[strings.ToLower(body.EntryPoint)]
	if !ok || !typeddata.IsAddress(body.EntryPoint) {
		return nil, chain.Refuse(chain.CodePayloadInvalid, "entry_point isn't one of ERC-4337's, versions 0.6 to 0.9")
	}
	o := &operation{version: version, entryPoint: strings.ToLower(body.EntryPoint)}
	if fault := o.read(&body.UserOperation); fault != "" {
		return nil, chain.Refuse(chain.CodePayloadInvalid, "not a user operation of version %s: %s", version, fault)
	}
	scheme := body.Scheme
	if scheme == "" {
		scheme = map[bool]string{true: schemeEIP191, false: schemeDigest}[version < "0.8"]
	}
	preimage := o.preimage(n.ChainID)
	p := &chain.Prepared{SignBytes: keccak(preimage)}
	switch scheme {
	case schemeDigest:
	case schemeLightAccount:
		p.Text = lightAccount{}
		fallthrough
	case schemeEIP191:
		preimage = append([]byte("\x19Ethereum Signed Message:\n32"), p.SignBytes...)
		p.SignBytes = keccak(preimage)
	default:
		return nil, chain.Refuse(chain.CodePayloadInvalid, "signature_scheme is %.40q; use %s, %s or %s", scheme, schemeEIP191, schemeDigest, schemeLightAccount)
	}
	address, err := Codec{}.Address(pub)
	if err != nil {
		return nil, err
	}
	p.Intent = chain.EffectsIntent(n, chain.KindUserOperation, "erc4337-v"+version, preimage, o.effects(n, strings.ToLower(address)))
	return p, nil
}

// read takes the members of the version, all of them; fault says what is
// wrong.
func (o *operation) read(u *userOperation) (fault string) {
	bits := 256
	if o.version != "0.6" {
		bits = 128
	}
	old := u.InitCode != "" || u.PaymasterAndData != ""
	young := u.Factory+u.FactoryData+u.Paymaster+u.PaymasterData != "" || u.PaymasterVerificationGasLimit != nil || u.PaymasterPostOpGasLimit != nil
	switch {
	case o.version == "0.6" && young:
		return "factory and paymaster come with 0.7"
	case o.version != "0.6" && old:
		return "initCode and paymasterAndData end with 0.6"
	case u.Signature != "" && u.Signature != "0x":
		return "it is signed already"
	}
	for _, f := range []struct {
		name     string
		value    jsontext.Value
		bits     int
		optional bool
		out      *[]byte
	}{
		{"nonce", u.Nonce, 256, false, &o.nonce}, {"callGasLimit", u.CallGasLimit, bits, false, &o.callGas}, {"verificationGasLimit", u.VerificationGasLimit, bits, false, &o.verificationGas},
		{"preVerificationGas", u.PreVerificationGas, 256, false, &o.preVerificationGas}, {"maxFeePerGas", u.MaxFeePerGas, bits, false, &o.maxFee}, {"maxPriorityFeePerGas", u.MaxPriorityFeePerGas, bits, false, &o.maxTip},
		{"paymasterVerificationGasLimit", u.PaymasterVerificationGasLimit, 128, u.Paymaster == "", &o.paymasterVerificationGas},
		{"paymasterPostOpGasLimit", u.PaymasterPostOpGasLimit, 128, u.Paymaster == "", &o.paymasterPostOpGas},
	} {
		if *f.out = wordOf(f.value, f.bits); *f.out == nil && (!f.optional || f.value != nil) {
			return f.name + " isn't an integer of its size"
		}
	}
	for _, f := range []struct {
		name, value string
		size        int // 0: any
		optional    bool
		out         *[]byte
	}{
		{"sender", u.Sender, addressSize, false, &o.sender}, {"callData", u.CallData, 0, false, &o.callData}, {"factory", u.Factory, addressSize, true, &o.factory},
		{"factoryData", u.FactoryData, 0, true, &o.factoryData}, {"paymaster", u.Paymaster, addressSize, true, &o.paymaster}, {"paymasterData", u.PaymasterData, 0, true, &o.paymasterData},
	} {
		var ok bool
		if *f.out, ok = hexOf(f.value, f.size); !ok && (!f.optional || f.value != "") {
			return f.name + " isn't 0x and hex of its size"
		}
	}
	if o.version == "0.9" && strings.HasSuffix(strings.ToLower(u.PaymasterData), paymasterSignature) {
		return "paymasterData ends as one with the paymaster's signature does, of which the hash is another"
	}
	return o.readOld(u)
}

// readOld splits what version 0.6 has in one piece.
func (o *operation) readOld(u *userOperation) (fault string) {
	for _, f := range []struct {
		name, value string
		head, rest  *[]byte
	}{{"initCode", u.InitCode, &o.factory, &o.factoryData}, {"paymasterAndData", u.PaymasterAndData, &o.paymaster, &o.paymasterData}} {
		b, ok := hexOf(f.value, 0)
		switch {
		case o.version != "0.6" || ok && len(b) == 0:
		case !ok || len(b) < addressSize:
			return f.name + " isn't 0x and an address with what follows"
		default:
			*f.head, *f.rest = b[:addressSize], b[addressSize:]
		}
	}
	if len(o.factory) == 0 && len(o.factoryData) > 0 || len(o.paymaster) == 0 && len(o.paymasterData) > 0 {
		return "it has data for a factory or paymaster, and none"
	}
	return ""
}

func wordOf(v jsontext.Value, bits int) []byte {
	s := decimalOf(v)
	n, ok := new(big.Int).SetString(s, 10)
	if v == nil || !ok || n.Sign() < 0 || n.BitLen() > bits {
		return nil
	}
	return n.FillBytes(make([]byte, wordSize))
}

func hexOf(s string, size int) ([]byte, bool) {
	digits, ok := strings.CutPrefix(s, "0x")
	b, err := hex.DecodeString(digits)
	if !ok || err != nil || size != 0 && len(b) != size || size == addressSize && !typeddata.IsAddress(s) {
		return nil, false
	}
	return b, true
}

// preimage is what the hash of the operation is made over: before version 0.8
// the ABI encoding of hash, entry point and chain id, then typed data.
func (o *operation) preimage(chainID uint64) []byte {
	chain := new(big.Int).SetUint64(chainID).FillBytes(make([]byte, wordSize))
	entry, _ := hexOf(o.entryPoint, addressSize)
	initCode := keccak(o.factory, o.factoryData)
	switch o.version {
	case "0.6":
		packed := keccak(pad(o.sender), o.nonce, initCode, keccak(o.callData), o.callGas, o.verificationGas, o.preVerificationGas, o.maxFee, o.maxTip, keccak(o.paymaster, o.paymasterData))
		return concat(packed, pad(entry), chain)
	case "0.7":
		packed := keccak(pad(o.sender), o.nonce, initCode, keccak(o.callData), halves(o.verificationGas, o.callGas), o.preVerificationGas, halves(o.maxTip, o.maxFee), o.payment())
		return concat(packed, pad(entry), chain)
	}
	domain := keccak(keccak([]byte("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")), keccak([]byte("ERC4337")), keccak([]byte("1")), chain, pad(entry))
	kind := keccak([]byte("PackedUserOperation(address sender,uint256 nonce,bytes initCode,bytes callData,bytes32 accountGasLimits,uint256 preVerificationGas,bytes32 gasFees,bytes paymasterAndData)"))
	return concat([]byte{0x19, 0x01}, domain, keccak(kind, pad(o.sender), o.nonce, initCode, keccak(o.callData), halves(o.verificationGas, o.callGas), o.preVerificationGas, halves(o.maxTip, o.maxFee), o.payment()))
}

// payment is the hash of what concerns the paymaster, from 0.7 on.
func (o *operation) payment() []byte {
	if len(o.paymaster) == 0 {
		return keccak()
	}
	return keccak(o.paymaster, o.paymasterVerificationGas[wordSize/2:], o.paymasterPostOpGas[wordSize/2:], o.paymasterData)
}

// halves packs two integers of 128 bits.
func halves(high, low []byte) []byte { return concat(high[wordSize/2:], low[wordSize/2:]) }

func pad(address []byte) []byte { return concat(make([]byte, wordSize-addressSize), address) }

func concat(parts ...[]byte) (out []byte) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// feeMax is all gas at its highest price. A paymaster of 0.6 may use the
// verification's gas three times.
func (o *operation) feeMax() string {
	sum := new(big.Int)
	for _, w := range [][]byte{o.callGas, o.verificationGas, o.preVerificationGas, o.paymasterVerificationGas, o.paymasterPostOpGas} {
		sum.Add(sum, new(big.Int).SetBytes(w))
	}
	if o.version == "0.6" && len(o.paymaster) > 0 {
		more := new(big.Int).SetBytes(o.verificationGas)
		sum.Add(sum, more.Lsh(more, 1))
	}
	return sum.Mul(sum, new(big.Int).SetBytes(o.maxFee)).String()
}

// lightAccount writes a signature as version 2 of LightAccount takes its
// owner's: a zero byte goes before it.
type lightAccount struct{}

func (lightAccount) EncodeSignature(raw []byte) (string, error) {
	s, err := Codec{}.EncodeSignature(raw)
	return "0x00" + strings.TrimPrefix(s, "0x"), err
}

func (lightAccount) DecodeSignature(text string) ([]byte, error) {
	digits, ok := strings.CutPrefix(text, "0x00")
	if !ok {
		return nil, strconv.ErrSyntax
	}
	return Codec{}.DecodeSignature("0x" + digits)
}

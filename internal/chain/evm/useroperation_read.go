package evm

import (
	"bytes"
	"fmt"
	"math/big"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/typeddata"
)

// operationReader reads the members of a user operation; the first fault
// stays.
type operationReader struct {
	n     *chain.Network
	fault string
}

func (r *operationReader) fail(format string, args ...any) {
	if r.fault == "" {
		r.fault = fmt.Sprintf(format, args...)
	}
}

func (r *operationReader) read(v version, f *operationFields) *operation {
	o := &operation{version: v, sender: r.address("sender", f.Sender), nonce: r.integer("nonce", f.Nonce, 8*wordSize)}
	if f.CallData == nil {
		r.fail("callData is missing: 0x is none")
	}
	o.callData = r.bytes("callData", f.CallData)
	r.bytes("signature", f.Signature)
	o.callGas = r.integer("callGasLimit", f.CallGasLimit, maxGasBits)
	o.verificationGas = r.integer("verificationGasLimit", f.VerificationGasLimit, maxGasBits)
	o.preVerificationGas = r.integer("preVerificationGas", f.PreVerificationGas, maxGasBits)
	o.maxFee = r.integer("maxFeePerGas", f.MaxFeePerGas, maxGasBits)
	o.maxTip = r.integer("maxPriorityFeePerGas", f.MaxPriorityFeePerGas, maxGasBits)
	o.paymasterGas, o.paymasterPostGas = new(big.Int), new(big.Int)
	if v == version06 {
		r.readJoined(o, f)
	} else {
		r.readFactory(o, f)
		r.readPaymaster(o, f)
	}
	if len(o.paymaster) > 0 && isZero(o.paymaster) {
		r.fail("the paymaster is nobody")
	}
	return o
}

// readJoined reads how an account is made and who pays as 0.6 has them: an
// address and bytes behind it.
func (r *operationReader) readJoined(o *operation, f *operationFields) {
	for name, given := range map[string]bool{
		"factory": f.Factory != nil, "factoryData": f.FactoryData != nil, "paymaster": f.Paymaster != nil, "paymasterData": f.PaymasterData != nil,
		"paymasterVerificationGasLimit": given(f.PaymasterVerificationGasLimit), "paymasterPostOpGasLimit": given(f.PaymasterPostOpGasLimit),
		"paymasterSignature": f.PaymasterSignature != nil, "eip7702Auth": given(f.Authorization),
	} {
		if given {
			r.fail("entry point 0.6 has no %s", name)
		}
	}
	if f.InitCode == nil || f.PaymasterAndData == nil {
		r.fail("initCode or paymasterAndData is missing: 0x is none")
	}
	o.factory, o.factoryData = r.joined("initCode", f.InitCode)
	o.paymaster, o.paymasterData = r.joined("paymasterAndData", f.PaymasterAndData)
}

func (r *operationReader) joined(name string, text *string) (address, data []byte) {
	b := r.bytes(name, text)
	switch {
	case len(b) == 0:
		return nil, nil
	case len(b) < addressSize:
		r.fail("%s is shorter than an address", name)
		return nil, nil
	}
	return b[:addressSize], b[addressSize:]
}

func (r *operationReader) readFactory(o *operation, f *operationFields) {
	if f.InitCode != nil || f.PaymasterAndData != nil {
		r.fail("entry point %s has no initCode and paymasterAndData: give factory, paymaster and what belongs to them", o.version)
	}
	o.factoryData = r.bytes("factoryData", f.FactoryData)
	marked := f.Factory != nil && (*f.Factory == marker7702 || *f.Factory == marker7702+strings.Repeat("0", 36))
	switch {
	case f.Factory == nil:
		if len(o.factoryData) > 0 {
			r.fail("factoryData has no factory")
		}
	case marked:
		r.readDelegate(o, f.Authorization)
	default:
		o.factory = r.address("factory", *f.Factory)
	}
	if !marked && given(f.Authorization) {
		r.fail("eip7702Auth needs the factory %s, without which the operation's hash doesn't cover it", marker7702)
	}
}

// marker7702 stands for a factory where the account is a wallet that takes
// code (ERC-4337 from 0.8 on), padded to an address or not.
const marker7702 = "0x7702"

// readDelegate reads whose code the account has, which is hashed in place of
// the marker.
func (r *operationReader) readDelegate(o *operation, v jsontext.Value) {
	if o.version < version08 {
		r.fail("entry point %s has no factory %s", o.version, marker7702)
		return
	}
	var members struct { // what is signed of it, and the signature, which is the bundler's to use
		ChainID jsontext.Value `json:"chainId"`
		Address string         `json:"address"`
		Nonce   jsontext.Value `json:"nonce"`
		YParity jsontext.Value `json:"yParity"`
		V       jsontext.Value `json:"v"`
		R       jsontext.Value `json:"r"`
		S       jsontext.Value `json:"s"`
	}
	if !given(v) {
		r.fail("eip7702Auth is missing: whose code the account has is part of the operation's hash")
		return
	}
	if err := canon.DecodeJSONLoose(v, &members); err != nil {
		r.fail("eip7702Auth: %v", err)
		return
	}
	if id, err := uint64Of(members.ChainID); err != nil || id != r.n.ChainID {
		r.fail("eip7702Auth isn't for chain id %d", r.n.ChainID)
	}
	o.delegate = r.address("the address of eip7702Auth", members.Address)
}

func (r *operationReader) readPaymaster(o *operation, f *operationFields) {
	o.paymasterData = r.bytes("paymasterData", f.PaymasterData)
	signature := r.bytes("paymasterSignature", f.PaymasterSignature)
	o.paymasterSigns = f.PaymasterSignature != nil
	if f.Paymaster != nil || given(f.PaymasterVerificationGasLimit) {
		o.paymasterGas = r.integer("paymasterVerificationGasLimit", f.PaymasterVerificationGasLimit, maxGasBits)
	}
	if f.Paymaster != nil || given(f.PaymasterPostOpGasLimit) {
		o.paymasterPostGas = r.integer("paymasterPostOpGasLimit", f.PaymasterPostOpGasLimit, maxGasBits)
	}
	if f.Paymaster != nil {
		o.paymaster = r.address("paymaster", *f.Paymaster)
	} else if len(o.paymasterData) > 0 || o.paymasterSigns || o.paymasterGas.Sign() != 0 || o.paymasterPostGas.Sign() != 0 {
		r.fail("there is no paymaster for what is one's")
	}
	switch {
	case o.version < version09 && o.paymasterSigns:
		r.fail("entry point %s has no paymasterSignature", o.version)
	case len(signature) > maxPaymasterSignature:
		r.fail("paymasterSignature is too long")
	case o.version >= version09 && bytes.HasSuffix(o.paymasterData, []byte(paymasterMagic)):
		r.fail("paymasterData ends as if a signature of the paymaster stood in it: give that as paymasterSignature, which isn't hashed")
	}
}

// given reports whether a member is there.
func given(v jsontext.Value) bool { return v != nil && v.Kind() != 'n' }

func (r *operationReader) address(name, text string) []byte {
	b, ok := hexBytes(text)
	if !ok || !typeddata.IsAddress(text) {
		r.fail("%s isn't an address: 0x and 40 hex digits, in lower case or as EIP-55 has it", name)
		return make([]byte, addressSize)
	}
	return b
}

// bytes are 0x and pairs of hex digits; nothing is none.
func (r *operationReader) bytes(name string, text *string) []byte {
	if text == nil {
		return nil
	}
	b, ok := hexBytes(*text)
	if !ok {
		r.fail("%s isn't 0x and pairs of hex digits", name)
	}
	return b
}

// integer is one of at most that many bits.
func (r *operationReader) integer(name string, v jsontext.Value, bits int) *big.Int {
	n := new(big.Int)
	if given(v) {
		if s, err := typeddata.Integer(v); err == nil {
			if _, ok := n.SetString(s, 10); ok && n.Sign() >= 0 && n.BitLen() <= bits {
				return n
			}
		}
	}
	r.fail("%s isn't an integer of at most %d bits: in decimal, or as text 0x and hex", name, bits)
	return new(big.Int)
}

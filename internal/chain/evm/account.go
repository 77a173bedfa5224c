package evm

import (
	"math/big"
	"strings"

	"github.com/sigilkeys/sigil/internal/abi"
	"github.com/sigilkeys/sigil/internal/chain"
)

// Flags of user operations (docs/FORMATS.md).
const (
	flagDeploysAccount = "deploys_account" // a factory makes the account first
	flagPaymaster      = "paymaster"       // another contract pays, and may want something for it
)

// effects describes what the operation does: how its account comes to be, and
// what that is called for.
func (o *operation) effects(n *chain.Network, pub []byte) (*chain.Effects, error) {
	wallet, err := Codec{}.Address(pub)
	if err != nil {
		return nil, err
	}
	wallet = strings.ToLower(wallet)
	e := &chain.Effects{Nonce: o.nonce.String(), FeeMax: o.feeMax(), FeePayer: hexText(o.sender)}
	d := &describer{n: n, e: e, account: e.FeePayer}
	from := d.account
	if from == wallet {
		from, e.FeePayer = "", ""
	}
	if len(o.paymaster) > 0 {
		e.FeePayer, e.Flags = hexText(o.paymaster), append(e.Flags, flagPaymaster)
	}
	o.begins(d, from, wallet)
	if len(o.callData) > 0 {
		d.describe(&call{from: from, own: true, to: o.sender, data: o.callData})
	} else if len(e.Actions) == 0 { // entry points call nobody with nothing
		o.opaque(d, from, nil)
	}
	e.Behind = chain.BehindData(d.behind)
	return e, nil
}

// begins describes how the account comes to be: made by a known factory for
// the wallet, or by a call that nobody here knows, or a wallet that takes code
// and is called with what may be behind.
func (o *operation) begins(d *describer, from, wallet string) {
	switch {
	case len(o.delegate) > 0:
		d.accept(nil)
		d.e.Actions = append(d.e.Actions, chain.Action{Kind: chain.ActionDelegate, Account: from, Contract: hexText(o.delegate)})
		if isZero(o.delegate) {
			d.e.Flags = append(d.e.Flags, flagDelegationRemoved)
		}
		if len(o.factoryData) > 0 {
			o.opaque(d, from, o.factoryData)
		}
	case len(o.factory) > 0:
		factory := hexText(o.factory)
		d.e.Flags = append(d.e.Flags, flagDeploysAccount)
		if o.version.factory(factory) && owned(o.factoryData, wallet) {
			d.e.Actions = append(d.e.Actions, chain.Action{Kind: chain.ActionCreate, Account: from, Contract: factory, Selector: hexText(o.factoryData[:selectorSize])})
			return
		}
		d.accept(o.factoryData)
		(&call{d: d, from: from, contract: factory, data: o.factoryData}).opaque()
	}
}

// opaque notes a call of the account that nobody here understands.
func (o *operation) opaque(d *describer, from string, data []byte) {
	d.accept(data)
	(&call{d: d, from: from, contract: hexText(o.sender), data: data}).opaque()
}

// factory reports whether the address is a factory of accounts for that entry
// point whose one owner is whom createAccount names: of SimpleAccount, and of
// LightAccount 1.1 and 2.0.
func (v version) factory(address string) bool {
	switch address {
	case "0x9406cc6185a346906296840746125a0e44976454", "0x00004ec70002a32400f8ae005a26081065620d20":
		return v == version06
	case "0x91e60e0613810449d098b0b5ec8b51a0fe8c8985", "0x0000000000400cdfef5e2714e63d8040b700bc24":
		return v == version07
	case "0x13e9ed32155810fdbd067d4522c492d6f68e5944":
		return v == version08
	}
	return false
}

// owned reports whether a factory is asked for an account of the wallet.
func owned(data []byte, wallet string) bool {
	f, err := abi.Parse("createAccount(address,uint256)")
	if err != nil {
		return false
	}
	a, ok := f.Decode(data)
	return ok && addressText(a[0]) == wallet
}

// feeMax is all the gas that the operation names, at its highest price; 0.6
// asks three times for verification where there is a paymaster.
func (o *operation) feeMax() string {
	gas := new(big.Int).Set(o.verificationGas)
	if o.version == version06 && len(o.paymaster) > 0 {
		gas.Mul(gas, big.NewInt(3))
	}
	for _, v := range []*big.Int{o.callGas, o.preVerificationGas, o.paymasterGas, o.paymasterPostGas} {
		gas.Add(gas, v)
	}
	return gas.Mul(gas, o.maxFee).String()
}

package evm

import (
	"errors"
	"math/big"
)

// DynamicFee is a transaction of EIP-1559 that calls one account.
type DynamicFee struct {
	ChainID uint64
	Nonce   uint64
	Tip     *big.Int // maxPriorityFeePerGas, wei
	Price   *big.Int // maxFeePerGas, wei
	Gas     uint64
	To      [addressSize]byte
	Value   *big.Int // wei
	Data    []byte
}

// Unsigned encodes what the signature hash is made over, in the text form that
// Codec.Transaction takes. The decoder reads it before it leaves, so that
// nothing is handed out that the TEE wouldn't take. Integers aren't negative.
func (d *DynamicFee) Unsigned() (string, error) {
	t := &transaction{
		kind: typeDynamicFee, chainID: d.ChainID, nonce: d.Nonce, tip: d.Tip.Bytes(), price: d.Price.Bytes(),
		gas: d.Gas, to: d.To[:], value: d.Value.Bytes(), data: d.Data,
	}
	t.fields = t.appendFields(nil)
	raw := t.unsigned()
	read, fault := decode(raw)
	if fault == "" {
		_, fault = read.feeMax()
	}
	if fault != "" {
		return "", errors.New(fault)
	}
	return hexText(raw), nil
}

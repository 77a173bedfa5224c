package unsigned

import (
	"encoding/hex"
	"math"
	"math/big"

	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/typeddata"
)

// EVM is what all transactions of EVM networks have: type 2 of EIP-1559, with
// no access list.
type EVM struct {
	Network              string   // slug, which says the chain id
	Nonce                uint64   // of the wallet; 2^64-1 is none (EIP-2681)
	GasLimit             uint64   // units of gas
	MaxFeePerGas         *big.Int // wei for a unit of gas, the tip included
	MaxPriorityFeePerGas *big.Int // wei for a unit of gas, the tip

	// Networks are those that an installation adds to the presets, as
	// client.Config.Networks has them.
	Networks []EVMNetwork
}

// EVMNetwork is an EVM network that is no preset.
type EVMNetwork = evm.Configured

// EVMTransfer sends the native asset.
type EVMTransfer struct {
	EVM
	To     string   // address; its letters in lower case or as EIP-55 has them
	Amount *big.Int // wei; 0 does nothing but use the nonce
}

// ERC20Transfer sends tokens: transfer(address,uint256) of ERC-20.
type ERC20Transfer struct {
	EVM
	Token  string   // address of the contract
	To     string   // address
	Amount *big.Int // smallest units of the token, not 0
}

// ERC20Approve lets a spender take tokens: approve(address,uint256) of ERC-20.
type ERC20Approve struct {
	EVM
	Token   string   // address of the contract
	Spender string   // address
	Amount  *big.Int // smallest units of the token; 0 takes the approval back
}

// ERC721Transfer sends a token that is one of its kind:
// safeTransferFrom(address,address,uint256) of ERC-721, which a contract that
// doesn't know such tokens refuses.
type ERC721Transfer struct {
	EVM
	Token   string   // address of the contract
	From    string   // address of the owner, most often the wallet's
	To      string   // address
	TokenID *big.Int // number of the token
}

// Build returns the transaction as 0x and hex of its signing encoding.
func (t EVMTransfer) Build() (string, error) {
	to, err := account("To", t.To)
	if err == nil {
		err = number("Amount", t.Amount)
	}
	if err != nil {
		return "", err
	}
	return t.call(to, t.Amount, nil)
}

// Build returns the transaction as 0x and hex of its signing encoding.
func (t ERC20Transfer) Build() (string, error) {
	token, to, err := tokenAnd("To", t.Token, t.To)
	if err == nil {
		err = positive("Amount", t.Amount)
	}
	if err != nil {
		return "", err
	}
	return t.call(token, new(big.Int), calldata("\xa9\x05\x9c\xbb", to[:], t.Amount.Bytes()))
}

// Build returns the transaction as 0x and hex of its signing encoding.
func (t ERC20Approve) Build() (string, error) {
	token, spender, err := tokenAnd("Spender", t.Token, t.Spender)
	if err == nil {
		err = number("Amount", t.Amount)
	}
	if err != nil {
		return "", err
	}
	return t.call(token, new(big.Int), calldata("\x09\x5e\xa7\xb3", spender[:], t.Amount.Bytes()))
}

// Build returns the transaction as 0x and hex of its signing encoding.
func (t ERC721Transfer) Build() (string, error) {
	token, to, err := tokenAnd("To", t.Token, t.To)
	if err != nil {
		return "", err
	}
	from, err := account("From", t.From)
	if err == nil {
		err = number("TokenID", t.TokenID)
	}
	if err != nil {
		return "", err
	}
	return t.call(token, new(big.Int), calldata("\x42\x84\x2e\x0e", from[:], to[:], t.TokenID.Bytes()))
}

type address = [20]byte

// account reads an address that is somebody's.
func account(field, text string) (a address, err error) {
	if !typeddata.IsAddress(text) {
		return a, bad(field, "not an address: 0x and 40 hex digits, in lower case or as EIP-55 has them")
	}
	if _, err := hex.Decode(a[:], []byte(text[2:])); err != nil {
		return a, bad(field, "not an address: %v", err)
	}
	if a == (address{}) {
		return a, bad(field, "the zero address is nobody's")
	}
	return a, nil
}

// tokenAnd reads the address of a token and that of another party, which isn't
// the token itself: what it got would be lost.
func tokenAnd(field, tokenText, otherText string) (token, other address, err error) {
	if token, err = account("Token", tokenText); err != nil {
		return token, other, err
	}
	if other, err = account(field, otherText); err == nil && other == token {
		err = bad(field, "it is the token's own contract")
	}
	return token, other, err
}

// calldata is a call of a function whose arguments are words: its selector,
// and each argument with zeros before it (Solidity's ABI specification).
func calldata(selector string, words ...[]byte) []byte {
	b := []byte(selector)
	for _, w := range words {
		b = append(append(b, make([]byte, 32-len(w))...), w...)
	}
	return b
}

// call encodes the call of an account.
func (t *EVM) call(to address, value *big.Int, data []byte) (string, error) {
	n, err := network(t.Network, evm.Family, t.Networks...)
	if err == nil {
		err = t.check()
	}
	if err != nil {
		return "", err
	}
	d := &evm.DynamicFee{ChainID: n.ChainID, Nonce: t.Nonce, Tip: t.MaxPriorityFeePerGas, Price: t.MaxFeePerGas, Gas: t.GasLimit, To: to, Value: value, Data: data}
	return d.Unsigned()
}

func (t *EVM) check() error {
	if t.Nonce == math.MaxUint64 {
		return bad("Nonce", "it is over 2^64-2")
	}
	if t.GasLimit == 0 {
		return bad("GasLimit", "it is 0")
	}
	if err := number("MaxFeePerGas", t.MaxFeePerGas); err != nil {
		return err
	}
	if err := number("MaxPriorityFeePerGas", t.MaxPriorityFeePerGas); err != nil {
		return err
	}
	fee := new(big.Int).SetUint64(t.GasLimit)
	switch {
	case t.MaxPriorityFeePerGas.Cmp(t.MaxFeePerGas) > 0:
		return bad("MaxPriorityFeePerGas", "it is above MaxFeePerGas")
	case fee.Mul(fee, t.MaxFeePerGas).BitLen() > 256:
		return bad("MaxFeePerGas", "with the gas limit it has over 256 bits")
	}
	return nil
}

package evm

import (
	"encoding/hex"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/typeddata"
)

const flagDelegationRemoved = "delegation_removed" // the account has no code any more

// magicAuthorization is the byte before what an authorisation signs (EIP-7702).
const magicAuthorization = 0x05

// authorization prepares an authorisation of EIP-7702: the wallet's account
// takes the code of an address. Of chain id 0, which holds on every chain,
// none is signed.
func authorization(n *chain.Network, doc []byte) (*chain.Prepared, error) {
	var members struct {
		ChainID jsontext.Value `json:"chain_id"`
		Address string         `json:"address"`
		Nonce   jsontext.Value `json:"nonce"`
	}
	if err := canon.DecodeJSONLoose(doc, &members); err != nil {
		return nil, chain.Refuse(chain.CodePayloadInvalid, "an authorization is an object of chain_id, address and nonce: %v", err)
	}
	chainID, err := uint64Of(members.ChainID)
	if err != nil || chainID == 0 {
		return nil, chain.Refuse(chain.CodePayloadInvalid, "chain_id isn't a chain's: an integer, not 0, which would hold on every chain")
	}
	nonce, err := uint64Of(members.Nonce)
	if err != nil || nonce == math.MaxUint64 {
		return nil, chain.Refuse(chain.CodePayloadInvalid, "nonce isn't an integer up to 2^64-2 (EIP-2681)")
	}
	if !typeddata.IsAddress(members.Address) {
		return nil, chain.Refuse(chain.CodePayloadInvalid, "address isn't one: 0x and 40 hex digits, in lower case or as EIP-55 has it")
	}
	if chainID != n.ChainID {
		return nil, chain.Refuse(chain.CodeNetwork, "the authorization is for chain id %d, %s has %d", chainID, n.Slug, n.ChainID)
	}
	address, err := hex.DecodeString(strings.ToLower(members.Address[2:]))
	if err != nil {
		return nil, err
	}
	preimage := appendList([]byte{magicAuthorization}, func(b []byte) []byte {
		return appendUint64(appendText(appendUint64(b, chainID), address), nonce)
	})
	e := &chain.Effects{Nonce: strconv.FormatUint(nonce, 10), FeeMax: "0", Actions: []chain.Action{{Kind: chain.ActionDelegate, Contract: hexText(address)}},
		Behind: chain.BehindData(map[int][]byte{0: nil})}
	if isZero(address) {
		e.Flags = []string{flagDelegationRemoved}
	}
	return &chain.Prepared{Intent: chain.EffectsIntent(n, chain.KindAuthorization, "evm-eip7702-authorization", preimage, e), SignBytes: keccak(preimage)}, nil
}

// uint64Of reads an integer of a document.
func uint64Of(v jsontext.Value) (uint64, error) {
	if v == nil {
		return 0, strconv.ErrSyntax
	}
	s, err := typeddata.Integer(v)
	if err != nil {
		return 0, err
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok || !n.IsUint64() {
		return 0, strconv.ErrRange
	}
	return n.Uint64(), nil
}

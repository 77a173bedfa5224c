// Package bitcoin is the Bitcoin family: addresses of one key in four types,
// transactions as PSBTs (BIP-174, BIP-370), messages (BIP-322, BIP-137).
//
// What the wallet signs, it has decoded first, and nothing that the host says
// is believed where the chain's own data can prove it: amounts come from
// previous transactions whose hash the outpoint names, change is what pays a
// script of the wallet's own key, and the fee is the difference of sums. See
// prevouts for who could lie about an amount and why that gains nothing.
package bitcoin

import (
	"encoding/base64"
	"fmt"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
)

// Family is the family's name in the registry.
const Family = "bitcoin"

// Networks returns the family's networks. A transaction doesn't name its
// network, and the test networks have one key's scripts in common with the
// main one: what is signed on any of them is valid on all where the outputs
// that it spends exist.
func Networks() []chain.Network {
	test := Codec{hrp: "tb", keyHash: 0x6f, scriptHash: 0xc4}
	regtest := test
	regtest.hrp = "bcrt"
	list := []chain.Network{
		{Slug: "bitcoin", Name: "Bitcoin", Codec: Codec{hrp: "bc", keyHash: 0x00, scriptHash: 0x05}},
		{Slug: "bitcoin-testnet4", Name: "Bitcoin Testnet4", Codec: test, Testnet: true, AlsoValidOn: "bitcoin"},
		{Slug: "bitcoin-signet", Name: "Bitcoin Signet", Codec: test, Testnet: true, AlsoValidOn: "bitcoin"},
		{Slug: "bitcoin-regtest", Name: "Bitcoin Regtest", Codec: regtest, Testnet: true, AlsoValidOn: "bitcoin"},
	}
	for i := range list {
		list[i].Family, list[i].Curve, list[i].Symbol, list[i].Decimals = Family, keys.Secp256k1, "BTC", 8
	}
	return list
}

// Codec implements chain.Codec and chain.Transactor for one network.
type Codec struct {
	hrp        string // of bech32 addresses
	keyHash    byte   // version of base58 addresses
	scriptHash byte
}

// Names of the address types.
const (
	TypeP2WPKH     = "p2wpkh"
	TypeP2TR       = "p2tr"
	TypeP2PKH      = "p2pkh"
	TypeP2SHP2WPKH = "p2sh-p2wpkh"
)

// Address returns the P2WPKH address (BIP-84's type) of a compressed public
// key.
func (c Codec) Address(pub []byte) (string, error) {
	if _, err := keys.Uncompressed(pub); err != nil {
		return "", err
	}
	return encodeSegwit(c.hrp, 0, hash160(pub)), nil
}

// AddressTypes returns all addresses of a compressed public key, by type.
// What any of them gets, the wallet can spend.
func (c Codec) AddressTypes(pub []byte) (map[string]string, error) {
	w, err := newWallet(pub)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		TypeP2WPKH: c.address(w.p2wpkh), TypeP2TR: c.address(w.p2tr),
		TypeP2PKH: c.address(w.p2pkh), TypeP2SHP2WPKH: c.address(w.p2sh),
	}, nil
}

// sizeECDSA is the size of an ECDSA signature from package keys.
const sizeECDSA = 65

// EncodeSignature returns base64 of the raw signature. Payloads have their own
// text forms; this is that of none.
func (Codec) EncodeSignature(raw []byte) (string, error) {
	if len(raw) != sizeECDSA || raw[64] > 1 {
		return "", fmt.Errorf("%w: signature of %d bytes", keys.ErrInput, len(raw))
	}
	return base64.StdEncoding.EncodeToString(raw), nil
}

// DecodeSignature is the strict inverse of EncodeSignature.
func (Codec) DecodeSignature(text string) ([]byte, error) {
	raw, err := chain.Base64(text)
	if err != nil || len(raw) != sizeECDSA || raw[64] > 1 {
		return nil, fmt.Errorf("%w: not base64 of a signature of %d bytes", keys.ErrInput, sizeECDSA)
	}
	return raw, nil
}

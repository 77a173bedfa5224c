package unsigned

import (
	"encoding/hex"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
)

const (
	someone = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed" // of EIP-55
	usdc    = "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"
	owner   = "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf" // the address of secpKey
)

func onBase() EVM {
	return EVM{Network: "base", Nonce: 7, GasLimit: 100_000, MaxFeePerGas: big.NewInt(30_000_000_000), MaxPriorityFeePerGas: big.NewInt(1_000_000_000)}
}

func evmCases(t testing.TB) []one {
	maximum := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	list := []one{
		{name: "native", build: EVMTransfer{onBase(), someone, big.NewInt(1e18)},
			actions: []chain.Action{{Kind: chain.ActionTransfer, Asset: chain.AssetNative, To: strings.ToLower(someone), Amount: "1000000000000000000"}}},
		{name: "native, nothing", build: EVMTransfer{onBase(), owner, new(big.Int)},
			actions: []chain.Action{{Kind: chain.ActionTransfer, Asset: chain.AssetNative, To: owner, Amount: "0"}}},
		{name: "native, all that fits", build: EVMTransfer{onBase(), someone, maximum},
			actions: []chain.Action{{Kind: chain.ActionTransfer, Asset: chain.AssetNative, To: strings.ToLower(someone), Amount: maximum.String()}}},
		{name: "ERC-20", build: ERC20Transfer{onBase(), usdc, someone, big.NewInt(2_500_000)},
			actions: []chain.Action{{Kind: chain.ActionTokenTransfer, Asset: usdc, To: strings.ToLower(someone), Amount: "2500000", Contract: usdc, Selector: "0xa9059cbb"}}},
		{name: "ERC-20, approve", build: ERC20Approve{onBase(), usdc, someone, big.NewInt(5)}, flags: []string{"amount_or_token_id"},
			actions: []chain.Action{{Kind: chain.ActionApprove, Asset: usdc, Spender: strings.ToLower(someone), Amount: "5", Contract: usdc, Selector: "0x095ea7b3"}}},
		{name: "ERC-20, approve nothing", build: ERC20Approve{onBase(), usdc, someone, new(big.Int)}, flags: []string{"amount_or_token_id"},
			actions: []chain.Action{{Kind: chain.ActionApprove, Asset: usdc, Spender: strings.ToLower(someone), Amount: "0", Contract: usdc, Selector: "0x095ea7b3"}}},
		{name: "ERC-20, approve everything", build: ERC20Approve{onBase(), usdc, someone, maximum}, flags: []string{"amount_or_token_id", "unlimited_approval"},
			actions: []chain.Action{{Kind: chain.ActionApprove, Asset: usdc, Spender: strings.ToLower(someone), Amount: maximum.String(), Contract: usdc, Selector: "0x095ea7b3"}}},
		{name: "ERC-721", build: ERC721Transfer{onBase(), usdc, owner, someone, big.NewInt(0)},
			actions: []chain.Action{{Kind: chain.ActionTokenTransfer, Asset: usdc, From: owner, To: strings.ToLower(someone), Amount: "1", TokenID: "0", Contract: usdc, Selector: "0x42842e0e"}}},
	}
	for i := range list {
		list[i].nonce, list[i].fee, list[i].format = "7", "3000000000000000", "evm-eip1559"
	}
	small := EVM{Network: "ethereum", GasLimit: 1, MaxFeePerGas: new(big.Int), MaxPriorityFeePerGas: new(big.Int)}
	large := EVM{Network: "zora", Nonce: math.MaxUint64 - 1, GasLimit: math.MaxUint64, MaxFeePerGas: new(big.Int).Lsh(big.NewInt(1), 192), MaxPriorityFeePerGas: new(big.Int).Lsh(big.NewInt(1), 192)}
	fee := new(big.Int).Lsh(new(big.Int).SetUint64(math.MaxUint64), 192)
	to := []chain.Action{{Kind: chain.ActionTransfer, Asset: chain.AssetNative, To: usdc, Amount: "127"}}
	list = append(list,
		one{name: "native, the smallest fields", build: EVMTransfer{small, usdc, big.NewInt(127)}, nonce: "0", fee: "0", format: "evm-eip1559", actions: to},
		one{name: "native, the largest fields", build: EVMTransfer{large, usdc, big.NewInt(127)}, nonce: decimal(math.MaxUint64 - 1), fee: fee.String(), format: "evm-eip1559", actions: to},
	)
	return append(list, evmRefusals(t)...)
}

func evmRefusals(t testing.TB) []one {
	huge := integer(t, "0x1"+strings.Repeat("0", 64))
	with := func(change func(*EVM)) EVMTransfer {
		e := EVMTransfer{onBase(), someone, big.NewInt(1)}
		change(&e.EVM)
		return e
	}
	return []one{
		{name: "a network that isn't there", build: with(func(e *EVM) { e.Network = "bse" }), refused: "Network"},
		{name: "a network of another family", build: with(func(e *EVM) { e.Network = "solana" }), refused: "Network"},
		{name: "no network", build: with(func(e *EVM) { e.Network = "" }), refused: "Network"},
		{name: "a nonce that is none", build: with(func(e *EVM) { e.Nonce = math.MaxUint64 }), refused: "Nonce"},
		{name: "no gas", build: with(func(e *EVM) { e.GasLimit = 0 }), refused: "GasLimit"},
		{name: "no fee", build: with(func(e *EVM) { e.MaxFeePerGas = nil }), refused: "MaxFeePerGas"},
		{name: "no tip", build: with(func(e *EVM) { e.MaxPriorityFeePerGas = nil }), refused: "MaxPriorityFeePerGas"},
		{name: "a negative fee", build: with(func(e *EVM) { e.MaxFeePerGas = big.NewInt(-1) }), refused: "MaxFeePerGas"},
		{name: "a negative tip", build: with(func(e *EVM) { e.MaxPriorityFeePerGas = big.NewInt(-1) }), refused: "MaxPriorityFeePerGas"},
		{name: "a tip above the fee", build: with(func(e *EVM) { e.MaxPriorityFeePerGas = big.NewInt(30_000_000_001) }), refused: "MaxPriorityFeePerGas"},
		{name: "a fee of more than 256 bits", build: with(func(e *EVM) { e.MaxFeePerGas = new(big.Int).Rsh(huge, 16) }), refused: "MaxFeePerGas"},
		{name: "a price of more than 256 bits", build: with(func(e *EVM) { e.MaxFeePerGas = huge }), refused: "MaxFeePerGas"},
		{name: "no amount", build: EVMTransfer{onBase(), someone, nil}, refused: "Amount"},
		{name: "a negative amount", build: EVMTransfer{onBase(), someone, big.NewInt(-1)}, refused: "Amount"},
		{name: "an amount of more than 256 bits", build: EVMTransfer{onBase(), someone, huge}, refused: "Amount"},
		{name: "no recipient", build: EVMTransfer{onBase(), "", big.NewInt(1)}, refused: "To"},
		{name: "a recipient with a typing error", build: EVMTransfer{onBase(), "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD", big.NewInt(1)}, refused: "To"},
		{name: "a recipient in capitals", build: EVMTransfer{onBase(), "0x" + strings.ToUpper(someone[2:]), big.NewInt(1)}, refused: "To"},
		{name: "a recipient that is too short", build: EVMTransfer{onBase(), usdc[:41], big.NewInt(1)}, refused: "To"},
		{name: "a recipient without 0x", build: EVMTransfer{onBase(), usdc[2:], big.NewInt(1)}, refused: "To"},
		{name: "a name for a recipient", build: EVMTransfer{onBase(), "vitalik.eth", big.NewInt(1)}, refused: "To"},
		{name: "the zero address", build: EVMTransfer{onBase(), "0x" + strings.Repeat("0", 40), big.NewInt(1)}, refused: "To"},
		{name: "no token", build: ERC20Transfer{onBase(), "", someone, big.NewInt(1)}, refused: "Token"},
		{name: "tokens to their contract", build: ERC20Transfer{onBase(), usdc, usdc, big.NewInt(1)}, refused: "To"},
		{name: "no tokens", build: ERC20Transfer{onBase(), usdc, someone, new(big.Int)}, refused: "Amount"},
		{name: "tokens to nobody", build: ERC20Transfer{onBase(), usdc, "0x" + strings.Repeat("0", 40), big.NewInt(1)}, refused: "To"},
		{name: "the token's contract for a spender", build: ERC20Approve{onBase(), usdc, usdc, big.NewInt(1)}, refused: "Spender"},
		{name: "an approval of too much", build: ERC20Approve{onBase(), usdc, someone, huge}, refused: "Amount"},
		{name: "nobody's token", build: ERC721Transfer{onBase(), usdc, "0x" + strings.Repeat("0", 40), someone, big.NewInt(1)}, refused: "From"},
		{name: "no number", build: ERC721Transfer{onBase(), usdc, owner, someone, nil}, refused: "TokenID"},
	}
}

// TestAddedNetworks: the chain id of a network that is no preset is the
// installation's word, and may be no preset's.
func TestAddedNetworks(t *testing.T) {
	e := EVMTransfer{onBase(), someone, big.NewInt(1)}
	e.Network, e.Networks = "office", []EVMNetwork{{Slug: "office", Name: "Office", ChainID: 1337}}
	built, err := e.Build()
	if err != nil || !strings.HasPrefix(built[6:], "820539") {
		t.Fatalf("%s: %v", built, err)
	}
	for _, other := range []EVMNetwork{{Slug: "office", Name: "Office", ChainID: 8453}, {Slug: "base", Name: "Office", ChainID: 1337}, {Slug: "office", Name: "Office"}} {
		e.Networks = []EVMNetwork{other}
		_, err := e.Build()
		refusedOnly(t, err)
	}
}

// FuzzEVM: what is built, the decoder says back.
func FuzzEVM(f *testing.F) {
	f.Add(uint8(0), "base", uint64(1), uint64(21000), []byte{9}, []byte{1}, someone, usdc, []byte{255})
	f.Add(uint8(1), "zksync", uint64(0), uint64(1<<40), []byte{}, []byte{}, owner, usdc, make([]byte, 33))
	f.Add(uint8(2), "ethereum", uint64(1<<63), uint64(1), []byte{9, 9}, []byte{9, 9}, someone, someone, []byte{})
	f.Add(uint8(3), "polygon", uint64(128), uint64(256), []byte{128, 0}, []byte{127}, someone, usdc, []byte{0, 1})
	f.Fuzz(func(t *testing.T, kind uint8, network string, nonce, gas uint64, price, tip []byte, to, token string, amount []byte) {
		e := EVM{Network: network, Nonce: nonce, GasLimit: gas, MaxFeePerGas: new(big.Int).SetBytes(price), MaxPriorityFeePerGas: new(big.Int).SetBytes(tip)}
		v := new(big.Int).SetBytes(amount)
		lower, contract := strings.ToLower(to), strings.ToLower(token)
		var build any
		var want chain.Action
		switch kind % 4 {
		case 0:
			build, want = EVMTransfer{e, to, v}, chain.Action{Kind: chain.ActionTransfer, Asset: chain.AssetNative, To: lower, Amount: v.String()}
		case 1:
			build, want = ERC20Transfer{e, token, to, v}, chain.Action{Kind: chain.ActionTokenTransfer, Asset: contract, Contract: contract, Selector: "0xa9059cbb", To: lower, Amount: v.String()}
		case 2:
			build, want = ERC20Approve{e, token, to, v}, chain.Action{Kind: chain.ActionApprove, Asset: contract, Contract: contract, Selector: "0x095ea7b3", Spender: lower, Amount: v.String()}
		case 3:
			build, want = ERC721Transfer{e, token, owner, to, v}, chain.Action{Kind: chain.ActionTokenTransfer, Asset: contract, Contract: contract, Selector: "0x42842e0e", From: owner, To: lower, Amount: "1", TokenID: v.String()}
		}
		built, err := text(build)
		if err != nil {
			refusedOnly(t, err)
			return
		}
		if contract == owner { // a call of the wallet itself: opaque
			return
		}
		p, err := prepared(t, network, built)
		if err != nil {
			t.Fatalf("the TEE refuses %s: %v", built, err)
		}
		a := p.Intent.Effects
		fee := new(big.Int).SetUint64(gas)
		if len(a.Actions) != 1 || !reflect.DeepEqual(a.Actions[0], want) || a.Nonce != decimal(nonce) || a.FeeMax != fee.Mul(fee, e.MaxFeePerGas).String() {
			t.Fatalf("%s does %+v, want %+v", built, a, want)
		}
		if raw, err := hex.DecodeString(built[2:]); err != nil || raw[0] != 2 {
			t.Fatalf("%s isn't of type 2", built)
		}
	})
}

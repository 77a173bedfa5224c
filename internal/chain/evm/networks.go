package evm

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
)

// preset is a network that every build knows.
type preset struct {
	slug, name string
	chainID    uint64
	symbol     string // of the native asset, which has 18 decimals on all
	aliases    []string
}

// first are those whose addresses stand in wallets by themselves; a wallet's
// address on all others is the one on ethereum.
func first() []preset {
	return []preset{
		{"ethereum", "Ethereum", 1, "ETH", nil},
		{"polygon", "Polygon", 137, "POL", []string{"matic"}},
		{"arbitrum", "Arbitrum One", 42161, "ETH", nil},
		{"base", "Base", 8453, "ETH", nil},
		{"optimism", "OP Mainnet", 10, "ETH", nil},
		{"bsc", "BNB Smart Chain", 56, "BNB", []string{"bnb", "smartchain"}},
		{"avalanche", "Avalanche C-Chain", 43114, "AVAX", []string{"avalanchec"}},
	}
}

func firstTest() []preset {
	return []preset{
		{"sepolia", "Sepolia", 11155111, "ETH", nil},
		{"hoodi", "Hoodi", 560048, "ETH", nil},
		{"polygon-amoy", "Polygon Amoy", 80002, "POL", nil},
		{"arbitrum-sepolia", "Arbitrum Sepolia", 421614, "ETH", nil},
		{"base-sepolia", "Base Sepolia", 84532, "ETH", nil},
		{"optimism-sepolia", "OP Sepolia", 11155420, "ETH", nil},
		{"bsc-testnet", "BNB Smart Chain Testnet", 97, "tBNB", nil},
		{"avalanche-fuji", "Avalanche Fuji", 43113, "AVAX", nil},
	}
}

// more are further main networks. Names, ids and symbols agree with viem's
// chain definitions (2.57).
func more() []preset {
	return []preset{
		{"abstract", "Abstract", 2741, "ETH", nil},
		{"apechain", "ApeChain", 33139, "APE", nil},
		{"arbitrum-nova", "Arbitrum Nova", 42170, "ETH", []string{"arbitrumnova"}},
		{"aurora", "Aurora", 1313161554, "ETH", nil},
		{"berachain", "Berachain", 80094, "BERA", nil},
		{"blast", "Blast", 81457, "ETH", nil},
		{"bob", "BOB", 60808, "ETH", nil},
		{"boba", "Boba Network", 288, "ETH", nil},
		{"bouncebit", "BounceBit", 6001, "BB", nil},
		{"celo", "Celo", 42220, "CELO", nil},
		{"classic", "Ethereum Classic", 61, "ETC", nil},
		{"cronos", "Cronos", 25, "CRO", nil},
		{"fantom", "Fantom", 250, "FTM", nil},
		{"flow-evm", "Flow EVM", 747, "FLOW", nil},
		{"fraxtal", "Fraxtal", 252, "FRAX", nil},
		{"gnosis", "Gnosis", 100, "XDAI", []string{"xdai"}},
		{"hyperevm", "HyperEVM", 999, "HYPE", []string{"hyperliquid-evm"}},
		{"ink", "Ink", 57073, "ETH", nil},
		{"kaia", "Kaia", 8217, "KAIA", []string{"klaytn"}},
		{"katana", "Katana", 747474, "ETH", nil},
		{"kava-evm", "Kava EVM", 2222, "KAVA", []string{"kavaevm"}},
		{"lightlink", "LightLink Phoenix", 1890, "ETH", nil},
		{"linea", "Linea", 59144, "ETH", nil},
		{"manta", "Manta Pacific", 169, "ETH", nil},
		{"mantle", "Mantle", 5000, "MNT", nil},
		{"megaeth", "MegaETH", 4326, "ETH", nil},
		{"merlin", "Merlin", 4200, "BTC", nil},
		{"metis", "Metis", 1088, "METIS", nil},
		{"mode", "Mode", 34443, "ETH", nil},
		{"monad", "Monad", 143, "MON", nil},
		{"moonbeam", "Moonbeam", 1284, "GLMR", nil},
		{"moonriver", "Moonriver", 1285, "MOVR", nil},
		{"neon", "Neon EVM", 245022934, "NEON", nil},
		{"oasys", "Oasys", 248, "OAS", nil},
		{"opbnb", "opBNB", 204, "BNB", nil},
		{"plasma", "Plasma", 9745, "XPL", nil},
		{"polygon-zkevm", "Polygon zkEVM", 1101, "ETH", []string{"polygonzkevm"}},
		{"robinhood", "Robinhood Chain", 4663, "ETH", []string{"robinhoodchain"}},
		{"ronin", "Ronin", 2020, "RON", nil},
		{"scroll", "Scroll", 534352, "ETH", nil},
		{"sei", "Sei", 1329, "SEI", []string{"seievm"}},
		{"soneium", "Soneium", 1868, "ETH", nil},
		{"sonic", "Sonic", 146, "S", nil},
		{"taiko", "Taiko", 167000, "ETH", nil},
		{"unichain", "Unichain", 130, "ETH", nil},
		{"viction", "Viction", 88, "VIC", nil},
		{"wanchain", "Wanchain", 888, "WAN", nil},
		{"world", "World Chain", 480, "ETH", []string{"worldchain"}},
		{"zetachain", "ZetaChain", 7000, "ZETA", []string{"zetaevm"}},
		{"zircuit", "Zircuit", 48900, "ETH", nil},
		{"zksync", "ZKsync Era", 324, "ETH", nil},
		{"zora", "Zora", 7777777, "ETH", nil},
	}
}

func moreTest() []preset {
	return []preset{
		{"berachain-bepolia", "Berachain Bepolia", 80069, "BERA", nil},
		{"blast-sepolia", "Blast Sepolia", 168587773, "ETH", nil},
		{"celo-sepolia", "Celo Sepolia", 11142220, "S-CELO", nil},
		{"cronos-testnet", "Cronos Testnet", 338, "tCRO", nil},
		{"gnosis-chiado", "Gnosis Chiado", 10200, "xDAI", nil},
		{"hyperevm-testnet", "HyperEVM Testnet", 998, "HYPE", nil},
		{"ink-sepolia", "Ink Sepolia", 763373, "ETH", nil},
		{"linea-sepolia", "Linea Sepolia", 59141, "ETH", nil},
		{"mantle-sepolia", "Mantle Sepolia", 5003, "MNT", nil},
		{"monad-testnet", "Monad Testnet", 10143, "MON", nil},
		{"opbnb-testnet", "opBNB Testnet", 5611, "tBNB", nil},
		{"plasma-testnet", "Plasma Testnet", 9746, "XPL", nil},
		{"scroll-sepolia", "Scroll Sepolia", 534351, "ETH", nil},
		{"sei-testnet", "Sei Testnet", 1328, "SEI", nil},
		{"sonic-blaze", "Sonic Blaze Testnet", 57054, "S", nil},
		{"unichain-sepolia", "Unichain Sepolia", 1301, "ETH", nil},
		{"world-sepolia", "World Chain Sepolia", 4801, "ETH", nil},
		{"zksync-sepolia", "ZKsync Sepolia", 300, "ETH", nil},
	}
}

// decimals of every network's native asset, as wallets count it.
const decimals = 18

// Networks returns the family's presets. One key is one address on all.
func Networks() []chain.Network {
	var out []chain.Network
	for _, group := range []struct {
		list    []preset
		testnet bool
		like    string
	}{{first(), false, ""}, {firstTest(), true, ""}, {more(), false, "ethereum"}, {moreTest(), true, "ethereum"}} {
		for _, p := range group.list {
			out = append(out, chain.Network{Slug: p.slug, Name: p.name, Family: Family, Curve: keys.Secp256k1, ChainID: p.chainID, Testnet: group.testnet, Codec: Codec{}, UnboundOn: unboundOn(p.slug), DataFee: chargesForData(p.slug),
				Aliases: p.aliases, Symbol: p.symbol, Decimals: decimals, AddressOf: group.like})
		}
	}
	return out
}

// Configured is a network that an installation adds to the presets.
type Configured struct {
	Slug    string `json:"slug"`
	Name    string `json:"name"`
	ChainID uint64 `json:"chain_id"`
	Symbol  string `json:"symbol,omitzero"` // of the native asset
	Testnet bool   `json:"testnet,omitzero"`
}

// maxChainID is the largest that JSON's numbers hold everywhere.
const maxChainID = 1<<53 - 1

// Network returns the registry's entry. The registry refuses one whose slug
// or chain id another has.
func (c Configured) Network() (chain.Network, error) {
	switch {
	case c.ChainID == 0 || c.ChainID > maxChainID:
		return chain.Network{}, fmt.Errorf("network %q: the chain id is from 1 to 2^53-1", c.Slug)
	case c.Name == "" || len(c.Name) > 64 || len(c.Symbol) > 16:
		return chain.Network{}, errors.New("network " + c.Slug + ": it has a name of up to 64 bytes and a symbol of up to 16")
	}
	return chain.Network{Slug: c.Slug, Name: c.Name, Family: Family, Curve: keys.Secp256k1, ChainID: c.ChainID, Testnet: c.Testnet, Codec: Codec{}, UnboundOn: unboundOn(c.Slug),
		Symbol: c.Symbol, Decimals: decimals, AddressOf: "ethereum"}, nil
}

// unboundOn is where messages and documents without a chain id are good too:
// where wallets have most to lose.
func unboundOn(slug string) string {
	const main = "ethereum"
	if slug == main {
		return ""
	}
	return main
}

// chargesForData lists rollups whose sequencer takes the price of publishing a
// transaction out of the sender's balance beside its gas: the OP stack
// (GasPriceOracle's getL1Fee) and those that do alike. Of what an installation
// adds, nothing is known.
func chargesForData(slug string) bool {
	return slices.Contains([]string{"base", "base-sepolia", "blast", "blast-sepolia", "bob", "boba", "fraxtal", "ink", "ink-sepolia", "mantle", "mantle-sepolia", "metis", "mode", "opbnb", "opbnb-testnet",
		"optimism", "optimism-sepolia", "scroll", "scroll-sepolia", "soneium", "unichain", "unichain-sepolia", "world", "world-sepolia", "zircuit", "zora"}, slug)
}

package networks

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sigilkeys/sigil/internal/chain"
)

// verified says what a family was held against; each line names the test
// that does it.
func verified(family string) []string {
	return map[string][]string{
		"bitcoin": {
			"BIP-143, 174, 340, 341, 370, 371, 86, 137 and 322: the documents' own vectors (`internal/chain/bitcoin`, `internal/keys`)",
			"published transactions, signed again (`internal/chain/bitcoin`, `test/vectors`)",
			"btcd's chain: spends of each address type in blocks that it takes (`test/nodes`)",
			"bitcoinjs-lib and @scure/btc-signer over 100,000 generated PSBTs (`test/oracle`, DIFFERENTIAL.md)",
			"what a host can change in a PSBT, each with its canary (`internal/chain/bitcoin`)",
			"fuzzed: PSBTs, transactions, addresses, messages",
		},
		"evm": {
			"the official Ethereum tests of transactions and RLP (`internal/chain/evm/testdata/ethereum-tests`)",
			"published transactions, messages and addresses, signed again through the workload (`test/vectors`)",
			"typed data, authorisations and user operations: digests and signatures of viem, ethers and go-ethereum (`internal/typeddata`, `test/vectors`)",
			"calls and the calls within them, as viem and ethers encode them (`internal/chain/evm`, `internal/abi`)",
			"go-ethereum's node in process: types 0 to 4 mined, a token moved, a permit redeemed, user operations handled by each entry point (`test/nodes`)",
			"viem and ethers over 100,000 generated cases of six families (`test/oracle`, DIFFERENTIAL.md)",
			"fuzzed: transactions, RLP, documents, typed data, calldata",
		},
		"solana": {
			"published transactions and messages, signed again through the workload (`test/vectors`)",
			"Solana's virtual machine: transfers, tokens, a memo, a durable nonce, a token with a fee, another's fee payer and a lookup table run (`test/nodes`)",
			"instructions as the programs' own libraries encode them (`internal/chain/solana/testdata`)",
			"@solana/web3.js and @solana/kit over 100,000 generated transactions (`test/oracle`, DIFFERENTIAL.md)",
			"fuzzed: transactions, messages, off-chain messages",
		},
	}[family]
}

// Table is docs/NETWORKS.md.
func Table(r *chain.Registry) string {
	var b strings.Builder
	b.WriteString("# Networks\n\nWritten from the registry by `go test ./internal/networks -update`; the test fails when it differs.\n" +
		"Further EVM chains are added by configuration: OPERATIONS.md, \"Networks\". Which payloads a wallet\nsigns and what is refused: FORMATS.md, 7.6.\n")
	byFamily := map[string][]chain.Network{}
	for _, n := range r.List() {
		byFamily[n.Family] = append(byFamily[n.Family], n)
	}
	for _, family := range []string{"bitcoin", "evm", "solana"} {
		list := byFamily[family]
		if len(list) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s; payloads: %s.\n\nVerified against:\n\n", family, list[0].Curve, strings.Join(list[0].Payloads(), ", "))
		for _, line := range verified(family) {
			fmt.Fprintf(&b, "- %s\n", line)
		}
		b.WriteString("\n| network | name | chain id | native asset | also called | |\n|---|---|---|---|---|---|\n")
		slices.SortStableFunc(list, func(a, b chain.Network) int {
			return cmp.Or(cmp.Compare(rank(&a), rank(&b)), cmp.Compare(a.Slug, b.Slug))
		})
		for i := range list {
			b.WriteString(row(&list[i]))
		}
	}
	return b.String()
}

func rank(n *chain.Network) int {
	if n.Testnet {
		return 1
	}
	return 0
}

func row(n *chain.Network) string {
	id, notes := "", []string{}
	if n.ChainID != 0 {
		id = fmt.Sprint(n.ChainID)
	}
	if n.Testnet {
		notes = append(notes, "test network")
	}
	if n.AlsoValidOn != "" {
		notes = append(notes, "what is signed here is valid on `"+n.AlsoValidOn+"` too: a policy must allow both")
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s |\n", n.Slug, n.Name, id, n.Symbol, strings.Join(n.Aliases, ", "), strings.Join(notes, "; "))
}

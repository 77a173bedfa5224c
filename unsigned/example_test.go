package unsigned_test

import (
	"fmt"
	"math/big"

	"github.com/sigilkeys/sigil/unsigned"
)

func ExampleERC20Transfer() {
	transaction, err := unsigned.ERC20Transfer{
		EVM: unsigned.EVM{Network: "base", Nonce: 7, GasLimit: 65_000,
			MaxFeePerGas: big.NewInt(30_000_000), MaxPriorityFeePerGas: big.NewInt(1_000_000)},
		Token:  "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
		To:     "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
		Amount: big.NewInt(2_500_000),
	}.Build()
	fmt.Println(transaction, err)
	// Output:
	// 0x02f86d82210507830f42408401c9c38082fde894833589fcd6edb6e08f4c7c32d4f71b54bda0291380b844a9059cbb0000000000000000000000005aaeb6053f3e94c9b9a09f33669435e7ef1beaed00000000000000000000000000000000000000000000000000000000002625a0c0 <nil>
}

func ExampleSolanaTokenTransfer() {
	_, err := unsigned.SolanaTokenTransfer{
		Solana: unsigned.Solana{Network: "solana", Wallet: "6sbzC1eH4FTujJXWj51eQe25cYvr4xfXbJ1vAj7j2k5J", Blockhash: "4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi"},
		// A token account where its owner's address belongs.
		To:   "FGETo8T8wMcN2wCjav8VK6eh3dLk63evNDPxzLSJra8B",
		Mint: "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGkZwyTDt1v", TokenProgram: unsigned.TokenProgram, Decimals: 6, Amount: 2_500_000,
	}.Build()
	fmt.Println(err)
	// Output:
	// To: no key belongs to it: is it a token account? Give its owner's address, or set ToOffCurve
}

package client_test

import (
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"slices"
	"testing"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/chain/bitcoin"
	teststack "github.com/sigilkeys/sigil/test/stack"
	"github.com/sigilkeys/sigil/unsigned"
)

// Transactions that package unsigned builds for a wallet of what the wallet's
// own reply says, signed by the whole stack: the usual policy takes all.
func TestBuiltTransactionsOfTheWholeStack(t *testing.T) {
	st := teststack.Start(t, teststack.Options{})
	token := st.NewKey(st.NewOwner(), nil)
	c := must(client.New(client.Config{BaseURL: st.API.URL, SecretKey: token.Reveal()}))(t)
	w := must(c.Wallets().Create(t.Context(), client.NewWallet{}))(t)

	base := unsigned.EVM{Network: "base", Nonce: 1, GasLimit: 90_000, MaxFeePerGas: big.NewInt(30_000_000), MaxPriorityFeePerGas: big.NewInt(1_000_000)}
	usdc, to := "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
	sol := unsigned.Solana{Network: "solana", Wallet: w.Addresses["solana"], Blockhash: "4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi", Memo: "invoice 17", ComputeUnitLimit: 100_000, ComputeUnitPrice: 1000}
	mint, vault := "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGkZwyTDt1v", "5Q544fKrFoe6tsEbD7S8EmxGTJYAKtTVhAW5Q5pge4j1"
	for _, b := range []struct {
		network string
		build   func() (string, error)
	}{
		{"base", unsigned.EVMTransfer{EVM: base, To: to, Amount: big.NewInt(1)}.Build},
		{"base", unsigned.ERC20Transfer{EVM: base, Token: usdc, To: to, Amount: big.NewInt(1)}.Build},
		{"base", unsigned.ERC20Approve{EVM: base, Token: usdc, Spender: to, Amount: big.NewInt(1)}.Build},
		{"base", unsigned.ERC721Transfer{EVM: base, Token: usdc, From: w.Addresses["base"], To: to, TokenID: big.NewInt(1)}.Build},
		{"solana", unsigned.SolanaTransfer{Solana: sol, To: vault, Amount: 1}.Build},
		{"solana", unsigned.SolanaTokenTransfer{Solana: sol, To: vault, ToOffCurve: true, Mint: mint, TokenProgram: unsigned.TokenProgram, Decimals: 6, Amount: 1, CreateAccount: true}.Build},
		{"bitcoin", func() (string, error) { return payFromEachType(t, &w.Wallet) }},
	} {
		r := client.SignRequest{WalletID: w.ID, Network: b.network, Transaction: must(b.build())(t)}
		if res := must(c.SignTransaction(t.Context(), r))(t); res.SignedTransaction == "" || res.TransactionHash == "" {
			t.Errorf("%s: %+v", b.network, res)
		}
	}
}

// payFromEachType spends an output of each type of address of the wallet's.
func payFromEachType(t *testing.T, w *client.Wallet) (string, error) {
	t.Helper()
	pub := must(hex.DecodeString(w.PublicKeys["secp256k1"]))(t)
	codec := bitcoin.Networks()[0].Codec.(bitcoin.Codec)
	p := unsigned.BitcoinPayment{Network: "bitcoin", PublicKey: w.PublicKeys["secp256k1"], ChangeAddress: w.Addresses["bitcoin"], FeeRate: 2.5,
		Recipients: []unsigned.BitcoinRecipient{{Address: "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", Amount: 150_000}}}
	for _, address := range must(codec.AddressTypes(pub))(t) {
		script := must(codec.ParseAddress(address))(t)
		b := slices.Concat([]byte{2, 0, 0, 0, 1}, make([]byte, 36), []byte{0, 0xff, 0xff, 0xff, 0xff, 1})
		b = append(append(binary.LittleEndian.AppendUint64(b, 50_000), byte(len(script))), script...)
		p.Inputs = append(p.Inputs, unsigned.BitcoinInput{Transaction: hex.EncodeToString(append(b, 0, 0, 0, 0))})
	}
	built, err := p.Build()
	if err != nil {
		return "", err
	}
	return built.Transaction, nil
}

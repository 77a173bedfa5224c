package solana

import "github.com/sigilkeys/sigil/internal/base58"

// Programs and system variables that instructions name. Each stands in the
// tests in both forms.
var (
	systemProgram     = address("11111111111111111111111111111111")
	voteProgram       = address("Vote111111111111111111111111111111111111111")
	stakeProgram      = address("Stake11111111111111111111111111111111111111")
	budgetProgram     = address("ComputeBudget111111111111111111111111111111")
	tokenProgram      = address("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
	token2022Program  = address("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
	associatedProgram = address("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
	memo1Program      = address("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo")
	memo2Program      = address("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")

	// Loaders stay builtin, and their calls are rare enough to be opaque.
	loader1Program     = address("BPFLoader1111111111111111111111111111111111")
	loader2Program     = address("BPFLoader2111111111111111111111111111111111")
	upgradeableProgram = address("BPFLoaderUpgradeab1e11111111111111111111111")
	loader4Program     = address("LoaderV411111111111111111111111111111111111")

	// Precompiles check signatures, and each of these costs a fee.
	ed25519Program   = address("Ed25519SigVerify111111111111111111111111111")
	secp256k1Program = address("KeccakSecp256k11111111111111111111111111111")
	secp256r1Program = address("Secp256r1SigVerify1111111111111111111111111")

	clockSysvar        = address("SysvarC1ock11111111111111111111111111111111")
	rentSysvar         = address("SysvarRent111111111111111111111111111111111")
	blockhashesSysvar  = address("SysvarRecentB1ockHashes11111111111111111111")
	stakeHistorySysvar = address("SysvarStakeHistory1111111111111111111111111")
	stakeConfigAccount = address("StakeConfig11111111111111111111111111111111")
)

// address reads an address that is known to be one.
func address(text string) key {
	b, err := base58.Decode(text, addressSize)
	if err != nil {
		panic("solana: " + text + ": " + err.Error())
	}
	return key(b)
}

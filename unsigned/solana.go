package unsigned

import (
	"unicode/utf8"

	"github.com/sigilkeys/sigil/internal/base58"
	"github.com/sigilkeys/sigil/internal/chain/solana"
	"github.com/sigilkeys/sigil/internal/keys"
)

// Token programs of Solana, one of which made each mint.
const (
	TokenProgram     = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
	Token2022Program = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"
)

// Solana is what all transactions of Solana have. The wallet is their one
// signer and pays the fee.
type Solana struct {
	Network   string // slug
	Wallet    string // address of the wallet
	Blockhash string // a recent one, base58; the transaction is valid while it is
	Version0  bool   // a message of version 0; the legacy format otherwise

	ComputeUnitLimit uint32 // at most 1.4 million; 0 sets none
	ComputeUnitPrice uint64 // micro-lamports for a unit; 0 sets none
	Memo             string // text that the chain keeps; "" is none
}

// SolanaTransfer sends the native asset: Transfer of the System program.
type SolanaTransfer struct {
	Solana
	To     string // address, of a wallet or of any other account
	Amount uint64 // lamports, not 0
}

// SolanaTokenTransfer sends tokens: TransferChecked of the token program, from
// the wallet's associated token account to the recipient's. Mints of Token-2022
// that call another program with a transfer (extension "transfer hook") need
// accounts that aren't here, and the chain refuses it.
type SolanaTokenTransfer struct {
	Solana
	To           string // address of the recipient's wallet, not of its token account
	ToOffCurve   bool   // To may be an address without a key, such as a program's vault
	Mint         string // address
	TokenProgram string // TokenProgram or Token2022Program, the owner of the mint
	Decimals     uint8  // of the mint
	Amount       uint64 // smallest units of the token, not 0
	// CreateAccount has the wallet pay the rent of the recipient's account
	// where there is none yet.
	CreateAccount bool
}

// Build returns the transaction in base64, with room for the signature.
func (t SolanaTransfer) Build() (string, error) {
	d, err := t.draft()
	if err != nil {
		return "", err
	}
	to, err := t.recipient(t.To)
	switch {
	case err != nil:
		return "", err
	case t.Amount == 0:
		return "", bad("Amount", "it is 0")
	}
	t.memo(d)
	d.Transfer(to, t.Amount)
	return t.finish(d)
}

// Build returns the transaction in base64, with room for the signature.
func (t SolanaTokenTransfer) Build() (string, error) {
	d, err := t.draft()
	if err != nil {
		return "", err
	}
	a, err := t.accounts()
	if err != nil {
		return "", err
	}
	if t.CreateAccount {
		d.CreateAssociated(a.destination, a.to, a.mint, a.program)
	}
	t.memo(d)
	d.TransferChecked(a.source, a.mint, a.destination, a.program, t.Amount, t.Decimals)
	return t.finish(d)
}

type pubkey = [32]byte

// decoded reads base58 of 32 bytes.
func decoded(field, text string) (k pubkey, err error) {
	b, err := base58.Decode(text, len(k))
	if err != nil {
		return k, bad(field, "not base58 of 32 bytes")
	}
	return pubkey(b), nil
}

// key reads the address of somebody's account.
func key(field, text string) (pubkey, error) {
	k, err := decoded(field, text)
	if err == nil && solana.IsReserved(k) {
		err = bad(field, "it is the address of a program or system variable")
	}
	return k, err
}

// draft begins a transaction.
func (s *Solana) draft() (*solana.Draft, error) {
	if _, err := network(s.Network, solana.Family); err != nil {
		return nil, err
	}
	wallet, err := key("Wallet", s.Wallet)
	if err != nil {
		return nil, err
	}
	blockhash, err := decoded("Blockhash", s.Blockhash)
	switch {
	case err != nil:
		return nil, err
	case blockhash == pubkey{}:
		return nil, bad("Blockhash", "it is all zeros, which no block has")
	case s.ComputeUnitLimit > solana.MaxComputeUnits:
		return nil, bad("ComputeUnitLimit", "it is over %d", solana.MaxComputeUnits)
	case !utf8.ValidString(s.Memo):
		return nil, bad("Memo", "it isn't UTF-8")
	}
	d := solana.NewDraft(wallet, blockhash)
	if s.ComputeUnitLimit > 0 {
		d.ComputeUnitLimit(s.ComputeUnitLimit)
	}
	if s.ComputeUnitPrice > 0 {
		d.ComputeUnitPrice(s.ComputeUnitPrice)
	}
	return d, nil
}

// memo adds the memo, right before the transfer: accounts of Token-2022 that
// require one look for it there (extension "required memo on transfer").
func (s *Solana) memo(d *solana.Draft) {
	if s.Memo != "" {
		d.Memo(s.Memo)
	}
}

// finish encodes the transaction. Of the arguments that passed, a memo alone
// can make it too large.
func (s *Solana) finish(d *solana.Draft) (string, error) {
	text, err := d.Transaction(s.Version0)
	if err != nil {
		return "", bad("Memo", "it doesn't fit: %v", err)
	}
	return text, nil
}

// recipient reads the address of somebody else.
func (s *Solana) recipient(text string) (pubkey, error) {
	to, err := key("To", text)
	if err == nil && text == s.Wallet {
		err = bad("To", "it is the wallet itself")
	}
	return to, err
}

// tokenAccounts are the accounts of a transfer of tokens.
type tokenAccounts struct{ to, mint, program, source, destination pubkey }

func (t *SolanaTokenTransfer) accounts() (a tokenAccounts, err error) {
	if a.to, err = t.recipient(t.To); err != nil {
		return a, err
	}
	if !t.ToOffCurve && !keys.IsEd25519Point(a.to) {
		return a, bad("To", "no key belongs to it: is it a token account? Give its owner's address, or set ToOffCurve")
	}
	if a.mint, err = key("Mint", t.Mint); err != nil {
		return a, err
	}
	if t.Mint == t.Wallet || t.Mint == t.To {
		return a, bad("Mint", "it is a wallet's address")
	}
	if t.TokenProgram != TokenProgram && t.TokenProgram != Token2022Program {
		return a, bad("TokenProgram", "it is neither %s nor %s", TokenProgram, Token2022Program)
	}
	if t.Amount == 0 {
		return a, bad("Amount", "it is 0")
	}
	if a.program, err = decoded("TokenProgram", t.TokenProgram); err != nil {
		return a, err
	}
	wallet, err := key("Wallet", t.Wallet)
	if err != nil {
		return a, err
	}
	if a.source, err = solana.Associated(wallet, a.mint, a.program); err != nil {
		return a, bad("Wallet", "it has no associated token account: %v", err)
	}
	if a.destination, err = solana.Associated(a.to, a.mint, a.program); err != nil {
		return a, bad("To", "it has no associated token account: %v", err)
	}
	return a, nil
}

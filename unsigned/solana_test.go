package unsigned

import (
	"crypto/ed25519"
	"encoding/hex"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/base58"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/solana"
	"github.com/sigilkeys/sigil/internal/keys"
)

const (
	usdcMint  = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGkZwyTDt1v"
	blockhash = "4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi"  // 32 bytes of 1
	vault     = "5Q544fKrFoe6tsEbD7S8EmxGTJYAKtTVhAW5Q5pge4j1" // an authority without a key
)

// solanaWallet is the address of edKey.
func solanaWallet(t testing.TB) string {
	t.Helper()
	b, err := hex.DecodeString(edKey())
	if err != nil {
		t.Fatal(err)
	}
	return base58.Encode(b)
}

// payee is an address that somebody has the key of.
func payee() string {
	return base58.Encode(ed25519.NewKeyFromSeed([]byte(strings.Repeat("7", 32)))[32:])
}

func onSolana(t testing.TB) Solana {
	t.Helper()
	return Solana{Network: "solana", Wallet: solanaWallet(t), Blockhash: blockhash}
}

func tokens(t testing.TB) SolanaTokenTransfer {
	t.Helper()
	return SolanaTokenTransfer{Solana: onSolana(t), To: payee(), Mint: usdcMint, TokenProgram: TokenProgram, Decimals: 6, Amount: 2_500_000}
}

// associated is an owner's token account for the mint.
func associated(t testing.TB, owner, mint, program string) string {
	t.Helper()
	var k [3]pubkey
	for i, text := range []string{owner, mint, program} {
		var err error
		if k[i], err = decoded("", text); err != nil {
			t.Fatal(err)
		}
	}
	a, err := solana.Associated(k[0], k[1], k[2])
	if err != nil {
		t.Fatal(err)
	}
	return base58.Encode(a[:])
}

// actions are what the decoder must say of a transfer of tokens.
func (s *SolanaTokenTransfer) actions(t testing.TB) (flags []string, list []chain.Action) {
	t.Helper()
	from, to := associated(t, s.Wallet, s.Mint, s.TokenProgram), associated(t, s.To, s.Mint, s.TokenProgram)
	if s.CreateAccount {
		list = append(list, chain.Action{Kind: chain.ActionCreate, Method: "createAssociatedIdempotent", Asset: chain.AssetNative, To: to, Spender: s.To, Account: s.Mint,
			Contract: "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL", Selector: "01"})
	}
	list = append(list, s.memoAction()...)
	list = append(list, chain.Action{Kind: chain.ActionTokenTransfer, Method: "transferChecked", Asset: s.Mint, From: from, To: to, Amount: decimal(s.Amount), Contract: s.TokenProgram, Selector: "0c"})
	if s.TokenProgram == Token2022Program {
		flags = append(flags, "token_2022")
	}
	if s.CreateAccount {
		flags = append(flags, "unknown_amount")
	}
	return flags, list
}

func (s *Solana) memoAction() []chain.Action {
	if s.Memo == "" {
		return nil
	}
	return []chain.Action{{Kind: chain.ActionMemo, Method: "memo", Text: s.Memo, Contract: "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"}}
}

func (s SolanaTransfer) actions() []chain.Action {
	return append(s.memoAction(), chain.Action{Kind: chain.ActionTransfer, Method: "transfer", Asset: chain.AssetNative, To: s.To, Amount: decimal(s.Amount), Contract: strings.Repeat("1", 32), Selector: "02000000"})
}

func solanaCases(t testing.TB) []one {
	t.Helper()
	var list []one
	native := func(name, fee string, change func(*SolanaTransfer)) {
		s := SolanaTransfer{onSolana(t), payee(), 1_000_000_000}
		change(&s)
		list = append(list, one{name: "SOL" + name, build: s, fee: fee, actions: s.actions()})
	}
	token := func(name, fee string, change func(*SolanaTokenTransfer)) {
		s := tokens(t)
		change(&s)
		flags, actions := s.actions(t)
		list = append(list, one{name: "SPL" + name, build: s, fee: fee, flags: flags, actions: actions})
	}
	native("", "5000", func(*SolanaTransfer) {})
	native(" on devnet", "5000", func(s *SolanaTransfer) { s.Network = "solana-devnet" })
	native(" to an address without a key", "5000", func(s *SolanaTransfer) { s.To = vault })
	native(", one lamport, version 0", "5000", func(s *SolanaTransfer) { s.Amount, s.Version0 = 1, true })
	native(", all that fits", "5000", func(s *SolanaTransfer) { s.Amount = math.MaxUint64 })
	native(" with a memo", "5000", func(s *SolanaTransfer) { s.Memo = "Rechnung 2026-06, Zürich ⛰" })
	native(" with all", "5001", func(s *SolanaTransfer) { s.ComputeUnitLimit, s.ComputeUnitPrice, s.Memo = 1000, 1000, "x" })
	native(" with a price alone", "5060", func(s *SolanaTransfer) { s.ComputeUnitPrice = 10_000 })
	native(" with the highest limit", "1405000", func(s *SolanaTransfer) { s.ComputeUnitLimit, s.ComputeUnitPrice = 1_400_000, 1_000_000 })
	native(" with the highest price", decimal(math.MaxUint64), func(s *SolanaTransfer) { s.ComputeUnitLimit, s.ComputeUnitPrice = 1_400_000, math.MaxUint64 })
	native(" with the longest memo", "5000", func(s *SolanaTransfer) { s.Memo = strings.Repeat("m", 981) })
	token("", "5000", func(*SolanaTokenTransfer) {})
	token(", version 0", "5000", func(s *SolanaTokenTransfer) { s.Version0 = true })
	token(" to a new account", "5000", func(s *SolanaTokenTransfer) { s.CreateAccount = true })
	token(" to a vault", "5000", func(s *SolanaTokenTransfer) { s.To, s.ToOffCurve = vault, true })
	token(" of Token-2022", "5000", func(s *SolanaTokenTransfer) { s.TokenProgram = Token2022Program })
	token(" with all", "5200", func(s *SolanaTokenTransfer) {
		s.TokenProgram, s.CreateAccount, s.Version0, s.Memo, s.ComputeUnitLimit, s.ComputeUnitPrice = Token2022Program, true, true, "order 17", 200_000, 1_000
	})
	token(", the largest numbers", "5000", func(s *SolanaTokenTransfer) { s.Amount, s.Decimals = math.MaxUint64, 255 })
	for i := range list {
		list[i].nonce, list[i].format = blockhash, "solana-legacy"
		if reflect.ValueOf(list[i].build).FieldByName("Version0").Bool() {
			list[i].format = "solana-v0"
		}
	}
	return append(list, solanaRefusals(t)...)
}

func solanaRefusals(t testing.TB) []one {
	t.Helper()
	var list []one
	native := func(name, field string, change func(*SolanaTransfer)) {
		s := SolanaTransfer{onSolana(t), payee(), 1}
		change(&s)
		list = append(list, one{name: "SOL: " + name, build: s, refused: field})
	}
	token := func(name, field string, change func(*SolanaTokenTransfer)) {
		s := tokens(t)
		change(&s)
		list = append(list, one{name: "SPL: " + name, build: s, refused: field})
	}
	native("a network of another family", "Network", func(s *SolanaTransfer) { s.Network = "base" })
	native("no wallet", "Wallet", func(s *SolanaTransfer) { s.Wallet = "" })
	native("a wallet that is a program", "Wallet", func(s *SolanaTransfer) { s.Wallet = TokenProgram })
	native("no blockhash", "Blockhash", func(s *SolanaTransfer) { s.Blockhash = "" })
	native("a blockhash of zeros", "Blockhash", func(s *SolanaTransfer) { s.Blockhash = strings.Repeat("1", 32) })
	native("a blockhash of 31 bytes", "Blockhash", func(s *SolanaTransfer) { s.Blockhash = strings.Repeat("1", 31) })
	native("more units than there are", "ComputeUnitLimit", func(s *SolanaTransfer) { s.ComputeUnitLimit = 1_400_001 })
	native("a memo that is too long", "Memo", func(s *SolanaTransfer) { s.Memo = strings.Repeat("m", 982) })
	native("no recipient", "To", func(s *SolanaTransfer) { s.To = "" })
	native("a recipient of another chain", "To", func(s *SolanaTransfer) { s.To = someone })
	native("a recipient of 33 bytes", "To", func(s *SolanaTransfer) { s.To = "1" + payee() })
	native("a letter that isn't base58's", "To", func(s *SolanaTransfer) { s.To = "O" + payee()[1:] })
	native("the System program", "To", func(s *SolanaTransfer) { s.To = strings.Repeat("1", 32) })
	native("a system variable", "To", func(s *SolanaTransfer) { s.To = "SysvarRent111111111111111111111111111111111" })
	native("the wallet itself", "To", func(s *SolanaTransfer) { s.To = s.Wallet })
	native("nothing", "Amount", func(s *SolanaTransfer) { s.Amount = 0 })
	token("the wallet itself", "To", func(s *SolanaTokenTransfer) { s.To = s.Wallet })
	token("a vault, unasked", "To", func(s *SolanaTokenTransfer) { s.To = vault })
	token("a token account for a recipient", "To", func(s *SolanaTokenTransfer) { s.To = associated(t, payee(), usdcMint, TokenProgram) })
	token("no mint", "Mint", func(s *SolanaTokenTransfer) { s.Mint = "" })
	token("the recipient for a mint", "Mint", func(s *SolanaTokenTransfer) { s.Mint = s.To })
	token("the wallet for a mint", "Mint", func(s *SolanaTokenTransfer) { s.Mint = s.Wallet })
	token("a program for a mint", "Mint", func(s *SolanaTokenTransfer) { s.Mint = TokenProgram })
	token("no token program", "TokenProgram", func(s *SolanaTokenTransfer) { s.TokenProgram = "" })
	token("another token program", "TokenProgram", func(s *SolanaTokenTransfer) { s.TokenProgram = strings.Repeat("1", 32) })
	token("nothing", "Amount", func(s *SolanaTokenTransfer) { s.Amount = 0 })
	token("a memo that is too long", "Memo", func(s *SolanaTokenTransfer) { s.CreateAccount, s.Memo = true, strings.Repeat("m", 812) })
	return list
}

func TestMemoIsText(t *testing.T) {
	s := SolanaTransfer{onSolana(t), payee(), 1}
	s.Memo = "\xff"
	if text, err := s.Build(); err == nil {
		t.Errorf("built %s", text)
	} else {
		refusedOnly(t, err)
	}
}

// FuzzSolana: what is built, the decoder says back.
func FuzzSolana(f *testing.F) {
	f.Add(true, false, false, false, []byte(strings.Repeat("7", 32)), []byte(strings.Repeat("m", 32)), uint64(1), uint8(6), uint32(0), uint64(0), "")
	f.Add(true, true, true, true, []byte(strings.Repeat("r", 32)), []byte(strings.Repeat("m", 32)), uint64(math.MaxUint64), uint8(0), uint32(1_400_000), uint64(1), "hello")
	f.Add(false, true, false, false, make([]byte, 32), []byte{}, uint64(0), uint8(255), uint32(1), uint64(math.MaxUint64), strings.Repeat("x", 1000))
	f.Fuzz(func(t *testing.T, token, version0, newer, create bool, to, mint []byte, amount uint64, decimals uint8, limit uint32, price uint64, memo string) {
		s := onSolana(t)
		s.Version0, s.ComputeUnitLimit, s.ComputeUnitPrice, s.Memo = version0, limit, price, memo
		address := base58.Encode(to)
		var build any
		var want []chain.Action
		if token {
			b := SolanaTokenTransfer{Solana: s, To: address, Mint: base58.Encode(mint), TokenProgram: TokenProgram, Decimals: decimals, Amount: amount, CreateAccount: create}
			if b.ToOffCurve = len(to) == 32 && !keys.IsEd25519Point(pubkey(to)); newer {
				b.TokenProgram = Token2022Program
			}
			if len(to) == 32 && len(mint) == 32 {
				_, want = b.actions(t)
			}
			build = b
		} else {
			b := SolanaTransfer{s, address, amount}
			build, want = b, b.actions()
		}
		built, err := text(build)
		if err != nil {
			refusedOnly(t, err)
			return
		}
		p, err := prepared(t, s.Network, built)
		if err != nil {
			t.Fatalf("the TEE refuses %s: %v", built, err)
		}
		if e := p.Intent.Effects; !reflect.DeepEqual(e.Actions, want) || e.FeePayer != "" || e.Nonce != blockhash {
			t.Fatalf("%s does %+v, want %+v", built, e, want)
		}
	})
}

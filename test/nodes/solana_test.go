package nodes

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/unsigned"
)

// vm is the virtual machine in solana/vm.mjs.
type vm struct {
	t   *testing.T
	in  *json.Encoder
	out *bufio.Scanner
}

type vmLine struct {
	Name     string   `json:"name"`
	Unsigned string   `json:"unsigned"`
	Failed   string   `json:"failed"`
	Moved    string   `json:"moved"`
	Done     bool     `json:"done"`
	Build    *toBuild `json:"build"`
	// Tables are lookup tables that the owner's policy is to list.
	Tables map[string][]string `json:"tables"`
}

// toBuild are arguments of a transaction that package unsigned builds.
type toBuild struct {
	Blockhash string `json:"blockhash"`
	To        string `json:"to"`
	Mint      string `json:"mint"` // "" is a transfer of SOL
	Create    bool   `json:"create"`
}

// transaction is in the legacy format for SOL, of version 0 for tokens.
func (b *toBuild) transaction(wallet string) (string, error) {
	s := unsigned.Solana{Network: "solana", Wallet: wallet, Blockhash: b.Blockhash, Memo: "für dich", ComputeUnitLimit: 200_000, ComputeUnitPrice: 1000}
	if b.Mint == "" {
		return unsigned.SolanaTransfer{Solana: s, To: b.To, Amount: 1_000_000_000}.Build()
	}
	s.Version0 = true
	return unsigned.SolanaTokenTransfer{Solana: s, To: b.To, Mint: b.Mint, TokenProgram: unsigned.TokenProgram, Decimals: 6, Amount: 9, CreateAccount: b.Create}.Build()
}

func (v *vm) read() (l vmLine) {
	v.t.Helper()
	if !v.out.Scan() {
		v.t.Fatalf("the virtual machine ended: %v", v.out.Err())
	}
	if err := json.Unmarshal(v.out.Bytes(), &l); err != nil {
		v.t.Fatalf("%s: %v", v.out.Bytes(), err)
	}
	return l
}

// try has the machine run a signed transaction.
func (v *vm) try(signed string, last bool) vmLine {
	v.t.Helper()
	if err := v.in.Encode(map[string]any{"signed": signed, "last": last}); err != nil {
		v.t.Fatal(err)
	}
	return v.read()
}

// TestSolana: transactions of both formats, a memo, tokens, a durable nonce,
// another fee payer, a lookup table that the owner's policy lists and a token
// that takes a fee run on Solana's virtual machine, and so does what package
// unsigned builds; what was altered doesn't.
func TestSolana(t *testing.T) {
	w := newWallet(t, "solana")
	cmd := exec.CommandContext(t.Context(), "node", "vm.mjs")
	cmd.Dir, cmd.Stderr = "solana", os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: `make nodes` installs what it needs", err)
	}
	v := &vm{t: t, in: json.NewEncoder(stdin), out: bufio.NewScanner(stdout)}
	if err := v.in.Encode(map[string]string{"address": w.address()}); err != nil {
		t.Fatal(err)
	}
	moved := []string{"1000000000", "2000000000", "1000000000", "1000000000", "9", "9", "7", "1000000000", "1000000000", "1000000000", "90"}
	for _, want := range moved {
		l := v.read()
		if l.Build != nil {
			if l.Unsigned, err = l.Build.transaction(w.address()); err != nil {
				t.Fatal(err)
			}
		}
		if l.Unsigned == "" {
			t.Fatalf("%+v", l)
		}
		w.accept = nil
		for table, accounts := range l.Tables {
			w.accept = append(w.accept, policy.Acceptance{Kind: policy.AcceptTable, Network: "solana", Contract: table, Accounts: accounts})
		}
		signed := w.transaction(l.Unsigned).Text
		raw, err := base64.StdEncoding.DecodeString(signed)
		if err != nil {
			t.Fatal(err)
		}
		raw[len(raw)-3] ^= 1 // within the last instruction, or the list of tables behind it
		if r := v.try(base64.StdEncoding.EncodeToString(raw), false); r.Failed == "" || r.Moved != "0" {
			t.Errorf("%s: altered, it runs: %+v", l.Name, r)
		}
		if r := v.try(signed, true); r.Failed != "" || r.Moved != want {
			t.Errorf("%s: %+v, want %s moved", l.Name, r, want)
		}
	}
	if !v.read().Done {
		t.Error("there is more")
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/ledger"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/test/stack"
)

// console runs commands with a secret key against a stack.
type console struct {
	t    *testing.T
	st   *stack.Stack
	file string
}

// run runs a command that must end with the code, and decodes what it prints.
func (c *console) run(code int, out any, args ...string) string {
	c.t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &stdout, errOut: &stderr, getenv: func(string) string { return "" }, now: time.Now, random: rand.Reader, version: "test"}
	if got := run(c.t.Context(), a, append(args, "--json", "--api-url", c.st.API.URL, "--key-file", c.file)); got != code {
		c.t.Fatalf("sigil %s ends with %d, want %d: %s %s", strings.Join(args, " "), got, code, stdout.String(), stderr.String())
	}
	if out != nil {
		if err := json.Unmarshal(stdout.Bytes(), out); err != nil {
			c.t.Fatalf("sigil %s prints %s: %v", strings.Join(args, " "), stdout.String(), err)
		}
	}
	return stderr.String()
}

type listed struct {
	Items []struct {
		ID        string
		Label     string
		Status    string
		Wallet    struct{ ID, Label string }
		Signature string
		Error     string
		EventType string `json:"event_type"`
		ReceiptID string `json:"receipt_id"`
	}
	Total int
}

// Many wallets, their labels and archive, a batch, and the trail of it all.
func TestWalletCommands(t *testing.T) {
	st := stack.Start(t, stack.Options{})
	owner := st.NewOwner()
	file := func(token *authority.Token) string {
		path := filepath.Join(t.TempDir(), "backend.key")
		if err := os.WriteFile(path, []byte(token.Reveal()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c := &console{t: t, st: st, file: file(st.NewKey(owner, nil))}
	reader := &console{t: t, st: st, file: file(st.NewKey(owner, func(g *authority.Grant) { g.Scope, g.Policy = authority.ScopeRead, policy.Policy{} }))}

	var made, found listed
	c.run(exitOK, &made, "wallet", "create", "--count", "3", "--label", "deposit")
	if len(made.Items) != 3 || made.Items[2].Wallet.Label != "deposit-3" {
		t.Fatalf("%+v", made)
	}
	one, two := made.Items[0].Wallet.ID, made.Items[1].Wallet.ID
	var decoded struct {
		Summary []string
		Digest  string `json:"intent_digest"`
	}
	reader.run(exitOK, &decoded, "decode", "--wallet", one, "--network", "base", "--transaction", "0x02ef82210507830f42408405f5e100825208945aaeb6053f3e94c9b9a09f33669435e7ef1beaed872386f26fc1000080c0")
	if len(decoded.Summary) != 2 || decoded.Digest != "bdb44487a56de0d2bded3555a3196d0ff5a0aef6453890d8e5c9f3a2e8632342" {
		t.Errorf("%+v", decoded)
	}
	c.run(exitUsage, nil, "decode", "--wallet", one, "--public-key", "00", "--network", "base", "--message", "x")
	c.run(exitOK, nil, "wallet", "label", one, "treasury")
	c.run(exitOK, nil, "wallet", "archive", two)
	for args, want := range map[string]string{
		"": "deposit-3 treasury", "--label-prefix dep": "deposit-3", "--archived true": "deposit-2", "--archived all --created-after 2020-01-01": "deposit-2 deposit-3 treasury",
		"--created-before 2020-01-01": "",
	} {
		found = listed{}
		reader.run(exitOK, &found, append([]string{"wallet", "list"}, strings.Fields(args)...)...)
		var labels []string
		for _, w := range found.Items {
			labels = append(labels, w.Label)
		}
		slices.Sort(labels) // wallets of one request are made side by side
		if strings.Join(labels, " ") != want {
			t.Errorf("wallet list %s: %v, want %s", args, labels, want)
		}
	}
	batch := filepath.Join(t.TempDir(), "messages.json")
	text := fmt.Sprintf(`[{"wallet_id":%q,"network":"base","message":"a"},{"wallet_id":%q,"network":"solana","message":"b"}]`, one, two)
	if err := os.WriteFile(batch, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var signed listed
	if said := c.run(exitFailure, &signed, "sign", "--batch", batch); !strings.Contains(said, "wallet_archived") || signed.Items[0].Signature == "" || signed.Items[1].Error == "" {
		t.Errorf("%s %+v", said, signed)
	}
	c.run(exitOK, nil, "wallet", "archive", two, "--undo")
	signed = listed{}
	c.run(exitOK, &signed, "sign", "--batch", batch)
	if len(signed.Items) != 2 || signed.Items[1].Signature == "" {
		t.Errorf("%+v", signed)
	}
	transaction := filepath.Join(t.TempDir(), "transfer.txt")
	const transfer = "0x02ef82210507830f42408405f5e100825208945aaeb6053f3e94c9b9a09f33669435e7ef1beaed872386f26fc1000080c0"
	if err := os.WriteFile(transaction, []byte(transfer+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var texts [2]struct {
		Signed string `json:"signed_transaction"`
		Hash   string `json:"transaction_hash"`
	}
	c.run(exitOK, &texts[0], "sign", "--wallet", one, "--network", "base", "--transaction", transfer)
	c.run(exitOK, &texts[1], "sign", "--wallet", one, "--network", "base", "--transaction-file", transaction)
	if texts[0] != texts[1] || !strings.HasPrefix(texts[0].Signed, "0x02f8") || len(texts[0].Hash) != 66 {
		t.Errorf("%+v", texts)
	}
	if err := (&ledger.Sequencer{Store: st.Store, Signer: st.Fleet, Log: slog.New(slog.DiscardHandler)}).Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	found = listed{}
	reader.run(exitOK, &found, "audit", "list", "--event-type", "message.signed", "--wallet", one, "--success", "true", "--since", "2020-01-01")
	if found.Total != 2 || found.Items[0].ReceiptID == "" {
		t.Errorf("%+v", found)
	}
	if said := reader.run(exitFailure, nil, "sign", "--batch", batch); !strings.Contains(said, "key_read_only") {
		t.Error(said)
	}
	for _, args := range []string{"wallet create --count 0", "wallet create --count 1001", "sign --batch x --wallet y", "audit list --success maybe", "audit list --since soon", "wallet list --created-after soon"} {
		c.run(exitUsage, nil, strings.Fields(args)...)
	}
}

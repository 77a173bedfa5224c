package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDecode: what a person sees of a transfer, of a document that nobody can
// explain, and of what isn't one, without a server.
func TestDecode(t *testing.T) {
	doc := filepath.Join(t.TempDir(), "doc.json")
	if err := os.WriteFile(doc, []byte(`{"types":{"EIP712Domain":[{"name":"chainId","type":"uint256"}],"Mail":[{"name":"text","type":"string"}]},"primaryType":"Mail","domain":{"chainId":1},"message":{"text":"hi"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	const transfer = "0x02ef82210507830f42408405f5e100825208945aaeb6053f3e94c9b9a09f33669435e7ef1beaed872386f26fc1000080c0"
	dev := filepath.Join(t.TempDir(), "networks.json")
	if err := os.WriteFile(dev, []byte(`[{"slug":"dev","name":"Dev","chain_id":1337,"symbol":"DEV"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		want []string
	}{
		{"--network base --transaction " + transfer, exitOK, []string{"the wallet sends 0.01 ETH (10000000000000000 base units) to 0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", "costs at most 0.0000021 ETH"}},
		{"--network base --json --transaction " + transfer, exitOK, []string{`"intent_digest": "bdb44487a56de0d2bded3555a3196d0ff5a0aef6453890d8e5c9f3a2e8632342"`, `"accept": []`}},
		{"--network ethereum --typed-data-file " + doc, exitOK, []string{"which nobody here can explain", `{"kind":"typed_data","network":"ethereum","type":"Mail(string text)"}`, "! The document names no contract"}},
		{"--network matic --transaction " + transfer, exitFailure, []string{"transaction_other_network"}},
		{"--network dev --transaction 0x02ed82053907830f42408405f5e100825208945aaeb6053f3e94c9b9a09f33669435e7ef1beaed8080c0", exitFailure, []string{"transaction_invalid"}},
		{"--network dev --message hi", exitOK, []string{"a message of 2 bytes, format eip191"}},
		{"--network solana --transaction AAAA", exitUsage, []string{"--public-key or --wallet is needed"}},
		{"--network nowhere --transaction 0x", exitUsage, []string{"there is no network"}},
		{"--network base", exitUsage, []string{"give one of"}},
		{"--transaction 0x", exitUsage, []string{"--network is needed"}},
	} {
		a, out, errOut := testApp(map[string]string{"SIGIL_NETWORKS": dev})
		if code := run(context.Background(), a, append([]string{"decode"}, strings.Fields(c.args)...)); code != c.code {
			t.Errorf("%s: exit %d, want %d: %s", c.args, code, c.code, errOut)
		}
		for _, want := range c.want {
			if !strings.Contains(out.String()+errOut.String(), want) {
				t.Errorf("%s: %q isn't in\n%s%s", c.args, want, out, errOut)
			}
		}
	}
}

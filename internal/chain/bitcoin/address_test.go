package bitcoin

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
)

func TestPublishedAddresses(t *testing.T) {
	var list []struct{ Network, Address, Private string }
	var raw []map[string]any
	readJSON(t, "addresses.json", &raw)
	for _, e := range raw {
		list = append(list, struct{ Network, Address, Private string }{e["network"].(string), e["address"].(string), e["private_key_hex"].(string)})
	}
	for _, e := range list {
		got, err := networkOf(t, e.Network).Codec.Address(publicOf(t, unhex(t, e.Private)))
		if err != nil || got != e.Address {
			t.Errorf("%s: %s, %v; want %s", e.Private, got, err, e.Address)
		}
	}
	t.Logf("%d published addresses", len(list))
	if len(list) != 2 {
		t.Errorf("%d addresses", len(list))
	}
}

// TestAddressTypes has key 1's addresses on all networks, which many programs
// print.
func TestAddressTypes(t *testing.T) {
	pub := publicOf(t, append(make([]byte, 31), 1))
	for slug, want := range map[string][4]string{
		"bitcoin": {"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "bc1pmfr3p9j00pfxjh0zmgp99y8zftmd3s5pmedqhyptwy6lm87hf5sspknck9",
			"1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH", "3JvL6Ymt8MVWiCNHC7oWU6nLeHNJKLZGLN"},
		"bitcoin-testnet4": {"tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", "", "mrCDrCybB6J1vRfbwM5hemdJz73FwDBC8r", "2NAUYAHhujozruyzpsFRP63mbrdaU5wnEpN"},
		"bitcoin-signet":   {"tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", "", "mrCDrCybB6J1vRfbwM5hemdJz73FwDBC8r", "2NAUYAHhujozruyzpsFRP63mbrdaU5wnEpN"},
		"bitcoin-regtest":  {"bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "", "mrCDrCybB6J1vRfbwM5hemdJz73FwDBC8r", "2NAUYAHhujozruyzpsFRP63mbrdaU5wnEpN"},
	} {
		c := networkOf(t, slug).Codec.(Codec)
		got, err := c.AddressTypes(pub)
		if err != nil {
			t.Fatal(err)
		}
		for i, kind := range []string{TypeP2WPKH, TypeP2TR, TypeP2PKH, TypeP2SHP2WPKH} {
			if want[i] != "" && got[kind] != want[i] {
				t.Errorf("%s %s: %s, want %s", slug, kind, got[kind], want[i])
			}
			script, err := c.ParseAddress(got[kind])
			if err != nil || c.address(script) != got[kind] {
				t.Errorf("%s: %x, %v", got[kind], script, err)
			}
		}
		if single, err := c.Address(pub); err != nil || single != want[0] {
			t.Errorf("%s: %s, %v", slug, single, err)
		}
	}
	for _, bad := range [][]byte{nil, pub[1:], append([]byte{2}, make([]byte, 32)...), append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...)} {
		if got, err := networkOf(t, "bitcoin").Codec.Address(bad); err == nil {
			t.Errorf("%x: %s", bad, got)
		}
		if got, err := networkOf(t, "bitcoin").Codec.(Codec).AddressTypes(bad); err == nil {
			t.Errorf("%x: %v", bad, got)
		}
	}
}

// TestSegwitAddresses has the vectors of BIP-350, which replace BIP-173's.
func TestSegwitAddresses(t *testing.T) {
	of := func(text string) Codec {
		if strings.HasPrefix(strings.ToLower(text), "tb") {
			return networkOf(t, "bitcoin-signet").Codec.(Codec)
		}
		return networkOf(t, "bitcoin").Codec.(Codec)
	}
	for text, script := range map[string]string{
		"BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4":                                 "0014751e76e8199196d454941c45d1b3a323f1433bd6",
		"tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7":             "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262",
		"bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y": "5128751e76e8199196d454941c45d1b3a323f1433bd6751e76e8199196d454941c45d1b3a323f1433bd6",
		"BC1SW50QGDZ25J":                       "6002751e",
		"bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs": "5210751e76e8199196d454941c45d1b3a323",
		"tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy": "0020000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433",
		"tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c": "5120000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433",
		"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0": "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
	} {
		c := of(text)
		got, err := c.ParseAddress(text)
		if err != nil || hex.EncodeToString(got) != script {
			t.Errorf("%s: %x, %v", text, got, err)
		}
		if again := c.address(got); again != strings.ToLower(text) {
			t.Errorf("%s becomes %s", text, again)
		}
	}
	for _, text := range []string{
		"tc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq5zuyut", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",
		"tb1z0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqglt7rf", "BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL",
		"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh", "tb1q0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq24jc47",
		"bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4", "BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R",
		"bc1pw5dgrnzv", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav", "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P",
		"tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47Zagq", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf",
		"tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j", "bc1gmk9yu",
		"tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzs", "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsy", "bc1", "bc1q", "",
	} {
		if got, err := of(text).ParseAddress(text); err == nil {
			t.Errorf("%s: %x", text, got)
		}
	}
}

func TestBase58AndOtherScripts(t *testing.T) {
	c, test := networkOf(t, "bitcoin").Codec.(Codec), networkOf(t, "bitcoin-regtest").Codec.(Codec)
	const good = "1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH"
	if got, err := c.ParseAddress(good); err != nil || c.address(got) != good {
		t.Errorf("%x, %v", got, err)
	}
	for _, bad := range []string{good[:33], good + "1", "1" + good, "1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMh", "0BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH", "l", "1", strings.Repeat("z", 60), strings.Repeat("z", 36),
		"script:", "script:zz", "script:6A", "script:0014751e76e8199196d454941c45d1b3a323f1433bd6", "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
		"mrCDrCybB6J1vRfbwM5hemdJz73FwDBC8r"} {
		if got, err := c.ParseAddress(bad); err == nil && bad != "script:" {
			t.Errorf("%s: %x", bad, got)
		}
	}
	if got, err := test.ParseAddress(good); err == nil {
		t.Errorf("on a test network: %x", got)
	}
	if got, err := c.ParseAddress("script:6a"); err != nil || !bytes.Equal(got, []byte{opReturn}) {
		t.Errorf("%x, %v", got, err)
	}
}

func TestSignatureText(t *testing.T) {
	var n *chain.Network = networkOf(t, "bitcoin")
	raw := bytes.Repeat([]byte{1}, 65)
	text, err := n.Codec.EncodeSignature(raw)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := n.Codec.DecodeSignature(text); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("%x, %v", got, err)
	}
	for _, bad := range []string{"", text[:80], text + "\n", "\n" + text, strings.Replace(text, "A", "-", 1), strings.TrimRight(text, "=")} {
		if got, err := n.Codec.DecodeSignature(bad); err == nil {
			t.Errorf("%q: %x", bad, got)
		}
	}
	for _, bad := range [][]byte{nil, raw[:64], append(bytes.Clone(raw[:64]), 2)} {
		if got, err := n.Codec.EncodeSignature(bad); err == nil {
			t.Errorf("%x: %s", bad, got)
		}
	}
}

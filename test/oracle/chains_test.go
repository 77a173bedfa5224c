package oracle

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/networks"
)

// publicKeys are the wallet's keys by network; the JavaScript side has the
// same: the private key is 1, and the base point of Ed25519.
func publicKeys() map[string]string {
	return map[string]string{
		"bitcoin": "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
		"solana":  "58" + strings.Repeat("66", 31),
	}
}

// on returns what Sigil would sign on a network that payloads don't name.
func (c *oneCase) on(registry *chain.Registry) (*chain.Prepared, error) {
	n, ok := registry.Lookup(c.Chain)
	if !ok {
		return nil, chain.Refuse(chain.CodeNetwork, "no %s", c.Chain)
	}
	pub, err := hex.DecodeString(publicKeys()[c.Chain])
	if err != nil {
		return nil, err
	}
	p, err := (&chain.Payload{Transaction: &c.Transaction}).Prepare(n, pub)
	if c.Chain == "solana" && err != nil && (strings.Contains(err.Error(), "the message ends") || strings.Contains(err.Error(), "isn't known here")) {
		err = c.asMessage(n, pub, err)
	}
	return p, err
}

// asMessage returns why a message isn't signed where err may be about the other
// reading of its bytes, as a transaction: with room for its signatures before
// it there is no other.
func (c *oneCase) asMessage(n *chain.Network, pub []byte, err error) error {
	b, decoding := base64.StdEncoding.DecodeString(c.Transaction)
	if decoding != nil || len(b) < 2 {
		return err
	}
	signers := b[0]
	if signers >= 0x80 {
		signers = b[1]
	}
	whole := base64.StdEncoding.EncodeToString(slices.Concat([]byte{signers}, make([]byte, 64*int(signers)), b))
	if _, again := (&chain.Payload{Transaction: &whole}).Prepare(n, pub); again != nil {
		return again
	}
	return err
}

func newRegistry(t *testing.T) *chain.Registry {
	t.Helper()
	r, err := networks.New()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// solanaReasons are those of Solana's family.
func solanaReasons() map[string]string {
	return map[string]string{
		"a signature in the wallet's place":  "signed-already",
		"a Solana transaction: account":      "account-twice",
		"a Solana transaction: instruction":  "no-such-account",
		"a Solana transaction: lookup table": "lookup-tables",
		"the header's counts are no":         "header-counts",
		"the fee payer isn't writable":       "read-only-payer",
		"than any transaction's":             "packet-size",
		"signatures the transaction is larg": "packet-size",
		"the transaction has over":           "packet-size",
		"accounts are more than":             "account-count",
		"a transaction and as a message":     "ambiguous",
		"validators don't take":              "compute-budget",
	}
}

// bitcoinReasons are those of Bitcoin's family.
func bitcoinReasons() map[string]string {
	return map[string]string{
		"its previous transaction is missing":  "unproved-amount",
		"an output from before segwit":         "segwit-fields",
		"a redeem script from before segwit":   "segwit-fields",
		"transactions have version 1":          "transaction-version",
		"may still be changed":                 "still-modifiable",
		"the fee of":                           "fee-cap",
		"the outputs have":                     "amounts",
		"the inputs have more":                 "amounts",
		"it spends more than there is":         "amounts",
		"has no script":                        "empty-script",
		"outputs have no address":              "unknown-scripts",
		"spends what another input spends":     "spent-twice",
		"claims another Taproot key":           "taproot-fields",
		"has a script that isn't the wallet's": "foreign-script",
		"the redeem script isn't that of":      "foreign-script",
		"the witness script isn't that of":     "foreign-script",
		"signatures of hash type":              "hash-type",
		"has a signature already":              "signed-already",
	}
}

// noInternalKey is the name of what both libraries may refuse and Sigil takes.
const noInternalKey = "no-internal-key"

// limits are the words of a library's refusals of what Sigil and the other
// library take, each with its name in docs/DIFFERENTIAL.md.
func limits() map[string]string {
	return map[string]string{
		"no internal key":                    noInternalKey,
		"Taproot metadata without P2TR":      "others-taproot-fields",
		"Taproot commitment does not match":  "others-taproot-fields",
		"bad point: is not on curve":         "no-points",
		"Cannot find square root":            "no-points",
		"Reader(): readBytes: Unexpected en": "newer-fields",
		"bytes 0 bits left after unpack":     "newer-fields",
		"PSBT: Non-empty key for ":           "newer-fields", // of those that Sigil knows it takes none with such keys
		"a commitment that is no text":       "reserves-commitment",
	}
}

// limit names why one library refuses what Sigil and the other take, or both
// for want of Taproot's internal key, which Sigil has; "" is a disagreement that
// nothing explains.
func (c *oneCase) limit(ours string) string {
	var names []string
	for _, l := range [][2]string{{c.A, c.WhyA}, {c.B, c.WhyB}} {
		if l[0] == ours {
			continue
		}
		name := ""
		for words, n := range limits() {
			if l[0] == "" && strings.Contains(l[1], words) {
				name = n
			}
		}
		if name == "" {
			return ""
		}
		names = append(names, name)
	}
	switch {
	case slices.Contains(names, noInternalKey):
		return "a library refuses, taken: " + noInternalKey
	case len(names) == 1:
		return "a library refuses, taken: " + names[0]
	}
	return ""
}

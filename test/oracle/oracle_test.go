package oracle

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/keys"
)

// oneCase is a payload, and what two libraries make of it; "" is a refusal.
type oneCase struct {
	Chain         string         `json:"chain"` // "" is Ethereum
	Transaction   string         `json:"transaction"`
	MessageHex    *string        `json:"message_hex"`
	TypedData     jsontext.Value `json:"typed_data"`
	Authorization jsontext.Value `json:"authorization"`
	UserOperation jsontext.Value `json:"user_operation"`
	ChainID       uint64         `json:"chain_id"` // of a user operation, which names none
	A             string         `json:"a"`
	B             string         `json:"b"`
	WhyA          string         `json:"why_a"` // it refuses, where it says so
	WhyB          string         `json:"why_b"`
}

// UnmarshalJSON keeps documents byte for byte.
func (c *oneCase) UnmarshalJSON(b []byte) error {
	type plain struct {
		Chain         string          `json:"chain"`
		Transaction   string          `json:"transaction"`
		MessageHex    *string         `json:"message_hex"`
		TypedData     json.RawMessage `json:"typed_data"`
		TypedDataText string          `json:"typed_data_text"`
		Authorization json.RawMessage `json:"authorization"`
		UserOperation json.RawMessage `json:"user_operation"`
		ChainID       uint64          `json:"chain_id"`
		A             string          `json:"a"`
		B             string          `json:"b"`
		WhyA          string          `json:"why_a"`
		WhyB          string          `json:"why_b"`
	}
	var p plain
	err := json.Unmarshal(b, &p)
	if p.TypedDataText != "" { // which needn't be JSON
		p.TypedData = json.RawMessage(p.TypedDataText)
	}
	*c = oneCase{p.Chain, p.Transaction, p.MessageHex, jsontext.Value(p.TypedData), jsontext.Value(p.Authorization), jsontext.Value(p.UserOperation), p.ChainID, p.A, p.B, p.WhyA, p.WhyB}
	return err
}

// reasons are the words of Sigil's refusals of what both libraries take, each
// with its name in docs/DIFFERENTIAL.md.
func reasons() map[string]string {
	return map[string]string{
		"would be valid on every chain":        "pre-155",
		"the chain id is 0":                    "chain-id-0",
		"chain_id isn't a chain's":             "chain-id-0",
		"it has no authorisations":             "no-authorisations",
		"it has no blobs, or too many":         "blob-count",
		"the version of a blob's hash":         "blob-version",
		"an authorisation is out of bounds":    "authorisation-bounds",
		"its type can't create contracts":      "creation-by-type",
		"maxPriorityFeePerGas is above":        "tip-above-fee",
		"the fee is over 256 bits":             "fee-256-bits",
		"an integer is over 64 bits":           "over-64-bits",
		"the transaction isn't 0x":             "not-hex",
		"it has no members":                    "empty-type",
		"is named badly, or twice":             "names",
		"can't be a type's name":               "names",
		"is no type":                           "array-lengths",
		"an integer is wanted":                 "integers",
		"and message: the member":              "unknown-members",
		"an object of name and type":           "unknown-members",
		"duplicate object member name":         "duplicate-members",
		"invalid surrogate pair":               "not-unicode",
		"escapes are for other texts":          "escaped-chain-id",
		"one that Sigil can't hold":            "large-chain-id",
		"the typed data is for chain id":       "large-chain-id", // it was tried with the one that it names
		"an empty name or version isn't":       "empty-domain-text",
		"isn't declared, or the domain's":      "primary-type",
		"has no member":                        "extra-members",
		"isn't the standard's, or not in":      "domain-order",
		"EIP712Domain isn't declared":          "undeclared-domain",
		"is missing":                           "missing-members",
		"a message of 32 raw bytes":            "digest-as-message",
		"the message is an Ethereum trans":     "transaction-as-message",
		"an item is longer than what holds it": "not-canonical",
		"the checksum is wrong":                "checksum",
		"write it in lower case":               "checksum",
		"integer of at most 120 bits":          "gas-120-bits",
	}
}

// beyond says whether a library refuses for a limit of JavaScript's: numbers
// over 2^53-1, of which a nonce may be one and a fee by its gas another.
func beyond(p *chain.Prepared) bool {
	e := p.Intent.Effects
	if e == nil || p.Intent.Kind == chain.KindUserOperation { // whose integers are large ones there
		return false
	}
	n, err := strconv.ParseUint(e.Nonce, 10, 64)
	return err == nil && n > 1<<53-1
}

// reasons are those of the case's family.
func (c *oneCase) reasons() map[string]string {
	switch c.Chain {
	case "solana":
		return solanaReasons()
	case "bitcoin":
		return bitcoinReasons()
	}
	return reasons()
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	if s := os.Getenv(name); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("%s is %q", name, s)
		}
		return n
	}
	return otherwise
}

// sigil returns what Sigil would sign, or why it wouldn't.
func (c *oneCase) sigil(registry *chain.Registry) (*chain.Prepared, error) {
	if c.Chain != "" {
		return c.on(registry)
	}
	n := &chain.Network{Slug: "any", Name: "any", Family: evm.Family, Curve: keys.Secp256k1, ChainID: max(1, c.ChainID), Codec: evm.Codec{}}
	pub, err := hex.DecodeString("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
	if err != nil {
		return nil, err
	}
	p := &chain.Payload{TypedData: c.TypedData, Authorization: c.Authorization, UserOperation: c.UserOperation}
	switch {
	case c.Transaction != "":
		p.Transaction = &c.Transaction
	case c.MessageHex != nil:
		p.Text, p.Encoding = c.MessageHex, "hex"
	}
	for range 2 { // once more on the chain that the payload names
		prepared, err := p.Prepare(n, pub)
		var e *chain.RefusedError
		if errors.As(err, &e) && e.Code == chain.CodeNetwork {
			if _, scan := fmt.Sscanf(e.Message[strings.Index(e.Message, "chain id ")+len("chain id "):], "%d", &n.ChainID); scan == nil {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		return prepared, nil
	}
	return nil, errors.New("the chain id is one that Sigil can't hold")
}

// verdict compares, and says in a word how it went; "" is a disagreement that
// nothing explains. large says that the payload is beyond a library's limits.
func (c *oneCase) verdict(ours string, large bool, err error) string {
	switch {
	case err == nil && ours == c.A && ours == c.B:
		return "equal"
	case err == nil && large && (c.A == "" || c.A == ours) && (c.B == "" || c.B == ours):
		return "beyond a library's limits"
	case err == nil:
		return c.limit(ours)
	case c.A == "" && c.B == "":
		return "all refuse"
	case c.A != c.B:
		return "libraries disagree, refused"
	}
	named := c.reasons()
	for _, words := range slices.Backward(slices.Sorted(maps.Keys(named))) { // always the same of two that fit, and "it has no members" before "has no member"
		if strings.Contains(err.Error(), words) {
			return "both take, refused: " + named[words]
		}
	}
	return ""
}

// alter changes a digest's last digit.
func alter(digest string) string {
	last := strings.IndexByte("0123456789abcdef", digest[len(digest)-1])
	return digest[:len(digest)-1] + string("123456789abcdef0"[last])
}

// TestDifferentialCanary: a run in which one of Sigil's digests is wrong fails.
func TestDifferentialCanary(t *testing.T) {
	for _, family := range []string{"evm-message", "solana-transaction", "bitcoin-psbt", "bitcoin-psbt-2"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDifferential$/^"+family+"$")
		cmd.Env = append(os.Environ(), "SIGIL_TEST_ALTER=1", "SIGIL_TEST_CASES=20")
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "nothing explains it") {
			t.Errorf("%s: %v, %s", family, err, out)
		}
	}
}

func TestDifferential(t *testing.T) {
	seed, count := number(t, "SIGIL_TEST_SEED", 1), number(t, "SIGIL_TEST_CASES", 2000)
	registry := newRegistry(t)
	t.Logf("seed %d, %d cases of each family", seed, count)
	for _, family := range []string{"evm-transaction", "evm-message", "evm-typed-data", "evm-typed-data-mutated", "evm-authorization", "evm-user-operation", "solana-transaction", "bitcoin-psbt", "bitcoin-psbt-2"} {
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			verdicts, canary, wrong := map[string]int{}, 0, os.Getenv("SIGIL_TEST_ALTER") != ""
			each(t, family, seed, count, func(c *oneCase, line string) {
				p, err := c.sigil(registry)
				ours, large := "", false
				if err == nil {
					ours, large = "0x"+hex.EncodeToString(p.SignBytes), beyond(p)
					if wrong {
						ours, wrong = alter(ours), false
					}
				}
				v := c.verdict(ours, large, err)
				verdicts[v]++
				if v == "" && verdicts[v] <= 5 {
					t.Errorf("nothing explains it: Sigil %s %v, the libraries %q and %q, (%s; %s) of %.1500s", ours, err, c.A, c.B, c.WhyA, c.WhyB, line)
				}
				// The canary: a digest that is another is found every time.
				if err == nil && v == "equal" && c.verdict(alter(ours), large, nil) == "" {
					canary++
				}
			})
			for _, v := range slices.Sorted(maps.Keys(verdicts)) {
				t.Logf("%-19s %6d  %s", family, verdicts[v], v)
			}
			if verdicts["equal"] < count/4 || canary != verdicts["equal"] {
				t.Errorf("%s: %d equal, of which the canary finds %d", family, verdicts["equal"], canary)
			}
		})
	}
}

// each hands the family's cases to f.
func each(t *testing.T, family string, seed, count int, f func(*oneCase, string)) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "cases.mjs", family, strconv.Itoa(seed), strconv.Itoa(count))
	cmd.Dir, cmd.Stderr = "js", os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: `make oracles` installs what it needs", err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<22)
	n := 0
	for ; lines.Scan(); n++ {
		c := &oneCase{}
		if err := json.Unmarshal(lines.Bytes(), c); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		f(c, lines.Text())
	}
	if err := errors.Join(lines.Err(), cmd.Wait()); err != nil || n != count {
		t.Fatalf("%d of %d cases: %v", n, count, err)
	}
}

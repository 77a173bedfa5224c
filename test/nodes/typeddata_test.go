package nodes

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/signer/core/apitypes"

	"github.com/sigilkeys/sigil/internal/typeddata"
)

// typedDataCase is a case of test/oracle, and what ethers and viem make of it.
type typedDataCase struct {
	TypedData     json.RawMessage `json:"typed_data"`
	TypedDataText string          `json:"typed_data_text"`
	A             string          `json:"a"`
	B             string          `json:"b"`
}

// gethDigest is what go-ethereum signs, "" where it refuses, or panics, as it
// does on some.
func gethDigest(doc []byte) (digest string) {
	defer func() {
		if recover() != nil {
			digest = ""
		}
	}()
	var d apitypes.TypedData
	if err := json.Unmarshal(doc, &d); err != nil {
		return ""
	}
	_, preimage, err := apitypes.TypedDataAndHash(d)
	if err != nil {
		return ""
	}
	return "0x" + hex.EncodeToString(crypto.Keccak256([]byte(preimage)))
}

func env(t *testing.T, name string, otherwise int) string {
	t.Helper()
	if s := os.Getenv(name); s != "" {
		return s
	}
	return strconv.Itoa(otherwise)
}

// TestTypedDataDifferential: what Sigil takes, go-ethereum, viem and ethers
// hash alike.
func TestTypedDataDifferential(t *testing.T) {
	for _, family := range []string{"evm-typed-data", "evm-typed-data-mutated"} {
		cmd := exec.CommandContext(t.Context(), "node", "cases.mjs", family, env(t, "SIGIL_TEST_SEED", 1), env(t, "SIGIL_TEST_CASES", 2000))
		cmd.Dir, cmd.Stderr = "../oracle/js", os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatalf("%v: `make oracles` installs what it needs", err)
		}
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<22)
		equal, disagree, others := 0, 0, 0
		for lines.Scan() {
			var c typedDataCase
			if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
				t.Fatalf("%s: %v", lines.Bytes(), err)
			}
			doc := []byte(c.TypedData)
			if c.TypedDataText != "" {
				doc = []byte(c.TypedDataText)
			}
			geth := gethDigest(doc)
			d, err := typeddata.Parse(doc)
			switch {
			case err == nil:
				ours := "0x" + hex.EncodeToString(crypto.Keccak256(d.Preimage[:]))
				if equal++; ours != geth || ours != c.A || ours != c.B {
					t.Errorf("Sigil %s, go-ethereum %q, ethers %q, viem %q of %s", ours, geth, c.A, c.B, doc)
				}
			case c.A == c.B && c.A != geth && c.A != "":
				disagree++ // which the other two alone don't show
			default:
				others++
			}
		}
		if err := cmd.Wait(); err != nil || lines.Err() != nil {
			t.Fatal(err, lines.Err())
		}
		t.Logf("%s: %d alike, %d refused where go-ethereum alone disagrees, %d others refused", family, equal, disagree, others)
		if equal < 500 || disagree == 0 {
			t.Errorf("%s: too few to tell", family)
		}
	}
}

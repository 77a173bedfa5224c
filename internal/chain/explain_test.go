package chain_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
)

// TestEveryFlagIsExplained: each constant of the families that is a flag has a
// sentence, and stands in the document of formats.
func TestEveryFlagIsExplained(t *testing.T) {
	formats, err := os.ReadFile("../../docs/FORMATS.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "flag") {
				return true
			}
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				flag, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				seen[flag] = true
				if chain.FlagText(flag) == "" {
					t.Errorf("the flag %s has no sentence", flag)
				}
				if !strings.Contains(string(formats), "`"+flag+"`") {
					t.Errorf("docs/FORMATS.md doesn't name the flag %s", flag)
				}
			}
			return true
		})
	}
	if len(seen) < 30 {
		t.Errorf("only %d flags found", len(seen))
	}
	if chain.FlagText("no_flag") != "" {
		t.Error("what is no flag has a sentence")
	}
}

func TestExplain(t *testing.T) {
	n := evm.Networks()[0]
	text := "0x02ed0107830f42408405f5e100825208945aaeb6053f3e94c9b9a09f33669435e7ef1beaed872386f26fc1000080c0"
	p, err := (&chain.Payload{Transaction: &text}).Prepare(&n, nil)
	if err != nil {
		t.Fatal(err)
	}
	x, err := p.Explain(&n)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"the wallet sends 0.01 ETH (10000000000000000 base units) to 0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", "costs at most 0.0000021 ETH (2100000000000 base units) in fees"}
	if strings.Join(x.Summary, "|") != strings.Join(want, "|") || len(x.Accept)+len(x.Refused)+len(x.Flags) != 0 {
		t.Errorf("%+v", x)
	}
}

// TestExplainTrade: a trade is told in sentences, once to be accepted for all
// that it does.
func TestExplainTrade(t *testing.T) {
	data, err := os.ReadFile("evm/testdata/routers.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Name     string `json:"name"`
		Unsigned string `json:"unsigned_tx"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	const router, token, other = "0xc1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1", "0xa1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1", "0xa2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2"
	want := []string{"the wallet sends 100 base units of " + token + " to " + router,
		router + " gives at least 90 base units of " + other + " to " + router + ", by a trade for the wallet, until 1700000000 (unix seconds)",
		router + " gives 25/10000 of what it holds of " + other + " to 0xb9b9b9b9b9b9b9b9b9b9b9b9b9b9b9b9b9b9b9b9, by a trade for the wallet, until 1700000000 (unix seconds)",
		router + " gives at least 89 base units of " + other + " to its caller, by a trade"}
	n := evm.Networks()[0]
	for _, v := range list {
		if v.Name != "plan: pools and a fee" {
			continue
		}
		p, err := (&chain.Payload{Transaction: &v.Unsigned}).Prepare(&n, nil)
		if err != nil {
			t.Fatal(err)
		}
		x, err := p.Explain(&n)
		if err != nil || len(x.Summary) != 5 || !strings.HasPrefix(strings.Join(x.Summary, "|"), strings.Join(want, "|")) || len(x.Flags) != 1 || len(x.Accept) != 1 || len(x.Refused) != 0 {
			t.Errorf("%v, %q, %+v", err, x.Summary, x)
		}
		return
	}
	t.Error("the trade isn't there")
}

package solana

import (
	"encoding/base64"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
)

// TestLedgerCorpus: messages that another strict parser was written against
// are decoded, for their first signer.
func TestLedgerCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/ledger/*.raw")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	n := Networks()[0]
	kinds, refused := map[string]int{}, map[string]int{}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		at := 4
		if raw[0] >= 0x80 {
			at = 5
		}
		p, err := Codec{}.Transaction(&n, raw[at:at+32], base64.StdEncoding.EncodeToString(raw))
		if err != nil {
			// Made for a parser alone: no validator takes these.
			refused[err.Error()]++
			if !slices.ContainsFunc([]string{"the fee payer isn't writable", "that Compute Budget takes", "none of Compute Budget's", "stands twice"}, func(s string) bool { return strings.Contains(err.Error(), s) }) {
				t.Errorf("%s: %v", filepath.Base(name), err)
			}
			continue
		}
		if string(p.SignBytes) != string(raw) {
			t.Errorf("%s: other bytes are signed", name)
		}
		for _, a := range p.Intent.Effects.Actions {
			kinds[a.Kind]++
		}
	}
	if total := len(files) - sum(refused); total < 25 || kinds[chain.ActionOpaque] > 8 {
		t.Errorf("only %d are decoded", total)
	}
	t.Logf("%d files: %v; refused: %s", len(files), kinds, strings.Join(slices.Sorted(maps.Keys(refused)), "; "))
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

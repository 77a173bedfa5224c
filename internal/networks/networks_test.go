package networks_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/networks"
)

// TestConfigured: an installation adds chains, and changes none that there is.
func TestConfigured(t *testing.T) {
	r, err := networks.New(evm.Configured{Slug: "dev", Name: "Dev", ChainID: 1337, Testnet: true})
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := r.Lookup("dev"); !ok || n.ChainID != 1337 || n.Family != evm.Family || n.AddressOf != "ethereum" {
		t.Errorf("%+v", n)
	}
	for name, c := range map[string]evm.Configured{
		"a preset's slug":     {Slug: "base", Name: "x", ChainID: 1337},
		"a preset's alias":    {Slug: "matic", Name: "x", ChainID: 1337},
		"a preset's chain id": {Slug: "mine", Name: "x", ChainID: 8453},
		"no chain id":         {Slug: "mine", Name: "x"},
		"a large chain id":    {Slug: "mine", Name: "x", ChainID: 1 << 53},
		"no name":             {Slug: "mine", ChainID: 1337},
		"no slug":             {Name: "x", ChainID: 1337},
		"upper case":          {Slug: "Mine", Name: "x", ChainID: 1337},
		"a long name":         {Slug: "mine", Name: strings.Repeat("x", 65), ChainID: 1337},
	} {
		if _, err := networks.New(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := networks.New(evm.Configured{Slug: "a", Name: "a", ChainID: 7}, evm.Configured{Slug: "b", Name: "b", ChainID: 7}); err == nil {
		t.Error("one chain id twice is taken")
	}
}

var update = flag.Bool("update", false, "write docs/NETWORKS.md")

// TestDocument: docs/NETWORKS.md is what the registry says.
func TestDocument(t *testing.T) {
	const file = "../../docs/NETWORKS.md"
	r, err := networks.New()
	if err != nil {
		t.Fatal(err)
	}
	want := networks.Table(r)
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != want {
		t.Errorf("%s isn't what the registry says: go test ./internal/networks -update (%v)", file, err)
	}
}

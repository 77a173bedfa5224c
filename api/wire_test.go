package api_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/test/spec"
)

// wire is the type of each schema. Lists are one generic type.
func wire() map[string]any {
	return map[string]any{
		"Attestation": api.Attestation{}, "ChallengeProof": api.ChallengeProof{}, "CreateKey": api.CreateKey{},
		"CreateOrganization": api.CreateOrganization{}, "CreateRevocation": api.CreateRevocation{}, "Credential": api.Credential{},
		"Error": api.Error{}, "Evidence": api.Evidence{}, "Key": api.Key{}, "KeyList": api.List[api.Key]{}, "Network": api.Network{},
		"Organization": api.Organization{}, "Receipt": api.Receipt{}, "ReceiptRef": api.ReceiptRef{}, "Signature": api.Signature{},
		"ChangeWallet": api.ChangeWallet{}, "Checkpoint": api.Checkpoint{}, "Consistency": api.Consistency{}, "Entries": api.Entries{}, "Entry": api.Entry{},
		"Decoded": api.Decoded{}, "FlagMeaning": api.FlagMeaning{}, "Inclusion": api.Inclusion{}, "Tile": api.Tile{},
		"Wallet": api.Wallet{}, "WalletList": api.List[api.Wallet]{}, "AuditEvent": api.AuditEvent{}, "AuditList": api.List[api.AuditEvent]{},
	}
}

// batches are the schemas of replies with items, which share their types.
func batches() []map[string]any {
	of := func(item, whole string) map[string]any {
		return map[string]any{item: api.BatchItem{}, whole: api.Batch{}, "Error": api.Error{}}
	}
	return []map[string]any{of("SignatureItem", "SignatureBatch"), of("WalletItem", "WalletBatch")}
}

// elsewhere are schemas without a type in this package, and what holds them.
func elsewhere() map[string]string {
	return map[string]string{
		"CreateWallet": "internal/server, tested there", "Sign": "internal/server, tested there",
		"DenialDetails": "one member, written in internal/server and read in client", "Leaf": "receipt.Leaf, shown by internal/server",
		"GenesisEnvelope": "internal/authority", "GrantEnvelope": "internal/authority", "RevocationEnvelope": "internal/authority",
		"SignBatch": "internal/server, tested there", "CreateWallets": "internal/server, tested there", "SignatureBatch": "batches", "WalletBatch": "batches",
		"Networks": "a list without pages", "Status": "one member", "Version": "one member",
	}
}

// Each type is its schema, exactly, and no type or schema is left out.
func TestTypesAreTheirSchemas(t *testing.T) {
	described, err := spec.Load()
	if err != nil {
		t.Fatal(err)
	}
	types := described.Types(wire())
	for name, v := range wire() {
		if err := types.Check(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, named := range batches() {
		types := described.Types(named)
		for name, v := range named {
			if err := types.Check(v); name != "Error" && err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	other := elsewhere()
	for _, name := range described.Objects() {
		if _, ok := wire()[name]; !ok && other[name] == "" {
			t.Errorf("the schema %s has no type: add it to wire, or say in elsewhere what holds it", name)
		}
		delete(other, name)
	}
	for name := range other {
		t.Errorf("%s is no schema of an object", name)
	}
	for _, name := range structs(t) {
		if _, ok := wire()[name]; !ok && !slices.Contains([]string{"Envelope", "List", "Batch", "BatchItem"}, name) {
			t.Errorf("api.%s has no schema in wire", name)
		}
	}
}

// structs lists the types of wire.go.
func structs(t *testing.T) (names []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "wire.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok {
			names = append(names, spec.Name.Name)
		}
		return true
	})
	return names
}

// Canary: a type that differs from its schema in one member is caught.
func TestDifferentTypesAreCaught(t *testing.T) {
	described, err := spec.Load()
	if err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]struct {
		schema string
		v      any
	}{
		`no member for "token"`: {"Evidence", struct {
			ID        string `json:"id"`
			Statement []byte `json:"statement"`
		}{}},
		`has no "note"`: {"Version", struct {
			Version string `json:"version"`
			Note    string `json:"note"`
		}{}},
		"left out sometimes": {"Version", struct {
			Version string `json:"version,omitempty"`
		}{}},
		`string for a "string"`: {"Evidence", struct {
			ID        string `json:"id"`
			Statement string `json:"statement"` // not bytes
			Token     string `json:"token"`
		}{}},
		`time.Time for a "string"`: {"Version", struct {
			Version time.Time `json:"version"`
		}{}},
		`RawMessage for a "string"`: {"Version", struct {
			Version json.RawMessage `json:"version"`
		}{}},
		`bool for a "string"`: {"Version", struct {
			Version bool `json:"version"`
		}{}},
		"api.Evidence for": {"DenialDetails", struct {
			Receipt api.Evidence `json:"receipt"`
		}{}},
		"smaller than the schema's maximum": {"Network", struct {
			Slug    string `json:"slug"`
			Name    string `json:"name"`
			Family  string `json:"family"`
			Curve   string `json:"curve"`
			ChainID uint32 `json:"chain_id,omitempty"`
			Testnet bool   `json:"testnet"`
		}{}},
	} {
		types := described.Types(map[string]any{c.schema: c.v, "Evidence2": api.Evidence{}})
		if err := types.Check(c.v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

package server

import (
	"testing"

	"github.com/sigilkeys/sigil/test/spec"
)

// What request bodies are read into has the members that openapi.yaml says.
func TestBodiesAreTheirSchemas(t *testing.T) {
	described, err := spec.Load()
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string]any{"CreateWallet": createWalletBody{}, "Sign": signBody{}, "SignBatch": batchBody{}, "CreateWallets": batchBody{}}
	for name, v := range bodies {
		types := described.Types(map[string]any{name: v})
		types.Reads = true
		if err := types.Check(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

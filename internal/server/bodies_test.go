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
	bodies := map[string]any{"CreateWallet": createWalletBody{}, "Sign": signBody{}}
	types := described.Types(bodies)
	types.Reads = true
	for name, v := range bodies {
		if err := types.Check(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

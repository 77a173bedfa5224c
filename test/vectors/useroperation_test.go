package vectors

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
)

// userOperation has the workload sign an entry's user operation. Its published
// signature is of the hash as a message, or of the hash itself.
func (f *fixture) userOperation(t *testing.T, y *tally, e *entry, name, slug string) {
	var v struct {
		Operation  map[string]any  `json:"user_operation"`
		EntryPoint string          `json:"entry_point"`
		ChainID    json.Number     `json:"chain_id"`
		Hash       string          `json:"user_op_hash"`
		EIP191     json.RawMessage `json:"owner_signature_eip191"`
		Digest     json.RawMessage `json:"owner_signature_digest"`
	}
	if err := json.Unmarshal(e.raw, &v); err != nil {
		f.report(t, y, e, name, err)
		return
	}
	for _, n := range f.networks.List() {
		if fmt.Sprint(n.ChainID) == v.ChainID.String() {
			slug = n.Slug
		}
	}
	delete(v.Operation, "signature")
	scheme, published := "digest", v.Digest
	if v.EIP191 != nil {
		scheme, published = "eip191", v.EIP191
	}
	doc, err := json.Marshal(map[string]any{"entry_point": v.EntryPoint, "user_operation": v.Operation, "signature_scheme": scheme})
	if err != nil {
		f.report(t, y, e, name, err)
		return
	}
	e.Signature = flexible(published)
	if scheme == "digest" {
		e.SignHash = v.Hash
	}
	f.document(t, y, e, name, slug, chain.Payload{UserOperation: doc})
}

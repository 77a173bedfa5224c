package vectors

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/typeddata"
)

// typedData has the workload sign an entry's document.
func (f *fixture) typedData(t *testing.T, y *tally, e *entry, name, slug string) {
	doc := jsontext.Value(e.TypedData)
	if len(doc) == 0 || string(doc) == "null" {
		doc = jsontext.Value(e.Input)
	}
	if d, err := typeddata.Parse(doc); err == nil {
		slug = f.chainOf(d, slug)
	}
	f.document(t, y, e, name, slug, chain.Payload{TypedData: doc})
}

// authorization has the workload sign an entry's authorisation of EIP-7702.
func (f *fixture) authorization(t *testing.T, y *tally, e *entry, name, slug string) {
	var a struct {
		ChainID flexible `json:"chainId"`
		Address string   `json:"address"`
		Nonce   flexible `json:"nonce"`
	}
	raw := e.Authorization
	if len(raw) == 0 {
		raw = e.Input
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		f.report(t, y, e, name, err)
		return
	}
	doc, err := json.Marshal(map[string]any{"chain_id": a.ChainID, "address": a.Address, "nonce": a.Nonce})
	if err != nil {
		f.report(t, y, e, name, err)
		return
	}
	f.document(t, y, e, name, slug, chain.Payload{Authorization: doc})
}

// document has the workload sign a document of an entry, or refuse it.
func (f *fixture) document(t *testing.T, y *tally, e *entry, name, slug string, p chain.Payload) {
	if slug == "" {
		slug = "ethereum"
	}
	n, ok := f.Networks.Lookup(slug)
	if !ok {
		y.left[name+": network isn't registered"]++
		return
	}
	private, err := unhex(e.Private)
	if err != nil || len(private) != 32 {
		private = bytes.Repeat([]byte{7}, 32) // entries to refuse may have no key
	}
	w, err := f.Wallet(t.Context(), n.Curve, private)
	if err != nil {
		f.report(t, y, e, name, err)
		return
	}
	item, leaf, _, err := f.decideAccepted(t, w, n, p)
	code := refusal(leaf, err)
	switch {
	case e.Expect == "reject" && code != "":
		y.refused[name+": "+code]++
		return
	case e.Expect == "reject":
		err = errors.New("signed, but must be refused")
	case code != "":
		err = errors.New("refused: " + code + ": " + item.Explanation)
	case err == nil:
		err = f.compare(t.Context(), n, w, e, item, leaf)
	}
	f.report(t, y, e, name, err)
}

// chainOf is the network that the document names; of one that names none, the
// entry's.
func (f *fixture) chainOf(d *typeddata.Document, slug string) string {
	for _, n := range f.Networks.List() {
		if n.ChainID != 0 && d.Domain.ChainID == strconv.FormatUint(n.ChainID, 10) {
			return n.Slug
		}
	}
	if d.Domain.ChainID != "" {
		return "chain " + d.Domain.ChainID
	}
	return slug
}

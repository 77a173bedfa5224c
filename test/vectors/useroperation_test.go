package vectors

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/sha3"

	"github.com/sigilkeys/sigil/internal/chain"
)

// userOperation has the workload sign an entry's user operation of ERC-4337 in
// each way that the entry has a signature of, or the usual one.
func (f *fixture) userOperation(t *testing.T, y *tally, e *entry, name, slug string) {
	slug = f.chainIDOf(e, slug)
	signatures := map[string]string{}
	for scheme, published := range map[string]string{"eip191": e.OwnerEIP191, "digest": e.OwnerDigest} {
		if published != "" {
			signatures[scheme] = published
		}
	}
	if len(signatures) == 0 {
		signatures[""] = textOf(e.Signature)
	}
	for scheme, published := range signatures {
		doc, err := operationDocument(e, scheme)
		if err != nil {
			f.report(t, y, e, name, err)
			continue
		}
		f.operation(t, y, e, strings.TrimSpace(name+" "+scheme), slug, published, doc)
	}
}

// operation is document with what operations have for a result.
func (f *fixture) operation(t *testing.T, y *tally, e *entry, name, slug, published string, doc []byte) {
	n, ok := f.Networks.Lookup(slug)
	if !ok {
		y.left[name+": network isn't registered"]++
		return
	}
	private, err := unhex(e.Private)
	if err != nil || len(private) != 32 {
		private = bytes.Repeat([]byte{7}, 32)
	}
	w, err := f.Wallet(t.Context(), n.Curve, private)
	if err != nil {
		f.report(t, y, e, name, err)
		return
	}
	item, leaf, accepted, err := f.decideAccepted(t, w, n, chain.Payload{UserOperation: doc})
	if accepted {
		name += ", accepted by policy"
	}
	code := refusal(leaf, err)
	switch {
	case e.Expect == "reject" && code != "":
		y.refused[name+": "+code]++
		return
	case e.Expect == "reject":
		err = errors.New("signed, but must be refused")
	case code != "":
		err = fmt.Errorf("refused: %s: %v %s", code, err, item.Explanation)
	case err == nil && e.UserOpHash != "":
		err = hashes(e.UserOpHash, leaf.PayloadDigest)
	}
	if err == nil && published != "" && published != string(item.Result) {
		err = fmt.Errorf("signature %s, want %s", item.Result, published)
	}
	f.report(t, y, e, name, err)
}

// hashes requires that the published hash was signed, itself or as a message.
func hashes(published string, payload [32]byte) error {
	hash, err := unhex(published)
	if err != nil {
		return err
	}
	h := sha3.NewLegacyKeccak256()
	h.Write([]byte("\x19Ethereum Signed Message:\n32"))
	h.Write(hash)
	if payload != sha256.Sum256(hash) && payload != sha256.Sum256(h.Sum(nil)) {
		return errors.New("signed another hash than published")
	}
	return nil
}

// operationDocument is the payload of an entry. Libraries call eip7702Auth
// authorization before they send it.
func operationDocument(e *entry, scheme string) ([]byte, error) {
	raw := e.UserOperation
	if len(raw) == 0 {
		raw = e.Input
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, err
	}
	if a, ok := members["authorization"]; ok {
		members["eip7702Auth"] = a
		delete(members, "authorization")
	}
	doc := map[string]any{"entry_point": e.EntryPoint, "user_operation": members}
	for name, value := range map[string]string{"entry_point_version": e.EntryPointVersion, "signature_scheme": scheme} {
		if value != "" {
			doc[name] = value
		}
	}
	return json.Marshal(doc)
}

// chainIDOf is the network of the entry's chain id, if it has one.
func (f *fixture) chainIDOf(e *entry, slug string) string {
	id, err := strconv.ParseUint(strings.Trim(string(e.ChainID), `"`), 0, 64)
	if err != nil {
		return slug
	}
	for _, n := range f.Networks.List() {
		if n.ChainID == id {
			return n.Slug
		}
	}
	return "chain " + strconv.FormatUint(id, 10)
}

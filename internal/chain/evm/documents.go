package evm

import (
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
)

// Bounds of documents but typed data, well over what any has.
const (
	documentDepth   = 8
	documentMembers = 64
)

// Documents implements chain.Documenter.
func (Codec) Documents() []string {
	return []string{chain.KindTypedData, chain.KindAuthorization, chain.KindUserOperation}
}

// Document implements chain.Documenter.
func (Codec) Document(n *chain.Network, pub []byte, kind string, doc []byte) (*chain.Prepared, error) {
	if kind == chain.KindTypedData { // which has bounds of its own
		return typedData(n, pub, doc)
	}
	if err := canon.BoundJSON(doc, documentDepth, documentMembers); err != nil {
		return nil, chain.Refuse(chain.CodePayloadInvalid, "the %.40s isn't one: %v", kind, err)
	}
	switch kind {
	case chain.KindAuthorization:
		return authorization(n, doc)
	case chain.KindUserOperation:
		return userOperation(n, pub, doc)
	}
	return nil, chain.Refuse(chain.CodePayload, "a payload of the kind %.40s isn't signed on %s", kind, n.Slug)
}

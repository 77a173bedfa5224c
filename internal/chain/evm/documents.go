package evm

import "github.com/sigilkeys/sigil/internal/chain"

// Documents implements chain.Documenter.
func (Codec) Documents() []string {
	return []string{chain.KindTypedData, chain.KindAuthorization, chain.KindUserOperation}
}

// Document implements chain.Documenter.
func (Codec) Document(n *chain.Network, pub []byte, kind string, doc []byte) (*chain.Prepared, error) {
	switch kind {
	case chain.KindTypedData:
		return typedData(n, pub, doc)
	case chain.KindAuthorization:
		return authorization(n, doc)
	case chain.KindUserOperation:
		return userOperation(n, pub, doc)
	}
	return nil, chain.Refuse(chain.CodePayload, "a payload of the kind %.40s isn't signed on %s", kind, n.Slug)
}

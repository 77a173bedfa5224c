package client

import (
	"context"
	"errors"

	"github.com/sigilkeys/sigil/internal/chain"
)

// Decoded says in words what a payload does, what about it deserves a second
// look, and what a key's policy must accept to have it signed.
type Decoded = chain.Explanation

// Decode says what Sign would have signed. It is decoded here, as the TEE
// does, for the key that the wallet's certificate names: the service's word
// isn't taken for it, and isn't asked for. IntentDigest is what the receipt of
// the signature will have. Errors are those of Sign; an *ArgumentError is also
// what the TEE would refuse.
func (c *Client) Decode(ctx context.Context, r SignRequest) (*Decoded, error) {
	wallet, payload, err := r.read()
	if err != nil {
		return nil, err
	}
	cert, err := c.certs.get(ctx, wallet)
	if err != nil {
		return nil, err
	}
	op := &signing{c: c, cert: cert, network: r.Network, payload: payload}
	var argument *ArgumentError
	switch op.encode(); {
	case errors.As(op.refusal, &argument):
		return nil, argument
	case op.refusal != nil:
		return nil, badArgument("payload", "%v", op.refusal)
	}
	return op.prepared.Explain(op.net)
}

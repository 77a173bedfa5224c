package chain

import (
	"slices"

	"github.com/sigilkeys/sigil/internal/policy"
)

// Payload is what a sign request wants signed, as it stands in a request
// body: exactly one of a message and a transaction.
type Payload struct {
	Message
	// Text takes "message" itself, so that one left out isn't an empty one.
	Text *string `json:"message,omitzero"`
	// Transaction in the text form that Transactor takes.
	Transaction *string `json:"transaction,omitzero"`
}

// Kind returns the payload's kind. What is for messages alone doesn't stand
// beside a transaction: it would be ignored.
func (p *Payload) Kind() (string, error) {
	m := &p.Message
	switch {
	case (p.Text == nil) == (p.Transaction == nil):
		return "", Refuse(CodeArgument, "give either a message or a transaction")
	case p.Text != nil:
		return KindMessage, nil
	case m.Encoding != "" || m.Format != "" || m.ApplicationDomain != "" || m.RequiredSignatories != nil || m.ContentFormat != "":
		return "", Refuse(CodeArgument, "message_encoding, message_format, application_domain, required_signatories and content_format are for messages")
	}
	return KindTransaction, nil
}

// Method returns the policy's name for signing a payload of the kind.
func Method(kind string) string {
	if kind == KindTransaction {
		return policy.MethodSignTransaction
	}
	return policy.MethodSignMessage
}

// Prepare decodes the payload for a network and the wallet's key. Errors are
// *RefusedError.
func (p *Payload) Prepare(n *Network, pub []byte) (*Prepared, error) {
	kind, err := p.Kind()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(n.Payloads(), kind) {
		return nil, Refuse(CodePayload, "a %s isn't signed on %s yet", kind, n.Slug)
	}
	if t, ok := n.Transactor(); ok && kind == KindTransaction {
		return t.Transaction(n, pub, *p.Transaction)
	}
	m := p.Message
	m.Message = *p.Text
	return n.Codec.Message(n, pub, &m)
}

// Request is what policy is asked about the prepared payload; whose wallet it
// is, the caller adds.
func (p *Prepared) Request() policy.Request {
	r := policy.Request{Method: Method(p.Intent.Kind), Network: p.Intent.Network}
	if p.Intent.Kind == KindTransaction {
		r.Unruled = p.Intent.Effects.unruled()
	}
	return r
}

// unruled says in words what of a transaction no policy can allow, "" for
// nothing.
func (e *Effects) unruled() string {
	a, ok := e.Unruled()
	switch {
	case !ok:
		return ""
	case a.Kind == ActionDeploy:
		return "it deploys a contract"
	case a.Kind == ActionDelegate && a.Method != "":
		return "it puts the wallet's own address into a program's hands (" + a.Method + ")"
	case a.Kind == ActionUnresolved:
		return "it names accounts by their place in a lookup table, and which ones these are, the transaction doesn't say"
	case a.Kind == ActionDelegate:
		return "it gives an account the code of " + a.Contract
	case a.Contract == "":
		return "nobody here knows what it does"
	}
	return "it calls " + a.Contract + " for " + a.Selector + ", which nobody here understands"
}

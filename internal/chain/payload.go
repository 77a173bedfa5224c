package chain

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Payload is what a sign request wants signed, as it stands in a request
// body: exactly one of the payload kinds.
type Payload struct {
	Message
	// Text takes "message" itself, so that one left out isn't an empty one.
	Text *string `json:"message,omitzero"`
	// Transaction in the text form that Transactor takes.
	Transaction *string `json:"transaction,omitzero"`
	// Documents, which a Documenter takes: typed data (EIP-712), an
	// authorisation (EIP-7702), a user operation (ERC-4337).
	TypedData     jsontext.Value `json:"typed_data,omitzero"`
	Authorization jsontext.Value `json:"authorization,omitzero"`
	UserOperation jsontext.Value `json:"user_operation,omitzero"`
}

// document returns the payload's JSON, where it is some of that kind.
func (p *Payload) document(kind string) jsontext.Value {
	switch kind {
	case KindTypedData:
		return p.TypedData
	case KindAuthorization:
		return p.Authorization
	case KindUserOperation:
		return p.UserOperation
	}
	return nil
}

// Kind returns the payload's kind. What is for messages alone doesn't stand
// beside another: it would be ignored.
func (p *Payload) Kind() (string, error) {
	kind := ""
	for _, k := range [...]struct {
		kind  string
		given bool
	}{
		{KindMessage, p.Text != nil}, {KindTransaction, p.Transaction != nil}, {KindTypedData, p.TypedData != nil},
		{KindAuthorization, p.Authorization != nil}, {KindUserOperation, p.UserOperation != nil},
	} {
		switch {
		case k.given && kind != "":
			return "", Refuse(CodeArgument, "give one payload alone, not a %s beside a %s", max(k.kind, kind), min(k.kind, kind))
		case k.given:
			kind = k.kind
		}
	}
	m := &p.Message
	switch {
	case kind == "":
		return "", Refuse(CodeArgument, "give a message, a transaction, typed_data, an authorization or a user_operation")
	case kind != KindMessage && (m.Encoding != "" || m.Format != "" || m.ApplicationDomain != "" || m.RequiredSignatories != nil || m.ContentFormat != ""):
		return "", Refuse(CodeArgument, "message_encoding, message_format, application_domain, required_signatories and content_format are for messages")
	}
	return kind, nil
}

// Prepare decodes the payload for a network and the wallet's key. Errors are
// *RefusedError.
func (p *Payload) Prepare(n *Network, pub []byte) (*Prepared, error) {
	kind, err := p.Kind()
	if err != nil {
		return nil, err
	}
	if kind == KindMessage {
		m := p.Message
		m.Message = *p.Text
		return n.Codec.Message(n, pub, &m)
	}
	if t, ok := n.Transactor(); ok && kind == KindTransaction {
		return t.Transaction(n, pub, *p.Transaction)
	}
	d, ok := n.Codec.(Documenter)
	if !ok || !slices.Contains(d.Documents(), kind) {
		return nil, Refuse(CodePayload, "a payload of the kind %s isn't signed on %s", kind, n.Slug)
	}
	doc := p.document(kind)
	if len(doc) > MaxDocument {
		return nil, Refuse(CodeTooLarge, "the %s has %d bytes, at most %d are signed", kind, len(doc), MaxDocument)
	}
	return d.Document(n, pub, kind, doc)
}

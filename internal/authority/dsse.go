package authority

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/keys"
)

// MaxEnvelope bounds a signed document with its envelope, in bytes.
const MaxEnvelope = 32 << 10

// Payload types.
const (
	TypeGenesis    = "application/vnd.sigil.genesis.v1+json"
	TypeGrant      = "application/vnd.sigil.grant.v1+json"
	TypeGrant2     = "application/vnd.sigil.grant.v2+json"
	TypeRevocation = "application/vnd.sigil.revocation.v1+json"
)

// Envelope is a DSSE v1 envelope; the bytes of the payload travel as signed.
type Envelope struct {
	PayloadType string              `json:"payloadType"`
	Payload     string              `json:"payload"` // base64
	Signatures  []EnvelopeSignature `json:"signatures"`
}

// EnvelopeSignature is one signature over PAE.
type EnvelopeSignature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"` // base64
}

// PAE is DSSE's pre-authentication encoding.
func PAE(payloadType string, payload []byte) []byte {
	b := append([]byte("DSSEv1 "), strconv.Itoa(len(payloadType))...)
	b = append(append(b, ' '), payloadType...)
	b = append(strconv.AppendInt(append(b, ' '), int64(len(payload)), 10), ' ')
	return append(b, payload...)
}

// ParseEnvelope reads a canonical envelope.
func ParseEnvelope(data []byte) (*Envelope, error) {
	e := &Envelope{}
	if len(data) > MaxEnvelope {
		return nil, refuse(CodeDocument, "document of %d bytes, at most %d allowed", len(data), MaxEnvelope)
	}
	if err := canon.DecodeJSON(data, e); err != nil {
		return nil, refuse(CodeDocument, "envelope: %v", err)
	}
	return e, nil
}

// Encode returns the canonical bytes.
func (e *Envelope) Encode() ([]byte, error) { return canon.EncodeJSON(e) }

func decodeBase64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || base64.StdEncoding.EncodeToString(b) != s {
		return nil, refuse(CodeDocument, "not canonical base64")
	}
	return b, nil
}

// SignEnvelope puts the document into an envelope signed by the keys.
func SignEnvelope(payloadType string, document any, signers ...ed25519.PrivateKey) ([]byte, error) {
	payload, err := canon.EncodeJSON(document)
	if err != nil {
		return nil, fmt.Errorf("encode document: %w", err)
	}
	e := Envelope{PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString(payload)}
	for _, key := range signers {
		e.Signatures = append(e.Signatures, EnvelopeSignature{
			KeyID: KeyID([32]byte(key[32:])),
			Sig:   base64.StdEncoding.EncodeToString(ed25519.Sign(key, PAE(payloadType, payload))),
		})
	}
	slices.SortFunc(e.Signatures, func(a, b EnvelopeSignature) int {
		if a.KeyID < b.KeyID {
			return -1
		}
		return 1
	})
	return e.Encode()
}

// openEnvelope parses an envelope of one of the payload types, decodes its
// document into v, and returns what a quorum of signers is checked against.
func openEnvelope(data []byte, v any, types ...string) (*opened, error) {
	e, err := ParseEnvelope(data)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(types, e.PayloadType) {
		return nil, refuse(CodeDocument, "payload type is %q, want %q", e.PayloadType, types[0])
	}
	payload, err := decodeBase64(e.Payload)
	if err != nil {
		return nil, err
	}
	if err := canon.DecodeJSON(payload, v); err != nil {
		return nil, refuse(CodeDocument, "payload: %v", err)
	}
	pae := PAE(e.PayloadType, payload)
	return &opened{envelope: e, pae: pae, digest: sha256.Sum256(pae)}, nil
}

type opened struct {
	envelope *Envelope
	pae      []byte
	digest   [32]byte
}

// requireQuorum passes when at least quorum distinct keys of admins signed.
// Every signature present must be by an admin and verify: a stray one is a
// reason to look, not to ignore.
func (o *opened) requireQuorum(admins map[string][32]byte, quorum int) error {
	n := len(o.envelope.Signatures)
	if n == 0 || n > 16 {
		return refuse(CodeDocument, "%d signatures, 1 to 16 allowed", n)
	}
	for i, s := range o.envelope.Signatures {
		if i > 0 && o.envelope.Signatures[i-1].KeyID >= s.KeyID {
			return refuse(CodeDocument, "signatures are not in ascending order of distinct key ids")
		}
		pub, ok := admins[s.KeyID]
		if !ok {
			return refuse(CodeDocument, "signature by %q, which is no admin key", s.KeyID)
		}
		sig, err := decodeBase64(s.Sig)
		if err != nil {
			return err
		}
		if !keys.Verify(keys.Ed25519, pub[:], o.pae, sig) {
			return refuse(CodeDocument, "signature by admin key %s doesn't verify", s.KeyID)
		}
	}
	if n < quorum || quorum < 1 {
		return refuse(CodeDocument, "signed by %d admins, %d needed", n, quorum)
	}
	return nil
}

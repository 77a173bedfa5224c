// Package authority holds the chain from an organisation's owner to one
// request: secret tokens, the signed documents (genesis, grant, revocation)
// and the request signature. The same code makes them on the client, relays
// them in the control plane and verifies them in the TEE; the formats are
// docs/FORMATS.md sections 2 to 4.
//
// What protects what. The genesis digest is in the AAD of every share, so a
// host can't move an organisation under other admin keys. A grant is signed by
// the admins and names the state key, so wallet certificates of another state
// key are worth nothing. The request signature covers method, path, query,
// body, time and request id, so a host can alter none of them.
package authority

import "fmt"

// Error is a refusal with a stable code (docs/ERRORS.md).
type Error struct {
	Code    string
	Message string
}

// Error implements error.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Codes of this package.
const (
	CodeDocument         = "document_invalid"
	CodeToken            = "token_invalid"
	CodeSignatureMissing = "signature_missing"
	CodeSignatureInvalid = "signature_invalid"
	CodeClockSkew        = "clock_skew"
	CodeRequest          = "invalid_argument"
)

func refuse(code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

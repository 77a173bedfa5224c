package federation

import (
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json"
)

// outcome is a class of failures with a stable code of the API.
type outcome struct{ text, code string }

func (o *outcome) Error() string { return o.text }

// Code returns the API's code: kms_denied or kms_unavailable.
func (o *outcome) Code() string { return o.code }

// Outcomes, for errors.Is. Both have a method Code with the API's code.
var (
	// ErrDenied: the cloud knows what asked and doesn't admit it.
	ErrDenied error = &outcome{"access denied", "kms_denied"}
	// ErrUnavailable: no usable answer; asking again later may help.
	ErrUnavailable error = &outcome{"access unavailable", "kms_unavailable"}
)

// Error is an error reply of the token exchange, RFC 6749 section 5.2.
type Error struct {
	Status      int    // HTTP status
	Code        string // such as unauthorized_client or invalid_grant
	Description string // for people
}

// Error returns one line without control characters.
func (e *Error) Error() string {
	return fmt.Sprintf("token exchange answers %d %s: %s", e.Status, e.Code, e.Description)
}

// Unwrap returns ErrDenied or ErrUnavailable.
func (e *Error) Unwrap() error {
	switch {
	case e.Status == http.StatusTooManyRequests || e.Status < 400 || e.Status >= 500:
		return ErrUnavailable
	default:
		return ErrDenied
	}
}

func refusal(status int, data []byte) error {
	var r struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(data, &r) != nil {
		r.Code, r.Description = "", ""
	}
	return &Error{Status: status, Code: line(r.Code, 64), Description: line(r.Description, 512)}
}

func line(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}

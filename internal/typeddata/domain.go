package typeddata

import (
	"bytes"
	"errors"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sigilkeys/sigil/internal/canon"
)

// read takes the members of a domain that was hashed.
func (d *Domain) read(v jsontext.Value) error {
	var members struct {
		Name              *string        `json:"name"`
		Version           *string        `json:"version"`
		ChainID           jsontext.Value `json:"chainId"`
		VerifyingContract string         `json:"verifyingContract"`
		Salt              string         `json:"salt"`
	}
	if err := canon.DecodeJSONLoose(v, &members); err != nil {
		return err
	}
	for _, m := range []struct {
		given *string
		out   *string
	}{{members.Name, &d.Name}, {members.Version, &d.Version}} {
		if m.given == nil {
			continue
		}
		if *m.out = *m.given; *m.given == "" { // go-ethereum takes it for missing
			return errors.New("domain: an empty name or version isn't signed")
		}
	}
	d.VerifyingContract, d.Salt = strings.ToLower(members.VerifyingContract), strings.ToLower(members.Salt)
	if members.ChainID != nil {
		if bytes.IndexByte(members.ChainID, '\\') >= 0 {
			return errors.New("domain.chainId: escapes are for other texts") // go-ethereum doesn't read them here
		}
		var err error
		d.ChainID, err = Integer(members.ChainID)
		return err
	}
	return nil
}

// Integer returns the decimal form of an integer of a document that was read.
func Integer(v jsontext.Value) (string, error) {
	text := v
	quoted := v.Kind() == '"'
	if quoted {
		var err error
		if text, err = jsontext.AppendUnquote(nil, v); err != nil {
			return "", err
		}
	}
	n, err := parseInteger(string(text), quoted)
	if err != nil {
		return "", err
	}
	return n.String(), nil
}

// IsAddress reports whether text is an address as documents have it: 0x and
// 40 hex digits, in lower case or in that of EIP-55.
func IsAddress(text string) bool {
	digits, ok := strings.CutPrefix(text, "0x")
	return ok && len(digits) == 2*addressSize && strings.Trim(digits, "0123456789abcdefABCDEF") == "" && properCase([]byte(digits))
}

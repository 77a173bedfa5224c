// Package confspace verifies and validates Google Confidential Space
// attestation tokens.
//
// Verify answers whether Google's attestation service (or the issuer that the
// caller pins instead) signed the token; Validate whether what it says is what
// the caller expects. Both refuse by default: an empty Trust trusts nothing,
// an empty Expectation is met by nothing.
//
// What a token proves, and what not. In AMD mode Confidential Space attests
// through a virtual TPM: hardware, firmware and image are vouched for by
// Google's attestation service, not by a report that AMD signed. The claim
// secboot means Secure Boot, not SEV-SNP; the hardware is in hwmodel, and
// production is dbgstat together with STABLE. An OIDC token with the STS
// audience is a bearer credential; evidence that is shown to others is a PKI
// token with an audience of its own and a nonce.
package confspace

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MaxToken is the longest token that is looked at, in bytes. Tokens of 2026
// have 2.6 kB, those with a certificate chain about 10 kB.
const MaxToken = 16384

// Source says what a token's signature chains to; the zero value is neither.
type Source uint8

// Sources.
const (
	SourceOIDC Source = 1 // a key of the issuer's JWKS
	SourcePKI  Source = 2 // the attestation service's root certificate
)

// Trust holds the anchors that tokens may chain to. The zero value trusts
// nothing; set one of the two, or both.
type Trust struct {
	// PKIRoot is the SHA-256 of the one accepted root certificate (DER), see
	// GooglePKIRoot. Zero: no PKI token is accepted.
	PKIRoot [32]byte
	// Keys are the issuer's keys. The caller binds them to the issuer: a key
	// set that is fetched for whatever issuer the token names proves nothing.
	// Nil: no OIDC token is accepted.
	Keys *KeySet
}

type header struct {
	Algorithm string   `json:"alg"`
	KeyID     string   `json:"kid"`
	Type      string   `json:"typ"`
	Chain     []string `json:"x5c"`

	// Members that would move the key or the payload somewhere else.
	Critical jsontext.Value `json:"crit"`
	JWK      jsontext.Value `json:"jwk"`
	JWKURL   jsontext.Value `json:"jku"`
	X509URL  jsontext.Value `json:"x5u"`
	Detached jsontext.Value `json:"b64"`
	Zip      jsontext.Value `json:"zip"`
	Enc      jsontext.Value `json:"enc"`
}

// Verify checks that the token is an RS256 JWT signed under the trust anchors
// and returns its claims. A token with a certificate chain (x5c) must chain to
// trust.PKIRoot at the given time, any other must name a key of trust.Keys.
// The claims are authentic, not yet validated. The error is a *Refusal.
func Verify(token string, trust Trust, at time.Time) (*Claims, error) {
	c, err := parseCompact(token)
	if err != nil {
		return nil, err
	}
	key, source, err := trust.key(c.header, at)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte(c.signed))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], c.signature); err != nil {
		return nil, &Refusal{Reason: ReasonSignature, Err: err}
	}
	return decodeClaims(c.payload, source)
}

// compact is a token in its parts (RFC 7515 section 7.1). Nothing is verified.
type compact struct {
	header    *header
	payload   []byte
	signature []byte
	signed    string // what the signature is over
}

func parseCompact(token string) (*compact, error) {
	if len(token) > MaxToken {
		return nil, refuse(ReasonTooLarge, "", "%d bytes, the limit is %d", len(token), MaxToken)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, refuse(ReasonMalformed, "", "%d segments instead of 3", len(parts))
	}
	var raw [3][]byte
	for i, part := range parts {
		b, err := decodeSegment(part)
		if err != nil {
			return nil, &Refusal{Reason: ReasonMalformed, Detail: "segment is not base64url", Err: err}
		}
		raw[i] = b
	}
	h, err := parseHeader(raw[0])
	if err != nil {
		return nil, err
	}
	return &compact{header: h, payload: raw[1], signature: raw[2], signed: parts[0] + "." + parts[1]}, nil
}

func (t Trust) key(h *header, at time.Time) (*rsa.PublicKey, Source, error) {
	if h.Chain != nil {
		if t.PKIRoot == ([32]byte{}) {
			return nil, 0, refuse(ReasonUntrusted, "x5c", "no root certificate is pinned")
		}
		key, err := verifyChain(h.Chain, t.PKIRoot, at)
		return key, SourcePKI, err
	}
	if t.Keys == nil {
		return nil, 0, refuse(ReasonUntrusted, "kid", "no key set is given")
	}
	if !t.Keys.has(h.KeyID) {
		return nil, 0, refuse(ReasonUnknownKey, "kid", "%q", clip(h.KeyID))
	}
	return t.Keys.keys[h.KeyID], SourceOIDC, nil
}

func parseHeader(data []byte) (*header, error) {
	h := &header{}
	if err := json.Unmarshal(data, h); err != nil {
		return nil, &Refusal{Reason: ReasonMalformed, Detail: "header", Err: err}
	}
	if h.Algorithm != "RS256" {
		return nil, refuse(ReasonAlgorithm, "alg", "%q, only RS256 is accepted", clip(h.Algorithm))
	}
	if h.Type != "" && h.Type != "JWT" {
		return nil, refuse(ReasonHeader, "typ", "%q", clip(h.Type))
	}
	for name, v := range map[string]jsontext.Value{
		"crit": h.Critical, "jwk": h.JWK, "jku": h.JWKURL, "x5u": h.X509URL,
		"b64": h.Detached, "zip": h.Zip, "enc": h.Enc,
	} {
		if v != nil {
			return nil, refuse(ReasonHeader, name, "not accepted")
		}
	}
	return h, nil
}

// decodeSegment takes base64url without padding in its one spelling. The
// standard decoder skips line breaks, so that one token could be written in
// several ways; they are refused here.
func decodeSegment(s string) ([]byte, error) {
	if i := strings.IndexAny(s, "\r\n"); i >= 0 {
		return nil, base64.CorruptInputError(i)
	}
	return base64.RawURLEncoding.Strict().DecodeString(s)
}

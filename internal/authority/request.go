package authority

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/keys"
)

// Tags of the request-signature profile (FORMATS 4).
const (
	tagSignature = "sigil-v1"
	tagBearer    = "sigil-bearer-v1"
)

// ClockSkew is how far a request's created may be from the verifier's clock.
const ClockSkew = 60 * time.Second

// Request is what a request signature covers.
type Request struct {
	Method         string // HTTP method, upper case
	Path           string // as sent
	Query          string // raw, without "?"
	Body           []byte
	Created        int64 // unix seconds
	ID             canon.UUID
	IdempotencyKey string // "" = header absent
	KeyID          string
}

// components lists the covered components, in order.
func (r *Request) components() string {
	if r.IdempotencyKey != "" {
		return `("@method" "@path" "@query" "content-digest" "idempotency-key")`
	}
	return `("@method" "@path" "@query" "content-digest")`
}

// appendParams appends the signature parameters as RFC 8941 serialises them.
func (r *Request) appendParams(dst []byte, tag string) []byte {
	dst = append(dst, r.components()...)
	dst = strconv.AppendInt(append(dst, ";created="...), r.Created, 10)
	dst, _ = r.ID.AppendText(append(dst, `;nonce="`...)) // never fails
	dst = append(append(dst, `";keyid="`...), r.KeyID...)
	dst = append(append(dst, `";alg="ed25519";tag="`...), tag...)
	return append(dst, '"')
}

// appendDigest appends the Content-Digest field value (RFC 9530).
func appendDigest(dst, body []byte) []byte {
	d := sha256.Sum256(body)
	dst = base64.StdEncoding.AppendEncode(append(dst, "sha-256=:"...), d[:])
	return append(dst, ':')
}

// appendBase appends the signature base (RFC 9421 section 2.5).
func (r *Request) appendBase(dst []byte, tag string) []byte {
	dst = append(append(dst, `"@method": `...), r.Method...)
	dst = append(append(dst, "\n\"@path\": "...), r.Path...)
	dst = append(append(dst, "\n\"@query\": ?"...), r.Query...)
	dst = appendDigest(append(dst, "\n\"content-digest\": "...), r.Body)
	if r.IdempotencyKey != "" {
		dst = append(append(dst, "\n\"idempotency-key\": "...), r.IdempotencyKey...)
	}
	return r.appendParams(append(dst, "\n\"@signature-params\": "...), tag)
}

// check refuses what could make two requests share a signature base.
func (r *Request) check() error {
	switch {
	case r.Method == "" || strings.ContainsFunc(r.Method, func(c rune) bool { return c < 'A' || c > 'Z' }):
		return refuse(CodeRequest, "the method is not upper-case letters")
	case !strings.HasPrefix(r.Path, "/") || strings.ContainsFunc(r.Path, badPathRune):
		return refuse(CodeRequest, "the path has characters outside A-Z a-z 0-9 - . _ ~ /")
	case strings.ContainsFunc(r.Query, func(c rune) bool { return c <= ' ' || c > '~' }):
		return refuse(CodeRequest, "the query has characters outside printable ASCII")
	case !validIdempotencyKey(r.IdempotencyKey):
		return refuse(CodeRequest, `Idempotency-Key must be 1 to 255 visible ASCII characters without " and \`)
	case r.ID.IsZero():
		return refuse(CodeRequest, "the request id is zero")
	case len(r.KeyID) != 32:
		return refuse(CodeRequest, "the key id is malformed")
	}
	return nil
}

func badPathRune(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-._~/", c))
}

func validIdempotencyKey(s string) bool {
	return len(s) <= 255 && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' })
}

// Sign signs the request and returns the header fields to send. KeyID is set
// from the key.
func (r *Request) Sign(key ed25519.PrivateKey) (http.Header, error) {
	r.KeyID = KeyID([32]byte(key[32:]))
	if err := r.check(); err != nil {
		return nil, err
	}
	sig := ed25519.Sign(key, r.appendBase(nil, tagSignature))
	h := http.Header{}
	h.Set("Content-Digest", string(appendDigest(nil, r.Body)))
	h.Set("Signature-Input", "sig="+string(r.appendParams(nil, tagSignature)))
	h.Set("Signature", "sig=:"+base64.StdEncoding.EncodeToString(sig)+":")
	if r.IdempotencyKey != "" {
		h.Set("Idempotency-Key", r.IdempotencyKey)
	}
	return h, nil
}

// Digest returns the request digest, by which receipts name the request.
func (r *Request) Digest() [32]byte { return sha256.Sum256(r.appendBase(nil, tagSignature)) }

// BearerDigest is Digest for a request that presented its token.
func (r *Request) BearerDigest() ([32]byte, error) {
	if err := r.check(); err != nil {
		return [32]byte{}, err
	}
	return sha256.Sum256(r.appendBase(nil, tagBearer)), nil
}

// Verify checks the signature under pub, whose key id KeyID must be, and the
// clock, and returns the request digest.
func (r *Request) Verify(pub [32]byte, sig []byte, now time.Time) ([32]byte, error) {
	v, err := keys.NewVerifier(keys.Ed25519, pub[:])
	if err != nil {
		return [32]byte{}, refuse(CodeSignatureInvalid, "the key %s isn't a point of the curve", r.KeyID)
	}
	return r.VerifyWith(v, sig, now)
}

// VerifyWith is Verify under an Ed25519 key that is prepared already.
func (r *Request) VerifyWith(pub *keys.Verifier, sig []byte, now time.Time) ([32]byte, error) {
	if err := r.check(); err != nil {
		return [32]byte{}, err
	}
	base := r.appendBase(make([]byte, 0, 640), tagSignature)
	if !pub.Verify(base, sig) {
		return [32]byte{}, refuse(CodeSignatureInvalid, "the request signature doesn't verify under the key %s", r.KeyID)
	}
	if err := r.CheckClock(now); err != nil {
		return [32]byte{}, err
	}
	return sha256.Sum256(base), nil
}

// CheckClock refuses a request made more than ClockSkew from now.
func (r *Request) CheckClock(now time.Time) error {
	skew := now.Sub(time.Unix(r.Created, 0))
	if r.Created < 0 || r.Created > 1<<40 || skew > ClockSkew || skew < -ClockSkew {
		return refuse(CodeClockSkew, "the request's created time differs from the server's clock by more than %d seconds; set the clock and sign again", int(ClockSkew.Seconds()))
	}
	return nil
}

// SignatureHeaders are the parts that a request's header fields carry.
type SignatureHeaders struct {
	Created        int64
	ID             canon.UUID
	KeyID          string
	IdempotencyKey string
	Signature      []byte // 64 bytes
}

// ParseSignatureHeaders reads Signature-Input, Signature and Idempotency-Key.
// It takes the profile's exact serialisation and nothing else, so that there
// is one reading of them; it verifies nothing.
func ParseSignatureHeaders(h http.Header) (*SignatureHeaders, error) {
	input, err := single(h, "Signature-Input")
	if err != nil {
		return nil, err
	}
	sig, err := single(h, "Signature")
	if err != nil {
		return nil, err
	}
	s := &SignatureHeaders{}
	if s.IdempotencyKey, err = IdempotencyKey(h); err != nil {
		return nil, err
	}
	if err := s.parseInput(input); err != nil {
		return nil, err
	}
	encoded, ok := strings.CutPrefix(sig, "sig=:")
	encoded, ok2 := strings.CutSuffix(encoded, ":")
	raw, err := decodeBase64(encoded)
	if !ok || !ok2 || err != nil || len(raw) != ed25519.SignatureSize {
		return nil, refuse(CodeSignatureInvalid, "the Signature field must be sig=:<base64 of 64 bytes>:")
	}
	s.Signature = raw
	return s, nil
}

// IdempotencyKey reads the field; "" is absent.
func IdempotencyKey(h http.Header) (string, error) {
	values := h.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 || values[0] == "" || !validIdempotencyKey(values[0]) {
		return "", refuse(CodeRequest, `Idempotency-Key must be one field of 1 to 255 visible ASCII characters without " and \`)
	}
	return values[0], nil
}

func single(h http.Header, name string) (string, error) {
	switch v := h.Values(name); len(v) {
	case 0:
		return "", refuse(CodeSignatureMissing, "the request isn't signed: there is no %s field", name)
	case 1:
		return v[0], nil
	default:
		return "", refuse(CodeSignatureInvalid, "there is more than one %s field", name)
	}
}

// parseInput reads the parameters and requires that they serialise to input.
func (s *SignatureHeaders) parseInput(input string) error {
	_, rest, ok := strings.Cut(input, ");created=")
	created, rest, ok1 := strings.Cut(rest, `;nonce="`)
	nonce, rest, ok2 := strings.Cut(rest, `";keyid="`)
	keyID, _, ok3 := strings.Cut(rest, `";alg="`)
	n, err := strconv.ParseInt(created, 10, 64)
	id, err2 := canon.ParseUUID(nonce)
	if !ok || !ok1 || !ok2 || !ok3 || err != nil || err2 != nil {
		return refuse(CodeSignatureInvalid, "the Signature-Input field doesn't follow the profile sigil-v1")
	}
	s.Created, s.ID, s.KeyID = n, id, keyID
	r := Request{Created: n, ID: id, KeyID: keyID, IdempotencyKey: s.IdempotencyKey}
	if input != "sig="+string(r.appendParams(nil, tagSignature)) || len(keyID) != 32 {
		return refuse(CodeSignatureInvalid, "the Signature-Input field doesn't follow the profile sigil-v1")
	}
	return nil
}

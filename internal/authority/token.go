package authority

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// TokenKind is the prefix of a secret token.
type TokenKind string

// Kinds.
const (
	SecretKey    TokenKind = "sk_live_"
	AgentSession TokenKind = "as_live_"
)

const (
	tokenVersion = 1
	tokenSize    = 1 + 32 + 16 + 4 // version, seed, pin, checksum
	tokenDigits  = 85
)

// base32Digits makes the lower-case, unpadded alphabet of RFC 4648 section 6.
func base32Digits() *base32.Encoding {
	return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
}

// Token is a secret token: the seed of a request key, and the pin of the
// organisation that it belongs to. Every way of printing it is redacted but
// Reveal.
type Token struct {
	kind TokenKind
	seed [32]byte
	pin  [16]byte
}

// NewToken makes a token for an organisation from fresh randomness.
func NewToken(kind TokenKind, genesis [32]byte, random io.Reader) (*Token, error) {
	t := &Token{kind: kind, pin: [16]byte(genesis[:16])}
	if _, err := io.ReadFull(random, t.seed[:]); err != nil {
		return nil, fmt.Errorf("make secret token: %w", err)
	}
	return t, nil
}

// ParseToken reads the text form. Its errors never contain any of it.
func ParseToken(s string) (*Token, error) {
	for _, kind := range []TokenKind{SecretKey, AgentSession} {
		digits, ok := strings.CutPrefix(s, string(kind))
		if !ok {
			continue
		}
		raw, err := base32Digits().DecodeString(digits)
		if err != nil || len(digits) != tokenDigits || len(raw) != tokenSize || raw[0] != tokenVersion {
			return nil, refuse(CodeToken, "the secret token is malformed")
		}
		t := &Token{kind: kind, seed: [32]byte(raw[1:33]), pin: [16]byte(raw[33:49])}
		if subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(s)) != 1 {
			return nil, refuse(CodeToken, "the secret token's checksum is wrong: it is incomplete or mistyped")
		}
		return t, nil
	}
	return nil, refuse(CodeToken, "a secret token begins with sk_live_ or as_live_")
}

// Reveal returns the text form, the secret itself.
func (t *Token) Reveal() string {
	raw := append([]byte{tokenVersion}, t.seed[:]...)
	raw = append(raw, t.pin[:]...)
	sum := sha256.Sum256(append([]byte("sigil/secret-token/v1\n"+string(t.kind)), raw...))
	return string(t.kind) + base32Digits().EncodeToString(append(raw, sum[:4]...))
}

// Kind returns the token's prefix.
func (t *Token) Kind() TokenKind { return t.kind }

// Pin returns the first 16 bytes of the organisation's genesis digest.
func (t *Token) Pin() [16]byte { return t.pin }

// RequestKey derives the Ed25519 key that signs requests.
func (t *Token) RequestKey() ed25519.PrivateKey {
	// An error would mean an output over 255 hashes long.
	seed, _ := hkdf.Key(sha256.New, t.seed[:], nil, "sigil/request-key/v1", ed25519.SeedSize)
	return ed25519.NewKeyFromSeed(seed)
}

// PublicKey returns the public half of RequestKey.
func (t *Token) PublicKey() [32]byte { return [32]byte(t.RequestKey()[32:]) }

// String implements fmt.Stringer without the secret.
func (t *Token) String() string { return string(t.kind) + "[redacted]" }

// Format implements fmt.Formatter, so that no verb prints the secret.
func (t *Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// MarshalText implements encoding.TextMarshaler without the secret.
func (t *Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// LogValue implements slog.LogValuer without the secret.
func (t *Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// KeyID names an Ed25519 public key: 32 hex digits.
func KeyID(pub [32]byte) string {
	d := sha256.Sum256(append([]byte("sigil/key-id/v1\n"), pub[:]...))
	return hex.EncodeToString(d[:16])
}

// Package chain is the registry of networks and the seam between the workload
// and a network family: what a request means (Intent), which exact bytes are
// given to the curve, and how a signature is written.
//
// No blind signing: a family decodes what it is asked to sign and says what
// it is; what it can't decode, or what could be read as something else (a
// message that is a transaction), it refuses with a stable code. Families are
// sub-packages; this package imports none of them, and a Registry is built
// once, explicitly, and never changes.
package chain

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/keys"
)

// MaxMessage is the size of the largest message that is signed, in bytes.
const MaxMessage = 32 << 10

// RefusedError is a refusal to sign with a stable code (docs/ERRORS.md).
type RefusedError struct {
	Code    string
	Message string
}

// Error implements error.
func (e *RefusedError) Error() string { return e.Code + ": " + e.Message }

// Codes of refusals.
const (
	CodeTransaction = "message_is_transaction"
	CodeDigest      = "message_is_digest"
	CodeTooLarge    = "message_too_large"
	CodeFormat      = "unsupported_format"
	CodeEncoding    = "invalid_encoding"
	CodeArgument    = "invalid_argument"

	CodePayload = "unsupported_payload"       // the network doesn't sign that kind
	CodeInvalid = "transaction_invalid"       // it isn't one, or not in the chain's one encoding
	CodeNetwork = "transaction_other_network" // it is one of another network

	CodePayloadInvalid = "payload_invalid" // of a document: it isn't one, or not strictly
)

// Refuse makes a RefusedError.
func Refuse(code, format string, args ...any) error {
	return &RefusedError{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Network is one entry of the registry.
type Network struct {
	Slug    string
	Name    string
	Family  string // bitcoin, evm, solana
	Curve   keys.Curve
	ChainID uint64 // EVM; 0 elsewhere
	Testnet bool
	Codec   Codec
	// AlsoValidOn is the slug of another network on which every signature for
	// this one is good, as neither names its network: whoever may sign here
	// must be allowed to there. "" where the network is named.
	AlsoValidOn string
	// UnboundOn is the slug of the network on which what names no network
	// (Prepared.Unbound) is good as well; "" is none.
	UnboundOn string

	// DataFee says that the network charges for a transaction's data apart from
	// its gas, by a price that the transaction doesn't bound.
	DataFee bool

	// Aliases are other names that people have for it. They find it here, and
	// stand in no request.
	Aliases []string
	// Symbol and Decimals are of the native asset, for people; "" is unknown.
	Symbol   string
	Decimals int
	// AddressOf is the slug of the network that a wallet has the same address
	// on, where that one is listed with the wallet and this one isn't.
	AddressOf string
}

// Codec is what a family can do. Implementations are stateless and safe for
// use from many goroutines.
type Codec interface {
	// Address returns the address of a public key (compressed secp256k1, 33
	// bytes; Ed25519, 32 bytes) in the network's text form.
	Address(pub []byte) (string, error)
	// Message decodes a message-signing request. Errors are *RefusedError.
	Message(n *Network, pub []byte, m *Message) (*Prepared, error)
	// EncodeSignature writes a raw signature (keys.Sign) in the network's
	// text form.
	EncodeSignature(raw []byte) (string, error)
	// DecodeSignature is its strict inverse.
	DecodeSignature(text string) ([]byte, error)
}

// Message is a message-signing request as it stands in a request body.
type Message struct {
	// Message is the text, or bytes as Encoding says.
	Message string `json:"message"`
	// Encoding of Message: "" or "utf8", "hex" (0x optional), "base64".
	Encoding string `json:"message_encoding,omitzero"`
	// Format of what is signed: "" is the network's usual one (EIP-191;
	// Solana: the bytes themselves; Bitcoin: FormatBIP322P2WPKH);
	// FormatOffchain… on Solana, FormatBIP… on Bitcoin.
	Format string `json:"message_format,omitzero"`
	// ApplicationDomain of a Solana off-chain message v0: base58 of 32 bytes.
	ApplicationDomain string `json:"application_domain,omitzero"`
	// RequiredSignatories of a Solana off-chain message: base58 addresses;
	// none means the wallet alone.
	RequiredSignatories []string `json:"required_signatories,omitzero"`
	// ContentFormat of a Solana off-chain message v0: "" picks the narrowest
	// of "ascii" (0), "utf8" (1) and "utf8-long" (2) that fits.
	ContentFormat string `json:"content_format,omitzero"`
}

// Message formats.
const (
	FormatOffchainV0       = "solana-offchain-v0"
	FormatOffchainV0Legacy = "solana-offchain-v0-legacy"
	FormatOffchainV1       = "solana-offchain-v1"

	FormatBIP322P2WPKH = "bip322-p2wpkh" // Bitcoin's usual one
	FormatBIP322P2TR   = "bip322-p2tr"
	FormatBIP137P2PKH  = "bip137-p2pkh"
	FormatBIP137P2SH   = "bip137-p2sh-p2wpkh"
	FormatBIP137P2WPKH = "bip137-p2wpkh"
)

// Bytes returns the message's bytes.
func (m *Message) Bytes() ([]byte, error) {
	var b []byte
	var err error
	switch m.Encoding {
	case "", "utf8":
		if !utf8.ValidString(m.Message) {
			return nil, Refuse(CodeEncoding, "the message is not valid UTF-8")
		}
		b = []byte(m.Message)
	case "hex":
		b, err = hex.DecodeString(strings.TrimPrefix(m.Message, "0x"))
	case "base64":
		b, err = Base64(m.Message)
	default:
		return nil, Refuse(CodeEncoding, "message_encoding is %q; use utf8, hex or base64", m.Encoding)
	}
	if err != nil {
		return nil, Refuse(CodeEncoding, "the message isn't valid %s", m.Encoding)
	}
	if len(b) > MaxMessage {
		return nil, Refuse(CodeTooLarge, "the message has %d bytes, at most %d can be signed", len(b), MaxMessage)
	}
	return b, nil
}

// Base64 reads the one base64 text of some bytes, without the line breaks that
// the decoder would skip.
func Base64(text string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err == nil && base64.StdEncoding.EncodedLen(len(b)) != len(text) {
		return nil, base64.CorruptInputError(strings.IndexAny(text, "\r\n"))
	}
	return b, err
}

// Intent is what a request means, as decoded; its canonical JSON is what the
// intent digest of a receipt covers.
type Intent struct {
	Kind    string   `json:"kind"` // of the payload
	Network string   `json:"network"`
	Format  string   `json:"format"`           // eip191, solana-raw, solana-offchain-…; evm-legacy, evm-eip1559, …
	Length  int      `json:"length"`           // of the message, the unsigned transaction or the bytes that are hashed to be signed
	SHA256  string   `json:"sha256"`           // of the same, hex
	Effects *Effects `json:"effects,omitzero"` // of all but messages
}

// MessageIntent describes a message.
func MessageIntent(n *Network, format string, message []byte) Intent {
	d := sha256.Sum256(message)
	return Intent{Kind: KindMessage, Network: n.Slug, Format: format, Length: len(message), SHA256: hex.EncodeToString(d[:])}
}

// Encode returns the intent's canonical JSON.
func (i *Intent) Encode() ([]byte, error) { return canon.EncodeJSON(i) }

// Digest returns the SHA-256 of the intent's canonical JSON.
func (i *Intent) Digest() ([32]byte, error) {
	b, err := i.Encode()
	if err != nil {
		return [32]byte{}, err
	}
	return sha256.Sum256(b), nil
}

// Prepared is a decoded request, ready for policy and signing.
type Prepared struct {
	Intent Intent
	// SignBytes is what the key signs: the 32-byte digest for secp256k1, the
	// message for Ed25519; the bytes of all parts, one behind the other, where
	// it takes several signatures.
	SignBytes []byte
	// Parts are the signatures that it takes; nil is one of SignBytes by the
	// curve's own scheme.
	Parts []Part
	// Unbound says that nothing in what is signed names its network, though
	// the family's transactions do: it is good on every one.
	Unbound bool
	// Text is how the signature is written where the codec's way isn't it.
	Text TextForm
	// Assemble puts raw signatures, one behind the other, into the
	// transaction; nil for what isn't one.
	Assemble func(raw []byte) (*Signed, error)
}

// Part is one of the signatures that a payload takes.
type Part struct {
	Scheme keys.Scheme
	Bytes  []byte // that are signed, as keys.Sign takes them
}

// TextForm writes raw signatures (keys.Sign) as text, and reads them strictly.
type TextForm interface {
	EncodeSignature(raw []byte) (string, error)
	DecodeSignature(text string) ([]byte, error)
}

// Signatures returns the parts, one at least.
func (p *Prepared) Signatures() []Part {
	if p.Parts == nil {
		return []Part{{Bytes: p.SignBytes}}
	}
	return p.Parts
}

func (n *Network) text(p *Prepared) TextForm {
	if p.Text != nil {
		return p.Text
	}
	return n.Codec
}

// EncodeSignature writes the raw signatures of a prepared request in their
// text form.
func (n *Network) EncodeSignature(p *Prepared, raw []byte) (string, error) {
	return n.text(p).EncodeSignature(raw)
}

// Registry finds networks by slug. It is immutable: callers don't change what
// its methods return.
type Registry struct {
	bySlug map[string]*Network
	list   []Network
}

// NewRegistry checks the networks and makes a registry of them: a slug or an
// EVM chain id that stands twice would sign for another network than asked.
func NewRegistry(networks ...[]Network) (*Registry, error) {
	r := &Registry{bySlug: map[string]*Network{}}
	for _, group := range networks {
		r.list = append(r.list, group...)
	}
	slices.SortFunc(r.list, func(a, b Network) int { return cmp.Compare(a.Slug, b.Slug) })
	chainIDs, names := map[uint64]string{}, map[string]bool{}
	for i := range r.list {
		n := &r.list[i]
		if err := n.check(); err != nil {
			return nil, err
		}
		if r.bySlug[n.Slug] != nil {
			return nil, fmt.Errorf("network %q stands twice", n.Slug)
		}
		if other := chainIDs[n.ChainID]; n.ChainID != 0 && other != "" {
			return nil, fmt.Errorf("networks %q and %q have the same chain id %d", other, n.Slug, n.ChainID)
		}
		r.bySlug[n.Slug], chainIDs[n.ChainID] = n, n.Slug
		for _, name := range append([]string{n.Slug}, n.Aliases...) {
			if names[name] {
				return nil, fmt.Errorf("network %q: %q is another's name as well", n.Slug, name)
			}
			names[name] = true
		}
	}
	for i := range r.list {
		if n := &r.list[i]; n.AlsoValidOn != "" && (r.bySlug[n.AlsoValidOn] == nil || r.bySlug[n.AlsoValidOn].Family != n.Family) {
			return nil, fmt.Errorf("what is signed on %q is good on %q, which isn't registered beside it", n.Slug, n.AlsoValidOn)
		}
	}
	return r, nil
}

// maxSlug is the size of the receipt's network field.
const maxSlug = 32

// Listed is the slug by which wallets list their address on the network.
func (n *Network) Listed() string {
	if n.AddressOf != "" {
		return n.AddressOf
	}
	return n.Slug
}

func (n *Network) check() error {
	slug := n.Slug != "" && len(n.Slug) <= maxSlug && strings.Trim(n.Slug, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
	if !slug || n.Name == "" || n.Family == "" || n.Codec == nil || n.Curve.PublicKeySize() == 0 {
		return fmt.Errorf("network %q is incomplete or has no lower-case slug", n.Slug)
	}
	if !reflect.TypeOf(n.Codec).Comparable() {
		return fmt.Errorf("the codec of network %q can't be compared, as Addresses does", n.Slug)
	}
	return nil
}

// Named returns the network of a slug or an alias, in any case: for people,
// not for requests.
func (r *Registry) Named(name string) (*Network, bool) {
	name = strings.ToLower(name)
	for i := range r.list {
		if n := &r.list[i]; n.Slug == name || slices.Contains(n.Aliases, name) {
			return n, true
		}
	}
	return nil, false
}

// Lookup returns the network of a slug.
func (r *Registry) Lookup(slug string) (*Network, bool) {
	n, ok := r.bySlug[slug]
	return n, ok
}

// List returns the networks in order of their slugs.
func (r *Registry) List() []Network { return slices.Clone(r.list) }

// Addresses returns the addresses of a wallet by network, of each for whose
// curve there is a key, without those that have another's address. A codec makes one address of a key, and deriving it
// costs more than anything else about a wallet: it is done once.
func (r *Registry) Addresses(key func(keys.Curve) (pub []byte, ok bool)) (map[string]string, error) {
	out, made := make(map[string]string, len(r.list)), map[Codec]string{}
	for i := range r.list {
		n := &r.list[i]
		pub, ok := key(n.Curve)
		if !ok || n.AddressOf != "" {
			continue
		}
		address, known := made[n.Codec]
		if !known {
			var err error
			if address, err = n.Codec.Address(pub); err != nil {
				return nil, err
			}
			made[n.Codec] = address
		}
		out[n.Slug] = address
	}
	return out, nil
}

// Assemble puts a signature in the network's text form into the prepared
// transaction; of a message there is nothing to put together.
func (n *Network) Assemble(p *Prepared, signature string) (*Signed, error) {
	if p.Assemble == nil {
		return &Signed{}, nil
	}
	raw, err := n.text(p).DecodeSignature(signature)
	if err != nil {
		return nil, err
	}
	return p.Assemble(raw)
}

// Verify reports whether a signature in the network's text form signs the
// prepared request under pub.
func (n *Network) Verify(pub []byte, p *Prepared, signature string) bool {
	raw, err := n.text(p).DecodeSignature(signature)
	if err != nil {
		return false
	}
	if p.Parts == nil {
		return keys.Verify(n.Curve, pub, p.SignBytes, raw)
	}
	v, err := keys.NewVerifier(n.Curve, pub)
	return err == nil && VerifyParts(v, p.Parts, raw)
}

// VerifyParts reports whether raw is a signature of each part under the key of
// v, one behind the other.
func VerifyParts(v *keys.Verifier, parts []Part, raw []byte) bool {
	for _, part := range parts {
		size := v.SignatureSize(part.Scheme)
		if size == 0 || len(raw) < size || !v.VerifyScheme(part.Scheme, part.Bytes, raw[:size]) {
			return false
		}
		raw = raw[size:]
	}
	return len(parts) > 0 && len(raw) == 0
}

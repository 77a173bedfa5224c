package confspace

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/sigilkeys/sigil/attest"
	"github.com/sigilkeys/sigil/internal/canon"
)

// FormatArchive is the format of an Archive.
const FormatArchive = "sigil.attestation-archive.v1"

// Sizes of an archive. A set of 32 keys of 4096 bits has about 25 kB.
const (
	maxArchive   = 96 << 10
	maxStatement = 1024
)

// Archive is evidence with what it was verified under and when, so that it can
// be verified again without a network when the issuer has long other keys:
//
//	{"format":"sigil.attestation-archive.v1","verified":<unix seconds>,
//	 "evidence":{"statement":<base64>,"token":<JWT>},
//	 "keys":[{"kty":"RSA","alg":"RS256","use":"sig","kid":…,"n":…,"e":…},…],
//	 "root_sha256":<hex>}
//
// in canonical JSON (docs/FORMATS.md section 6.4). A PKI token brings its chain
// along and has "keys" empty, an OIDC token has "root_sha256" empty.
//
// Nothing signs an archive, and whoever makes up a token makes up the keys
// with it. What makes it worth something is kept elsewhere by who verifies it:
// the root's fingerprint, or the digest of the key set.
type Archive struct {
	Evidence attest.Evidence // Statement is empty for a token that vouches for none
	Verified time.Time       // in seconds
	Keys     *KeySet         // the issuer's when an OIDC token was verified, else nil
	Root     [32]byte        // SHA-256 of a PKI token's root certificate, else zero
}

// Pins are what an archive is trusted by. The zero value trusts nothing.
type Pins struct {
	PKIRoot [32]byte // as in Trust
	KeySet  [32]byte // Digest of the issuer's key set, from a place that is trusted
}

// NewArchive verifies evidence and puts it together with its anchors.
func NewArchive(ev attest.Evidence, trust Trust, at time.Time) (*Archive, error) {
	at = at.Truncate(time.Second).UTC()
	claims, err := Verify(ev.Token, trust, at)
	if err != nil {
		return nil, err
	}
	a := &Archive{Evidence: ev, Verified: at}
	if claims.Source == SourcePKI {
		a.Root = trust.PKIRoot
	} else {
		a.Keys = trust.Keys
	}
	return a, a.fits(claims, at)
}

// Trust returns the anchors for the archived token, if they are the pinned
// ones.
func (a *Archive) Trust(pins Pins) (Trust, error) {
	zero := [32]byte{}
	switch {
	case a.Keys == nil && pins.PKIRoot == zero:
		return Trust{}, refuse(ReasonUntrusted, "x5c", "no root certificate is pinned")
	case a.Keys == nil && pins.PKIRoot != a.Root:
		return Trust{}, refuse(ReasonRoot, "x5c", "root fingerprint %x is not the pinned one", a.Root)
	case a.Keys == nil:
		return Trust{PKIRoot: a.Root}, nil
	case pins.KeySet == zero:
		return Trust{}, refuse(ReasonUntrusted, "kid", "no key set is pinned")
	case pins.KeySet != a.Keys.Digest():
		return Trust{}, refuse(ReasonKeySet, "kid", "the archived key set has the digest %x, which is not the pinned one", a.Keys.Digest())
	}
	return Trust{Keys: a.Keys}, nil
}

// Verify is Verify for the archived token at the archived instant: as it was
// verified then. The instant must be within the token's life; for what the
// evidence vouches for take Expectation.At from the signed thing itself. Like
// those of Verify, the claims aren't validated yet.
func (a *Archive) Verify(pins Pins) (*Claims, error) {
	trust, err := a.Trust(pins)
	if err != nil {
		return nil, err
	}
	claims, err := Verify(a.Evidence.Token, trust, a.Verified)
	if err != nil {
		return nil, err
	}
	if err := a.fits(claims, a.Verified); err != nil {
		return nil, err
	}
	return claims, nil
}

// fits refuses an archive whose parts aren't of one verification.
func (a *Archive) fits(c *Claims, at time.Time) error {
	if r := checkTimes(c, nil, at); r != nil {
		return r
	}
	if len(a.Evidence.Statement) > 0 {
		id := a.Evidence.ID()
		if r := checkNonce(c, &Expectation{Nonce: hex.EncodeToString(id[:])}, at); r != nil {
			return r
		}
	}
	return nil
}

type archiveWire struct {
	Format   string          `json:"format"`
	Verified int64           `json:"verified"`
	Evidence attest.Evidence `json:"evidence"`
	Keys     []jwk           `json:"keys"`
	Root     string          `json:"root_sha256"`
}

// Encode returns the one form of the archive.
func (a *Archive) Encode() ([]byte, error) {
	w := archiveWire{Format: FormatArchive, Verified: a.Verified.Unix(), Evidence: a.Evidence}
	if a.Keys != nil {
		w.Keys = a.Keys.list()
	} else {
		w.Root = hex.EncodeToString(a.Root[:])
	}
	data, err := canon.EncodeJSON(w)
	if err != nil {
		return nil, fmt.Errorf("attestation archive: %w", err)
	}
	if _, err := ParseArchive(data); err != nil {
		return nil, err // nobody could read it
	}
	return data, nil
}

// ParseArchive reads what Encode wrote and nothing else. It verifies nothing.
func ParseArchive(data []byte) (*Archive, error) {
	a, err := parseArchive(data)
	if err != nil {
		return nil, fmt.Errorf("attestation archive: %w", err)
	}
	return a, nil
}

func parseArchive(data []byte) (*Archive, error) {
	if len(data) > maxArchive {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", canon.ErrFormat, len(data), maxArchive)
	}
	var w archiveWire
	if err := canon.DecodeJSON(data, &w); err != nil {
		return nil, err
	}
	a := &Archive{Evidence: w.Evidence, Verified: time.Unix(w.Verified, 0).UTC()}
	switch {
	case w.Format != FormatArchive:
		return nil, fmt.Errorf("%w: format is %q, want %q", canon.ErrFormat, clip(w.Format), FormatArchive)
	case w.Verified <= 0 || w.Verified >= 1<<40: // as times of tokens
		return nil, fmt.Errorf("%w: verified is out of range", canon.ErrFormat)
	case w.Evidence.Token == "" || len(w.Evidence.Token) > MaxToken || len(w.Evidence.Statement) > maxStatement:
		return nil, fmt.Errorf("%w: evidence is missing or too large", canon.ErrFormat)
	case (len(w.Keys) == 0) == (w.Root == ""):
		return nil, fmt.Errorf("%w: neither a key set nor a root, or both", canon.ErrFormat)
	case w.Root != "":
		var err error
		if a.Root, err = ParseFingerprint(w.Root); err != nil || a.Root == [32]byte{} {
			return nil, fmt.Errorf("%w: root_sha256 is no fingerprint", canon.ErrFormat)
		}
		return a, nil
	}
	set, err := canon.EncodeJSON(jwks{w.Keys})
	if err != nil {
		return nil, err
	}
	if a.Keys, err = ParseKeySet(set); err != nil {
		return nil, err
	}
	// Other orders, other spellings of a number, and keys that aren't used.
	if !bytes.Equal(set, a.Keys.Encode()) {
		return nil, fmt.Errorf("%w: keys aren't in canonical form", canon.ErrFormat)
	}
	return a, nil
}

type jwks struct {
	Keys []jwk `json:"keys"`
}

// Encode returns the set as a JWKS in canonical form: the usable keys alone,
// by ascending key id, with the members kty, alg, use, kid, n and e.
func (s *KeySet) Encode() []byte {
	data, err := canon.EncodeJSON(jwks{s.list()})
	if err != nil {
		return nil // strings always encode; ParseKeySet takes valid UTF-8 only
	}
	return data
}

// Digest is the SHA-256 of Encode: what pins the set.
func (s *KeySet) Digest() [32]byte {
	data := s.Encode()
	if data == nil {
		return [32]byte{} // pins nothing
	}
	return sha256.Sum256(data)
}

func (s *KeySet) list() []jwk {
	var out []jwk
	for _, kid := range slices.Sorted(maps.Keys(s.keys)) {
		k := s.keys[kid]
		out = append(out, jwk{Type: "RSA", Algorithm: "RS256", Use: "sig", KeyID: kid,
			N: base64.RawURLEncoding.EncodeToString(k.N.Bytes()), E: base64.RawURLEncoding.EncodeToString(big.NewInt(int64(k.E)).Bytes())})
	}
	return out
}

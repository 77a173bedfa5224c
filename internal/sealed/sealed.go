// Package sealed splits private keys into two shares and seals each share so
// that it can leave the TEE: the host stores the result and can't use it.
//
// A key is split by a one-time pad: share one is random, share two is the key
// XOR share one. Either alone says nothing about the key. Each share is
// sealed by AES-256-GCM under a DEK of its own, and the DEK is wrapped by a
// KEK that its KMS unwraps for the attested image only; the two roles have
// different KEKs, so that two parties must give way.
//
// What stops a host from mixing records is the AAD: it names genesis, state
// key, organisation, wallet, curve, role, epoch, public key and flags, and
// both the local AEAD and the KMS check it. What stops somebody who may call
// the KMS's Encrypt from planting a key of theirs is the wallet certificate
// (package receipt), which this package knows nothing of.
//
// Formats: docs/FORMATS.md section 5.
package sealed

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/keys"
)

const (
	magicAAD   = "sigil/share-aad/v1\n"
	magicShare = "sigil/sealed-share/v1\n"

	// ShareSize is the size of a plaintext share.
	ShareSize = 32
	nonceSize = 12
	tagSize   = 16
)

// ErrOpen is wrapped when a sealed share doesn't open: it was altered, moved
// to another place, or wrapped under another key.
var ErrOpen = errors.New("sealed share doesn't open")

// KEK wraps and unwraps DEKs in a KMS. Implementations are safe for use from
// many goroutines, and don't retry an unwrap that was denied. Unwrap runs
// inside secret.Do and leaves no copy of the DEK but the caller's.
type KEK interface {
	// Wrap encrypts the DEK; name is the full name of the key version used.
	Wrap(ctx context.Context, dek *[32]byte, aad []byte) (wrapped []byte, name string, err error)
	// Unwrap decrypts into dek; aad must be that of Wrap.
	Unwrap(ctx context.Context, wrapped, aad []byte, dek *[32]byte) error
}

// Role says which of the two shares it is.
type Role uint8

// Roles.
const (
	RoleTEE      Role = 1
	RoleProvider Role = 2
)

// String returns the name used in the KMS AAD.
func (r Role) String() string {
	switch r {
	case RoleTEE:
		return "tee"
	case RoleProvider:
		return "provider"
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// Kinds of keys.
const (
	KindKey   uint8 = 1
	KindState uint8 = 3 // an organisation's state key
)

// AAD says where a share belongs.
type AAD struct {
	Genesis      [32]byte
	StateKey     [32]byte // SHA-256 of the state public key; zero for its own shares
	Organization canon.UUID
	Wallet       canon.UUID // zero for a state key
	Curve        keys.Curve
	Kind         uint8
	Path         string
	Role         Role
	Epoch        uint32
	PublicKey    []byte
	Flags        uint8
}

// Encode returns the record, the AAD of the local AEAD.
func (a *AAD) Encode() []byte {
	return canon.NewWriter(magicAAD, 256).Fixed(a.Genesis[:]).Fixed(a.StateKey[:]).Fixed(a.Organization[:]).
		Fixed(a.Wallet[:]).U8(uint8(a.Curve)).U8(a.Kind).Text(a.Path).U8(uint8(a.Role)).U32(a.Epoch).
		Bytes(a.PublicKey).U8(a.Flags).MustRecord()
}

// DecodeAAD reads the record.
func DecodeAAD(record []byte) (*AAD, error) {
	r := canon.NewReader(magicAAD, record)
	a := &AAD{}
	r.Fixed(a.Genesis[:])
	r.Fixed(a.StateKey[:])
	r.Fixed(a.Organization[:])
	r.Fixed(a.Wallet[:])
	a.Curve, a.Kind, a.Path = keys.Curve(r.U8()), r.U8(), r.Text(128)
	a.Role, a.Epoch, a.PublicKey, a.Flags = Role(r.U8()), r.U32(), r.Bytes(64), r.U8()
	if r.Err() == nil {
		if err := a.check(); err != nil {
			r.Fail("%v", err)
		}
	}
	return a, r.Close()
}

// check tests the values of the fields that have a range.
func (a *AAD) check() error {
	isState := a.Kind == KindState
	switch {
	case a.Kind != KindKey && !isState:
		return fmt.Errorf("key kind %d", a.Kind)
	case isState != a.Wallet.IsZero() || isState != (a.StateKey == [32]byte{}):
		return errors.New("wallet and state key must be zero for a state key and nothing else")
	case a.Role != RoleTEE && a.Role != RoleProvider:
		return fmt.Errorf("role %d", a.Role)
	case a.Epoch == 0:
		return errors.New("epoch 0")
	case a.Flags&^3 != 0:
		return fmt.Errorf("flags %#x", a.Flags)
	case len(a.Path) > 128 || !utf8.ValidString(a.Path):
		return errors.New("path is too long or not UTF-8")
	case len(a.PublicKey) != a.Curve.PublicKeySize() || len(a.PublicKey) == 0:
		return fmt.Errorf("public key of %d bytes for %v", len(a.PublicKey), a.Curve)
	}
	return nil
}

// KMSAAD returns the AAD that the KMS sees, and logs.
func (a *AAD) KMSAAD() []byte {
	if a.Kind == KindState {
		return fmt.Appendf(nil, "organization:%s:state:share:%s", a.Organization, a.Role)
	}
	return fmt.Appendf(nil, "organization:%s:wallet:%s:share:%s", a.Organization, a.Wallet, a.Role)
}

// Share is a sealed share.
type Share struct {
	Role       Role
	Epoch      uint32
	KEK        string // key version that wrapped the DEK
	WrappedDEK []byte
	Nonce      [nonceSize]byte
	Ciphertext [ShareSize + tagSize]byte
}

// Encode returns the record.
func (s *Share) Encode() []byte {
	return canon.NewWriter(magicShare, 256+len(s.WrappedDEK)).U8(uint8(s.Role)).U32(s.Epoch).Text(s.KEK).
		Bytes(s.WrappedDEK).Fixed(s.Nonce[:]).Bytes(s.Ciphertext[:]).MustRecord()
}

// DecodeShare reads the record. The ciphertext has exactly one size, so that
// nothing is ever decrypted into a buffer that a host chose the size of.
func DecodeShare(record []byte) (*Share, error) {
	r := canon.NewReader(magicShare, record)
	s := &Share{Role: Role(r.U8()), Epoch: r.U32(), KEK: r.Text(256), WrappedDEK: r.Bytes(512)}
	r.Fixed(s.Nonce[:])
	if c := r.Bytes(len(s.Ciphertext)); len(c) == len(s.Ciphertext) {
		copy(s.Ciphertext[:], c)
	} else {
		r.Fail("ciphertext of %d bytes", len(c))
	}
	switch {
	case s.Role != RoleTEE && s.Role != RoleProvider:
		r.Fail("role %d", s.Role)
	case s.Epoch == 0 || s.KEK == "" || len(s.WrappedDEK) == 0:
		r.Fail("no epoch, KEK or wrapped DEK")
	}
	return s, r.Close()
}

// Split fills the two shares of key with fresh randomness.
func Split(key *[32]byte, random io.Reader, tee, provider *[ShareSize]byte) error {
	if _, err := io.ReadFull(random, tee[:]); err != nil {
		return fmt.Errorf("read randomness: %w", err)
	}
	subtle.XORBytes(provider[:], key[:], tee[:])
	return nil
}

// Combine joins two shares into key.
func Combine(tee, provider *[ShareSize]byte, key *[32]byte) {
	subtle.XORBytes(key[:], tee[:], provider[:])
}

// Refresh replaces both shares by fresh ones of the same key, without forming
// the key. The new ones belong to the next epoch.
func Refresh(random io.Reader, tee, provider *[ShareSize]byte) error {
	var r [ShareSize]byte
	if _, err := io.ReadFull(random, r[:]); err != nil {
		return fmt.Errorf("read randomness: %w", err)
	}
	subtle.XORBytes(tee[:], tee[:], r[:])
	subtle.XORBytes(provider[:], provider[:], r[:])
	clear(r[:])
	return nil
}

// Seal seals a share for its place under a fresh DEK. It runs inside
// secret.Do.
func Seal(ctx context.Context, kek KEK, aad *AAD, share *[ShareSize]byte, random io.Reader) (*Share, error) {
	if err := aad.check(); err != nil {
		return nil, fmt.Errorf("place of a share: %w", err)
	}
	var dek [32]byte
	defer clear(dek[:])
	s := &Share{Role: aad.Role, Epoch: aad.Epoch}
	if _, err := io.ReadFull(random, dek[:]); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	if _, err := io.ReadFull(random, s.Nonce[:]); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	aead, err := newAEAD(&dek)
	if err != nil {
		return nil, err
	}
	aead.Seal(s.Ciphertext[:0], s.Nonce[:], share[:], aad.Encode())
	if s.WrappedDEK, s.KEK, err = kek.Wrap(ctx, &dek, aad.KMSAAD()); err != nil {
		return nil, fmt.Errorf("wrap DEK of the %s share: %w", aad.Role, err)
	}
	if !utf8.ValidString(s.KEK) {
		return nil, errors.New("KMS names its key in bad UTF-8")
	}
	if _, err := DecodeShare(s.Encode()); err != nil { // a key that can't be opened again is lost
		return nil, fmt.Errorf("KMS wrapped the DEK of the %s share in an unusable way: %w", aad.Role, err)
	}
	return s, nil
}

func newAEAD(dek *[32]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(dek[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Opener opens sealed shares, with a cache of DEKs where there is one.
type Opener struct {
	kek   KEK
	cache *Cache // nil: every opening asks the KMS
}

// NewOpener returns an Opener; cache may be nil.
func NewOpener(kek KEK, cache *Cache) *Opener { return &Opener{kek: kek, cache: cache} }

// Place is an AAD prepared once for many openings.
type Place struct {
	role   Role
	epoch  uint32
	record []byte
	kms    []byte
}

// NewPlace encodes an AAD.
func NewPlace(aad *AAD) *Place {
	return &Place{role: aad.Role, epoch: aad.Epoch, record: aad.Encode(), kms: aad.KMSAAD()}
}

// Open decrypts a sealed share that must belong to the place. It runs inside
// secret.Do.
func (o *Opener) Open(ctx context.Context, p *Place, s *Share, share *[ShareSize]byte) error {
	if s.Role != p.role || s.Epoch != p.epoch {
		return fmt.Errorf("%w: it is the %s share of epoch %d", ErrOpen, s.Role, s.Epoch)
	}
	var dek [32]byte
	defer clear(dek[:])
	if err := o.unwrap(ctx, p, s, &dek); err != nil {
		return fmt.Errorf("unwrap DEK of the %s share: %w", p.role, err)
	}
	aead, err := newAEAD(&dek)
	if err != nil {
		return err
	}
	// Decrypted into a local first: a failed opening must not touch share.
	var plain [ShareSize]byte
	defer clear(plain[:])
	if _, err := aead.Open(plain[:0], s.Nonce[:], s.Ciphertext[:], p.record); err != nil {
		return fmt.Errorf("%w: the %s share is altered or belongs elsewhere", ErrOpen, p.role)
	}
	*share = plain
	return nil
}

func (o *Opener) unwrap(ctx context.Context, p *Place, s *Share, dek *[32]byte) error {
	if o.cache == nil {
		return o.kek.Unwrap(ctx, s.WrappedDEK, p.kms, dek)
	}
	h := sha256.New()
	h.Write(p.kms)
	h.Write([]byte{0}) // never inside the AAD text
	h.Write(s.WrappedDEK)
	var key [32]byte
	h.Sum(key[:0])
	if o.cache.get(key, dek) {
		return nil
	}
	if err := o.kek.Unwrap(ctx, s.WrappedDEK, p.kms, dek); err != nil {
		return err
	}
	o.cache.put(key, dek)
	return nil
}

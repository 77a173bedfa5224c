package cloudsim

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Key is a KMS key with its versions.
type Key struct {
	Name     string    `json:"name"` // projects/…/cryptoKeys/…
	Primary  uint32    `json:"primary"`
	Versions []Version `json:"versions"`
	Bindings []Binding `json:"bindings"`
}

// Version is a version of a key. States are KMS's: ENABLED, DISABLED,
// DESTROY_SCHEDULED, DESTROYED; a destroyed one has no material.
type Version struct {
	Number    uint32    `json:"number"`
	State     string    `json:"state"`
	Material  []byte    `json:"material"`
	DestroyAt time.Time `json:"destroy_at,omitzero"` // scheduled end
}

// stateAt is the state at an instant: a scheduled end comes by itself.
func (v *Version) stateAt(now time.Time) string {
	if v.State == StateDestroyScheduled && !v.DestroyAt.IsZero() && !now.Before(v.DestroyAt) {
		return StateDestroyed
	}
	return v.State
}

// States of key versions.
const (
	StateEnabled          = "ENABLED"
	StateDisabled         = "DISABLED"
	StateDestroyScheduled = "DESTROY_SCHEDULED"
	StateDestroyed        = "DESTROYED"
)

// refusedText is an error in Google's words.
type refusedText string

func (t refusedText) Error() string { return string(t) }

const (
	errCiphertext refusedText = "Decryption failed: the ciphertext is invalid."
	errOtherKey   refusedText = "Decryption failed: verify that 'name' refers to the correct CryptoKey."
	errNoVersion  refusedText = "The key has no such version." // not observed
)

// stateError is FAILED_PRECONDITION: the version can't be used as it is.
type stateError struct{ name, state string }

func (e *stateError) Error() string {
	return e.name + " is not enabled, current state is: " + e.state + "."
}

func (k *Key) binding(role string) *Binding {
	for i := range k.Bindings {
		if k.Bindings[i].Role == role {
			return &k.Bindings[i]
		}
	}
	k.Bindings = append(k.Bindings, Binding{Role: role, Members: []string{}})
	return &k.Bindings[len(k.Bindings)-1]
}

// rotate makes a new version the primary one.
func (k *Key) rotate(random io.Reader) error {
	n, err := k.addVersion(random)
	if err == nil {
		k.Primary = n
	}
	return err
}

func (k *Key) addVersion(random io.Reader) (uint32, error) {
	material := make([]byte, 32)
	if _, err := io.ReadFull(random, material); err != nil {
		return 0, fmt.Errorf("make key version: %w", err)
	}
	n := uint32(len(k.Versions) + 1)
	k.Versions = append(k.Versions, Version{Number: n, State: StateEnabled, Material: material})
	return n, nil
}

func (k *Key) find(n uint32) *Version {
	for i := range k.Versions {
		if k.Versions[i].Number == n {
			return &k.Versions[i]
		}
	}
	return nil
}

// parseVersion reads a version's number from a resource name.
func (k *Key) parseVersion(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != text {
		return 0, invalidArgument("%q is not a version of %s.", text, k.Name)
	}
	return uint32(n), nil
}

func (k *Key) versionName(n uint32) string {
	return k.Name + "/cryptoKeyVersions/" + strconv.FormatUint(uint64(n), 10)
}

// usable returns a version that is enabled.
func (k *Key) usable(n uint32, now time.Time) (*Version, error) {
	v := k.find(n)
	if v == nil {
		return nil, errNoVersion
	}
	if state := v.stateAt(now); state != StateEnabled {
		return nil, &stateError{k.versionName(n), state}
	}
	return v, nil
}

// A ciphertext names its key and version, as Cloud KMS's do, so that Decrypt
// takes the version from it:
//
//	0x0a 0x24   tag and length of the header
//	header      0x00, version u32, first 31 bytes of SHA-256(key name)
//	nonce       12 bytes
//	sealed      AES-256-GCM with AAD = header ‖ caller's AAD
const headerSize = 36

func (k *Key) header(n uint32) []byte {
	sum := sha256.Sum256([]byte(k.Name))
	h := binary.BigEndian.AppendUint32([]byte{0}, n)
	return append(h, sum[:headerSize-len(h)]...)
}

func (k *Key) encrypt(n uint32, plaintext, aad []byte, random io.Reader, now time.Time) ([]byte, error) {
	v, err := k.usable(n, now)
	if err != nil {
		return nil, err
	}
	aead, err := newGCM(v.Material)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := io.ReadFull(random, nonce); err != nil {
		return nil, err
	}
	header := k.header(v.Number)
	out := append([]byte{0x0a, headerSize}, header...)
	out = append(out, nonce...)
	return aead.Seal(out, nonce, plaintext, append(header, aad...)), nil
}

func (k *Key) decrypt(ciphertext, aad []byte, now time.Time) (plaintext []byte, version uint32, err error) {
	if len(ciphertext) < 2+headerSize || ciphertext[0] != 0x0a || ciphertext[1] != headerSize {
		return nil, 0, errCiphertext
	}
	header, rest := ciphertext[2:2+headerSize], ciphertext[2+headerSize:]
	n := binary.BigEndian.Uint32(header[1:5])
	if !bytes.Equal(header, k.header(n)) {
		return nil, 0, errOtherKey
	}
	v, err := k.usable(n, now)
	if errors.Is(err, errNoVersion) {
		return nil, 0, errCiphertext
	}
	if err != nil {
		return nil, 0, err
	}
	aead, err := newGCM(v.Material)
	if err != nil {
		return nil, 0, err
	}
	if len(rest) < aead.NonceSize() {
		return nil, 0, errCiphertext
	}
	full := append(bytes.Clone(header), aad...)
	plaintext, err = aead.Open(nil, rest[:aead.NonceSize()], rest[aead.NonceSize():], full)
	if err != nil {
		return nil, 0, errCiphertext
	}
	return plaintext, n, nil
}

// Unwrap decrypts without IAM and audit: so that a test can learn which DEKs
// it has to search a memory image for.
func (s *Sim) Unwrap(name string, ciphertext, aad []byte) ([]byte, error) {
	name, _ = splitVersion(name)
	k := s.current().key(name)
	if k == nil {
		return nil, fmt.Errorf("cloudsim: no key %s", name)
	}
	plaintext, _, err := k.decrypt(ciphertext, aad, s.cfg.Clock())
	return plaintext, err
}

package cloudsim

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
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
	Number   uint32 `json:"number"`
	State    string `json:"state"`
	Material []byte `json:"material"`
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

func (k *Key) rotate(random io.Reader) error {
	material := make([]byte, 32)
	if _, err := io.ReadFull(random, material); err != nil {
		return fmt.Errorf("make key version: %w", err)
	}
	k.Primary = uint32(len(k.Versions) + 1)
	k.Versions = append(k.Versions, Version{Number: k.Primary, State: StateEnabled, Material: material})
	return nil
}

func (k *Key) versionName(n uint32) string {
	return k.Name + "/cryptoKeyVersions/" + strconv.FormatUint(uint64(n), 10)
}

// usable returns a version that is enabled.
func (k *Key) usable(n uint32) (*Version, error) {
	for i := range k.Versions {
		if v := &k.Versions[i]; v.Number == n {
			if v.State != StateEnabled {
				return nil, &stateError{k.versionName(n), v.State}
			}
			return v, nil
		}
	}
	return nil, errNoVersion
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

func (k *Key) encrypt(plaintext, aad []byte, random io.Reader) ([]byte, uint32, error) {
	v, err := k.usable(k.Primary)
	if err != nil {
		return nil, 0, err
	}
	aead, err := newGCM(v.Material)
	if err != nil {
		return nil, 0, err
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := io.ReadFull(random, nonce); err != nil {
		return nil, 0, err
	}
	header := k.header(v.Number)
	out := append([]byte{0x0a, headerSize}, header...)
	out = append(out, nonce...)
	return aead.Seal(out, nonce, plaintext, append(header, aad...)), v.Number, nil
}

func (k *Key) decrypt(ciphertext, aad []byte) (plaintext []byte, version uint32, err error) {
	if len(ciphertext) < 2+headerSize || ciphertext[0] != 0x0a || ciphertext[1] != headerSize {
		return nil, 0, errCiphertext
	}
	header, rest := ciphertext[2:2+headerSize], ciphertext[2+headerSize:]
	n := binary.BigEndian.Uint32(header[1:5])
	if !bytes.Equal(header, k.header(n)) {
		return nil, 0, errOtherKey
	}
	v, err := k.usable(n)
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

// RotateKey gives a key a new primary version; older ones still decrypt.
func (s *Sim) RotateKey(name string) error {
	return s.update(func(st *state) error {
		k := st.key(name)
		if k == nil {
			return fmt.Errorf("cloudsim: no key %s", name)
		}
		return k.rotate(s.cfg.Random)
	})
}

// SetVersionState moves a key version to a state. StateDestroyed erases its
// material for good.
func (s *Sim) SetVersionState(name string, version uint32, to string) error {
	return s.update(func(st *state) error {
		k := st.key(name)
		if k == nil {
			return fmt.Errorf("cloudsim: no key %s", name)
		}
		for i := range k.Versions {
			v := &k.Versions[i]
			switch {
			case v.Number != version:
				continue
			case v.State == StateDestroyed:
				return fmt.Errorf("cloudsim: version %d is destroyed", version)
			case to == StateDestroyed:
				v.Material = nil
			case to != StateEnabled && to != StateDisabled && to != StateDestroyScheduled:
				return fmt.Errorf("cloudsim: no state %q", to)
			}
			v.State = to
			return nil
		}
		return fmt.Errorf("cloudsim: key %s has no version %d", name, version)
	})
}

// Unwrap decrypts without IAM and audit: so that a test can learn which DEKs
// it has to search a memory image for.
func (s *Sim) Unwrap(name string, ciphertext, aad []byte) ([]byte, error) {
	name, _, _ = strings.Cut(name, "/cryptoKeyVersions/")
	s.mu.Lock()
	st := s.state
	s.mu.Unlock()
	k := st.key(name)
	if k == nil {
		return nil, fmt.Errorf("cloudsim: no key %s", name)
	}
	plaintext, _, err := k.decrypt(ciphertext, aad)
	return plaintext, err
}

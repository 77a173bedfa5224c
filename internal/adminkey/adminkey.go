// Package adminkey keeps an owner's admin key in a file that a passphrase
// encrypts.
//
// The file is an armored age file (age-encryption.org/v1) with one scrypt
// recipient; its plaintext is
//
//	sigil/admin-key/v1\n
//	<RFC 8032 seed, 64 lower-case hex digits>\n
//
// so that the age program opens it too. Whoever has a quorum of these keys
// gives rights to sign; the passphrase is what protects a stolen file.
package adminkey

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

const (
	magic = "sigil/admin-key/v1\n"
	// MinPassphrase is the length of the shortest accepted passphrase, in
	// bytes. scrypt slows guessing down; it doesn't replace entropy.
	MinPassphrase = 8
	// WorkFactor is the usual scrypt cost, 2^18: about a second to open.
	WorkFactor = 18
	// maxWorkFactor bounds what a foreign file can make this machine spend.
	maxWorkFactor = 20
	maxFile       = 16 << 10
)

// ErrPassphrase says that the passphrase doesn't open the file.
var ErrPassphrase = errors.New("the passphrase doesn't open the admin key file")

// Generate makes a key.
func Generate(random io.Reader) (ed25519.PrivateKey, error) {
	var seed [ed25519.SeedSize]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return nil, fmt.Errorf("make admin key: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed[:]), nil
}

// Encrypt returns the file for a key. workFactor is scrypt's log2(N),
// WorkFactor unless a test or an emulator needs less.
func Encrypt(key ed25519.PrivateKey, passphrase string, workFactor int) ([]byte, error) {
	if len(passphrase) < MinPassphrase {
		return nil, fmt.Errorf("the passphrase has under %d bytes", MinPassphrase)
	}
	if workFactor < 1 || workFactor > maxWorkFactor {
		return nil, fmt.Errorf("work factor of %d, 1 to %d allowed", workFactor, maxWorkFactor)
	}
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("encrypt admin key: %w", err)
	}
	r.SetWorkFactor(workFactor)
	var out bytes.Buffer
	a := armor.NewWriter(&out)
	w, err := age.Encrypt(a, r)
	if err != nil {
		return nil, fmt.Errorf("encrypt admin key: %w", err)
	}
	if _, err := io.WriteString(w, magic+hex.EncodeToString(key.Seed())+"\n"); err != nil {
		return nil, fmt.Errorf("encrypt admin key: %w", err)
	}
	if err := errors.Join(w.Close(), a.Close()); err != nil {
		return nil, fmt.Errorf("encrypt admin key: %w", err)
	}
	return out.Bytes(), nil
}

// Decrypt opens a file. A wrong passphrase is ErrPassphrase.
func Decrypt(file []byte, passphrase string) (ed25519.PrivateKey, error) {
	if len(file) > maxFile {
		return nil, errors.New("the file is too large for an admin key")
	}
	id, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, ErrPassphrase
	}
	id.SetMaxWorkFactor(maxWorkFactor)
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(file)), id)
	if err != nil {
		var wrong *age.NoIdentityMatchError
		if errors.As(err, &wrong) {
			return nil, ErrPassphrase
		}
		return nil, fmt.Errorf("not an admin key file: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxFile))
	if err != nil {
		return nil, fmt.Errorf("read admin key: %w", err)
	}
	defer clear(plain)
	return parse(string(plain))
}

func parse(plain string) (ed25519.PrivateKey, error) {
	digits, ok := strings.CutPrefix(plain, magic)
	digits, ok2 := strings.CutSuffix(digits, "\n")
	seed, err := hex.DecodeString(digits)
	// No %w: the hex package's error shows a byte of the secret.
	if !ok || !ok2 || err != nil || len(seed) != ed25519.SeedSize || hex.EncodeToString(seed) != digits {
		return nil, errors.New("the file holds no admin key of this version")
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

package receipt

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sigilkeys/sigil/internal/keys"
)

// Checkpoint is a signed head of one of an organisation's logs: a C2SP
// tlog-checkpoint in a signed note.
type Checkpoint struct {
	Origin string // LogOrigin or LedgerOrigin
	Size   uint64
	Root   [32]byte
}

// LogOrigin returns the origin, which is also the key name, of an
// organisation's log in an epoch (from 1).
func LogOrigin(organization UUID, epoch uint32) string {
	return fmt.Sprintf("sigilkeys.com/log/%s/%d", organization, epoch)
}

// LedgerOrigin returns the origin of an organisation's ledger: the log of its
// receipts. It is none of a state log's, whose leaves loosen and tighten.
func LedgerOrigin(organization UUID) string {
	return "sigilkeys.com/ledger/" + organization.String()
}

// MaxCheckpoint bounds a note without cosignatures, in bytes.
const MaxCheckpoint = 512

func (c *Checkpoint) body() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// keyHash is the signed note's hint to the key: algorithm 1 is Ed25519.
func keyHash(name string, pub [32]byte) []byte {
	h := sha256.Sum256(append([]byte(name+"\n\x01"), pub[:]...))
	return h[:4]
}

// decodeBase64 takes the one encoding of the bytes. The library's decoder,
// strict or not, skips carriage returns and line feeds.
func decodeBase64(s string) ([]byte, bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return b, err == nil && base64.StdEncoding.EncodeToString(b) == s
}

// Sign returns the note with the log key's signature.
func (c *Checkpoint) Sign(key ed25519.PrivateKey) string {
	note, _ := c.SignWith([32]byte(key[32:]), func(body, sig []byte) error { copy(sig, ed25519.Sign(key, body)); return nil })
	return note
}

// SignWith is Sign for a key that is used elsewhere: sign fills in its 64-byte
// signature over the body.
func (c *Checkpoint) SignWith(key [32]byte, sign func(body, sig []byte) error) (string, error) {
	body := c.body()
	var sig [ed25519.SignatureSize]byte
	if err := sign([]byte(body), sig[:]); err != nil {
		return "", err
	}
	blob := append(keyHash(c.Origin, key), sig[:]...)
	return body + "\n— " + c.Origin + " " + base64.StdEncoding.EncodeToString(blob) + "\n", nil
}

// OpenCheckpoint reads a note, requires the origin, and verifies the log key's
// signature, which is the first; cosignatures after it are left to others.
func OpenCheckpoint(note, origin string, key [32]byte) (*Checkpoint, error) {
	fail := func(why string) (*Checkpoint, error) { return nil, invalid("checkpoint", errors.New(why)) }
	if len(note) > 16<<10 {
		return fail("too long")
	}
	body, sigs, ok := strings.Cut(note, "\n\n")
	body += "\n"
	lines := strings.Split(body, "\n")
	if !ok || len(lines) != 4 || lines[0] != origin {
		return fail("not a three-line checkpoint of this log")
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return fail("size is not a canonical number")
	}
	root, ok := decodeBase64(lines[2])
	if !ok || len(root) != 32 {
		return fail("root is not 32 bytes of base64")
	}
	first, _, ok := strings.Cut(sigs, "\n")
	encoded, found := strings.CutPrefix(first, "— "+origin+" ")
	if !ok || !found || !strings.HasSuffix(note, "\n") {
		return fail("no signature line of the log key")
	}
	blob, ok := decodeBase64(encoded)
	if !ok || len(blob) != 68 || string(blob[:4]) != string(keyHash(origin, key)) {
		return fail("signature line is malformed or of another key")
	}
	if !keys.Verify(keys.Ed25519, key[:], []byte(body), blob[4:]) {
		return fail("signature doesn't verify")
	}
	return &Checkpoint{Origin: origin, Size: size, Root: [32]byte(root)}, nil
}

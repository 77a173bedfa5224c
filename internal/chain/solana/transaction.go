package solana

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/sigilkeys/sigil/internal/base58"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
)

// transaction is a message and the places of its signatures, some of which
// may be there already.
type transaction struct {
	message    *message
	signBytes  []byte   // the message as it came
	signatures [][]byte // one for each signer; all zero where it isn't there yet
}

// parseTransaction takes a transaction (signatures and message) or a message
// alone. What reads as both is neither: it would be signed as one and may have
// been meant as the other.
func parseTransaction(b []byte) (*transaction, error) {
	whole, wholeErr := parseWhole(b)
	bare, bareErr := parseMessage(b)
	switch {
	case wholeErr == nil && bareErr == nil:
		return nil, errors.New("the bytes read as a transaction and as a message alone")
	case wholeErr == nil:
		return whole, nil
	case bareErr == nil:
		return &transaction{message: bare, signBytes: b, signatures: make([][]byte, bare.signers)}, nil
	case len(b) > 0 && b[0] < 0x80 && hasSignatures(b):
		return nil, wholeErr
	}
	return nil, bareErr
}

// hasSignatures guesses which of two errors tells more: a transaction's
// message has as many signers as there are signatures before it.
func hasSignatures(b []byte) bool {
	at := 1 + signatureSize*int(b[0])
	return at+1 < len(b) && (b[at] == b[0] || b[at] >= 0x80 && b[at+1] == b[0])
}

func parseWhole(b []byte) (*transaction, error) {
	c := &cursor{b: b}
	n := c.compact()
	if c.failed || c.loose || n == 0 || n > maxPacket/signatureSize {
		return nil, errors.New("the transaction has no sensible number of signatures")
	}
	t := &transaction{signatures: make([][]byte, n)}
	for i := range t.signatures {
		t.signatures[i] = c.take(signatureSize)
	}
	if c.failed {
		return nil, errors.New("the transaction ends within its signatures")
	}
	m, err := parseMessage(c.b)
	if err != nil {
		return nil, err
	}
	if m.signers != n {
		return nil, fmt.Errorf("the transaction has room for %d signatures and %d signers", n, m.signers)
	}
	t.message, t.signBytes = m, c.b
	return t, nil
}

// slot returns where pub's signature goes. It must be free: a signer doesn't
// replace what it may have signed before, nor what it hasn't.
func (t *transaction) slot(pub []byte) (int, error) {
	at := slices.IndexFunc(t.message.keys[:t.message.signers], func(k key) bool { return bytes.Equal(k[:], pub) })
	if at < 0 {
		return 0, errors.New("the wallet isn't among the transaction's signers")
	}
	if isPresent(t.signatures[at]) {
		return 0, errors.New("the transaction has a signature in the wallet's place")
	}
	return at, nil
}

func isPresent(signature []byte) bool {
	return slices.ContainsFunc(signature, func(b byte) bool { return b != 0 })
}

// assemble returns the transaction with a signature at a slot. Others'
// signatures stay as they came.
func (t *transaction) assemble(at int, signature []byte) []byte {
	b := appendCompact(make([]byte, 0, maxPacket), len(t.signatures))
	for i, s := range t.signatures {
		if i == at {
			s = signature
		}
		var room [signatureSize]byte
		copy(room[:], s)
		b = append(b, room[:]...)
	}
	return append(b, t.signBytes...)
}

// signed is assemble for the world outside. The network calls a transaction by
// the fee payer's signature.
func (t *transaction) signed(at int, raw []byte) (*chain.Signed, error) {
	if len(raw) != signatureSize {
		return nil, fmt.Errorf("%w: signature of %d bytes", keys.ErrInput, len(raw))
	}
	b := t.assemble(at, raw)
	s := &chain.Signed{Text: base64.StdEncoding.EncodeToString(b)}
	if first := b[1 : 1+signatureSize]; isPresent(first) {
		s.ID = base58.Encode(first)
	}
	return s, nil
}

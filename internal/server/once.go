package server

import (
	"crypto/sha256"
	"errors"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

// answersKept is how long the answer to a document stands under its
// Idempotency-Key. Decisions keep theirs for ever.
const answersKept = 24 * time.Hour

// errAnswered ends the work on a document that was answered before.
var errAnswered = errors.New("answered before")

// once carries out a signed document. One that comes with an Idempotency-Key
// gets the very answer that it got before, and the key goes with no other
// document. do calls claim once the document is verified and before it changes
// anything: strangers can't fill the table.
func (s *Server) once(c *call, envelope []byte, do func(claim func(canon.UUID) error) (reply, error)) (reply, error) {
	key, err := authority.IdempotencyKey(c.Header)
	if err != nil {
		return reply{}, asError(err)
	}
	if key == "" {
		return do(func(canon.UUID) error { return nil })
	}
	own := &store.Answer{Key: sha256.Sum256([]byte(key)), Document: sha256.Sum256(envelope), At: s.Now()}
	var stands *store.Answer
	out, err := do(func(org canon.UUID) error {
		own.Organization = org
		var err error
		stands, err = s.Store.ClaimAnswer(c.ctx, own, own.At.Add(-answersKept))
		switch {
		case err != nil:
			return refuse(api.CodeStoreUnavailable, "the database doesn't answer; send the same request again")
		case stands == nil: // the document goes with another key
			return nil
		case stands.Document != own.Document:
			return refuse(api.CodeIdempotencyConflict, "the Idempotency-Key was used with another body")
		case stands.Status != 0:
			return errAnswered
		}
		return nil
	})
	switch {
	case errors.Is(err, errAnswered):
		return reply{stands.Status, stands.Body}, nil
	case err != nil || stands == nil:
		return out, err
	}
	own.Status, own.Body = out.status, out.body
	stands, err = s.Store.PutAnswer(c.ctx, own)
	if err != nil || stands == nil {
		return reply{}, refuse(api.CodeStoreUnavailable, "the answer couldn't be stored; send the same request again")
	}
	return reply{stands.Status, stands.Body}, nil
}

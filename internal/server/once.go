package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/org"
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
func (s *Server) once(c *call, envelope []byte, do func(claim org.Claim) (reply, error)) (reply, error) {
	key, err := authority.IdempotencyKey(c.Header)
	if err != nil {
		return reply{}, asError(err)
	}
	if key == "" {
		return do(func(canon.UUID) error { return nil })
	}
	own := &store.Answer{Key: sha256.Sum256([]byte(key)), Document: sha256.Sum256(envelope), At: s.Now()}
	var stands *store.Answer
	out, err := do(func(id canon.UUID) error {
		own.Organization = id
		var err error
		stands, err = s.Store.ClaimAnswer(c.ctx, own, own.At.Add(-answersKept))
		switch {
		case err != nil:
			return refuse(api.CodeStoreUnavailable, "the database doesn't answer; send the same request again")
		case stands == nil:
			return refuse(api.CodeIdempotencyConflict, "the document came with %d Idempotency-Keys already; use one of them, or none", store.MaxAnswerKeys)
		case stands.Document != own.Document:
			return refuse(api.CodeIdempotencyConflict, "the Idempotency-Key was used with another body")
		case stands.Status != 0:
			return errAnswered
		}
		return nil
	})
	switch {
	case errors.Is(err, errAnswered):
		return answered(own, stands)
	case err != nil:
		s.release(c, own, stands, err)
		return out, err
	}
	own.Status, own.Body = out.status, append(answerSum(own, out), out.body...)
	stands, err = s.Store.PutAnswer(c.ctx, own)
	if err != nil || stands == nil {
		return reply{}, refuse(api.CodeStoreUnavailable, "the answer couldn't be stored; send the same request again")
	}
	return answered(own, stands)
}

// release frees the key of a document that was refused and changed nothing, for
// one that is right. If that fails, the key is taken for a day.
func (s *Server) release(c *call, own, stands *store.Answer, err error) {
	if stands != nil && stands.Document == own.Document && !ours(err) {
		_ = s.Store.DropAnswer(c.ctx, own)
	}
}

// answered is the reply that stands. Nobody verifies the body of one, so that
// it goes with a sum: a database that errs in it is as good as none.
func answered(own, stands *store.Answer) (reply, error) {
	if len(stands.Body) >= sha256.Size {
		if r := (reply{stands.Status, stands.Body[sha256.Size:]}); bytes.Equal(answerSum(own, r), stands.Body[:sha256.Size]) {
			return r, nil
		}
	}
	return reply{}, refuse(api.CodeStoreUnavailable, "the stored answer is damaged; send the same request again, or without its Idempotency-Key")
}

func answerSum(a *store.Answer, r reply) []byte {
	h := sha256.New()
	h.Write(a.Document[:])
	h.Write(binary.BigEndian.AppendUint16(nil, uint16(r.status)))
	h.Write(r.body)
	return h.Sum(nil)
}

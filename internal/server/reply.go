package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/store"
)

// reply is a status with its encoded envelope.
type reply struct {
	status int
	body   []byte
}

// denied is a decision against the caller: an error with its receipt.
type denied struct {
	code    api.Code
	message string
	receipt api.ReceiptRef
}

func (d *denied) Error() string { return string(d.code) + ": " + d.message }

// ok encodes data into an envelope.
func ok(status int, data any) (reply, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return reply{}, err
	}
	body := append([]byte(`{"data":`), raw...)
	return reply{status, append(body, `,"error":null}`...)}, nil
}

// statusOf finds a code's HTTP status; a code that isn't in the table is a
// defect and becomes internal.
func statusOf(code api.Code) (int, bool) {
	for _, s := range api.Specs() {
		if s.Code == code {
			return s.Status, true
		}
	}
	return http.StatusInternalServerError, false
}

// retryAfter is when to ask again, in whole seconds: what the refusal says,
// and otherwise soon.
func retryAfter(e *signing.Error) string {
	wait := time.Second
	if e != nil {
		wait = max(wait, e.RetryAfter)
	}
	return strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10)
}

// publicError is what the caller learns of an error.
func publicError(id canon.UUID, err error) api.Error {
	e := api.Error{Code: api.CodeInternal, Message: "something went wrong on the server; report it with the request id " + id.String()}
	var known *signing.Error
	var no *denied
	switch {
	case errors.As(err, &no):
		e.Code, e.Message = no.code, no.message
		if raw, err := json.Marshal(map[string]any{"receipt": no.receipt}); err == nil {
			e.Details = raw
		}
	case errors.As(err, &known):
		e.Code, e.Message = known.Code, known.Message
	case errors.Is(err, store.ErrUnknown):
		e.Code, e.Message = api.CodeStoreUnavailable, "the database couldn't record the request; send the same request again"
	}
	return e
}

// explain is the one place where errors become what a caller is told. Defects
// are logged.
func (s *Server) explain(id canon.UUID, err error) (api.Error, int) {
	e := publicError(id, err)
	status, listed := statusOf(e.Code)
	if !listed || e.Code == api.CodeInternal {
		s.Log.Error("request failed", "request", id.String(), "code", string(e.Code), "error", err)
		if !listed {
			e = api.Error{Code: api.CodeInternal, Message: "something went wrong on the server; report it with the request id " + id.String()}
		}
	}
	return e, status
}

// fail replies with an error, and returns the status.
func (s *Server) fail(w http.ResponseWriter, id canon.UUID, err error) int {
	e, status := s.explain(id, err)
	var known *signing.Error
	errors.As(err, &known)
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter(known))
	}
	s.closing(w.Header())
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Sigil-Request-Id", id.String())
	body, merr := json.Marshal(api.Envelope{Error: &e})
	if merr != nil {
		body = []byte(`{"data":null,"error":{"code":"internal","message":"the error couldn't be encoded"}}`)
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone can't be told
	return status
}

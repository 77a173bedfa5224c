package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/teelink"
)

// call is one request on its way.
type call struct {
	*http.Request
	ctx  context.Context
	id   canon.UUID // of the reply
	body []byte
	// query has the parameters, each of which the route takes, by name.
	query map[string]string

	key   *signing.Key   // authReader, authDecision
	org   canon.UUID     // authAdmin: the one in the path, once the signature is verified
	proof teelink.Decide // authDecision: what the client proved, as sent
}

func refuse(code api.Code, format string, args ...any) error {
	return &signing.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// read takes the body within its limit, before anything else is done.
func (c *call) read(limit int64, w http.ResponseWriter) error {
	if c.ContentLength > limit {
		return refuse(api.CodeBodyTooLarge, "the body has %d bytes, at most %d allowed", c.ContentLength, limit)
	}
	b, err := c.readAll(http.MaxBytesReader(w, c.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return refuse(api.CodeBodyTooLarge, "the body has more than %d bytes", limit)
	case err != nil:
		return refuse(api.CodeInvalidArgument, "the body couldn't be read whole")
	}
	c.body = b
	if limit == 0 {
		return nil
	}
	media, _, err := mime.ParseMediaType(c.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return refuse(api.CodeUnsupportedMediaType, "the Content-Type is %.60q, want application/json", c.Header.Get("Content-Type"))
	}
	return nil
}

// readAll reads to the end; an announced length, already bounded, saves
// growing the buffer.
func (c *call) readAll(r io.Reader) ([]byte, error) {
	if c.ContentLength < 0 {
		return io.ReadAll(r)
	}
	buf := bytes.NewBuffer(make([]byte, 0, c.ContentLength+bytes.MinRead))
	_, err := buf.ReadFrom(r)
	return buf.Bytes(), err
}

// decode reads the body strictly into v, and says precisely what is wrong.
func (c *call) decode(v any) error { return decodeObject(c.body, v) }

func decodeObject(raw []byte, v any) error {
	if !utf8.Valid(raw) {
		return refuse(api.CodeInvalidUTF8, "the body isn't valid UTF-8")
	}
	if at, found := nullIn(raw); found {
		return refuse(api.CodeInvalidArgument, "%.60s is null, which no field takes: leave it out", at)
	}
	return strictly(raw, v)
}

// strictly decodes JSON, and says what is wrong with it.
func strictly(raw []byte, v any) error {
	err := json.Unmarshal(raw, v, json.RejectUnknownMembers(true))
	var semantic *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, json.ErrUnknownName):
		errors.As(err, &semantic)
		return refuse(api.CodeUnknownField, "the field %.60s isn't known", field(semantic))
	case errors.Is(err, jsontext.ErrDuplicateName):
		errors.As(err, &syntax)
		return refuse(api.CodeDuplicateField, "the field %.60s stands twice", syntax.JSONPointer)
	case errors.As(err, &semantic):
		return refuse(api.CodeInvalidArgument, "the field %.60s has the wrong type", field(semantic))
	}
	return refuse(api.CodeMalformedJSON, "the body isn't one JSON object")
}

// nullIn finds null, which the decoder would take for any type's zero value.
// No field takes it, nor does any of a signed document.
func nullIn(body []byte) (at string, found bool) {
	if !bytes.Contains(body, []byte("null")) {
		return "", false
	}
	d := jsontext.NewDecoder(bytes.NewReader(body))
	for {
		token, err := d.ReadToken()
		switch {
		case err != nil:
			return "", false // decoding says what is wrong
		case token.Kind() == 'n':
			if at = string(d.StackPointer()); at == "" {
				at = "(the body itself)"
			}
			return at, true
		}
	}
}

func field(e *json.SemanticError) string {
	if e == nil || e.JSONPointer == "" {
		return "(the body itself)"
	}
	return string(e.JSONPointer)
}

// identify finds out who calls.
func (s *Server) identify(a auth, c *call) error {
	switch a {
	case authProbe, authNone, authDocument:
		return nil
	case authReader:
		return s.identifyReader(c)
	case authWriter:
		if err := s.identifyReader(c); err != nil {
			return err
		}
		return mayWrite(c)
	case authAdmin:
		return s.identifyAdmin(c)
	case authDecision:
		return s.identifyDecision(c)
	}
	return errors.New("route without authenticator")
}

// asError gives refusals of package authority their code.
func asError(err error) error {
	var e *authority.Error
	if errors.As(err, &e) {
		return &signing.Error{Code: api.Code(e.Code), Message: e.Message}
	}
	return err
}

func (c *call) signed(h *authority.SignatureHeaders) *authority.Request {
	return &authority.Request{Method: c.Method, Path: c.URL.EscapedPath(), Query: c.URL.RawQuery, Body: c.body,
		Created: h.Created, ID: h.ID, IdempotencyKey: h.IdempotencyKey, KeyID: h.KeyID}
}

// identifyReader verifies a signature, or a bearer token whose grant allows
// it, of a key that still stands.
func (s *Server) identifyReader(c *call) error {
	token, err := bearer(c)
	if err != nil {
		return err
	}
	if token != nil {
		if c.key, err = s.Signing.Key(c.ctx, authority.KeyID(token.PublicKey())); err != nil {
			return err
		}
		if !c.key.Bearer || token.Pin() != c.key.Genesis.Pin() {
			return refuse(api.CodeBearerNotAllowed, "the grant doesn't allow presenting the token itself")
		}
		return s.admitReader(c)
	}
	h, err := authority.ParseSignatureHeaders(c.Header)
	if err != nil {
		return asError(err)
	}
	if c.key, err = s.Signing.Key(c.ctx, h.KeyID); err != nil {
		return err
	}
	if _, err := c.signed(h).Verify(c.key.VerifiedGrant.Credential, h.Signature, s.Now()); err != nil {
		return asError(err)
	}
	return s.admitReader(c)
}

// admitReader looks at what the grant of an authenticated reader says.
func (s *Server) admitReader(c *call) error {
	if err := s.admitAddress(c); err != nil {
		return err
	}
	if err := s.inForce(c.key); err != nil {
		return err
	}
	s.Signing.Used(c.key.KeyID)
	return nil
}

func (s *Server) inForce(k *signing.Key) error {
	switch now := s.Now().Unix(); {
	case now >= k.Expires:
		return refuse(api.CodeKeyExpired, "the key has expired")
	case now < k.NotBefore:
		return refuse(api.CodeKeyNotYetValid, "the key isn't valid yet")
	}
	return nil
}

// identifyAdmin takes a signature by an admin of the organisation in the path
// or by one of its keys. Other organisations' look as if they weren't there.
func (s *Server) identifyAdmin(c *call) error {
	h, err := authority.ParseSignatureHeaders(c.Header)
	if err != nil {
		return asError(err)
	}
	id, err := pathUUID(c, "org")
	if err != nil {
		return err
	}
	o, err := s.Org.Get(c.ctx, id)
	if err != nil {
		return err
	}
	g, err := authority.VerifyGenesis(o.Genesis)
	if err != nil {
		return fmt.Errorf("stored genesis: %w", err)
	}
	if pub, ok := g.AdminKey(h.KeyID); ok {
		if _, err := c.signed(h).Verify(pub, h.Signature, s.Now()); err != nil {
			return asError(err)
		}
		c.org = id
		return nil
	}
	if err := s.identifyReader(c); err != nil {
		return err
	}
	if c.key.OrganizationID != id {
		return refuse(api.CodeOrganizationNotFound, "there is no organisation %s", id)
	}
	return nil
}

// decision is the request as it goes to the TEE.
func (c *call) decision() *signing.Call { return &signing.Call{Key: c.key, Request: c.proof} }

// identifyDecision finds the key that a request names; the TEE proves it.
func (s *Server) identifyDecision(c *call) error {
	p := &c.proof
	p.Method, p.Path, p.Query, p.Body = c.Method, c.URL.EscapedPath(), c.URL.RawQuery, c.body
	token, err := bearer(c)
	if err != nil {
		return err
	}
	if token != nil {
		p.Auth, p.Proof = teelink.AuthBearer, []byte(token.Reveal())
		p.RequestID, p.Created = c.id, s.Now().Unix()
		if p.IdempotencyKey, err = authority.IdempotencyKey(c.Header); err != nil {
			return asError(err)
		}
		if c.key, err = s.Signing.Key(c.ctx, authority.KeyID(token.PublicKey())); err != nil {
			return err
		}
		if !c.key.Bearer {
			// Not even the TEE sees a token that its owner didn't allow to
			// be presented.
			return refuse(api.CodeBearerNotAllowed, "the grant doesn't allow presenting the token itself; sign the request (SDKs do, `sigil proxy` does for curl) or have the owner allow it")
		}
		return s.admitDecision(c)
	}
	h, err := authority.ParseSignatureHeaders(c.Header)
	if err != nil {
		return asError(err)
	}
	p.Auth, p.Proof = teelink.AuthSignature, h.Signature
	p.RequestID, p.Created, p.IdempotencyKey = h.ID, h.Created, h.IdempotencyKey
	c.id = h.ID
	if c.key, err = s.Signing.Key(c.ctx, h.KeyID); err != nil {
		return err
	}
	return s.admitDecision(c)
}

// bearer returns the token of an Authorization field, nil without one.
func bearer(c *call) (*authority.Token, error) {
	values := c.Header.Values("Authorization")
	if len(values) == 0 {
		return nil, nil
	}
	raw, ok := strings.CutPrefix(values[0], "Bearer ")
	if !ok || len(values) > 1 {
		return nil, refuse(api.CodeTokenInvalid, "the Authorization field must be Bearer with a secret token")
	}
	t, err := authority.ParseToken(raw)
	return t, asError(err)
}

func pathUUID(c *call, name string) (canon.UUID, error) {
	u, err := canon.ParseUUID(c.PathValue(name))
	if err != nil {
		return u, refuse(api.CodeInvalidArgument, "the id in the path isn't a lower-case UUID")
	}
	return u, nil
}

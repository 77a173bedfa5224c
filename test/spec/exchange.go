package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sigilkeys/sigil/api"
)

// maxBody is the limit of a request body, which the description has in words.
const maxBody = 64 << 10

// Exchange is a request with its reply.
type Exchange struct {
	Request *http.Request // method, URL and Header
	Body    []byte        // of the request, as far as it was read
	Whole   bool          // it was read to its end
	Status  int
	Header  http.Header // of the reply
	Reply   []byte
}

// Check returns in what an exchange differs from the description, nil if in
// nothing.
func (s *Spec) Check(x *Exchange) error {
	r, op := s.find(x.Request)
	code := x.code()
	switch {
	case op == nil && x.Status == http.StatusTooManyRequests && (code == api.CodeRateLimited || x.Request.Method == http.MethodHead):
		return s.unrouted[x.Status].check(x)
	case r == nil && (x.Status != http.StatusNotFound || code != api.CodeNotFound && x.Request.Method != http.MethodHead):
		return fmt.Errorf("the description has no such path, but the reply is %d %s", x.Status, code)
	case r != nil && op == nil && x.Status != http.StatusMethodNotAllowed:
		return fmt.Errorf("the description has no such method, but the reply is %d %s", x.Status, code)
	case op == nil:
		return s.unrouted[x.Status].check(x)
	}
	out := op.replies[x.Status]
	if out == nil {
		return fmt.Errorf("the status %d isn't described", x.Status)
	}
	var undescribed error
	if x.Status >= 400 && !slices.Contains(op.Codes[strconv.Itoa(x.Status)], code) {
		undescribed = fmt.Errorf("%d %s isn't among the operation's x-error-codes", x.Status, code)
	}
	return errors.Join(undescribed, out.check(x), op.agree(x, r, code))
}

// code returns the code of a refusal.
func (x *Exchange) code() api.Code {
	var e api.Envelope
	if err := json.Unmarshal(x.Reply, &e); err != nil || e.Error == nil {
		return ""
	}
	return e.Error.Code
}

// check validates a reply.
func (r *reply) check(x *Exchange) error {
	var found []error
	for _, h := range r.headers {
		// One value or several in one field are the same to HTTP.
		got := x.Header.Values(h.name)
		if len(got) == 0 {
			if h.required {
				found = append(found, fmt.Errorf("the reply has no %s", h.name))
			}
			continue
		}
		if err := h.check(strings.Join(got, ", ")); err != nil {
			found = append(found, err)
		}
	}
	if got := x.Header.Get("Content-Type"); got != mediaType {
		found = append(found, fmt.Errorf("the reply is of type %q", got))
	}
	if x.Request.Method == http.MethodHead {
		return errors.Join(found...) // a reply without a body, whatever is written
	}
	v, err := decodeStrictly(x.Reply)
	if err == nil {
		err = validate(r.body, v)
	}
	if err != nil {
		found = append(found, fmt.Errorf("the reply: %w", err))
	}
	return errors.Join(found...)
}

// agree compares what the server did with what the description says of the
// request.
func (o *operation) agree(x *Exchange, r *route, code api.Code) error {
	form, security := o.checkForm(x, r), o.checkSecurity(x.Request.Header)
	switch code {
	case "":
		if err := errors.Join(form, security); err != nil {
			return fmt.Errorf("served, though the description refuses the request: %w", err)
		}
	case api.CodeMalformedJSON, api.CodeUnknownField, api.CodeDuplicateField, api.CodeInvalidUTF8, api.CodeInvalidArgument,
		api.CodeBodyTooLarge, api.CodeUnsupportedMediaType:
		// Decisions look into what is signed, which no schema does.
		if form == nil && x.Whole && !bytes.Contains(x.Reply, []byte(`"details":{"receipt"`)) {
			return fmt.Errorf("refused with %s, though the description takes the request", code)
		}
	case api.CodeSignatureMissing:
		if security == nil {
			return errors.New("refused as unsigned, though the description's security is met")
		}
	}
	return nil
}

// checkForm validates all of a request but what proves who sent it.
func (o *operation) checkForm(x *Exchange, r *route) error {
	found := []error{o.checkBody(x)}
	query, err := url.ParseQuery(x.Request.URL.RawQuery)
	if err != nil {
		found = append(found, err)
	}
	in := map[string]url.Values{"query": query, "header": url.Values(x.Request.Header), "path": {}}
	for i, m := range r.match.FindStringSubmatch(x.Request.URL.Path)[1:] {
		in["path"].Set(r.names[i], m)
	}
	for _, p := range o.parameters {
		got := in[p.in][p.name]
		switch {
		case len(got) == 1:
			found = append(found, p.check(got[0]))
		case len(got) > 1 || p.required:
			found = append(found, fmt.Errorf("%s %s stands %d times", p.in, p.name, len(got)))
		}
		delete(query, p.name)
	}
	for name := range query {
		found = append(found, fmt.Errorf("the query parameter %q isn't described", name))
	}
	return errors.Join(found...)
}

func (o *operation) checkBody(x *Exchange) error {
	if o.body == nil {
		if len(x.Body) > 0 || x.Request.ContentLength > 0 {
			return errors.New("a body, where there is none")
		}
		return nil
	}
	if len(x.Body) > maxBody || x.Request.ContentLength > maxBody {
		return errors.New("the body is too large")
	}
	if media, _, err := mime.ParseMediaType(x.Request.Header.Get("Content-Type")); err != nil || media != mediaType {
		return errors.New("the body isn't announced as application/json")
	}
	v, err := decodeStrictly(x.Body)
	if err != nil {
		return err
	}
	return validate(o.body, v)
}

// checkSecurity requires what one of the alternatives asks for.
func (o *operation) checkSecurity(h http.Header) error {
	if len(o.security) == 0 {
		return nil
	}
	for _, all := range o.security {
		met := true
		for _, s := range all {
			if s.Type == "http" {
				met = met && strings.HasPrefix(h.Get("Authorization"), "Bearer ")
				continue
			}
			met = met && h.Get(s.Name) != ""
		}
		if met {
			return nil
		}
	}
	return errors.New("none of the ways to prove who calls was used")
}

// check validates a value that is text on the wire.
func (v *value) check(text string) error {
	var parsed any = text
	if t := resolved(v.schema).Types; t != nil && slices.Equal(t.ToStrings(), []string{"integer"}) {
		if !regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`).MatchString(text) {
			return fmt.Errorf("%s %s: %q is no integer", v.in, v.name, text)
		}
		parsed = json.Number(text)
	}
	if err := validate(v.schema, parsed); err != nil {
		return fmt.Errorf("%s %s: %w", v.in, v.name, err)
	}
	return nil
}

// decodeStrictly takes one JSON value: UTF-8, no member twice.
func decodeStrictly(b []byte) (any, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("not UTF-8")
	}
	if !jsontext.Value(b).IsValid() { // nor is it where a member stands twice
		return nil, errors.New("not one JSON value, or a member stands twice")
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(b))
}

// validate says on one line what is wrong with a value.
func validate(schema *jsonschema.Schema, v any) error {
	err := schema.Validate(v)
	if err == nil {
		return nil
	}
	_, text, _ := strings.Cut(err.Error(), "\n")
	return errors.New(strings.ReplaceAll(strings.TrimSpace(text), "\n", "; "))
}

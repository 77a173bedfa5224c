// Package spec holds what the server says and takes to api/openapi.yaml, in
// tests alone. The description and the server must agree in both directions:
//
//   - a reply that the description doesn't have (status, headers, members,
//     codes) is a fault;
//   - so is a request that is served though the description refuses it;
//   - and one that is refused for its form though the description takes it.
//
// What is sent on purpose to be refused needs no exception: that it's refused,
// and how, is held to the description like everything else.
package spec

import (
	"fmt"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sigilkeys/sigil/api"
)

// Spec is a parsed description. It is safe for use by many goroutines.
type Spec struct {
	doc      *document
	routes   []*route
	unrouted map[int]*reply // replies that belong to no operation, by status
	schemas  map[string]*jsonschema.Schema
	examples []Example
}

// route is a path of the description.
type route struct {
	template string
	match    *regexp.Regexp
	names    []string // of the path's parameters
	ops      map[string]*operation
}

type operation struct {
	*described
	body       *jsonschema.Schema // nil: takes none
	parameters []*value
	security   [][]*scheme // any of them, all that it lists
	replies    map[int]*reply
}

// value is a parameter or a header, with what it may be.
type value struct {
	name, in string
	required bool
	schema   *jsonschema.Schema
}

type reply struct {
	headers []*value
	body    *jsonschema.Schema
}

// Example is one that the description gives, and what it is of.
type Example struct {
	Name   string // in components/examples
	Of     string // operation or response
	Value  []byte
	schema *jsonschema.Schema
}

type parsed struct {
	spec *Spec
	err  error
}

var own = sync.OnceValue(func() parsed {
	s, err := Parse(api.OpenAPI())
	return parsed{s, err}
})

// Load returns api/openapi.yaml, parsed once for all tests of a process.
func Load() (*Spec, error) {
	p := own()
	return p.spec, p.err
}

// Parse reads a description. What it doesn't understand it refuses, so that
// no part of the file is believed to be checked and isn't.
func Parse(text string) (*Spec, error) {
	tree, d, err := decode(text)
	if err != nil {
		return nil, err
	}
	b, err := newBuilder(tree, d)
	if err != nil {
		return nil, err
	}
	s := &Spec{doc: d, unrouted: map[int]*reply{}, schemas: b.named}
	for template, methods := range d.Paths {
		r, err := newRoute(template)
		if err != nil {
			return nil, err
		}
		for method, op := range methods {
			at := "/paths/" + escape(template) + "/" + method
			if r.ops[strings.ToUpper(method)], err = b.operation(at, r, op); err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, template, err)
			}
		}
		s.routes = append(s.routes, r)
	}
	// Where two paths match, the one without parameters is meant.
	slices.SortFunc(s.routes, func(a, b *route) int { return len(a.names) - len(b.names) })
	for status, name := range map[int]string{http.StatusNotFound: "NotFound", http.StatusMethodNotAllowed: "MethodNotAllowed", http.StatusTooManyRequests: "TooManyRequests"} {
		if s.unrouted[status], err = b.reply("", &response{Ref: "#/components/responses/" + name}); err != nil {
			return nil, err
		}
	}
	s.examples = b.examples
	return s, b.unused()
}

func newRoute(template string) (*route, error) {
	r := &route{template: template, ops: map[string]*operation{}}
	parameter := regexp.MustCompile(`\\\{(\w+)\\\}`)
	quoted := regexp.QuoteMeta(template)
	for _, m := range parameter.FindAllStringSubmatch(quoted, -1) {
		r.names = append(r.names, m[1])
	}
	var err error
	r.match, err = regexp.Compile("^" + parameter.ReplaceAllString(quoted, "([^/]+)") + "$")
	return r, err
}

// Routes lists "METHOD /path" of all operations.
func (s *Spec) Routes() []string {
	var out []string
	for _, r := range s.routes {
		for method := range r.ops {
			out = append(out, method+" "+r.template)
		}
	}
	slices.Sort(out)
	return out
}

// Query lists the query parameters of a route, in order.
func (s *Spec) Query(method, template string) []string {
	var out []string
	if op := s.operation(method, template); op != nil {
		for _, p := range op.parameters {
			if p.in == "query" {
				out = append(out, p.name)
			}
		}
	}
	return out
}

// Codes lists the error codes of a route, with their status.
func (s *Spec) Codes(method, template string) map[api.Code]int {
	out := map[api.Code]int{}
	if op := s.operation(method, template); op != nil {
		for status, codes := range op.Codes {
			n, _ := strconv.Atoi(status) // the builder has read it
			for _, c := range codes {
				out[c] = n
			}
		}
	}
	return out
}

// Members lists the members of a route's body with the JSON types that each
// takes; none for a route without a body.
func (s *Spec) Members(method, template string) map[string][]string {
	out := map[string][]string{}
	op := s.operation(method, template)
	if op == nil || op.body == nil {
		return out
	}
	for name, member := range resolved(op.body).Properties {
		out[name] = []string{}
		if t := resolved(member).Types; t != nil {
			out[name] = t.ToStrings()
		}
	}
	return out
}

// Names lists the names of members of a route's body, those of its items too.
func (s *Spec) Names(method, template string) []string {
	var out []string
	var walk func(*jsonschema.Schema)
	walk = func(schema *jsonschema.Schema) {
		if schema == nil {
			return
		}
		schema = resolved(schema)
		for name, member := range schema.Properties {
			out = append(out, name)
			walk(member)
		}
		for _, one := range schema.AnyOf {
			walk(one)
		}
		walk(schema.Items2020)
	}
	if op := s.operation(method, template); op != nil {
		walk(op.body)
	}
	return out
}

// Serves reports whether the path of a route is served with the method.
func (s *Spec) Serves(method, template string) bool { return s.operation(method, template) != nil }

// TakesQuery reports whether a route takes the value of a query parameter.
func (s *Spec) TakesQuery(method, template, name, text string) bool {
	op := s.operation(method, template)
	return op != nil && slices.ContainsFunc(op.parameters, func(p *value) bool {
		return p.in == "query" && p.name == name && p.check(text) == nil
	})
}

// TakesBody reports whether a route takes a body.
func (s *Spec) TakesBody(method, template, body string) bool {
	op := s.operation(method, template)
	if op == nil || op.body == nil {
		return false
	}
	v, err := decodeStrictly([]byte(body))
	return err == nil && validate(op.body, v) == nil
}

func resolved(s *jsonschema.Schema) *jsonschema.Schema {
	for s.Ref != nil {
		s = s.Ref
	}
	return s
}

func (s *Spec) operation(method, template string) *operation {
	for _, r := range s.routes {
		if r.template == template {
			return r.ops[method]
		}
	}
	return nil
}

// Examples lists what the description gives as examples.
func (s *Spec) Examples() []Example { return slices.Clone(s.examples) }

// Check validates an example's value.
func (e *Example) Check() error {
	v, err := decodeStrictly(e.Value)
	if err != nil {
		return err
	}
	return validate(e.schema, v)
}

// find returns what describes a request. A path that would have to be cleaned
// isn't described.
func (s *Spec) find(r *http.Request) (*route, *operation) {
	if p := r.URL.Path; path.Clean(p) != p {
		return nil, nil
	}
	for _, one := range s.routes {
		if one.match.MatchString(r.URL.Path) {
			return one, one.ops[r.Method]
		}
	}
	return nil, nil
}

package spec

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sigilkeys/sigil/api"
)

const (
	location  = "mem:///openapi.yaml"
	mediaType = "application/json"
)

// builder turns a document into a Spec.
type builder struct {
	doc      *document
	compiler *jsonschema.Compiler
	named    map[string]*jsonschema.Schema
	used     map[string]bool // components that something refers to
	examples []Example
}

func newBuilder(tree []byte, d *document) (*builder, error) {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(tree))
	if err != nil {
		return nil, err
	}
	if err := checkKeywords(v.(map[string]any)["components"].(map[string]any)); err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.AssertContent()
	c.RegisterFormat(&jsonschema.Format{Name: "bytes-100", Validate: atMost100Bytes})
	if err := c.AddResource(location, v); err != nil {
		return nil, err
	}
	b := &builder{doc: d, compiler: c, named: map[string]*jsonschema.Schema{}, used: map[string]bool{}}
	for name := range d.Components.Schemas {
		if b.named[name], err = b.schema("/components/schemas/" + escape(name)); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// atMost100Bytes is a bound that maxLength, which counts characters, can't say.
func atMost100Bytes(v any) error {
	if s, ok := v.(string); ok && len(s) > 100 {
		return fmt.Errorf("%d bytes, at most 100 allowed", len(s))
	}
	return nil
}

// checkKeywords looks through the schemas of all components; operations refer
// to these alone.
func checkKeywords(components map[string]any) error {
	found := knownKeywords(components["schemas"], "schemas")
	for _, kind := range []string{"parameters", "headers"} {
		for name, one := range components[kind].(map[string]any) {
			found = errors.Join(found, knownKeywordsOf(one.(map[string]any)["schema"], kind+"/"+name))
		}
	}
	for name, one := range components["responses"].(map[string]any) {
		for _, m := range one.(map[string]any)["content"].(map[string]any) {
			found = errors.Join(found, knownKeywordsOf(m.(map[string]any)["schema"], "responses/"+name))
		}
	}
	return found
}

// knownKeywords refuses a schema keyword that JSON Schema would ignore, as it
// does a misspelt one.
func knownKeywords(schemas any, at string) error {
	named, ok := schemas.(map[string]any)
	if !ok {
		return fmt.Errorf("%s isn't an object", at)
	}
	for name, v := range named {
		if err := knownKeywordsOf(v, at+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

func knownKeywordsOf(schema any, at string) error {
	members, ok := schema.(map[string]any)
	if !ok { // true, false
		return nil
	}
	for keyword, v := range members {
		var err error
		switch here := at + "/" + keyword; keyword {
		case "properties":
			err = knownKeywords(v, here)
		case "items", "additionalProperties", "propertyNames":
			err = knownKeywordsOf(v, here)
		case "allOf", "oneOf", "anyOf":
			for _, one := range v.([]any) {
				err = errors.Join(err, knownKeywordsOf(one, here))
			}
		case "$ref", "type", "description", "enum", "const", "default", "format", "pattern", "minLength", "maxLength", "minimum", "maximum",
			"required", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "contentEncoding":
		default:
			err = fmt.Errorf("%s: the keyword isn't known to this test", here)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func escape(token string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(token)
}

func (b *builder) schema(pointer string) (*jsonschema.Schema, error) {
	return b.compiler.Compile(location + "#" + pointer)
}

// resolve looks a reference up in one kind of components.
func resolve[T any](b *builder, components map[string]*T, ref, kind string) (*T, string, error) {
	name, ok := strings.CutPrefix(ref, "#/components/"+kind+"/")
	v := components[name]
	if !ok || v == nil {
		return nil, "", fmt.Errorf("%s refers to none of components/%s", ref, kind)
	}
	b.used[kind+"/"+name] = true
	return v, ref[1:], nil
}

func (b *builder) operation(at string, r *route, d *described) (*operation, error) {
	o := &operation{described: d, replies: map[int]*reply{}}
	var err error
	for i, p := range d.Parameters {
		v, err := b.parameter(at+"/parameters/"+strconv.Itoa(i), p)
		if err != nil {
			return nil, err
		}
		if v.in == "path" && !slices.Contains(r.names, v.name) {
			return nil, fmt.Errorf("the path has no %s", v.name)
		}
		o.parameters = append(o.parameters, v)
	}
	if n := len(slices.DeleteFunc(slices.Clone(o.parameters), func(v *value) bool { return v.in != "path" })); n != len(r.names) {
		return nil, fmt.Errorf("%d path parameters are described, the path has %v", n, r.names)
	}
	if d.RequestBody != nil {
		if !d.RequestBody.Required {
			return nil, errors.New("a body must be required")
		}
		if o.body, err = b.content(at+"/requestBody", d.OperationID+" request", d.RequestBody.Content); err != nil {
			return nil, err
		}
	}
	for status, r := range d.Responses {
		n, err := strconv.Atoi(status)
		if err != nil {
			return nil, fmt.Errorf("response %q is no status", status)
		}
		if o.replies[n], err = b.reply(at+"/responses/"+status, r); err != nil {
			return nil, fmt.Errorf("response %s: %w", status, err)
		}
	}
	if o.security, err = b.security(d.Security); err != nil {
		return nil, err
	}
	if d.OperationID == "" || d.Summary == "" {
		return nil, errors.New("no operationId or summary")
	}
	return o, checkCodes(d)
}

// checkCodes requires that responses and codes are of the same statuses, and
// each code of its own.
func checkCodes(d *described) error {
	want := map[string]bool{}
	for status := range d.Responses {
		if status >= "400" {
			want[status] = true
		}
	}
	have := map[string]bool{}
	status := map[api.Code]int{}
	for _, s := range api.Specs() {
		status[s.Code] = s.Status
	}
	for n, codes := range d.Codes {
		have[n] = true
		for _, c := range codes {
			if strconv.Itoa(status[c]) != n {
				return fmt.Errorf("x-error-codes has %s under %s, api.Specs under %d", c, n, status[c])
			}
		}
		if len(codes) == 0 {
			return fmt.Errorf("x-error-codes: none for %s", n)
		}
	}
	if !maps.Equal(want, have) {
		return fmt.Errorf("responses %v, but x-error-codes for %v", slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(have)))
	}
	return nil
}

func (b *builder) parameter(at string, p *parameter) (_ *value, err error) {
	if p.Ref != "" {
		if p, at, err = resolve(b, b.doc.Components.Parameters, p.Ref, "parameters"); err != nil {
			return nil, err
		}
	}
	if !slices.Contains([]string{"path", "query", "header"}, p.In) || p.Required != (p.In == "path") && p.In != "query" {
		return nil, fmt.Errorf("parameter %s in %q is new to this test", p.Name, p.In)
	}
	v := &value{name: p.Name, in: p.In, required: p.Required}
	v.schema, err = b.schema(at + "/schema")
	return v, err
}

func (b *builder) reply(at string, r *response) (_ *reply, err error) {
	of := at
	if r.Ref != "" {
		of = r.Ref
		if r, at, err = resolve(b, b.doc.Components.Responses, r.Ref, "responses"); err != nil {
			return nil, err
		}
	}
	out := &reply{}
	for name, h := range r.Headers {
		where := at + "/headers/" + name
		if h.Ref != "" {
			if h, where, err = resolve(b, b.doc.Components.Headers, h.Ref, "headers"); err != nil {
				return nil, err
			}
		}
		v := &value{name: name, in: "header", required: h.Required}
		if v.schema, err = b.schema(where + "/schema"); err != nil {
			return nil, err
		}
		out.headers = append(out.headers, v)
	}
	if r.Description == "" || r.Headers["Sigil-Request-Id"] == nil {
		return nil, errors.New("no description, or no Sigil-Request-Id")
	}
	out.body, err = b.content(at, of, r.Content)
	return out, err
}

func (b *builder) content(at, of string, content map[string]media) (*jsonschema.Schema, error) {
	m, ok := content[mediaType]
	if !ok || len(content) != 1 {
		return nil, errors.New("the content isn't application/json alone")
	}
	schema, err := b.schema(at + "/content/" + escape(mediaType) + "/schema")
	if err != nil {
		return nil, err
	}
	if len(m.Examples) == 0 {
		return nil, errors.New("no example")
	}
	for _, e := range m.Examples {
		ref := e.Ref
		if e, _, err = resolve(b, b.doc.Components.Examples, ref, "examples"); err != nil {
			return nil, err
		}
		b.examples = append(b.examples, Example{Name: strings.TrimPrefix(ref, "#/components/examples/"), Of: of, Value: e.Value, schema: schema})
	}
	return schema, nil
}

func (b *builder) security(list []requirement) (out [][]*scheme, err error) {
	if list == nil {
		list = b.doc.Security
	}
	for _, r := range list {
		var all []*scheme
		for name := range r {
			s, _, err := resolve(b, b.doc.Components.SecuritySchemes, "#/components/securitySchemes/"+name, "securitySchemes")
			if err != nil {
				return nil, err
			}
			if !(s.Type == "apiKey" && s.In == "header") && !(s.Type == "http" && s.Scheme == "bearer") {
				return nil, fmt.Errorf("security scheme %s is new to this test", name)
			}
			all = append(all, s)
		}
		out = append(out, all)
	}
	return out, nil
}

// unused finds components that nothing refers to.
func (b *builder) unused() error {
	var out []error
	note := func(kind, name string) {
		if !b.used[kind+"/"+name] {
			out = append(out, fmt.Errorf("components/%s/%s isn't used", kind, name))
		}
	}
	c := &b.doc.Components
	for name := range c.Parameters {
		note("parameters", name)
	}
	for name := range c.Headers {
		note("headers", name)
	}
	for name := range c.Responses {
		note("responses", name)
	}
	for name := range c.Examples {
		note("examples", name)
	}
	return errors.Join(out...)
}

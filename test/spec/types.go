package spec

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Types compares Go types with schemas, member by member: names, types,
// what may be left out.
type Types struct {
	spec  *Spec
	named map[reflect.Type]string // the schema of each struct
	// Reads compares types that requests are read into: what may be left
	// out isn't seen there.
	Reads bool
}

// Types returns a comparison in which each struct stands for one schema.
func (s *Spec) Types(named map[string]any) *Types {
	t := &Types{spec: s, named: map[reflect.Type]string{}}
	for name, v := range named {
		t.named[reflect.TypeOf(v)] = name
	}
	return t
}

// Objects lists the schemas of objects that aren't envelopes of a reply.
func (s *Spec) Objects() []string {
	var out []string
	for name, schema := range s.schemas {
		if schema.Types != nil && slices.Contains(schema.Types.ToStrings(), "object") && schema.Properties["data"] == nil {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Check compares one of the types, a value of which is given.
func (t *Types) Check(v any) error {
	typ := reflect.TypeOf(v)
	schema := t.spec.schemas[t.named[typ]]
	if schema == nil {
		return fmt.Errorf("%v stands for no schema", typ)
	}
	left := map[string]bool{}
	for name := range schema.Properties {
		left[name] = true
	}
	var found []error
	for _, f := range fields(typ) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		member := schema.Properties[name]
		if name == "" || member == nil {
			found = append(found, fmt.Errorf("%v.%s: the schema %s has no %q", typ, f.Name, t.named[typ], name))
			continue
		}
		delete(left, name)
		optional := strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
		if !t.Reads && optional == slices.Contains(schema.Required, name) {
			found = append(found, fmt.Errorf("%v.%s: left out sometimes: %v; required: %v", typ, f.Name, optional, !optional))
		}
		if err := t.value(f.Type, member); err != nil {
			found = append(found, fmt.Errorf("%v.%s: %w", typ, f.Name, err))
		}
	}
	for name := range left {
		found = append(found, fmt.Errorf("%v has no member for %q", typ, name))
	}
	return errors.Join(found...)
}

// fields lists what JSON sees of a struct: a name of an embedded one is hidden
// by the same above it.
func fields(typ reflect.Type) []reflect.StructField {
	byName := map[string]reflect.StructField{}
	for _, f := range reflect.VisibleFields(typ) {
		name, _, tagged := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" && !tagged {
			continue
		}
		if other, ok := byName[name]; !ok || len(f.Index) < len(other.Index) {
			byName[name] = f
		}
	}
	var out []reflect.StructField
	for _, f := range byName {
		out = append(out, f)
	}
	return out
}

// value compares the type of a member with its schema.
func (t *Types) value(typ reflect.Type, schema *jsonschema.Schema) error {
	schema = notNull(resolved(schema))
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	kind := ""
	if schema.Types != nil {
		kind = strings.Join(schema.Types.ToStrings(), " ")
	}
	differs := fmt.Errorf("%v for a %q", typ, kind)
	switch {
	case typ == reflect.TypeFor[time.Time]():
		return unless(kind == "string" && schema.Format != nil && schema.Format.Name == "date-time", differs)
	case typ == reflect.TypeFor[json.RawMessage]():
		return unless(kind == "object", differs)
	case typ == reflect.TypeFor[jsontext.Value](): // as it came, whatever it is, or an object that others look into
		return unless(kind == "" && len(schema.AnyOf) > 0 || kind == "object", differs)
	case typ == reflect.TypeFor[[]byte]():
		return unless(kind == "string" && schema.ContentEncoding != nil && schema.ContentEncoding.Name == "base64", differs)
	}
	switch typ.Kind() {
	case reflect.String:
		return unless(kind == "string" && schema.ContentEncoding == nil && (schema.Format == nil || schema.Format.Name != "date-time"), differs)
	case reflect.Bool:
		return unless(kind == "boolean", differs)
	case reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64:
		return errors.Join(unless(kind == "integer", differs), fits(typ, schema))
	case reflect.Slice:
		if kind != "array" || schema.Items2020 == nil {
			return differs
		}
		return t.value(typ.Elem(), schema.Items2020)
	case reflect.Map:
		items, ok := schema.AdditionalProperties.(*jsonschema.Schema)
		if kind != "object" || !ok || typ.Key().Kind() != reflect.String {
			return differs
		}
		return t.value(typ.Elem(), items)
	case reflect.Struct:
		at := location + "#/components/schemas/" + t.named[typ]
		return unless(schema.Location == at, fmt.Errorf("%v for %s", typ, schema.Location))
	}
	return fmt.Errorf("%v is a kind of type that isn't compared", typ)
}

// notNull is the schema of a value that may also be null: one of two.
func notNull(s *jsonschema.Schema) *jsonschema.Schema {
	if len(s.OneOf) == 2 && s.OneOf[1].Types != nil && slices.Equal(s.OneOf[1].Types.ToStrings(), []string{"null"}) {
		return resolved(s.OneOf[0])
	}
	return s
}

// fits requires that an unsigned or small type holds all that its schema allows.
func fits(typ reflect.Type, schema *jsonschema.Schema) error {
	unsigned := typ.Kind() == reflect.Uint32 || typ.Kind() == reflect.Uint64
	if unsigned && (schema.Minimum == nil || schema.Minimum.Sign() < 0) {
		return fmt.Errorf("%v can't be negative, the schema can", typ)
	}
	if most := new(big.Rat).SetInt64(1<<32 - 1); typ.Kind() == reflect.Uint32 && (schema.Maximum == nil || schema.Maximum.Cmp(most) > 0) {
		return fmt.Errorf("%v is smaller than the schema's maximum", typ)
	}
	return nil
}

func unless(ok bool, err error) error {
	if ok {
		return nil
	}
	return err
}

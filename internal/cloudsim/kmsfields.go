package cloudsim

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// fieldAt follows a path of field names, as proto or JSON spell them, to the
// message that has the last one. With make, messages on the way are made.
func fieldAt(m protoreflect.Message, path string, create bool) (protoreflect.Message, protoreflect.FieldDescriptor, error) {
	first, rest, deeper := strings.Cut(path, ".")
	field := m.Descriptor().Fields().ByName(protoreflect.Name(first))
	if field == nil {
		field = m.Descriptor().Fields().ByJSONName(first)
	}
	if field == nil || field.IsList() || field.IsMap() {
		return nil, nil, fmt.Errorf("no field %q", first)
	}
	if !deeper {
		return m, field, nil
	}
	if field.Message() == nil {
		return nil, nil, fmt.Errorf("%q is no message", first)
	}
	if create {
		return fieldAt(m.Mutable(field).Message(), rest, create)
	}
	return fieldAt(m.Get(field).Message(), rest, create)
}

// fieldText returns a text field, "" where it isn't one or isn't set.
func fieldText(m protoreflect.Message, path string) string {
	owner, field, err := fieldAt(m, path, false)
	if err != nil || field.Kind() != protoreflect.StringKind {
		return ""
	}
	return owner.Get(field).String()
}

// setField sets a field from text, for the kinds that paths and queries of
// the API have.
func setField(m protoreflect.Message, path, text string) error {
	owner, field, err := fieldAt(m, path, true)
	if err != nil {
		return err
	}
	switch field.Kind() {
	case protoreflect.StringKind:
		owner.Set(field, protoreflect.ValueOfString(text))
	case protoreflect.BoolKind:
		v, err := strconv.ParseBool(text)
		if err != nil {
			return err
		}
		owner.Set(field, protoreflect.ValueOfBool(v))
	case protoreflect.Int32Kind:
		v, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return err
		}
		owner.Set(field, protoreflect.ValueOfInt32(int32(v)))
	case protoreflect.EnumKind:
		v := field.Enum().Values().ByName(protoreflect.Name(text))
		if v == nil {
			return fmt.Errorf("no value %q", text)
		}
		owner.Set(field, protoreflect.ValueOfEnum(v.Number()))
	case protoreflect.MessageKind:
		mask, ok := owner.Mutable(field).Message().Interface().(*fieldmaskpb.FieldMask)
		if !ok {
			return fmt.Errorf("%q can't be set by a parameter", path)
		}
		mask.Paths = append(mask.Paths, strings.Split(text, ",")...)
	default:
		return fmt.Errorf("%q can't be set by a parameter", path)
	}
	return nil
}

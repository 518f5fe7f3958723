package jobs

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
)

// Option describes one field of a kind's options, for help texts and
// generated documentation.
type Option struct {
	// Path is the dotted name inside `with:`, such as "limits.memory".
	Path string
	// Type is a word for people: text, number, true or false, duration, size,
	// share, path, secret, list of …, map of …, group.
	Type string
	// Default is the text form of the default; empty when there is none.
	Default string
	// Required tells that the option must be given.
	Required bool
	// Enum lists the allowed words, when they are few.
	Enum []string
	// Doc is one sentence or more; Example is a value as it would be written.
	Doc, Example string
}

// Describe lists the options of k in the order of its struct, groups before
// their members.
func (k Kind) Describe() []Option {
	return DescribeOptions(k.Options())
}

// DescribeOptions lists the fields of an options struct, given as a pointer to
// the defaults, by its `yaml`, `doc`, `required`, `enum` and `example` tags.
func DescribeOptions(options any) []Option {
	return describe("", reflect.ValueOf(options).Elem())
}

func describe(prefix string, v reflect.Value) []Option {
	var out []Option
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, flags, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if name == "-" || !field.IsExported() {
			continue
		}
		if strings.Contains(flags, "inline") {
			out = append(out, describe(prefix, v.Field(i))...)
			continue
		}
		option := Option{
			Path:     prefix + name,
			Type:     typeWord(field.Type),
			Default:  defaultText(v.Field(i)),
			Required: field.Tag.Get("required") == "true",
			Doc:      field.Tag.Get("doc"),
			Example:  field.Tag.Get("example"),
		}
		if enum := field.Tag.Get("enum"); enum != "" {
			option.Enum = strings.Split(enum, ",")
		}
		out = append(out, option)
		if inner, ok := group(v.Field(i)); ok {
			out = append(out, describe(option.Path+".", inner)...)
		}
	}
	return out
}

// group returns the struct whose members an option consists of, if it is one.
func group(v reflect.Value) (reflect.Value, bool) {
	t := v.Type()
	suffix := t
	if t.Kind() == reflect.Pointer {
		suffix = t.Elem()
	}
	if suffix.Kind() != reflect.Struct || isText(suffix) {
		return reflect.Value{}, false
	}
	if t.Kind() != reflect.Pointer {
		return v, true
	}
	if v.IsNil() {
		return reflect.New(suffix).Elem(), true
	}
	return v.Elem(), true
}

func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func typeWord(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[unit.Duration]():
		return "duration"
	case reflect.TypeFor[unit.Size]():
		return "size"
	case reflect.TypeFor[unit.Share]():
		return "share"
	case reflect.TypeFor[unit.Path]():
		return "path"
	case reflect.TypeFor[secret.String]():
		return "secret"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeWord(t.Elem())
	case reflect.Slice, reflect.Array:
		return "list of " + typeWord(t.Elem())
	case reflect.Map:
		return "map of " + typeWord(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64, reflect.Uint64, reflect.Float64, reflect.Uint32, reflect.Int32:
		return "number"
	case reflect.Struct:
		if !isText(t) {
			return "group"
		}
	}
	return "text"
}

func defaultText(v reflect.Value) string {
	if v.IsZero() || v.Kind() == reflect.Struct && !isText(v.Type()) {
		return ""
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.Pointer:
		if v.Kind() == reflect.Pointer && v.Elem().Kind() != reflect.Struct {
			return defaultText(v.Elem())
		}
		if v.Kind() == reflect.Slice {
			parts := make([]string, v.Len())
			for i := range v.Len() {
				parts[i] = fmt.Sprint(v.Index(i).Interface())
			}
			return "[" + strings.Join(parts, ", ") + "]"
		}
		return ""
	}
	return fmt.Sprint(v.Interface())
}

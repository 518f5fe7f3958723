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
	// Path is the dotted name inside `with:`, such as "limits.memory"; "[]"
	// stands for an entry of a list and "*" for a key of a map.
	Path string
	// Type is a word for people: text, number, true or false, duration, size,
	// share, path, secret, list of …, text or list of text, map of …, group.
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
		if inner, path, ok := members(v.Field(i), option.Path); ok {
			out = append(out, describe(path+".", inner)...)
		}
	}
	return out
}

// members returns the struct whose fields an option consists of, and its path:
// that of the option itself, or of one entry of a list ("paths[]") or of a map
// ("thresholds.*").
func members(v reflect.Value, path string) (inner reflect.Value, at string, ok bool) {
	t := v.Type()
	switch {
	case isText(t) && !isShorthand(t):
		return reflect.Value{}, "", false
	case t.Kind() == reflect.Struct:
		return v, path, true
	case t.Kind() == reflect.Pointer && !v.IsNil():
		return members(v.Elem(), path)
	case t.Kind() == reflect.Pointer:
		return members(reflect.New(t.Elem()).Elem(), path)
	case t.Kind() == reflect.Slice, t.Kind() == reflect.Array:
		return members(reflect.New(t.Elem()).Elem(), path+"[]")
	case t.Kind() == reflect.Map:
		return members(reflect.New(t.Elem()).Elem(), path+".*")
	}
	return reflect.Value{}, "", false
}

func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// isShorthand tells whether a value is a group of options or one text.
func isShorthand(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && reflect.PointerTo(t).Implements(reflect.TypeFor[unit.Shorthand]())
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
		if isText(t) { // one or several, as in unit.Names
			return typeWord(t.Elem()) + " or list of " + typeWord(t.Elem())
		}
		return "list of " + plural(typeWord(t.Elem()))
	case reflect.Map:
		return "map of " + plural(typeWord(t.Elem()))
	case reflect.Bool:
		return "true or false"
	case reflect.Struct:
		if isShorthand(t) {
			return "text or group"
		}
		if !isText(t) {
			return "group"
		}
	default:
		if t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64 && !isText(t) {
			return "number"
		}
	}
	return "text"
}

func plural(word string) string {
	if word == "group" {
		return "groups"
	}
	return word
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

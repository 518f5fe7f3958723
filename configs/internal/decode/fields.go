package decode

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"

	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/unit"
)

// Field is one key that a struct understands.
type Field struct {
	Name  string
	Index []int
	Type  reflect.Type
	// Doc and Example describe the field for people; Enum lists its words.
	Doc, Example string
	Enum         []string
	Required     bool
	// Fixed tells that no reference may stand in the value.
	Fixed bool
	// Least and Most bound a number, when Bounded.
	Bounded     bool
	Least, Most int64
	// Later marks a key that a coming version understands; it says what for.
	Later string
}

// Fields returns the keys of a struct type by its tags: `yaml:"name"` (or
// `yaml:",inline"` for embedded structs), `doc`, `example`, `enum:"a,b"`,
// `required:"true"`, `fixed:"true"`, `range:"1,100"` and `later:"what for"`.
func Fields(t reflect.Type) []Field {
	var out []Field
	for i := range t.NumField() {
		f := t.Field(i)
		name, flags, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		inline := strings.Contains(flags, "inline")
		if name == "-" || !f.IsExported() && !(inline && f.Anonymous) {
			continue
		}
		if inline {
			for _, inner := range Fields(f.Type) {
				inner.Index = append([]int{i}, inner.Index...)
				out = append(out, inner)
			}
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		field := Field{
			Name: name, Index: []int{i}, Type: f.Type, Doc: f.Tag.Get("doc"), Example: f.Tag.Get("example"),
			Required: f.Tag.Get("required") == "true", Fixed: f.Tag.Get("fixed") == "true", Later: f.Tag.Get("later"),
		}
		if bounds := f.Tag.Get("range"); bounds != "" {
			_, err := fmt.Sscanf(bounds, "%d,%d", &field.Least, &field.Most)
			field.Bounded = err == nil
		}
		if enum := f.Tag.Get("enum"); enum != "" {
			field.Enum = strings.Split(enum, ",")
		}
		out = append(out, field)
	}
	return out
}

// IsText tells whether values of t are read from the text of a scalar by their
// own method.
func IsText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// IsShorthand tells whether a value of t is a group of keys or one value.
func IsShorthand(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && reflect.PointerTo(t).Implements(reflect.TypeFor[unit.Shorthand]())
}

// raw is the type of fields that take a value undecoded.
var raw = reflect.TypeFor[*source.Node]() //nolint:gochecknoglobals // a type, not state

// IsRaw tells whether t takes a value undecoded.
func IsRaw(t reflect.Type) bool { return t == raw }

// Describer is implemented by types of the configuration whose values have
// more than one form, so that the schema can tell which.
type Describer interface {
	// Schema returns the JSON Schema of the type; inner describes another type.
	Schema(inner func(reflect.Type) map[string]any) map[string]any
}

// Custom is implemented by types of the configuration that decode themselves.
type Custom interface {
	Describer
	// Decode takes the value n, which stands at path and was introduced by the
	// key at, and reports what is wrong with it to d.
	Decode(d *Decoder, n *source.Node, path string, at source.Pos)
}

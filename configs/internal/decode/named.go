package decode

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/ghosteam/upkeep/configs/internal/source"
)

// NamePattern is what the names of workflows, jobs, stores, databases, checks
// and parameters look like.
const NamePattern = `^[a-z0-9][a-z0-9_-]*$`

// MaxName is the length of the longest name.
const MaxName = 64

var namePattern = regexp.MustCompile(NamePattern)

// CheckName tells whether text has the form of a name, and if not what to write
// instead.
func CheckName(text string) (hint string, ok bool) {
	if namePattern.MatchString(text) && len(text) <= MaxName {
		return "", true
	}
	return nameHint(text), false
}

// Named is a map of the configuration from names to T that keeps the order of
// the file.
type Named[T any] []Item[T]

// Item is one entry of a Named.
type Item[T any] struct {
	Name  string
	At    source.Pos // of the name
	Node  *source.Node
	Value T
}

// Lookup returns the item of that name.
func (m Named[T]) Lookup(name string) (*Item[T], bool) {
	for i := range m {
		if m[i].Name == name {
			return &m[i], true
		}
	}
	return nil, false
}

// Names returns the names in the order of the file.
func (m Named[T]) Names() []string {
	names := make([]string, len(m))
	for i := range m {
		names[i] = m[i].Name
	}
	return names
}

// Decode reads the map.
func (m *Named[T]) Decode(d *Decoder, n *source.Node, path string, at source.Pos) {
	f := field{path: path, at: at}
	if n.Kind != source.Map && n.Kind != source.Null {
		d.Report(n.Pos, "wrong-type", path, f.name()+" must be a map from names", "write one \"name:\" per line and what belongs to it below")
		return
	}
	for _, e := range n.Entries {
		if hint, ok := CheckName(e.Key); !ok {
			d.Report(e.At, "bad-name", path, fmt.Sprintf("%q cannot be a name in %s", e.Key, f.name()), hint)
		}
		item := Item[T]{Name: e.Key, At: e.At, Node: e.Value}
		d.value(e.Value, reflect.ValueOf(&item.Value).Elem(), f.child(e.Key, e.At))
		*m = append(*m, item)
	}
}

// Schema describes the map.
func (m *Named[T]) Schema(inner func(reflect.Type) map[string]any) map[string]any {
	return map[string]any{
		"type":                 []string{"object", "null"},
		"propertyNames":        map[string]any{"pattern": NamePattern, "maxLength": MaxName},
		"additionalProperties": inner(reflect.TypeFor[T]()),
	}
}

// nameHint proposes a name close to what was written.
func nameHint(name string) string {
	const rule = "a name has lower-case letters, digits, - and _, begins with a letter or digit, and has at most 64 characters"
	simple := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		case r == ' ', r == '.', r == '/':
			return '-'
		}
		return -1
	}, strings.ToLower(name))
	simple = strings.Trim(simple, "-_")
	if simple == "" || len(simple) > MaxName {
		return rule
	}
	return fmt.Sprintf("write %q: %s", simple, rule)
}

package configs

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner/retry"
)

// schemaDialect is the version of JSON Schema that Schema writes.
const schemaDialect = "https://json-schema.org/draft/2020-12/schema"

// Schema returns the JSON Schema (draft 2020-12) of configuration files, made
// from the structs that the loader decodes into and from the options of the
// kinds in the catalog. The same catalog gives the same bytes. What the loader
// refuses beyond the form of a file, such as a name that does not exist, the
// schema cannot know.
func Schema(catalog Catalog) ([]byte, error) {
	catalog = catalog.withDefaults()
	root := schemaOfStruct(reflect.TypeFor[frame](), reflect.ValueOf(defaults()))
	root["$schema"] = schemaDialect
	root["title"] = "upkeep configuration"
	root["type"] = "object"
	root["patternProperties"] = fragment{"^" + extension: fragment{"description": "Ignored: a place for anchors that several jobs share."}}
	root["$defs"] = map[string]any{
		"reference": fragment{
			"description": "A value that comes from the environment, from a file or from a parameter of the run.",
			"type":        "string", "pattern": `\$\{(env|file|param):[^}]+\}`,
		},
		"store":    schemaOfFlat(stores(catalog)),
		"channel":  schemaOfFlat(channels(catalog)),
		"check":    schemaWithOptions(reflect.TypeFor[checkField](), catalog.Kinds, true),
		"job":      schemaWithOptions(reflect.TypeFor[jobFile](), catalog.Kinds, false),
		"workflow": schemaOfStruct(reflect.TypeFor[workflowFile](), reflect.Value{}),
	}
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	return append(text, '\n'), nil
}

// fragment is a part of the schema.
type fragment = map[string]any

// orReference lets a reference stand in for a value.
func orReference(schema fragment) fragment {
	return fragment{"anyOf": []any{schema, fragment{"$ref": "#/$defs/reference"}}}
}

// schemaOf describes a type.
func schemaOf(t reflect.Type) fragment {
	if describer, ok := reflect.TypeAssert[decode.Describer](reflect.New(t)); ok {
		return describer.Schema(schemaOf)
	}
	switch t {
	case reflect.TypeFor[checkField]():
		return fragment{"$ref": "#/$defs/check"}
	case reflect.TypeFor[unit.Duration]():
		return orReference(fragment{"type": "string", "pattern": unit.DurationPattern})
	case reflect.TypeFor[unit.Size]():
		return orReference(fragment{"type": []string{"string", "integer"}, "pattern": unit.SizePattern, "minimum": 0})
	case reflect.TypeFor[unit.Share]():
		return orReference(fragment{"type": "string", "pattern": unit.SharePattern})
	case reflect.TypeFor[retry.Backoff]():
		return orReference(fragment{"type": "string", "pattern": retry.BackoffPattern})
	case reflect.TypeFor[unit.Path]():
		return fragment{"type": []string{"string", "number", "boolean"}, "minLength": 1}
	}
	if decode.IsRaw(t) {
		return fragment{}
	}
	if decode.IsText(t) {
		return schemaOfText(t)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Struct:
		return schemaOfStruct(t, reflect.Value{})
	case reflect.Map:
		return fragment{"type": []string{"object", "null"}, "additionalProperties": schemaOf(t.Elem())}
	case reflect.Slice:
		return fragment{"type": []string{"array", "null"}, "items": schemaOf(t.Elem())}
	case reflect.Bool:
		return orReference(fragment{"type": "boolean"})
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return orReference(fragment{"type": "integer"})
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return orReference(fragment{"type": "integer", "minimum": 0})
	case reflect.Float32, reflect.Float64:
		return orReference(fragment{"type": "number"})
	}
	return scalar()
}

// scalar is any single value: the loader takes its text, and 012 stays 012.
func scalar() fragment { return fragment{"type": []string{"string", "number", "boolean"}} }

// schemaOfText describes a type that reads itself from text. A list type may be
// written as one value too.
func schemaOfText(t reflect.Type) fragment {
	if decode.IsShorthand(t) {
		return fragment{"anyOf": []any{scalar(), schemaOfStruct(t, reflect.Value{})}}
	}
	if t.Kind() != reflect.Slice {
		return scalar()
	}
	return fragment{"anyOf": []any{scalar(), fragment{"type": "array", "items": schemaOf(t.Elem())}}}
}

// schemaOfStruct describes a struct. defaults is a struct of type t, or invalid.
func schemaOfStruct(t reflect.Type, defaults reflect.Value) fragment {
	properties := fragment{}
	var required []string
	for _, f := range decode.Fields(t) {
		if f.Later != "" {
			continue
		}
		var preset reflect.Value
		if defaults.IsValid() {
			preset = defaults.FieldByIndex(f.Index)
		}
		properties[f.Name] = schemaOfField(f, preset)
		if f.Required {
			required = append(required, f.Name)
		}
	}
	out := fragment{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["type"], out["required"] = "object", required
	}
	return out
}

// schemaOfField describes one key with what its tags say.
func schemaOfField(f decode.Field, preset reflect.Value) fragment {
	schema := schemaOf(f.Type)
	group := f.Type
	if group.Kind() == reflect.Pointer {
		group = group.Elem()
	}
	if preset.IsValid() && group == f.Type && group.Kind() == reflect.Struct && !decode.IsText(group) && schema["properties"] != nil {
		schema = schemaOfStruct(group, preset)
	}
	if len(f.Enum) > 0 {
		schema = restrict(f, fragment{"enum": f.Enum})
	}
	if f.Bounded {
		schema = restrict(f, fragment{"type": "integer", "minimum": f.Least, "maximum": f.Most})
	}
	out := fragment{}
	maps.Copy(out, schema)
	if types, ok := out["type"].([]string); ok && f.Required {
		out["type"] = slices.DeleteFunc(slices.Clone(types), func(t string) bool { return t == "null" })
	}
	if f.Doc != "" {
		out["description"] = f.Doc
	}
	if value, ok := defaultOf(preset); ok {
		out["default"] = value
	}
	return out
}

// restrict applies a restriction to a value or to the elements of a list.
func restrict(f decode.Field, to fragment) fragment {
	if !f.Fixed {
		to = orReference(to)
	}
	if decode.IsShorthand(f.Type) {
		return fragment{"anyOf": []any{to, schemaOfStruct(f.Type, reflect.Value{})}}
	}
	if f.Type.Kind() == reflect.Slice {
		list := fragment{"type": []string{"array", "null"}, "items": to}
		if !decode.IsText(f.Type) {
			return list
		}
		list["type"] = "array"
		return fragment{"anyOf": []any{to, list}}
	}
	return to
}

// defaultOf returns the form in which a default would be written.
func defaultOf(v reflect.Value) (any, bool) {
	if !v.IsValid() || v.IsZero() {
		return nil, false
	}
	if text, ok := reflect.TypeAssert[encoding.TextMarshaler](v); ok {
		written, err := text.MarshalText()
		return string(written), err == nil
	}
	switch v.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint64, reflect.Float64:
		return v.Interface(), true
	}
	return nil, false
}

// member is one kind of a family whose options stand beside `kind:`.
type member struct {
	name, summary string
	options       any
	// common is what all of the family have beside their own options; nil for
	// nothing.
	common any
}

// schemaOfFlat describes a store or a channel: what else it has depends on its
// kind.
func schemaOfFlat(members []member) fragment {
	var names []string
	var choices []any
	for _, m := range members {
		names = append(names, m.name)
		options := reflect.ValueOf(m.options).Elem()
		whole := schemaOfStruct(options.Type(), options)
		properties, _ := whole["properties"].(fragment)
		if m.common != nil {
			shared := reflect.ValueOf(m.common)
			more, _ := schemaOfStruct(shared.Type(), shared)["properties"].(fragment)
			maps.Copy(properties, more)
		}
		properties["kind"] = fragment{"const": m.name, "description": m.summary}
		whole["type"] = "object"
		choices = append(choices, whenKind(m.name, whole))
	}
	out := fragment{"type": "object", "required": []string{"kind"}, "properties": fragment{"kind": words(names)}}
	if len(choices) > 0 {
		out["allOf"] = choices
	}
	return out
}

func stores(catalog Catalog) (out []member) {
	for _, k := range catalog.Stores.All() {
		out = append(out, member{k.Name, k.Summary(), k.Options(), nil})
	}
	return out
}

func channels(catalog Catalog) (out []member) {
	for _, k := range catalog.Channels.All() {
		out = append(out, member{k.Name, k.Summary(), k.Options(), alerts.DefaultTerms()})
	}
	return out
}

// schemaWithOptions describes a job or a check: the form of with: depends on its
// kind.
func schemaWithOptions(t reflect.Type, kinds *jobs.Registry, probes bool) fragment {
	out := schemaOfStruct(t, reflect.Value{})
	var names []string
	var choices []any
	all := kinds.All()
	if probes {
		all = append(slices.Clone(all), heartbeatKind())
		slices.SortFunc(all, func(a, b jobs.Kind) int { return strings.Compare(a.Name, b.Name) })
	}
	for _, kind := range all {
		if probes && !asProbe(kind).Probe {
			continue
		}
		names = append(names, kind.Name)
		options := reflect.ValueOf(kind.Options()).Elem()
		with := schemaOfStruct(options.Type(), options)
		with["description"] = kind.Summary()
		then := fragment{"properties": fragment{"with": with}}
		if with["required"] != nil {
			then["required"] = []string{"with"}
		}
		choices = append(choices, whenKind(kind.Name, then))
	}
	properties, _ := out["properties"].(fragment)
	kind, _ := properties["kind"].(fragment)
	properties["kind"] = words(names)
	properties["kind"].(fragment)["description"] = kind["description"] //nolint:forcetypeassert // made above
	if len(choices) > 0 {
		out["allOf"] = choices
	}
	return out
}

// words describes a value that is one of names.
func words(names []string) fragment {
	if len(names) == 0 {
		return fragment{"type": "string"}
	}
	return fragment{"enum": names}
}

func whenKind(name string, then fragment) fragment {
	return fragment{
		"if":   fragment{"properties": fragment{"kind": fragment{"const": name}}, "required": []string{"kind"}},
		"then": then,
	}
}

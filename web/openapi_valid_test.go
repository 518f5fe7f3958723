package web_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ghosteam/upkeep/web"
)

// official is the schema of OpenAPI 3.1 documents.
func official(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile("testdata/openapi-3.1/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	id, _ := at(document, "$id").(string)
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(id, document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile(id)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// TestOpenAPI_Valid: the document is one of OpenAPI 3.1 by the official schema,
// each of its schemas is one of JSON Schema 2020-12, and what no schema can say
// holds too: references lead somewhere, names are unique, parameters of
// addresses are declared.
func TestOpenAPI_Valid(t *testing.T) {
	t.Parallel()
	schema := official(t)
	spec := specification(t, web.New(newFake().options()).Handler())
	if err := schema.Validate(spec); err != nil {
		t.Errorf("%#v", err)
	}
	for _, wrong := range flaws(spec) {
		t.Error(wrong)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("openapi.json", spec); err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(at(spec, "components", "schemas").(map[string]any)))
	for _, name := range names {
		if _, err := compiler.Compile("openapi.json#/components/schemas/" + name); err != nil {
			t.Errorf("schema %s: %v", name, err)
		}
	}
	if len(names) < 40 {
		t.Errorf("only %d schemas were looked at", len(names))
	}
}

// TestOpenAPI_Flaws shows that the checks find what is wrong.
func TestOpenAPI_Flaws(t *testing.T) {
	t.Parallel()
	schema := official(t)
	whole := specification(t, web.New(newFake().options()).Handler())
	text, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		spoil func(map[string]any)
		// shape tells that the official schema finds it.
		shape bool
	}{
		"no title":     {func(s map[string]any) { delete(s["info"].(map[string]any), "title") }, true},
		"no version":   {func(s map[string]any) { delete(s, "openapi") }, true},
		"a wrong path": {func(s map[string]any) { s["paths"].(map[string]any)["runs"] = map[string]any{} }, true},
		"no name of a parameter": {func(s map[string]any) {
			delete(at(s, "paths", "/api/v1/runs", "get", "parameters").([]any)[0].(map[string]any), "name")
		}, true},
		"a reference to nothing": {func(s map[string]any) { delete(at(s, "components", "schemas").(map[string]any), "Problem") }, false},
		"a name twice": {func(s map[string]any) {
			at(s, "paths", "/api/v1/runs", "get").(map[string]any)["operationId"] = "get-run"
		}, false},
		"an undeclared parameter": {func(s map[string]any) {
			delete(at(s, "paths", "/api/v1/runs/{id}", "get").(map[string]any), "parameters")
		}, false},
	}
	for name, test := range tests {
		var spec map[string]any
		if err := json.Unmarshal(text, &spec); err != nil {
			t.Fatal(err)
		}
		test.spoil(spec)
		found := schema.Validate(spec) != nil
		if !test.shape {
			found = len(flaws(spec)) > 0
		}
		if !found {
			t.Errorf("%s was not found", name)
		}
	}
}

var inBraces = regexp.MustCompile(`\{([^}]+)\}`)

// flaws are what is wrong with a document beyond its shape.
func flaws(spec map[string]any) []string {
	var out []string
	var references func(v any)
	references = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok && at(spec, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...) == nil {
				out = append(out, "nothing is at "+ref)
			}
			for _, inner := range v {
				references(inner)
			}
		case []any:
			for _, inner := range v {
				references(inner)
			}
		}
	}
	references(spec)
	seen := map[string]bool{}
	paths, _ := spec["paths"].(map[string]any)
	for path, item := range paths {
		operations, _ := item.(map[string]any)
		for method, operation := range operations {
			where := method + " " + path
			id, _ := at(operation, "operationId").(string)
			if id == "" || seen[id] {
				out = append(out, where+": the operation has no name of its own: "+id)
			}
			seen[id] = true
			declared := map[string]bool{}
			list, _ := at(operation, "parameters").([]any)
			for _, p := range list {
				if name, _ := at(p, "name").(string); at(p, "in") == "path" {
					declared[name] = true
				}
			}
			for _, match := range inBraces.FindAllStringSubmatch(path, -1) {
				if !declared[match[1]] {
					out = append(out, where+": "+match[1]+" is not declared")
				}
				delete(declared, match[1])
			}
			for name := range declared {
				out = append(out, where+": "+name+" is not in the address")
			}
			responses, _ := at(operation, "responses").(map[string]any)
			if !slices.ContainsFunc(slices.Collect(maps.Keys(responses)), func(code string) bool { return strings.HasPrefix(code, "2") }) || responses["default"] == nil {
				out = append(out, where+": it says nothing of success or of failure")
			}
		}
	}
	return out
}

package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

// The schema that the program prints accepts what we ship and what init writes,
// and refuses the same with a misspelled key.
func TestSchema_AcceptsShippedConfigurations(t *testing.T) {
	t.Parallel()
	schema := compile(t, call(t, 0, "schema"))
	files, err := filepath.Glob(filepath.Join("..", "..", "configs", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no shipped configuration: %v", err)
	}
	starter := filepath.Join(t.TempDir(), "starter.yaml")
	call(t, 0, "init", starter)
	for _, file := range append(files, starter) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(decode(t, string(text))); err != nil {
				t.Errorf("the schema refuses it: %v", err)
			}
			if !strings.Contains(string(text), "\nworkflows:") {
				t.Fatal("it has no workflows")
			}
			wrong := strings.Replace(string(text), "\nworkflows:", "\nwrokflows:", 1)
			if err := schema.Validate(decode(t, wrong)); err == nil {
				t.Error("the schema accepts a misspelled key")
			}
		})
	}
}

func compile(t *testing.T, text string) *jsonschema.Schema {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("upkeep.schema.json", parsed); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("upkeep.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// decode turns YAML into what JSON would be.
func decode(t *testing.T, text string) any {
	t.Helper()
	var data any
	if err := yaml.Unmarshal([]byte(text), &data); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(strings.NewReader(string(asJSON)))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

package configs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/ghosteam/upkeep/configs"
)

// update makes the tests write what they got in place of what they want.
const update = "UPKEEP_TEST_UPDATE"

// write puts text into a file of its own.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "upkeep.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// golden compares got with the contents of a file.
func golden(t *testing.T, path, got string) {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	got = strings.ReplaceAll(got, here, "HERE")
	if os.Getenv(update) != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; %s=1 writes it anew):\n%s", path, update, diff)
	}
}

// fixtures returns the files of a folder of testdata, and the main files of
// its folders.
func fixtures(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	nested, err := filepath.Glob(filepath.Join("testdata", folder, "*", "upkeep.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, nested...)
	if len(files) == 0 {
		t.Fatalf("no fixtures in %s", folder)
	}
	return files
}

// beside returns the golden file of a fixture.
func beside(path string) string {
	if filepath.Base(path) == "upkeep.yaml" {
		return filepath.Dir(path) + ".txt"
	}
	return strings.TrimSuffix(path, ".yaml") + ".txt"
}

// schemaOf compiles the schema of a catalog.
func schemaOf(t *testing.T, catalog configs.Catalog) *jsonschema.Schema {
	t.Helper()
	text, err := configs.Schema(catalog)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("upkeep.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("upkeep.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// accepts tells whether an editor with the schema would accept the file.
func accepts(t *testing.T, schema *jsonschema.Schema, path string) error {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := yaml.Load(text, &value); err != nil {
		return err
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	return schema.Validate(document)
}

// blind is the first line of fixtures about which the schema cannot know.
const blind = "# schema cannot know: "

func TestLoad_Bad(t *testing.T) {
	t.Parallel()
	schema := schemaOf(t, testCatalog(nil))
	for _, path := range fixtures(t, "bad") {
		t.Run(strings.TrimSuffix(filepath.Base(beside(path)), ".txt"), func(t *testing.T) {
			t.Parallel()
			c, err := configs.Load(path, testCatalog(testEnv()))
			problems, ok := errors.AsType[configs.Problems](err)
			if !ok {
				t.Fatalf("the loader accepted it or failed otherwise: %v", err)
			}
			if c != nil {
				t.Error("a configuration came with the error")
			}
			for _, p := range problems {
				inside(t, p)
			}
			golden(t, beside(path), problems.Error()+"\n")
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the error shows a secret")
			}

			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			refused := accepts(t, schema, path)
			switch cannot := strings.HasPrefix(string(text), blind); {
			case cannot && refused != nil:
				t.Errorf("the schema refuses it after all; remove the first line: %v", refused)
			case !cannot && refused == nil:
				t.Error("the schema accepts it")
			}
		})
	}
}

// inside checks that a problem points into its file.
func inside(t *testing.T, p configs.Problem) {
	t.Helper()
	if p.Line == 0 {
		return
	}
	text, err := os.ReadFile(p.File)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimPrefix(string(text), "\ufeff"), "\n")
	if p.Line > len(lines) || p.Col < 1 || p.Col > len([]rune(lines[p.Line-1]))+1 {
		t.Errorf("%s is not a place in the file", p.Position())
	}
}

func TestLoad_Good(t *testing.T) {
	t.Parallel()
	schema := schemaOf(t, testCatalog(nil))
	for _, path := range fixtures(t, "good") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			c, err := configs.Load(path, testCatalog(testEnv()))
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Warnings) > 0 {
				t.Errorf("warnings:\n%v", c.Warnings)
			}
			if err := accepts(t, schema, path); err != nil {
				t.Errorf("the schema refuses it: %v", err)
			}
		})
	}
}

func TestLoad_Lint(t *testing.T) {
	t.Parallel()
	schema := schemaOf(t, testCatalog(nil))
	for _, path := range fixtures(t, "lint") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			c, err := configs.Load(path, testCatalog(testEnv()))
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Warnings) == 0 || c.Warnings.Err() != nil {
				t.Error("no warnings, or they count as errors")
			}
			for _, p := range c.Warnings {
				inside(t, p)
			}
			golden(t, beside(path), c.Warnings.Error()+"\n")
			if err := accepts(t, schema, path); err != nil {
				t.Errorf("the schema refuses it: %v", err)
			}
		})
	}
}

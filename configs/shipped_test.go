package configs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ghosteam/upkeep/configs"
	kinds "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/storage/object"
	stores "github.com/ghosteam/upkeep/storage/object/all"
)

// The shipped configurations load with the real kinds, without a warning and
// with an empty environment, and an editor with the schema accepts them.
func TestShipped(t *testing.T) {
	t.Parallel()
	catalog := configs.Catalog{Kinds: kinds.Kinds(), Stores: object.NewRegistry(stores.Kinds()...)}
	schema := schemaOf(t, catalog)
	files, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 2 {
		t.Fatalf("found %v", files)
	}
	for _, path := range files {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			c, err := configs.Load(path, catalog)
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Warnings) > 0 {
				t.Errorf("warnings:\n%v", c.Warnings)
			}
			if err := accepts(t, schema, path); err != nil {
				t.Errorf("the schema refuses it: %v", err)
			}
			for _, w := range c.Workflows {
				arguments, err := w.Arguments(nil)
				if err != nil {
					t.Fatal(err)
				}
				plan, err := c.Compile(t.Context(), w.Spec, arguments)
				if err != nil {
					t.Fatal(err)
				}
				for _, job := range plan.Jobs {
					if _, _, err := job.Build(nil); err != nil {
						t.Errorf("%s.%s: %v", w.Name, job.Name, err)
					}
				}
			}
		})
	}
}

// What the scripts' folder promises must be there: a renamed script would fail
// the first run of a stranger.
func TestShipped_ScriptsExist(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"../scripts/data/prepare.py", "../scripts/check_model_performance.py", "../scripts/check_model_drift.py",
		"../scripts/generate_performance_report.py", "../scripts/performance_optimization_review.py", "../scripts/evaluate_retraining_needs.py",
	} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

package configs_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	channels "github.com/ghosteam/upkeep/alerts/all"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/internal/decode"
	kinds "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/storage/object"
	stores "github.com/ghosteam/upkeep/storage/object/all"
)

// The shipped configurations load with the real kinds, without a warning and
// with an empty environment, and an editor with the schema accepts them.
func TestShipped(t *testing.T) {
	t.Parallel()
	catalog := configs.Catalog{Kinds: kinds.Kinds(), Stores: object.NewRegistry(stores.Kinds()...), Channels: alerts.NewRegistry(channels.Kinds()...)}
	schema := schemaOf(t, catalog)
	files, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 3 {
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
			for _, channel := range c.Channels {
				if channel.Settings.Disabled {
					continue
				}
				if _, _, err := c.OpenChannel(channel.Name); err != nil {
					t.Errorf("channel %s: %v", channel.Name, err)
				}
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

// The options of every kind are of types that the loader understands, and every
// option says what it is for.
func TestShipped_OptionsAreUnderstood(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds.Kinds().All() {
		understood(t, "kind "+kind.Name, reflect.TypeOf(kind.Options()).Elem(), true)
	}
	for _, kind := range stores.Kinds() {
		understood(t, "store "+kind.Name, reflect.TypeOf(kind.Options()).Elem(), true)
	}
	for _, kind := range channels.Kinds() {
		understood(t, "channel "+kind.Name, reflect.TypeOf(kind.Options()).Elem(), true)
	}
}

func understood(t *testing.T, where string, of reflect.Type, top bool) {
	t.Helper()
	switch {
	case of == reflect.TypeFor[time.Duration]():
		t.Errorf("%s is a time.Duration, which would be read as nanoseconds; use unit.Duration", where)
	case decode.IsText(of) && of.Kind() != reflect.Slice:
	case of.Kind() == reflect.Struct:
		for _, f := range decode.Fields(of) {
			if f.Doc == "" {
				t.Errorf("%s.%s has no doc", where, f.Name)
			}
			understood(t, where+"."+f.Name, f.Type, false)
		}
	case of.Kind() == reflect.Slice, of.Kind() == reflect.Pointer:
		understood(t, where+"[]", of.Elem(), false)
	case of.Kind() == reflect.Map:
		if key := of.Key(); key.Kind() != reflect.String && !decode.IsText(key) {
			t.Errorf("%s has keys of type %s", where, key)
		}
		understood(t, where+"{}", of.Elem(), false)
	case of.Kind() == reflect.String, of.Kind() == reflect.Bool, of.Kind() >= reflect.Int && of.Kind() <= reflect.Uint64, of.Kind() == reflect.Float64:
	default:
		t.Errorf("%s is of type %s, which the loader does not decode", where, of)
	}
	if top && of.Kind() != reflect.Struct {
		t.Errorf("%s: options must be a struct", where)
	}
}
